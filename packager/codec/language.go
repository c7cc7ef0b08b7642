package codec

import (
	"strings"

	"golang.org/x/text/language"
)

// bibliographic are the twenty codes of ISO 639-2/B that differ from 639-2/T, and three that were withdrawn and are still sent.
var bibliographic = map[string]string{
	"alb": "sqi", "arm": "hye", "baq": "eus", "bur": "mya", "chi": "zho", "cze": "ces", "dut": "nld", "fre": "fra", "geo": "kat",
	"ger": "deu", "gre": "ell", "ice": "isl", "mac": "mkd", "mao": "mri", "may": "msa", "per": "fas", "rum": "ron", "slo": "slk",
	"tib": "bod", "wel": "cym",
	"scc": "srp", "scr": "hrv", "mol": "ron",
}

// retired are two-letter codes that x/text still prefers, and what the registry of RFC 5646 has in their place.
var retired = map[string]string{"iw": "he", "in": "id", "ji": "yi", "jw": "jv", "mo": "ro"}

// Language says how the language that a feed names, in two or three letters, is called in manifests (RFC 5646, shortest) and in
// mdhd (ISO 639-2/T): "fr" and "fra" for fre. Codes of private use (qaa to qtz), mul, zxx and mis stay. Where the feed
// names none, or none that there is, the tag is empty and the code "und".
func Language(feed string) (tag, iso639 string) {
	code := strings.ToLower(strings.TrimRight(strings.TrimSpace(feed), "\x00"))
	if t, ok := bibliographic[code]; ok {
		code = t
	}
	if new, ok := retired[code]; ok {
		code = new
	}
	if len(code) != 2 && len(code) != 3 {
		return "", "und"
	}
	base, err := language.ParseBase(code)
	if err != nil || base.ISO3() == "und" {
		return "", "und"
	}
	tag = base.String()
	if new, ok := retired[tag]; ok {
		tag = new
	}
	return tag, base.ISO3()
}
