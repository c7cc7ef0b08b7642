package rights

import "strings"

// codes are the territories of ISO 3166-1, alpha-2, and XK, which the databases that know addresses say of Kosovo.
const codes = "AD AE AF AG AI AL AM AO AQ AR AS AT AU AW AX AZ BA BB BD BE BF BG BH BI BJ BL BM BN BO BQ BR BS BT BV BW BY BZ " +
	"CA CC CD CF CG CH CI CK CL CM CN CO CR CU CV CW CX CY CZ DE DJ DK DM DO DZ EC EE EG EH ER ES ET FI FJ FK FM FO FR " +
	"GA GB GD GE GF GG GH GI GL GM GN GP GQ GR GS GT GU GW GY HK HM HN HR HT HU ID IE IL IM IN IO IQ IR IS IT JE JM JO JP " +
	"KE KG KH KI KM KN KP KR KW KY KZ LA LB LC LI LK LR LS LT LU LV LY MA MC MD ME MF MG MH MK ML MM MN MO MP MQ MR MS MT MU MV MW MX MY MZ " +
	"NA NC NE NF NG NI NL NO NP NR NU NZ OM PA PE PF PG PH PK PL PM PN PR PS PT PW PY QA RE RO RS RU RW " +
	"SA SB SC SD SE SG SH SI SJ SK SL SM SN SO SR SS ST SV SX SY SZ TC TD TF TG TH TJ TK TL TM TN TO TR TT TV TW TZ " +
	"UA UG UM US UY UZ VA VC VE VG VI VN VU WF WS XK YE YT ZA ZM ZW"

// World is the name of all territories together.
const World = "world"

// territory is one, as a number; unknown is none.
type territory int

const unknown territory = -1

// TerritoryKnown tells whether a code is one of those that rules may name.
func TerritoryKnown(code string) bool { return territoryOf(code) != unknown }

func territoryOf(code string) territory {
	if t := place(code); t != unknown && world.has(t) {
		return t
	}
	return unknown
}

// place is the number of two capital letters, whether they are a territory's or not.
func place(code string) territory {
	if len(code) != 2 || code[0] < 'A' || code[0] > 'Z' || code[1] < 'A' || code[1] > 'Z' {
		return unknown
	}
	return territory(code[0]-'A')*26 + territory(code[1]-'A')
}

// territories is a set of them, a bit each. Everywhere holds those too of which nobody knows where they are.
type territories struct {
	everywhere bool
	bits       [(26*26 + 63) / 64]uint64
}

var world = func() (w territories) {
	for _, c := range strings.Fields(codes) {
		w.add(place(c))
	}
	return w
}()

func (s *territories) add(t territory)      { s.bits[t/64] |= 1 << (t % 64) }
func (s *territories) has(t territory) bool { return s.bits[t/64]&(1<<(t%64)) != 0 }

func (s *territories) unite(o territories) {
	for i := range s.bits {
		s.bits[i] |= o.bits[i]
	}
}

func (s *territories) without(o territories) {
	for i := range s.bits {
		s.bits[i] &^= o.bits[i]
	}
}

func (s *territories) empty() bool { return s.bits == [len(s.bits)]uint64{} }

// surely tells whether somebody in t is in the set. Of somebody unknown that is sure only where the set is everywhere.
func (s *territories) surely(t territory) bool { return s.everywhere || t != unknown && s.has(t) }

// perhaps tells whether somebody in t may be in the set.
func (s *territories) perhaps(t territory) bool { return s.everywhere || t == unknown || s.has(t) }

// touches tells whether there is a territory in both.
func (s *territories) touches(o *territories) bool {
	if s.everywhere || o.everywhere {
		return true
	}
	for i := range s.bits {
		if s.bits[i]&o.bits[i] != 0 {
			return true
		}
	}
	return false
}
