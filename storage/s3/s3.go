// Package s3 keeps objects in a bucket, of AWS or of anything that speaks as it does.
//
//	Put     PUT     If-None-Match: *, If-Match: version     412, 404       ─► ErrExists, ErrChanged
//	Get     GET     Range, If-None-Match: version           304, 404, 416  ─► ErrUnchanged, ErrNotExist, ErrRange
//	List    GET     ?list-type=2, prefix, start-after       a page of 1000 keys at a time
//	Delete  DELETE
//
// A key's name in the bucket is the store's prefix and the key. A version is the ETag: a digest of the bytes, so equal versions
// have equal bytes, also where an object was deleted and made again.
//
// One method is one request, and one request is tried once: when to try again is the caller's to say, who knows what time is
// left, and who compares bytes when an answer was lost. A tool that tries again by itself would take its own first, unanswered
// put for somebody else's. The one exception is told at Put. There are no time limits here either but those of connecting:
// deadlines come with the context.
//
// Writes, reads and deletes have connections of their own, so that a sweep of old objects, or a thousand readers, can't
// stand in the way of a segment. None of them follows a redirect: another place's answer would not be the store's.
package s3

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go/logging"

	"flambeau/storage"
)

const (
	// dialLimit and tlsLimit are what connecting may take: a dead address must not eat a put's whole deadline.
	dialLimit = 2 * time.Second
	tlsLimit  = 5 * time.Second
	// idleLimit is how long a connection is kept unused: beyond a segment's length, and below what stores allow, so that a put
	// does not meet one that is just being closed.
	idleLimit = 15 * time.Second
	// Connections at once, and kept idle. Further requests wait for one until their context ends.
	writesAtOnce  = 64
	readsAtOnce   = 256
	deletesAtOnce = 4
	// headerLimit is the longest header of an answer that is read.
	headerLimit = 64 << 10
	// pageKeys is how many keys one answer to a list has: as many as there may be.
	pageKeys = 1000
)

// DefaultRegion is what requests to an endpoint are signed for where no region is given. Few look at it.
const DefaultRegion = "us-east-1"

// MaxPrefix is the longest prefix, in bytes: together with our longest keys it stays well below what a bucket takes.
const MaxPrefix = 255

// Config says which bucket.
type Config struct {
	Bucket   string
	Prefix   string // "", or a key: what everything of ours lies below
	Endpoint string // "": AWS; else http:// or https:// and a host, which is asked in path style
	Region   string // "": what the environment says; with an endpoint DefaultRegion
}

// Store is a bucket, or what lies below a prefix in one. It is safe for use from anywhere at once, also beside other Stores on
// the same objects.
type Store struct {
	bucket string
	prefix string // "", or ending in a slash
	page   int32  // keys asked for at a time

	writes, reads, deletes *s3.Client
	connections            []*http.Client
}

// Open prepares a store, and asks the bucket nothing. Credentials come from the AWS chain (environment, profile, container,
// instance), unless options say otherwise.
func Open(ctx context.Context, c Config, options ...func(*config.LoadOptions) error) (*Store, error) {
	s := &Store{bucket: c.Bucket, prefix: c.Prefix, page: pageKeys}
	if c.Prefix != "" {
		if err := storage.CheckKey(c.Prefix); err != nil {
			return nil, fmt.Errorf("s3 store %s: prefix: %w", c.Bucket, err)
		}
		s.prefix += "/"
	}
	// The chain puts AWS_CA_BUNDLE into a client of its own kind only.
	options = append([]func(*config.LoadOptions) error{config.WithHTTPClient(awshttp.NewBuildableClient()), config.WithAppID("flambeau")}, options...)
	if c.Region != "" {
		options = append(options, config.WithRegion(c.Region))
	}
	from, err := config.LoadDefaultConfig(ctx, options...)
	if err != nil {
		return nil, fmt.Errorf("s3 store %s: %w", c.Bucket, err)
	}
	if c.Endpoint != "" {
		from.BaseEndpoint = &c.Endpoint
		if from.Region == "" {
			from.Region = DefaultRegion
		}
	}
	if from.Region == "" {
		return nil, fmt.Errorf("s3 store %s: no region: say region= in the store's URL, or AWS_REGION", c.Bucket)
	}
	from.Credentials = named{from.Credentials}
	s.writes = s.client(from, writesAtOnce)
	s.reads = s.client(from, readsAtOnce)
	s.deletes = s.client(from, deletesAtOnce)
	return s, nil
}

// Close closes the connections that nobody uses.
func (s *Store) Close() error {
	for _, c := range s.connections {
		c.CloseIdleConnections()
	}
	return nil
}

// client has connections of its own.
func (s *Store) client(from aws.Config, atOnce int) *s3.Client {
	builder, ok := from.HTTPClient.(*awshttp.BuildableClient)
	if !ok {
		panic("s3: an option replaced the HTTP client: its certificates can't be taken over")
	}
	t := builder.GetTransport()
	t.DialContext = (&net.Dialer{Timeout: dialLimit}).DialContext
	t.TLSHandshakeTimeout = tlsLimit
	t.IdleConnTimeout = idleLimit
	t.MaxConnsPerHost, t.MaxIdleConnsPerHost, t.MaxIdleConns = atOnce, atOnce, atOnce
	t.MaxResponseHeaderBytes = headerLimit
	t.DisableCompression = true // the bytes as they are
	t.ForceAttemptHTTP2 = false // one connection for all would stall all when it stalls
	c := &http.Client{Transport: t, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	s.connections = append(s.connections, c)
	return s3.NewFromConfig(from, func(o *s3.Options) {
		o.HTTPClient = c
		o.Retryer, o.RetryMaxAttempts = aws.NopRetryer{}, 0
		o.ContinueHeaderThresholdBytes = -1 // "Expect: 100-continue" costs a round trip, and some never answer it
		o.Logger = logging.Nop{}            // what matters comes back as an error
		o.DisableLogOutputChecksumValidationSkipped = true
		if o.BaseEndpoint != nil {
			o.UsePathStyle = true
			// Others than AWS refuse the trailers that checksums come in. The signature covers a body's SHA-256 all the same.
			o.RequestChecksumCalculation = aws.RequestChecksumCalculationWhenRequired
			o.ResponseChecksumValidation = aws.ResponseChecksumValidationWhenRequired
		}
	})
}

// name is what a key is called in the bucket.
func (s *Store) name(ctx context.Context, key string) (*string, error) {
	if err := storage.CheckKey(key); err != nil {
		return nil, err
	}
	name := s.prefix + key
	if len(name) > storage.MaxKey {
		return nil, fmt.Errorf("%w: %d bytes with the store's prefix", storage.ErrKey, len(name))
	}
	return &name, ctx.Err()
}

func (s *Store) Delete(ctx context.Context, key string) error {
	name, err := s.name(ctx, key)
	if err == nil {
		_, err = s.deletes.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: &s.bucket, Key: name})
		err = said(ctx, err)
	}
	// AWS says nothing of what was not there; others do.
	if err != nil && !errors.Is(err, storage.ErrNotExist) {
		return fmt.Errorf("delete %s: %w", key, err)
	}
	return nil
}

// versionOf takes an ETag without its quotes: some leave them out, some only in places.
func versionOf(etag *string) (storage.Version, error) {
	v := strings.Trim(aws.ToString(etag), `"`)
	if v == "" {
		return "", errors.New("an answer without ETag")
	}
	return storage.Version(v), nil
}

func etag(v storage.Version) *string { return aws.String(`"` + string(v) + `"`) }
