package s3_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/snapkeep/snap/internal/proxytest"
	"github.com/snapkeep/snap/internal/s3test"
	"github.com/snapkeep/snap/internal/store/s3"
)

// tripper makes requests in its own way.
type tripper func(req *http.Request) (*http.Response, error)

func (f tripper) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }

// answer makes a response without a server.
func answer(req *http.Request, status int, code string) *http.Response {
	body := fmt.Sprintf("<Error><Code>%s</Code><Message>made by the test</Message></Error>", code)
	if req.Body != nil {
		req.Body.Close()
	}
	return &http.Response{
		StatusCode: status, Status: http.StatusText(status), Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Request: req,
		Header: http.Header{"Content-Type": {"application/xml"}}, Body: io.NopCloser(strings.NewReader(body)), ContentLength: int64(len(body)),
	}
}

func randomBytes(seed byte, size int) []byte {
	data := make([]byte, size)
	rand.NewChaCha8([32]byte{seed}).Read(data)
	return data
}

func readAll(t *testing.T, st *s3.Store, name string, want []byte) {
	t.Helper()
	got := make([]byte, len(want)+1)
	n, err := st.ReadAt(t.Context(), name, got, 0)
	if err != io.EOF || !bytes.Equal(got[:n], want) {
		t.Errorf("ReadAt %q: %d of %d bytes, error %v, or other contents", name, n, len(want), err)
	}
}

func listed(t *testing.T, st *s3.Store) map[string]int64 {
	t.Helper()
	files := make(map[string]int64)
	err := st.List(t.Context(), "", func(name string, size int64, _ time.Time) error {
		files[name] = size
		return nil
	})
	if err != nil {
		t.Fatalf("List: %v", err)
	}
	return files
}

// storeAndRead stores files of several sizes, reads them, and lists them.
func storeAndRead(t *testing.T, st *s3.Store) {
	t.Helper()
	sizes := []int{0, 10, 100_000, 2_000_000, 6_000_000, 11_000_000}
	var wg sync.WaitGroup
	for i, size := range sizes {
		wg.Go(func() {
			name := fmt.Sprintf("data/%02x/f", i)
			data := randomBytes(byte(i), size)
			if err := st.Create(t.Context(), name, bytes.NewReader(data), int64(size)); err != nil {
				t.Errorf("Create %q with %d bytes: %v", name, size, err)
				return
			}
			readAll(t, st, name, data)
		})
	}
	wg.Wait()
	if t.Failed() {
		return
	}
	if got := listed(t, st); len(got) != len(sizes) {
		t.Errorf("List gives %v", got)
	}
	for i := range sizes {
		name := fmt.Sprintf("data/%02x/f", i)
		if err := st.Create(t.Context(), name, strings.NewReader("other"), 5); !errors.Is(err, fs.ErrExist) {
			t.Errorf("Create of a name that is taken: %v", err)
		}
	}
	if err := st.Remove(t.Context(), "data/00/f"); err != nil {
		t.Errorf("Remove: %v", err)
	}
	if got := listed(t, st); len(got) != len(sizes)-1 {
		t.Errorf("List gives %v", got)
	}
}

var small = s3.Options{PartBytes: 5 << 20, RangeBytes: 1 << 20, ListPage: 2}

// fault makes a request in a way that fails, before it or after it.
type fault func(req *http.Request, next http.RoundTripper) (*http.Response, error)

// TestFailures lets the first try of each request fail, and some of the later
// ones: always by the loss of the answer, or in each known way in turn. None of
// it may be seen from outside.
func TestFailures(t *testing.T) {
	t.Parallel()
	faults := map[string]fault{
		"InternalError": func(req *http.Request, _ http.RoundTripper) (*http.Response, error) {
			return answer(req, http.StatusInternalServerError, "InternalError"), nil
		},
		"SlowDown": func(req *http.Request, _ http.RoundTripper) (*http.Response, error) {
			return answer(req, http.StatusServiceUnavailable, "SlowDown"), nil
		},
		"Conflict": func(req *http.Request, _ http.RoundTripper) (*http.Response, error) {
			return answer(req, http.StatusConflict, "ConditionalRequestConflict"), nil
		},
		"NoConnection": func(*http.Request, http.RoundTripper) (*http.Response, error) {
			return nil, errors.New("made by the test: no connection")
		},
		"LostAnswer": func(req *http.Request, next http.RoundTripper) (*http.Response, error) {
			response, err := next.RoundTrip(req)
			if err == nil {
				response.Body.Close()
			}
			return nil, errors.New("made by the test: the answer is lost")
		},
		"ShortAnswer": func(req *http.Request, next http.RoundTripper) (*http.Response, error) {
			response, err := next.RoundTrip(req)
			if err == nil && response.ContentLength > 1 {
				response.Body = struct {
					io.Reader
					io.Closer
				}{io.LimitReader(response.Body, response.ContentLength/2), response.Body}
			}
			return response, err
		},
		"DamagedRequest": func(req *http.Request, next http.RoundTripper) (*http.Response, error) {
			if req.ContentLength > 0 {
				body := req.Body
				req.Body = struct {
					io.Reader
					io.Closer
				}{io.MultiReader(strings.NewReader("x"), onlyAfter(body, 1)), body}
			}
			return next.RoundTrip(req)
		},
	}
	server := s3test.Start(t)
	for name, kinds := range map[string][]fault{
		"LostAnswer": {faults["LostAnswer"]},
		"Mixed":      slices.Collect(maps.Values(faults)),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var mu sync.Mutex
			seen := make(map[string]int)
			faulty := 0
			opts := small
			opts.Wrap = func(next http.RoundTripper) http.RoundTripper {
				return tripper(func(req *http.Request) (*http.Response, error) {
					key := req.Method + " " + req.URL.String() + req.Header.Get("Range")
					mu.Lock()
					seen[key]++
					trip := next.RoundTrip
					if seen[key] == 1 || seen[key] == 3 {
						kind := kinds[faulty%len(kinds)]
						faulty++
						trip = func(req *http.Request) (*http.Response, error) { return kind(req, next) }
					}
					mu.Unlock()
					return trip(req)
				})
			}
			storeAndRead(t, create(t, location(server, "p"), server, opts))
			if faulty < 20 {
				t.Errorf("only %d requests failed: nothing was tested", faulty)
			}
		})
	}
}

// onlyAfter drops the first bytes of a reader.
func onlyAfter(r io.Reader, n int64) io.Reader {
	_, _ = io.CopyN(io.Discard, r, n)
	return r
}

// TestCuts cuts each connection after a random number of bytes.
func TestCuts(t *testing.T) {
	t.Parallel()
	server := s3test.Start(t)
	st := create(t, location(server, "p"), server, small)
	server.Proxy.SetFault(func(n int) proxytest.Fault {
		if n%5 == 4 {
			return proxytest.Fault{Refuse: true}
		}
		return proxytest.Fault{CutAfter: 300 + rand.Int64N(12_000_000)}
	})
	server.Proxy.CutAll()
	storeAndRead(t, st)
	if n := server.Proxy.Connections(); n < 3 {
		t.Errorf("only %d connections were made: nothing was tested", n)
	}
}

// TestStall checks that a connection on which nothing moves is given up. One that a busy machine keeps from answering in time is given up as well,
// perhaps before it stands still, and which connection carries how much is chance: so it is tried until one has stood still.
func TestStall(t *testing.T) {
	t.Parallel()
	server := s3test.Start(t)
	opts := small
	opts.Timeout = 3 * time.Second // in which also a slow machine answers, mostly
	for try := 0; server.Proxy.Stalled() == 0; try++ {
		if try == 20 {
			t.Fatal("no connection stood still")
		}
		st := create(t, location(server, "p"), server, opts)
		first := server.Proxy.Connections()
		server.Proxy.SetFault(func(n int) proxytest.Fault {
			if n -= first; n < 8 && n%2 == 0 {
				return proxytest.Fault{StallAfter: 1_000_000}
			}
			return proxytest.Fault{}
		})
		server.Proxy.CutAll()
		storeAndRead(t, st)
		if t.Failed() {
			return
		}
	}
}

// TestServerRestart stops the server while something is stored.
func TestServerRestart(t *testing.T) {
	t.Parallel()
	server := s3test.Start(t)
	st := create(t, location(server, "p"), server, small)
	server.Stop()
	done := make(chan struct{})
	go func() {
		defer close(done)
		storeAndRead(t, st)
	}()
	time.Sleep(300 * time.Millisecond)
	server.Restart()
	<-done
}

// TestGivenUp checks that an operation ends when the server does not recover.
func TestGivenUp(t *testing.T) {
	t.Parallel()
	server := s3test.Start(t)
	place := location(server, "p")
	opts := s3.Options{Credentials: server.Credentials(), RetryFor: 300 * time.Millisecond}
	create(t, place, server, s3.Options{}).Close()
	st, err := s3.Open(t.Context(), place, opts)
	if err != nil {
		t.Fatal(err)
	}
	patient, err := s3.Open(t.Context(), place, s3.Options{Credentials: server.Credentials(), RetryFor: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	defer patient.Close()
	server.Stop()
	if err := st.Create(t.Context(), "f", bytes.NewReader(nil), 0); err == nil || errors.Is(err, fs.ErrExist) {
		t.Errorf("Create: %v", err)
	}
	if _, _, err := st.Stat(t.Context(), "f"); err == nil || errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Stat: %v", err)
	}
	if err := st.List(t.Context(), "", func(string, int64, time.Time) error { return nil }); err == nil || errors.Is(err, fs.ErrNotExist) {
		t.Errorf("List: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(50*time.Millisecond, cancel)
	if _, err := patient.ReadAt(ctx, "f", make([]byte, 1), 0); !errors.Is(err, context.Canceled) {
		t.Errorf("ReadAt: %v", err)
	}
}

// TestWrongETag changes what the server says of the parts of an object. The
// object must not appear, or be right.
func TestWrongETag(t *testing.T) {
	t.Parallel()
	server := s3test.Start(t)
	data := randomBytes(1, 11_000_000)
	for _, test := range []struct {
		wrong int
		fails bool
	}{{2, false}, {1 << 30, true}} {
		var mu sync.Mutex
		left := test.wrong
		opts := small
		opts.Wrap = func(next http.RoundTripper) http.RoundTripper {
			return tripper(func(req *http.Request) (*http.Response, error) {
				response, err := next.RoundTrip(req)
				mu.Lock()
				defer mu.Unlock()
				if err == nil && req.URL.Query().Get("partNumber") != "" && left > 0 {
					left--
					response.Header.Set("ETag", `"00000000000000000000000000000000"`)
				}
				return response, err
			})
		}
		st := create(t, location(server, ""), server, opts)
		err := st.Create(t.Context(), "f", bytes.NewReader(data), int64(len(data)))
		if (err != nil) != test.fails || errors.Is(err, fs.ErrExist) {
			t.Errorf("%d wrong answers: error %v", test.wrong, err)
		}
		if !test.fails {
			readAll(t, st, "f", data)
			continue
		}
		if got := listed(t, st); len(got) > 0 {
			t.Errorf("List gives %v", got)
		}
	}
}

// TestNoConditions uses a server that refuses conditions, in each of the ways
// known.
func TestNoConditions(t *testing.T) {
	t.Parallel()
	server := s3test.Start(t)
	for code, status := range map[string]int{"NotImplemented": http.StatusNotImplemented, "InvalidArgument": http.StatusBadRequest} {
		opts := small
		refused := 0
		opts.Wrap = func(next http.RoundTripper) http.RoundTripper {
			return tripper(func(req *http.Request) (*http.Response, error) {
				if req.Header.Get("If-None-Match") != "" {
					refused++
					return answer(req, status, code), nil
				}
				return next.RoundTrip(req)
			})
		}
		st := create(t, location(server, "p"), server, opts)
		for i, size := range []int{10, 6_000_000} {
			name := fmt.Sprintf("f%d", i)
			data := randomBytes(byte(i), size)
			if err := st.Create(t.Context(), name, bytes.NewReader(data), int64(size)); err != nil {
				t.Errorf("%s: Create: %v", code, err)
			}
			readAll(t, st, name, data)
			if err := st.Create(t.Context(), name, strings.NewReader("other"), 5); !errors.Is(err, fs.ErrExist) {
				t.Errorf("%s: Create of a name that is taken: %v", code, err)
			}
			readAll(t, st, name, data)
		}
		if refused != 1 {
			t.Errorf("%s: %d conditions were tried, want 1", code, refused)
		}
	}
}

// TestUnsortedListing checks that a listing in no order is not continued after
// a failure, which would leave out names.
func TestUnsortedListing(t *testing.T) {
	t.Parallel()
	server := s3test.Start(t)
	pages := 0
	opts := small
	opts.Wrap = func(next http.RoundTripper) http.RoundTripper {
		return tripper(func(req *http.Request) (*http.Response, error) {
			if req.URL.Query().Get("list-type") != "2" {
				return next.RoundTrip(req)
			}
			pages++
			if pages == 2 {
				// Create has listed, too.
				response := answer(req, http.StatusOK, "")
				const page = `<ListBucketResult><IsTruncated>true</IsTruncated><NextContinuationToken>t</NextContinuationToken>
<Contents><Key>p/b</Key><Size>1</Size><LastModified>2026-01-02T03:04:05Z</LastModified></Contents>
<Contents><Key>p/a</Key><Size>1</Size><LastModified>2026-01-02T03:04:05Z</LastModified></Contents></ListBucketResult>`
				response.Body, response.ContentLength = io.NopCloser(strings.NewReader(page)), int64(len(page))
				return response, nil
			}
			if pages > 2 {
				return answer(req, http.StatusInternalServerError, "InternalError"), nil
			}
			return next.RoundTrip(req)
		})
	}
	st := create(t, location(server, "p"), server, opts)
	if err := st.List(t.Context(), "", func(string, int64, time.Time) error { return nil }); err == nil {
		t.Error("List: no error")
	}
}
