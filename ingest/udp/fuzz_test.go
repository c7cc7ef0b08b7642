package udp

import (
	"testing"
)

// FuzzURL: what is taken for a place to listen to is one.
func FuzzURL(f *testing.F) {
	for _, u := range []string{"udp://239.10.0.1:5000?interface=eth0", "rtp://:5000?source=192.0.2.7&program=3", "udp://[ff15::1%25eth0]:5000", "udp://[::ffff:239.10.0.1]:5000", "udp://1.2.3.4:5/?program=%31"} {
		f.Add(u)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		c, err := Parse(raw)
		if err != nil {
			return
		}
		if c.Address.Port() == 0 || c.Program < 0 || c.Program > 65535 || c.Source.IsValid() && c.Address.Addr().IsValid() && c.Source.Is4() != c.Address.Addr().Is4() {
			t.Fatalf("%q: %+v", raw, c)
		}
		// What logs call it is a URL of the same place.
		again, err := Parse(New(c).String())
		if err != nil || again.Address != c.Address || again.RTP != c.RTP {
			t.Fatalf("%q is called %s: %v", raw, New(c), err)
		}
	})
}
