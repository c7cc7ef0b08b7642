package codec

import "testing"

func TestLanguagesAreCalledByTheirShortestNameAndTheirTerminologicalCode(t *testing.T) {
	for feed, want := range map[string][2]string{
		"": {"", "und"}, "und": {"", "und"}, "mul": {"mul", "mul"}, "zxx": {"zxx", "zxx"}, "mis": {"mis", "mis"},
		"qaa": {"qaa", "qaa"}, "qtz": {"qtz", "qtz"}, "qad": {"qad", "qad"},
		"eng": {"en", "eng"}, "en": {"en", "eng"}, "ENG": {"en", "eng"}, "eng\x00": {"en", "eng"}, " eng ": {"en", "eng"},
		"alb": {"sq", "sqi"}, "arm": {"hy", "hye"}, "baq": {"eu", "eus"}, "bur": {"my", "mya"}, "chi": {"zh", "zho"},
		"cze": {"cs", "ces"}, "dut": {"nl", "nld"}, "fre": {"fr", "fra"}, "geo": {"ka", "kat"}, "ger": {"de", "deu"},
		"gre": {"el", "ell"}, "ice": {"is", "isl"}, "mac": {"mk", "mkd"}, "mao": {"mi", "mri"}, "may": {"ms", "msa"},
		"per": {"fa", "fas"}, "rum": {"ro", "ron"}, "slo": {"sk", "slk"}, "tib": {"bo", "bod"}, "wel": {"cy", "cym"},
		"fra": {"fr", "fra"}, "fr": {"fr", "fra"}, "deu": {"de", "deu"}, "zho": {"zh", "zho"}, "nld": {"nl", "nld"}, "slk": {"sk", "slk"},
		"scc": {"sr", "srp"}, "scr": {"hr", "hrv"}, "mol": {"ro", "ron"}, "heb": {"he", "heb"}, "iw": {"he", "heb"}, "ind": {"id", "ind"},
		"yid": {"yi", "yid"}, "nor": {"no", "nor"}, "nob": {"nb", "nob"}, "nno": {"nn", "nno"}, "fil": {"fil", "fil"}, "tgl": {"tl", "tgl"},
		"gsw": {"gsw", "gsw"}, "yue": {"yue", "yue"}, "sgn": {"sgn", "sgn"},
		"xxx": {"", "und"}, "zzzz": {"", "und"}, "e": {"", "und"}, "en-GB": {"", "und"}, "\xff\xff\xff": {"", "und"}, "123": {"", "und"}, "  ": {"", "und"},
	} {
		if tag, code := Language(feed); tag != want[0] || code != want[1] {
			t.Errorf("%q: %q, %q; want %q, %q", feed, tag, code, want[0], want[1])
		}
	}
}

func TestEveryLanguageHasACodeThatMdhdCanHold(t *testing.T) {
	seen := 0
	for n := range 26 * 26 * 26 {
		feed := string([]byte{'a' + byte(n/676), 'a' + byte(n/26%26), 'a' + byte(n%26)})
		tag, code := Language(feed)
		if len(code) != 3 || (tag == "") != (code == "und") {
			t.Errorf("%q: %q, %q", feed, tag, code)
		}
		if again, sameCode := Language(tag); again != tag || sameCode != code {
			t.Errorf("%q: %q, %q; but %q: %q, %q", feed, tag, code, tag, again, sameCode)
		}
		if tag != "" {
			seen++
		}
	}
	if seen < 1000 {
		t.Errorf("only %d languages are known", seen)
	}
}
