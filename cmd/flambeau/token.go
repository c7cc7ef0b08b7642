package main

import (
	"bufio"
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"flambeau/origin/access"
)

// mintOptions is what a new token shall say.
type mintOptions struct {
	File        string
	Config      Config
	Broadcaster string
	TTL         time.Duration
	Key         string // "": the first that can sign
	Format      string // "jwt", "cat", "key"
	Channels    []string
	Actions     []string
	Territories []string
	Networks    []string
	MaxHeight   int
	From, Until time.Time
}

func wireMint(c *cobra.Command) action {
	var o mintOptions
	file := configFlag(c)
	f := c.Flags()
	f.StringVar(&o.Broadcaster, "broadcaster", "", "the `ID` of whom it is for")
	f.DurationVar(&o.TTL, "ttl", time.Hour, "how long it lives")
	f.StringVar(&o.Key, "key", "", "the `ID` of the key that signs; default: the first that can. Of an API key: its own")
	f.StringVar(&o.Format, "format", "jwt", "jwt, cat (Common Access Token) or key (an API key)")
	f.StringSliceVar(&o.Channels, "channels", nil, "no more than these, such as curling-*")
	f.StringSliceVar(&o.Actions, "actions", nil, "no more than these: live, startover, archive, clip, download")
	f.StringSliceVar(&o.Territories, "territories", nil, "only from these, such as CH,AT")
	f.StringSliceVar(&o.Networks, "networks", nil, "only from these, such as 192.0.2.0/24")
	f.IntVar(&o.MaxHeight, "max-height", 0, "no picture of more lines")
	f.Var((*instant)(&o.From), "from", "no media before this `TIME` (RFC 3339 or Unix seconds)")
	f.Var((*instant)(&o.Until), "until", "no media from this `TIME` on")
	return func(_ context.Context, e env, _ []string) error {
		if err := oneOf("--format", o.Format, "jwt", "cat", "key"); err != nil {
			return err
		}
		if _, err := parseName(o.Broadcaster); err != nil {
			return usageError{fmt.Errorf("--broadcaster: %w", err)}
		}
		l, err := file.load(e)
		if err != nil {
			return err
		}
		o.File, o.Config = l.File, l.Config
		if o.Format == "key" {
			return mintAPIKey(e, o)
		}
		return mint(e, o, time.Now())
	}
}

// mint prints a token that the same configuration takes, or says why it can't.
func mint(e env, o mintOptions, now time.Time) error {
	if o.TTL < time.Second || o.TTL > o.Config.Tokens.MaxAge {
		return usageError{fmt.Errorf("--ttl %s: want 1s to %s, which is tokens.max_age", o.TTL, short(o.Config.Tokens.MaxAge))}
	}
	var id [16]byte
	rand.Read(id[:]) // never fails
	now = now.Truncate(time.Second).UTC()
	c := access.Claims{Issuer: o.Config.Tokens.Issuer, Audience: []string{o.Config.Tokens.Audience}, Issued: now, Identity: access.Identity{
		Broadcaster: o.Broadcaster, ID: hex.EncodeToString(id[:]), Expires: now.Add(o.TTL),
		Channels: o.Channels, Actions: o.Actions, Territories: o.Territories, MaxHeight: o.MaxHeight, From: o.From, Until: o.Until}}
	for _, n := range o.Networks {
		p, err := netip.ParsePrefix(n)
		if err != nil || p != p.Masked() {
			return usageError{fmt.Errorf("--networks: %q is no network: want one such as 192.0.2.0/24", n)}
		}
		c.Networks = append(c.Networks, p)
	}
	settings, err := accessOptions(o.File, o.Config, slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	key, err := signingKey(settings.Keys, o.Key)
	if err != nil {
		return err
	}
	if key.Issuer != "" {
		c.Issuer = key.Issuer
	}
	token, err := map[string]func(access.Claims) (string, error){"jwt": key.SignJWT, "cat": key.SignCAT}[o.Format](c)
	if err != nil {
		return usageError{err}
	}
	settings.Sets = nil // a key set that is away keeps nobody from signing with a key that is here
	v, err := access.New(settings)
	if err != nil {
		return err
	}
	if _, err := v.Verify(token, now); err != nil {
		return fmt.Errorf("it would not be taken: %w", err)
	}
	_, err = fmt.Fprintln(e.stdout, token)
	return err
}

func signingKey(keys []*access.Key, id string) (*access.Key, error) {
	var ids []string
	for _, k := range keys {
		if k.CanSign() && (id == "" || id == k.ID) {
			return k, nil
		}
		if k.ID == id {
			return nil, usageError{fmt.Errorf("--key %s: only its public half is here", id)}
		}
		ids = append(ids, k.ID)
	}
	if id != "" && len(ids) > 0 {
		return nil, usageError{unknown("key", id, ids)}
	}
	return nil, usageError{fmt.Errorf("no key that can sign: keys wants one with a secret_file or private_file")}
}

// mintAPIKey prints a key, and on stderr what of it the configuration needs.
func mintAPIKey(e env, o mintOptions) error {
	if o.Channels != nil || o.Actions != nil || o.Territories != nil || o.MaxHeight != 0 || !o.From.IsZero() || !o.Until.IsZero() {
		return usageError{fmt.Errorf("an API key narrows nothing but networks: grants do")}
	}
	id := o.Key
	if id == "" {
		var b [4]byte
		rand.Read(b[:]) // never fails
		id = o.Broadcaster[:min(len(o.Broadcaster), 50)] + "-" + hex.EncodeToString(b[:])
	}
	key, hash, err := access.NewAPIKey(id)
	if err != nil {
		return usageError{err}
	}
	networks := ""
	if o.Networks != nil {
		networks = ", networks: [" + strings.Join(o.Networks, ", ") + "]"
	}
	fmt.Fprintf(e.stderr, "shown once. For api_keys in the configuration:\n  - { id: %s, broadcaster: %s, hash: \"%s\"%s }\n", id, o.Broadcaster, hash, networks)
	_, err = fmt.Fprintln(e.stdout, key)
	return err
}

// inspected is what token inspect tells a program.
type inspected struct {
	access.Inspection
	Checked bool   `json:"checked"` // against a configuration
	Taken   bool   `json:"taken"`
	Why     string `json:"why,omitempty"` // not
}

// maxTokenLine is how much of stdin is read for a token: one that is too long shall be told so.
const maxTokenLine = access.MaxToken + 2

func wireInspect(c *cobra.Command) action {
	var p printing
	file := configFlag(c)
	p.flags(c)
	return func(_ context.Context, e env, args []string) error {
		token := args[0]
		if token == "-" {
			line, err := bufio.NewReader(io.LimitReader(e.stdin, maxTokenLine)).ReadString('\n')
			if err != nil && err != io.EOF {
				return err
			}
			token = strings.TrimRight(line, "\r\n")
		}
		return inspect(e, token, file, p, time.Now())
	}
}

// inspect prints what a token says, never the token itself.
func inspect(e env, token string, file *configFile, p printing, now time.Time) error {
	said, err := access.Inspect(token)
	if err != nil {
		return err
	}
	i := inspected{Inspection: said}
	if *file != "" {
		l, err := file.load(e)
		if err != nil {
			return err
		}
		v, err := verifier(l.File, l.Config, slog.New(slog.DiscardHandler))
		if err != nil {
			return err
		}
		_, err = v.Verify(token, now)
		i.Checked, i.Taken = true, err == nil
		if err != nil {
			i.Why = err.Error()
		}
	}
	err = p.print(e, i, i.table)
	if err == nil && i.Checked && !i.Taken {
		return reported{fmt.Errorf("%s", i.Why)}
	}
	return err
}

func (i inspected) table(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "format\t%s\nalgorithm\t%s\nkey\t%s\nin the books\t%s\n", i.Format, known(i.Algorithm), printable(i.Key), i.Token)
	for _, s := range i.Claims {
		fmt.Fprintf(t, "%s\t%s\n", printable(s.Claim), printable(s.Value)+instantOf(s))
	}
	switch {
	case !i.Checked:
		fmt.Fprint(t, "taken\tnot checked: -c FILE does\n")
	case i.Taken:
		fmt.Fprint(t, "taken\tyes\n")
	default:
		fmt.Fprintf(t, "taken\tno, %s\n", i.Why)
	}
	return t.Flush()
}

// printable is what of a stranger's text may reach a terminal.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, s)
}

// instantOf reads the claims that are instants.
func instantOf(s access.Said) string {
	switch s.Claim {
	case "exp", "nbf", "iat", "from", "until":
		if d, err := time.ParseDuration(s.Value + "s"); err == nil {
			return " (" + time.Unix(0, 0).Add(d).UTC().Format(time.RFC3339) + ")"
		}
	}
	return ""
}
