package s3

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"net/http"
	"syscall"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/snapkeep/snap/internal/store"
)

// Between tries is a wait that grows.
const (
	firstWait = 50 * time.Millisecond
	lastWait  = 10 * time.Second
)

// try is one try of a request.
type try struct {
	// again is whether there was a try before, of which the answer may have
	// been lost.
	again bool
	// progress is to be set by a try that got further than those before it.
	progress bool
}

// do makes a request, and again for as long as it fails for a reason that may
// pass, until it gets no further for too long.
func (s *Store) do(ctx context.Context, fn func(t *try) error) error {
	started := time.Now()
	var t try
	for wait := firstWait; ; wait = min(2*wait, lastWait) {
		t.progress = false
		err := s.limited(ctx, func() error { return fn(&t) })
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if !isTransient(err) {
			return classify(err)
		}
		t.again = true
		if t.progress {
			started, wait = time.Now(), firstWait
		}
		if tried := time.Since(started); tried > s.opts.RetryFor {
			return fmt.Errorf("given up after %v: %w", tried.Round(time.Second), classify(err))
		}
		select {
		case <-time.After(wait/2 + rand.N(wait/2+1)):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// limited makes one request while there are not too many.
func (s *Store) limited(ctx context.Context, fn func() error) error {
	select {
	case s.requests <- struct{}{}:
		defer func() { <-s.requests }()
		return fn()
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// permanentError is an error for which no further try is made.
type permanentError struct{ error }

func (e permanentError) Unwrap() error { return e.error }

// isTransient reports whether a request that failed so may succeed later.
func isTransient(err error) bool {
	var permanent permanentError
	if errors.As(err, &permanent) {
		return false
	}
	var response minio.ErrorResponse
	if !errors.As(err, &response) {
		return !isHopeless(err)
	}
	switch response.Code {
	case "RequestTimeout", "Throttling", "ThrottlingException", "RequestLimitExceeded", "RequestThrottled", "SlowDown", "SlowDownRead",
		"SlowDownWrite", "InternalError", "ServiceUnavailable", "ExpiredToken", "ExpiredTokenException", "OperationAborted", "ConditionalRequestConflict",
		// Damaged on the way.
		"BadDigest", "InvalidDigest", "IncompleteBody", "XAmzContentSHA256Mismatch", "XAmzContentChecksumMismatch":
		return true
	}
	status := response.StatusCode
	return status == http.StatusRequestTimeout || status == http.StatusTooManyRequests ||
		status >= 500 && status != http.StatusNotImplemented && status != http.StatusInsufficientStorage
}

// isHopeless reports whether an error below HTTP will come again.
func isHopeless(err error) bool {
	var authority x509.UnknownAuthorityError
	var host x509.HostnameError
	var invalid x509.CertificateInvalidError
	var record tls.RecordHeaderError
	return errors.As(err, &authority) || errors.As(err, &host) || errors.As(err, &invalid) || errors.As(err, &record) ||
		errors.Is(err, http.ErrSchemeMismatch) || errors.Is(err, fs.ErrClosed) || errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrExist)
}

// code returns what the server called an error, empty if it did not.
func code(err error) string {
	var response minio.ErrorResponse
	if errors.As(err, &response) {
		return response.Code
	}
	return ""
}

// status returns the HTTP status of an error, zero if it has none.
func status(err error) int {
	var response minio.ErrorResponse
	if errors.As(err, &response) {
		return response.StatusCode
	}
	return 0
}

// responseError is an answer of the server, with its place among the errors of
// files if it has one.
type responseError struct {
	response minio.ErrorResponse
	kind     error // may be nil
}

func (e *responseError) Error() string {
	text := fmt.Sprintf("%s: %q (HTTP %d)", e.response.Code, e.response.Message, e.response.StatusCode)
	if e.kind != nil {
		text = e.kind.Error() + ": " + text
	}
	return text
}

func (e *responseError) Unwrap() []error {
	if e.kind == nil {
		return []error{e.response}
	}
	return []error{e.kind, e.response}
}

// classify gives an answer of the server its place among the errors of files.
func classify(err error) error {
	var response minio.ErrorResponse
	if !errors.As(err, &response) {
		return err
	}
	var kind error
	switch {
	case response.Code == "NoSuchUpload":
	case response.Code == "InvalidObjectState":
		kind = store.ErrArchived
	case response.StatusCode == http.StatusNotFound:
		kind = fs.ErrNotExist
	case response.StatusCode == http.StatusForbidden || response.StatusCode == http.StatusUnauthorized:
		kind = fs.ErrPermission
	case response.StatusCode == http.StatusPreconditionFailed:
		kind = fs.ErrExist
	case response.StatusCode == http.StatusInsufficientStorage || response.Code == "XMinioStorageFull" || response.Code == "QuotaExceeded":
		kind = syscall.ENOSPC
	}
	var permanent permanentError
	if errors.As(err, &permanent) {
		return err
	}
	return &responseError{response: response, kind: kind}
}
