package main

import (
	"errors"
	"fmt"
	"net/url"
	"path"
	"regexp"
	"strings"

	"flambeau/storage"
	"flambeau/storage/s3"
)

// parseStore reads where the objects are:
//
//	file:///var/lib/flambeau
//	s3://bucket/prefix?endpoint=http://127.0.0.1:9000&region=us-east-1
func parseStore(s string) (StoreConfig, error) {
	u, err := parseURL(s)
	if err != nil {
		return StoreConfig{}, err
	}
	switch u.Scheme {
	case "file":
		return parseFileStore(u)
	case "s3":
		return parseS3Store(u)
	}
	return StoreConfig{}, fmt.Errorf("unknown store scheme %q: want file or s3", u.Scheme)
}

// name is what tells a store from another.
func (c StoreConfig) name() string {
	if c.Kind == "file" {
		return "file://" + c.Dir
	}
	return fmt.Sprintf("s3://%s/%s?endpoint=%s", c.S3.Bucket, c.S3.Prefix, c.S3.Endpoint)
}

func parseFileStore(u *url.URL) (StoreConfig, error) {
	dir, err := filePath(u)
	if err != nil {
		return StoreConfig{}, err
	}
	if u.RawQuery != "" {
		return StoreConfig{}, fmt.Errorf("a file store takes no parameters: %q", u.RawQuery)
	}
	return StoreConfig{Kind: "file", Dir: path.Clean(dir)}, nil
}

func parseS3Store(u *url.URL) (StoreConfig, error) {
	switch {
	case u.User != nil:
		// Not repeated: it may be a secret.
		return StoreConfig{}, errors.New("credentials do not belong in the URL: they come from AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, a profile, or a role")
	case u.Opaque != "" || u.Host == "":
		return StoreConfig{}, errors.New("an S3 URL names its bucket after two slashes: s3://bucket/prefix")
	case u.Fragment != "":
		return StoreConfig{}, errors.New("an S3 URL has no fragment")
	}
	c := s3.Config{Bucket: u.Host, Prefix: strings.TrimSuffix(strings.TrimPrefix(u.Path, "/"), "/")}
	if err := checkBucket(c.Bucket); err != nil {
		return StoreConfig{}, err
	}
	if c.Prefix != "" {
		if err := checkPrefix(c.Prefix); err != nil {
			return StoreConfig{}, err
		}
	}
	if err := parameters(u, map[string]func(string) error{"endpoint": checkEndpoint, "region": checkRegion}); err != nil {
		return StoreConfig{}, err
	}
	c.Endpoint, c.Region = strings.TrimSuffix(u.Query().Get("endpoint"), "/"), u.Query().Get("region")
	return StoreConfig{Kind: "s3", S3: c}, nil
}

// bucketName is what AWS allows (General purpose bucket naming rules).
var bucketName = regexp.MustCompile(`^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$`)

func checkBucket(s string) error {
	switch {
	case strings.Contains(s, ":"):
		return fmt.Errorf("%q is no bucket: a host and port are said by ?endpoint=http://host:port", s)
	case !bucketName.MatchString(s) || strings.Contains(s, ".."):
		return fmt.Errorf("%q is no bucket: 3 to 63 of a-z, 0-9, - and ., first and last a letter or digit", s)
	}
	return nil
}

func checkPrefix(s string) error {
	if len(s) > s3.MaxPrefix {
		return fmt.Errorf("prefix of %d bytes, at most %d", len(s), s3.MaxPrefix)
	}
	if storage.CheckKey(s) != nil {
		return fmt.Errorf("prefix %q: only a-z, A-Z, 0-9, ., _ and -, in elements that are not empty and not dots alone", s)
	}
	return nil
}

func checkEndpoint(s string) error {
	const want = "want http://host:port or https://host"
	u, err := parseURL(s)
	switch {
	case err != nil:
		return fmt.Errorf("%w: %s", err, want)
	case u.User != nil:
		return errors.New("credentials do not belong in the URL: " + want)
	case u.Scheme != "http" && u.Scheme != "https", u.Hostname() == "", u.RawQuery != "", u.Fragment != "", u.Path != "" && u.Path != "/":
		return fmt.Errorf("%q: %s", s, want)
	case u.Port() != "":
		return checkPort(s, u.Port(), 1)
	case strings.HasSuffix(u.Host, ":"):
		return fmt.Errorf("%q: %s", s, want)
	}
	return nil
}

// regionName is a word: those who imitate AWS have regions such as auto and RegionOne.
var regionName = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9_-]{0,62}$`)

func checkRegion(s string) error {
	if !regionName.MatchString(s) {
		return fmt.Errorf("%q is no region: want one such as eu-central-1", s)
	}
	return nil
}
