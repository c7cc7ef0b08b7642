package s3

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strconv"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"flambeau/storage"
)

// What an answer means beyond what storage has a name for. They leave this package only inside an *Answer.
var (
	errPrecondition = errors.New("precondition failed")
	errNotModified  = errors.New("not modified")
)

// Answer is a refusal: what the bucket, or whoever sits in front of it, said instead of doing it.
type Answer struct {
	Status  int    // of HTTP
	Code    string // of S3, or ""
	Message string
	Request string // by which the store's own log knows it, or ""

	means error // errPrecondition, errNotModified or one of storage's; nil: nothing that a caller may act upon
}

func (a *Answer) Error() string {
	s := strconv.Itoa(a.Status)
	if a.Code != "" {
		s += " " + a.Code
	}
	if a.Message != "" {
		s += ": " + a.Message
	}
	if a.Request != "" {
		s += " (request " + a.Request + ")"
	}
	if advice := advice(a); advice != "" {
		s = advice + ": " + s
	}
	if a.means != nil {
		s = a.means.Error() + ": " + s
	}
	return s
}

func (a *Answer) Unwrap() error { return a.means }

// advice says what an operator has to mend, where no amount of asking again will help.
func advice(a *Answer) string {
	switch {
	case a.Code == "NoSuchBucket":
		return "there is no such bucket, and none is ever created"
	case slices.Contains([]string{"InvalidAccessKeyId", "SignatureDoesNotMatch", "InvalidToken", "ExpiredToken", "XAdminUserNotFound"}, a.Code):
		return "the credentials are wrong"
	case a.Code == "RequestTimeTooSkewed":
		return "this machine's clock is wrong"
	case a.Code == "AccessDenied" || a.Status == http.StatusForbidden || a.Status == http.StatusUnauthorized:
		return "these credentials may not do this"
	case slices.Contains([]string{"PermanentRedirect", "AuthorizationHeaderMalformed"}, a.Code) || a.Status/100 == 3 && a.Status != http.StatusNotModified:
		return "the bucket is elsewhere: the endpoint or the region is wrong"
	}
	return ""
}

// said makes one sentence of an error that the SDK wraps in many, and finds what it means. Who waits for ctx hears of ctx.
func said(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	if ended := ctx.Err(); ended != nil {
		return ended
	}
	var answered *smithyhttp.ResponseError
	if errors.As(err, &answered) && answered.HTTPStatusCode() >= 300 {
		return answer(answered)
	}
	var none *noCredentials
	var sent *url.Error
	var operation *smithy.OperationError
	switch {
	case errors.As(err, &none):
		return none
	case errors.As(err, &sent):
		return sent.Err
	case errors.As(err, &operation):
		return operation.Err
	}
	return err
}

// noCredentials is that no place of the chain had any, or none gave them.
type noCredentials struct{ error }

func (e *noCredentials) Error() string {
	return "no credentials (AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, a profile, or a role): " + e.error.Error()
}

func (e *noCredentials) Unwrap() error { return e.error }

// named marks what a provider of credentials says, which the SDK wraps in nothing that could be asked for.
type named struct{ aws.CredentialsProvider }

func (n named) Retrieve(ctx context.Context) (aws.Credentials, error) {
	c, err := n.CredentialsProvider.Retrieve(ctx)
	if err != nil {
		return c, &noCredentials{err}
	}
	return c, nil
}

func answer(err *smithyhttp.ResponseError) *Answer {
	a := &Answer{Status: err.HTTPStatusCode()}
	var s3error smithy.APIError
	if errors.As(err, &s3error) && s3error.ErrorCode() != "UnknownError" {
		a.Code, a.Message = s3error.ErrorCode(), s3error.ErrorMessage()
	}
	a.Request = err.Response.Header.Get("X-Amz-Request-Id")
	switch {
	case a.Status == http.StatusPreconditionFailed:
		a.means = errPrecondition
	case a.Status == http.StatusNotModified:
		a.means = errNotModified
	case a.Status == http.StatusRequestedRangeNotSatisfiable:
		a.means = storage.ErrRange
	case a.Code == "NoSuchKey": // not any 404: that may be a missing bucket, or another's server
		a.means = storage.ErrNotExist
	case a.Status == http.StatusInsufficientStorage || a.Code == "XMinioStorageFull" || a.Code == "QuotaExceeded":
		a.means = storage.ErrFull
	case slices.Contains(notKeys, a.Code):
		a.means = storage.ErrKey
	}
	return a
}

// notKeys is how buckets refuse a name: AWS its length, those on file systems also one that is object and folder at once.
var notKeys = []string{
	"KeyTooLongError", "XMinioInvalidObjectName", "XMinioParentIsObject", "XMinioObjectExistsAsDirectory",
	"ExistingObjectIsDirectory", "ObjectParentIsFile",
}

// conflict tells that another write of the same name was under way, and this one was not done.
func conflict(err error) bool {
	var a *Answer
	return errors.As(err, &a) && a.Status == http.StatusConflict && a.Code == "ConditionalRequestConflict"
}
