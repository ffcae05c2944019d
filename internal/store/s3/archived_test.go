package s3_test

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/snapkeep/snap/internal/s3test"
	"github.com/snapkeep/snap/internal/store"
	"github.com/snapkeep/snap/internal/store/s3"
)

// archive answers to reads of objects as a server does that keeps them in a class such as GLACIER.
type archive struct {
	http.RoundTripper
	asked atomic.Int64
}

func (a *archive) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Method != http.MethodGet || !strings.Contains(r.URL.Path, "/data/") {
		return a.RoundTripper.RoundTrip(r)
	}
	a.asked.Add(1)
	text := "<?xml version=\"1.0\" encoding=\"UTF-8\"?><Error><Code>InvalidObjectState</Code>" +
		"<Message>The operation is not valid for the object's storage class</Message><StorageClass>GLACIER</StorageClass></Error>"
	return &http.Response{StatusCode: http.StatusForbidden, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: http.Header{"Content-Type": {"application/xml"}},
		Body: io.NopCloser(strings.NewReader(text)), ContentLength: int64(len(text)), Request: r}, nil
}

// TestObjectInAnArchive reads an object that is kept in an archive: that is said, and asked once.
func TestObjectInAnArchive(t *testing.T) {
	t.Parallel()
	server := s3test.Start(t)
	a := &archive{}
	st := create(t, location(server, "archive"), server, s3.Options{Wrap: func(inner http.RoundTripper) http.RoundTripper {
		a.RoundTripper = inner
		return a
	}})
	if err := st.Create(t.Context(), "data/x", bytes.NewReader([]byte("abc")), 3); err != nil {
		t.Fatal(err)
	}
	_, err := st.ReadAt(t.Context(), "data/x", make([]byte, 3), 0)
	if !errors.Is(err, store.ErrArchived) || errors.Is(err, fs.ErrPermission) || !strings.Contains(err.Error(), "archive") {
		t.Errorf("the error is %v", err)
	}
	if n := a.asked.Load(); n != 1 {
		t.Errorf("it was asked for %d times", n)
	}
}
