package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"flambeau/origin/access"
)

// vouching are the sections that config_keys.go reads.
var vouching = []string{"tokens", "keys", "api_keys", "certificates"}

func TestTheExampleOfThoseWhoVouchIsSoundAndShowsEveryKey(t *testing.T) {
	_, commented, ok := strings.Cut(example(t), "\n# tokens:")
	if !ok {
		t.Fatal("the example has no tokens")
	}
	text := sound + "tokens:" + strings.ReplaceAll(commented, "\n# ", "\n")
	l, problems := load(t, text)
	if problems != "" {
		t.Fatal(problems)
	}
	if len(l.Config.Keys) != 5 || len(l.Config.APIKeys) != 1 || len(l.Config.Certificates) != 2 || l.Config.Tokens.MaxAge != maxTokenAge || l.Config.Tokens.Audience != "flambeau" {
		t.Errorf("%+v", l.Config)
	}
	shown := map[string]bool{}
	r := &reader{file: "f.yml", places: map[string]place{}, fromEnv: map[string]bool{}}
	tree, err := parseYAML(text)
	if err != nil {
		t.Fatal(err)
	}
	(&draft{}).schema().read(r, "", tree.Docs[0].Body)
	for path := range r.places {
		shown[pattern(path)] = true
	}
	(&draft{}).schema().walk("", func(path string) {
		for _, v := range vouching {
			if (path == v || strings.HasPrefix(path, v+".") || strings.HasPrefix(path, v+"[")) && !shown[path] {
				t.Errorf("the example has no %s", path)
			}
		}
	})
}

func TestEachMistakeAboutKeysIsNamedWithItsPlace(t *testing.T) {
	hash := "sha256:" + strings.Repeat("0", 64)
	for name, c := range map[string]struct{ text, want string }{
		"a secret":                   {"keys: [ { id: k1, algorithm: HS256, secret_file: s } ]", ""},
		"no id":                      {"keys: [ { algorithm: HS256, secret_file: s } ]", `f.yml:6:9: key without "id"`},
		"an id that is a path":       {"keys: [ { id: ../k1, algorithm: HS256, secret_file: s } ]", `f.yml:6:15: id: "../k1": 1 to 64 of a-z, A-Z, 0-9, ., - and _`},
		"an id that is taken":        {"keys:\n  - { id: k1, algorithm: HS256, secret_file: s }\n  - { id: k1, algorithm: HS256, secret_file: s }", `f.yml:8:11: key "k1" is there already, on line 7`},
		"no source":                  {"keys: [ { id: k1, algorithm: HS256 } ]", `f.yml:6:9: key: want one of secret_file, public_file, private_file, jwks_file and jwks_url`},
		"two sources":                {"keys: [ { id: k1, algorithm: ES256, public_file: a, private_file: b } ]", `f.yml:6:9: key: want one of secret_file, public_file, private_file, jwks_file and jwks_url`},
		"no algorithm":               {"keys: [ { id: k1, secret_file: s } ]", `f.yml:6:9: key without "algorithm"`},
		"an algorithm of nothing":    {"keys: [ { id: k1, algorithm: none, secret_file: s } ]", `f.yml:6:30: algorithm: "none": want HS256, ES256 or EdDSA`},
		"an algorithm of another":    {"keys: [ { id: k1, algorithm: ES256, secret_file: s } ]", `f.yml:6:30: algorithm: ES256 does not go with secret_file: HS256 has a secret_file, ES256 and EdDSA a public_file or private_file`},
		"a public key as secret":     {"keys: [ { id: k1, algorithm: HS256, public_file: s } ]", `f.yml:6:30: algorithm: HS256 does not go with public_file: HS256 has a secret_file, ES256 and EdDSA a public_file or private_file`},
		"a set with an algorithm":    {"keys: [ { id: k1, algorithm: ES256, jwks_file: s } ]", `f.yml:6:30: algorithm: not of a key set, each key in it says its own`},
		"a set by http":              {"keys: [ { id: k1, jwks_url: \"http://partner.example/jwks\" } ]", `f.yml:6:29: jwks_url: want https://host/path: whoever can change a key set on its way can sign for everybody`},
		"a set on this machine":      {"keys: [ { id: k1, jwks_url: \"http://127.0.0.1:9/jwks\" } ]", ""},
		"a set behind a password":    {"keys: [ { id: k1, jwks_url: \"https://a:b@partner.example/jwks\" } ]", `f.yml:6:29: jwks_url: credentials do not belong in the URL`},
		"a broadcaster in capitals":  {"keys: [ { id: k1, algorithm: HS256, secret_file: s, broadcasters: [Alpine] } ]", `f.yml:6:68: broadcasters[0]: "Alpine": only a-z, 0-9 and, not first, -`},
		"an end that is a day":       {"keys: [ { id: k1, algorithm: HS256, secret_file: s, not_after: 2026-03-01 } ]", `f.yml:6:64: not_after: "2026-03-01" is no instant: want one such as 2026-02-23T00:00:00+01:00`},
		"a secret in the file":       {"keys: [ { id: k1, algorithm: HS256, secret: s } ]", "f.yml:6:9: key: want one of secret_file, public_file, private_file, jwks_file and jwks_url\n" + `f.yml:6:37: unknown key "secret": want id, algorithm, secret_file, public_file, private_file, jwks_file, jwks_url, issuer, broadcasters or not_after`},
		"tokens that live for years": {"tokens: { max_age: 10000h }", `f.yml:6:20: max_age: 10000h is outside 1m to 744h`},
		"tokens for nobody":          {"tokens: { audience: \"\" }", `f.yml:6:21: audience: want text of 1 to 256 bytes`},
		"an API key":                 {"api_keys: [ { id: r, broadcaster: a, hash: \"" + hash + "\" } ]", ""},
		"an API key without hash":    {"api_keys: [ { id: r, broadcaster: a } ]", `f.yml:6:13: API key without "hash"`},
		"an API key itself":          {"api_keys: [ { id: r, broadcaster: a, hash: fk_r_x } ]", `f.yml:6:44: hash: want sha256: and 64 hex digits`},
		"an API key from a host":     {"api_keys: [ { id: r, broadcaster: a, hash: \"" + hash + "\", networks: [192.0.2.1/24] } ]", `f.yml:6:130: networks[0]: "192.0.2.1/24" is no network: want one such as 192.0.2.0/24`},
		"a certificate":              {"certificates: [ { broadcaster: a, name: puller.example } ]", ""},
		"a certificate by nothing":   {"certificates: [ { broadcaster: a } ]", `f.yml:6:17: certificate: want either fingerprint or name`},
		"a certificate by both":      {"certificates: [ { broadcaster: a, name: x, fingerprint: \"" + hash + "\" } ]", `f.yml:6:17: certificate: want either fingerprint or name`},
		"a certificate of nobody":    {"certificates: [ { name: x } ]", `f.yml:6:17: certificate without "broadcaster"`},
	} {
		t.Run(name, func(t *testing.T) {
			l, got := load(t, sound+c.text+"\n")
			if got != c.want {
				t.Errorf("\n got %s\nwant %s", got, c.want)
			}
			if c.want == "" && !slices.ContainsFunc(l.warnings(), func(w string) bool { return strings.Contains(w, "without broadcasters everything is open") }) {
				t.Errorf("nobody is told that it is of no use: %v", l.warnings())
			}
		})
	}
}

// keyed writes a configuration with a secret beside it.
func keyed(t *testing.T, more string) (file, secret string) {
	t.Helper()
	secret = "the quick brown fox jumps over the lazy dog"
	file = write(t, sound+"keys:\n  - { id: k1, algorithm: HS256, secret_file: k1.secret }\n"+more)
	if err := os.WriteFile(filepath.Join(filepath.Dir(file), "k1.secret"), []byte(secret+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return file, secret
}

func TestAMintedTokenIsTakenAndSaysWhatWasAsked(t *testing.T) {
	file, _ := keyed(t, "")
	for _, format := range []string{"jwt", "cat"} {
		code, stdout, stderr := flambeau("token", "mint", "-c", file, "--broadcaster", "alpine-tv", "--format", format, "--ttl", "2h", "--channels", "curling-*,slate",
			"--actions", "live", "--max-height", "720", "--territories", "CH", "--networks", "192.0.2.0/24", "--from", "2026-02-06T19:00:00Z", "--until", "2026-02-06T21:00:00Z")
		token, line := strings.CutSuffix(stdout, "\n")
		if code != 0 || stderr != "" || !line {
			t.Fatalf("exit %d, %q, %q", code, stdout, stderr)
		}
		l := loadConfig(file, nil)
		v, err := verifier(file, l.Config, nil)
		if err != nil {
			t.Fatal(err)
		}
		id, err := v.Verify(token, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		left := time.Until(id.Expires)
		if id.Broadcaster != "alpine-tv" || id.MaxHeight != 720 || !slices.Equal(id.Channels, []string{"curling-*", "slate"}) || !slices.Equal(id.Actions, []string{"live"}) || !slices.Equal(id.Territories, []string{"CH"}) ||
			len(id.Networks) != 1 || id.Until.Sub(id.From) != 2*time.Hour || len(id.ID) != 32 || left < 119*time.Minute || left > 2*time.Hour {
			t.Errorf("%s: %+v", format, id)
		}
		code, stdout, stderr = flambeau("token", "inspect", token, "-c", file)
		if code != 0 || !strings.HasSuffix(stdout, "  yes\n") || !strings.Contains(stdout, "k1\n") || strings.Contains(stdout+stderr, token) {
			t.Errorf("exit %d\n%s%s", code, stdout, stderr)
		}
		code, stdout, _ = flambeau("token", "inspect", token)
		if code != 0 || !strings.Contains(stdout, "not checked") {
			t.Errorf("exit %d\n%s", code, stdout)
		}
		other, _ := keyed(t, "tokens: { audience: other }\n")
		code, stdout, stderr = flambeau("token", "inspect", token, "-c", other, "--json")
		var said struct {
			Format string        `json:"format"`
			Claims []access.Said `json:"claims"`
			Taken  bool          `json:"taken"`
			Why    string        `json:"why"`
		}
		if err := json.Unmarshal([]byte(stdout), &said); err != nil || code != 1 || said.Taken || said.Why != "token: audience: aud" || !strings.EqualFold(said.Format, format) || len(said.Claims) < 10 || stderr != "" {
			t.Errorf("exit %d, %v\n%s%s", code, err, stdout, stderr)
		}
	}
}

func TestAMintedAPIKeyIsTakenByTheLineThatCameWithIt(t *testing.T) {
	file, _ := keyed(t, "")
	code, key, stderr := flambeau("token", "mint", "-c", file, "--broadcaster", "alpine-tv", "--format", "key", "--networks", "192.0.2.0/24")
	_, line, ok := strings.Cut(stderr, "configuration:\n")
	if code != 0 || !ok {
		t.Fatalf("exit %d, %q", code, stderr)
	}
	with, _ := keyed(t, "api_keys:\n"+line)
	l := loadConfig(with, nil)
	if err := l.err(); err != nil {
		t.Fatal(err)
	}
	v, err := verifier(with, l.Config, nil)
	if err != nil {
		t.Fatal(err)
	}
	if id, err := v.Verify(strings.TrimSpace(key), time.Now()); err != nil || id.Broadcaster != "alpine-tv" || len(id.Networks) != 1 {
		t.Errorf("%+v, %v", id, err)
	}
}

func TestWhatCannotBeMintedIsRefusedWithItsReason(t *testing.T) {
	file, secret := keyed(t, "  - { id: k2, algorithm: ES256, public_file: k2.pem }\n")
	public := "-----BEGIN PUBLIC KEY-----\nMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEaxfR8uEsQkf4vOblY6RA8ncDfYEt\n6zOg9KE5RdiYwpZP40Li/hp/m47n60p8D54WK84zV2sxXs7LtkBoN79R9Q==\n-----END PUBLIC KEY-----\n"
	if err := os.WriteFile(filepath.Join(filepath.Dir(file), "k2.pem"), []byte(public), 0o600); err != nil {
		t.Fatal(err)
	}
	lost, _ := keyed(t, "  - { id: k3, algorithm: HS256, secret_file: nowhere }\n")
	for args, c := range map[string]struct {
		code int
		want string
	}{
		"--broadcaster alpine-tv":                             {0, ""},
		"":                                                    {2, "--broadcaster: "},
		"--broadcaster Alpine":                                {2, "--broadcaster: "},
		"--broadcaster a --ttl 1000h":                         {2, "--ttl 1000h0m0s: want 1s to 744h, which is tokens.max_age"},
		"--broadcaster a --ttl 0s":                            {2, "--ttl 0s: want 1s to 744h"},
		"--broadcaster a --key k9":                            {2, `unknown key "k9"`},
		"--broadcaster a --key k2":                            {2, "--key k2: only its public half is here"},
		"--broadcaster a --format xml":                        {2, `--format "xml": want jwt, cat or key`},
		"--broadcaster a --channels ../x":                     {2, "token: malformed: channels"},
		"--broadcaster a --actions rewind":                    {2, "token: malformed: actions"},
		"--broadcaster a --networks 192.0.2.1/24":             {2, `--networks: "192.0.2.1/24" is no network`},
		"--broadcaster a --from 200 --until 100":              {2, "token: malformed: until"},
		"--broadcaster a --format key --max-height 1":         {2, "an API key narrows nothing but networks"},
		"--broadcaster a --format key --key a_b":              {2, "an API key's id is"},
		"--broadcaster a -c " + lost:                          {78, "no such file or directory"},
		"--broadcaster a -c " + write(t, sound+"keys: [ x ]"): {78, "keys[0]: want a section"},
		"--broadcaster a -c " + write(t, sound):               {2, "no key that can sign"},
	} {
		t.Run(args, func(t *testing.T) {
			all := append([]string{"token", "mint", "-c", file}, strings.Fields(args)...)
			code, stdout, stderr := flambeau(all...)
			if code != c.code || !strings.Contains(stderr, c.want) || code != 0 && stdout != "" {
				t.Errorf("exit %d, %q, %q", code, stdout, stderr)
			}
			if strings.Contains(stdout+stderr, secret) {
				t.Error("a secret was told")
			}
		})
	}
	for _, args := range [][]string{{"token"}, {"token", "mnt"}, {"token", "inspect"}} {
		if code, _, stderr := flambeau(args...); code != 2 || stderr == "" {
			t.Errorf("%v: exit %d, %q", args, code, stderr)
		}
	}
	if code, stdout, stderr := flambeau("token", "inspect", "eyJ.secret.x"); code != 1 || stderr != "flambeau: token: malformed\n" || stdout != "" {
		t.Errorf("exit %d, %q, %q", code, stdout, stderr)
	}
}

func TestDoctorLooksAtTheFilesOfKeys(t *testing.T) {
	file, secret := keyed(t, "  - { id: k2, algorithm: HS256, secret_file: open }\n  - { id: k3, algorithm: HS256, secret_file: nowhere }\n  - { id: k4, algorithm: HS256, secret_file: short }\n"+
		"  - { id: p, jwks_url: \"https://partner.example/jwks\" }\n")
	for name, content := range map[string]string{"open": secret, "short": "short"} {
		if err := os.WriteFile(filepath.Join(filepath.Dir(file), name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(filepath.Join(filepath.Dir(file), "open"), 0o644); err != nil {
		t.Fatal(err)
	}
	l := loadConfig(file, nil)
	var got []string
	for _, f := range keyFindings(l.Config) {
		got = append(got, f.Name+" "+string(f.Level))
		if strings.Contains(f.Says, secret) {
			t.Errorf("%s tells the secret", f.Name)
		}
	}
	if want := []string{"key k1 ok", "key k2 warn", "key k3 fail", "key k4 fail", "key p ok"}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}
