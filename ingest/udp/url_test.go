package udp

import (
	"net/netip"
	"strings"
	"testing"
)

func TestAURLSaysWhatToListenTo(t *testing.T) {
	for url, want := range map[string]Config{
		"udp://239.10.0.1:5000":                                     {Address: netip.MustParseAddrPort("239.10.0.1:5000")},
		"udp://:5000":                                               {Address: netip.AddrPortFrom(netip.Addr{}, 5000)},
		"udp://127.0.0.1:5000/":                                     {Address: netip.MustParseAddrPort("127.0.0.1:5000")},
		"rtp://[ff05::1]:6000?interface=eth0":                       {Address: netip.MustParseAddrPort("[ff05::1]:6000"), Interface: "eth0", RTP: true},
		"udp://232.1.1.1:5000?source=192.0.2.7&program=3":           {Address: netip.MustParseAddrPort("232.1.1.1:5000"), Source: netip.MustParseAddr("192.0.2.7"), Program: 3},
		"udp://[::ffff:239.10.0.1]:5000?source=::ffff:192.0.2.7":    {Address: netip.MustParseAddrPort("239.10.0.1:5000"), Source: netip.MustParseAddr("192.0.2.7")},
		"udp://:5000?source=2001:db8::1&interface=eth0&program=100": {Address: netip.AddrPortFrom(netip.Addr{}, 5000), Source: netip.MustParseAddr("2001:db8::1"), Interface: "eth0", Program: 100},
	} {
		if got, err := Parse(url); err != nil || got != want {
			t.Errorf("%s: %+v, %v", url, got, err)
		}
	}
}

func TestAURLThatIsWrongIsToldWhy(t *testing.T) {
	for url, want := range map[string]string{
		"http://239.10.0.1:5000":                       "scheme",
		"udp://239.10.0.1":                             "ADDRESS:PORT",
		"udp://239.10.0.1:0":                           "port",
		"udp://239.10.0.1:70000":                       "port",
		"udp://encoder.example:5000":                   "no IP address",
		"udp://239.10.0.1:5000/path":                   "parameters only",
		"udp://user@239.10.0.1:5000":                   "parameters only",
		"udp://239.10.0.1:5000?pkt_size=1316":          `"pkt_size"`,
		"udp://239.10.0.1:5000?program=1&program=2":    "twice",
		"udp://239.10.0.1:5000?program=0":              "program",
		"udp://239.10.0.1:5000?interface=":             "interface",
		"udp://239.10.0.1:5000?interface=eth0/1":       "interface",
		"udp://[ff15::1%25averyverylongname]:5000":     "zone",
		"udp://239.10.0.1:5000?source=nobody":          "source",
		"udp://239.10.0.1:5000?source=2001:db8::1":     "family",
		"udp://239.10.0.1:5000?source=1.2.3.4;a=b":     "parameters",
		"udp://239.10.0.1:5000#x":                      "parameters only",
		"udp:239.10.0.1:5000":                          "parameters only",
		"udp://[fe80::1:5000":                          "]",
		"":                                             "scheme",
		"udp://" + strings.Repeat("9", 3000) + ":5000": "no IP address",
	} {
		_, err := Parse(url)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.60s: %v, want it to say %q", url, err, want)
		}
	}
}
