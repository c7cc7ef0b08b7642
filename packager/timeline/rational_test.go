package timeline

import (
	"math/big"
	"testing"

	"pgregory.net/rapid"
)

func TestRationalAgreesWithBig(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		l := Seconds(rapid.Int64Range(1, 1<<31-1).Draw(r, "num"), rapid.Int64Range(1, 1<<31-1).Draw(r, "den"))
		agreesWithBig(t, l, rapid.Int64Range(-1<<50, 1<<50).Draw(r, "ticks"))
	})
}

// agreesWithBig holds Count and Rescale against arbitrary precision.
func agreesWithBig(t *testing.T, l Rational, ticks int64) {
	t.Helper()
	const timescale = 90000
	num := new(big.Int).Mul(big.NewInt(ticks), big.NewInt(l.Den))
	den := new(big.Int).Mul(big.NewInt(timescale), big.NewInt(l.Num))
	if want := new(big.Int).Div(num, den); want.IsInt64() && l.Count(ticks, timescale) != want.Int64() { // Div is Euclidean; den > 0, so it floors
		t.Fatalf("%d ticks hold %d of %v, not %v", ticks, l.Count(ticks, timescale), l, want)
	}
	up := new(big.Int).Add(new(big.Int).Mul(big.NewInt(ticks), big.NewInt(2*44100)), big.NewInt(timescale))
	if want := new(big.Int).Div(up, big.NewInt(2*timescale)); Rescale(ticks, timescale, 44100) != want.Int64() {
		t.Fatalf("rescaled %d to %d, not %v", ticks, Rescale(ticks, timescale, 44100), want)
	}
}
