package timeline

import (
	"fmt"
	"math/bits"
)

// Rational is an exact number of seconds, Num/Den in lowest terms, Den > 0. The zero value is 0 (Den 0 counts as 1).
type Rational struct {
	Num int64 `json:"num"`
	Den int64 `json:"den"`
}

// Seconds is num/den seconds in lowest terms.
func Seconds(num, den int64) Rational {
	if den == 0 {
		panic("timeline: a rational over 0: the caller did not check what it divides by")
	}
	if den < 0 {
		num, den = -num, -den
	}
	if g := gcd(abs(num), den); g > 1 {
		num, den = num/g, den/g
	}
	return Rational{num, den}
}

func (r Rational) den() int64 {
	if r.Den == 0 {
		return 1
	}
	return r.Den
}

// IsZero tells whether r is 0.
func (r Rational) IsZero() bool { return r.Num == 0 }

// Times is n × r.
func (r Rational) Times(n int64) Rational { return Seconds(r.Num*n, r.den()) }

// Cmp is negative, zero or positive as r is less than, equal to or greater than o.
func (r Rational) Cmp(o Rational) int {
	a, b := mul128(r.Num, o.den()), mul128(o.Num, r.den())
	return a.cmp(b)
}

// Float is r, rounded to a float64. For display and attributes, never for deciding.
func (r Rational) Float() float64 { return float64(r.Num) / float64(r.den()) }

// Ceil is the smallest whole number of seconds not below r.
func (r Rational) Ceil() int64 { return -floorDiv(-r.Num, r.den()) }

// Floor is the largest whole number of ticks of 1/timescale second that is not above n × r.
func (r Rational) Floor(n int64, timescale uint32) int64 {
	return mulDivFloor(n*r.Num, int64(timescale), r.den())
}

// CeilTicks is the smallest whole number of ticks of 1/timescale second that is not below n × r.
func (r Rational) CeilTicks(n int64, timescale uint32) int64 {
	return -mulDivFloor(-n*r.Num, int64(timescale), r.den())
}

// Count is floor(ticks/timescale ÷ r): how many whole r fit into that many ticks.
func (r Rational) Count(ticks int64, timescale uint32) int64 {
	// ticks·den / (timescale·num), both factors below 2^63 as long as den and num stay below 2^31.
	return mulDivFloor(ticks, r.den(), int64(timescale)*r.Num)
}

func (r Rational) String() string {
	if r.den() == 1 {
		return fmt.Sprintf("%ds", r.Num)
	}
	return fmt.Sprintf("%d/%ds", r.Num, r.den())
}

// Rescale turns ticks of one timescale into ticks of another, rounded to the nearest, halves up.
func Rescale(ticks int64, from, to uint32) int64 {
	if from == to {
		return ticks
	}
	// floor((2·ticks·to + from) / (2·from))
	p := mul128(ticks, 2*int64(to)).add(int64(from))
	return p.floorDiv(2 * int64(from))
}

func mulDivFloor(a, b, c int64) int64 { return mul128(a, b).floorDiv(c) }

func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b != 0 && (a < 0) != (b < 0) {
		q--
	}
	return q
}

// wide is a signed 128-bit number in two's complement: seventeen days of ticks times a denominator do not fit in 64.
type wide struct {
	hi int64
	lo uint64
}

func mul128(a, b int64) wide {
	hi, lo := bits.Mul64(uint64(abs(a)), uint64(abs(b)))
	w := wide{int64(hi), lo}
	if (a < 0) != (b < 0) {
		return w.neg()
	}
	return w
}

func (w wide) neg() wide {
	lo, carry := bits.Add64(^w.lo, 1, 0)
	return wide{int64(uint64(^w.hi) + carry), lo}
}

func (w wide) add(n int64) wide {
	lo, carry := bits.Add64(w.lo, uint64(n), 0)
	hi, _ := bits.Add64(uint64(w.hi), uint64(n>>63), carry)
	return wide{int64(hi), lo}
}

func (w wide) cmp(o wide) int {
	switch {
	case w.hi < o.hi, w.hi == o.hi && w.lo < o.lo:
		return -1
	case w == o:
		return 0
	}
	return 1
}

// floorDiv is floor(w/d) for d > 0 and quotients that fit in 63 bits; larger ones are the largest there is.
func (w wide) floorDiv(d int64) int64 {
	negative := w.hi < 0
	if negative {
		w = w.neg()
	}
	if uint64(w.hi) >= uint64(d) {
		if negative {
			return -1 << 63
		}
		return 1<<63 - 1
	}
	q, r := bits.Div64(uint64(w.hi), w.lo, uint64(d))
	if !negative {
		return int64(q)
	}
	if r != 0 {
		q++
	}
	return -int64(q)
}

func abs(a int64) int64 {
	if a < 0 {
		return -a
	}
	return a
}

func gcd(a, b int64) int64 {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}

// CeilRescale turns ticks of one timescale into the first tick of another that is not before them.
func CeilRescale(ticks int64, from, to uint32) int64 {
	if from == to {
		return ticks
	}
	return -mulDivFloor(-ticks, int64(to), int64(from))
}
