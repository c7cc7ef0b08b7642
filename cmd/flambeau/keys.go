package main

import (
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"os"

	"flambeau/origin/access"
)

// accessOptions reads the files that the configuration names: what origin/access is made of. File is the configuration's.
func accessOptions(file string, c Config, log *slog.Logger) (access.Options, error) {
	o := access.Options{Audience: c.Tokens.Audience, Issuer: c.Tokens.Issuer, MaxAge: c.Tokens.MaxAge, Ignore: c.Tokens.Ignore, Log: log}
	var problems []Problem
	for _, k := range c.Keys {
		if k.JWKSFile != "" || k.JWKSURL != "" {
			o.Sets = append(o.Sets, access.Set{ID: k.ID, File: k.JWKSFile, URL: k.JWKSURL, Broadcasters: k.Broadcasters, Issuer: k.Issuer, NotAfter: k.NotAfter})
			continue
		}
		key, err := readKey(k)
		if err != nil {
			problems = append(problems, Problem{place{File: file}, fmt.Sprintf("key %q: %v", k.ID, err)})
			continue
		}
		o.Keys = append(o.Keys, key)
	}
	for _, k := range c.APIKeys {
		key := access.APIKey{ID: k.ID, Hash: k.Hash, Broadcaster: k.Broadcaster, NotAfter: k.NotAfter}
		for _, n := range k.Networks {
			key.Networks = append(key.Networks, netip.MustParsePrefix(n)) // the schema has read it
		}
		o.APIKeys = append(o.APIKeys, key)
	}
	for _, b := range c.Certificates {
		o.Certificates = append(o.Certificates, access.Certificate{Fingerprint: b.Fingerprint, Name: b.Name, Broadcaster: b.Broadcaster})
	}
	if problems != nil {
		return o, configError(problems)
	}
	return o, nil
}

// verifier is who knows the keys of a configuration.
func verifier(file string, c Config, log *slog.Logger) (*access.Verifier, error) {
	o, err := accessOptions(file, c, log)
	if err != nil {
		return nil, err
	}
	v, err := access.New(o)
	if err != nil {
		return nil, configError{{place{File: file}, err.Error()}}
	}
	return v, nil
}

// readKey reads one key. What is wrong is said without a byte of it.
func readKey(k KeyConfig) (*access.Key, error) {
	name := k.SecretFile + k.PublicFile + k.PrivateFile // the schema lets one of them be
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, access.MaxKeyFile+1))
	if err != nil {
		return nil, err
	}
	key, err := access.NewKey(k.ID, k.Algorithm, b)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	key.Issuer, key.Broadcasters, key.NotAfter = k.Issuer, k.Broadcasters, k.NotAfter
	return key, nil
}

// keyFindings looks at the files of keys: are they there, are they keys, and can others read what is secret?
func keyFindings(c Config) (fs []Finding) {
	for _, k := range c.Keys {
		f := Finding{Name: "key " + k.ID, Level: levelOK, Says: "good"}
		name := k.SecretFile + k.PrivateFile + k.JWKSFile
		info, err := os.Stat(name)
		switch {
		case k.JWKSURL != "":
			f.Says = "fetched from " + k.JWKSURL
		case name != "" && err != nil:
			f.Level, f.Says = levelFail, err.Error()
		case name != "" && info.Mode().Perm()&0o077 != 0:
			f.Level, f.Says, f.Do = levelWarn, fmt.Sprintf("%s can be read by others (%v)", name, info.Mode().Perm()), "chmod 600 "+name
		}
		if f.Level != levelFail && k.JWKSFile == "" && k.JWKSURL == "" {
			if _, err := readKey(k); err != nil {
				f.Level, f.Says, f.Do = levelFail, err.Error(), ""
			}
		}
		fs = append(fs, f)
	}
	return fs
}
