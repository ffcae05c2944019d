package repo

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/snapkeep/snap/internal/proxytest"
	"github.com/snapkeep/snap/internal/s3test"
	"github.com/snapkeep/snap/internal/sshdtest"
	"github.com/snapkeep/snap/internal/store/faulty"
	"github.com/snapkeep/snap/internal/store/s3"
	"github.com/snapkeep/snap/internal/store/sftp"
)

// tripper makes requests in its own way.
type tripper func(req *http.Request) (*http.Response, error)

func (f tripper) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }

// remoteServer makes a store on a real server, with what spoils the way to it until it is called with false, and how often it did.
type remoteServer func(t *testing.T) (st Store, spoil func(yes bool), times func() int)

// requestFaults are the ways in which a request fails. All of them may pass.
var requestFaults = []func(req *http.Request, next http.RoundTripper) (*http.Response, error){
	func(req *http.Request, _ http.RoundTripper) (*http.Response, error) {
		if req.Body != nil {
			req.Body.Close()
		}
		return nil, errors.New("made by the test: no connection")
	},
	func(req *http.Request, next http.RoundTripper) (*http.Response, error) { // it was done, but nobody hears of it
		response, err := next.RoundTrip(req)
		if err == nil {
			response.Body.Close()
		}
		return nil, errors.New("made by the test: the answer is lost")
	},
	func(req *http.Request, _ http.RoundTripper) (*http.Response, error) {
		if req.Body != nil {
			req.Body.Close()
		}
		const body = "<Error><Code>InternalError</Code><Message>made by the test</Message></Error>"
		return &http.Response{StatusCode: http.StatusInternalServerError, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Request: req,
			Header: http.Header{"Content-Type": {"application/xml"}}, Body: io.NopCloser(strings.NewReader(body)), ContentLength: int64(len(body))}, nil
	},
	func(req *http.Request, next http.RoundTripper) (*http.Response, error) {
		time.Sleep(20 * time.Millisecond)
		return next.RoundTrip(req)
	},
	func(req *http.Request, next http.RoundTripper) (*http.Response, error) { // not that of what was sent
		response, err := next.RoundTrip(req)
		if err == nil && response.Header.Get("ETag") != "" {
			response.Header.Set("ETag", `"00000000000000000000000000000000"`)
		}
		return response, err
	},
}

// spoiledS3 is an S3 server of which every n-th request fails, each time in another way.
func spoiledS3(n int64) remoteServer {
	return func(t *testing.T) (Store, func(bool), func() int) {
		server := s3test.Start(t)
		var spoiled atomic.Bool
		var count, times atomic.Int64
		st, err := s3.Create(t.Context(), s3.Location{Host: server.Proxy.Addr(), Plain: true, Bucket: "spoiled"}, s3.Options{
			Credentials: server.Credentials(), Wrap: func(next http.RoundTripper) http.RoundTripper {
				return tripper(func(req *http.Request) (*http.Response, error) {
					if i := count.Add(1); spoiled.Load() && i%n == 0 {
						times.Add(1)
						return requestFaults[i/n%int64(len(requestFaults))](req, next)
					}
					return next.RoundTrip(req)
				})
			}})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { st.Close() })
		return st, spoiled.Store, func() int { return int(times.Load()) }
	}
}

// spoiledSFTP is an SFTP server of which each connection is cut after about some bytes.
func spoiledSFTP(after int64) remoteServer {
	return func(t *testing.T) (Store, func(bool), func() int) {
		server := sshdtest.Start(t, sshdtest.Options{})
		proxy := proxytest.Start(t, server.Addr(), nil)
		server.AddKnownPort(proxy.Port())
		at := sftp.Location{Address: server.Address(), Path: filepath.Join(t.TempDir(), "repo")}
		at.Address.Port = proxy.Port()
		st, err := sftp.Create(t.Context(), at, sftp.Options{SSH: server.Client(), Connections: 2})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { st.Close() })
		return st, func(yes bool) {
			proxy.SetFault(nil)
			if yes {
				proxy.SetFault(func(int) proxytest.Fault { return proxytest.Fault{CutAfter: after/2 + rand.Int64N(after)} })
			}
			proxy.CutAll()
		}, proxy.Connections
	}
}

// TestSpoiledWaysLoseNothing does all that writes over ways that are cut, slow, or tell wrong things, and wants that nobody sees anything of it.
func TestSpoiledWaysLoseNothing(t *testing.T) {
	t.Parallel()
	servers := map[string]remoteServer{"SFTP": spoiledSFTP(60_000)}
	for n := int64(2); n < 13; n += int64(every(5)) {
		servers[fmt.Sprintf("S3 every %d", n)] = spoiledS3(n)
	}
	for name, start := range servers {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			st, spoil, times := start(t)
			o := Options{PackSize: 1 << 20}
			r := newTestRepo(t, st, o)
			spoil(true)
			f := randomFiles(1, 4, 10_000)
			first := mustBack(t, r, "a", f)
			mustRestore(t, r, first, f)
			f["more"] = randomFiles(2, 1, 10_000)["file0"]
			delete(f, "file1")
			second := mustBack(t, r, "a", f)
			mustForget(t, r, ForgetOptions{}, first)
			if _, err := r.Undelete(t.Context(), []SnapshotID{first.ID}); err != nil {
				t.Fatal(err)
			}
			mustForget(t, r, ForgetOptions{Now: true}, first)
			mustPrune(t, r, PruneOptions{Now: true, MaxUnused: -1})
			mustCheck(t, r)
			if n := times(); n < 5 {
				t.Errorf("the way was spoiled %d times: nothing was tested", n)
			}
			spoil(false)
			clean := reopen(t, st, o)
			mustRestore(t, clean, second, f)
			if result := mustCheck(t, clean); len(result.Orphans) > 0 || result.Snapshots != 1 {
				t.Errorf("in the end: %+v", result)
			}
		})
	}
}

// TestLateListingsLoseNothing lets two machines write to real servers whose listings show each what the other did up to ten minutes late.
func TestLateListingsLoseNothing(t *testing.T) {
	t.Parallel()
	for name, start := range map[string]remoteServer{"S3": spoiledS3(1 << 40), "SFTP": spoiledSFTP(1 << 40)} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			st, _, _ := start(t)
			clock := newClock()
			newTestRepo(t, st, Options{})
			late := faulty.NewDelayed(st, clock.now, faulty.RandomDelay(3, 10*time.Minute))
			machines := []*Repo{reopen(t, late.Client(1), Options{PackSize: 1 << 20}), reopen(t, late.Client(2), Options{PackSize: 1 << 20})}
			want := map[*Snapshot]files{}
			f := randomFiles(1, 3, 200_000)
			var last *Snapshot
			for i := range 6 {
				f[fmt.Sprint("new", i)] = randomFiles(uint64(i+10), 1, 100_000)["file0"]
				delete(f, fmt.Sprint("new", i-3))
				r := machines[i%2]
				made := mustBack(t, r, fmt.Sprint("source", i%2), f)
				want[made] = maps.Clone(f)
				if i == 3 {
					mustForget(t, r, ForgetOptions{}, made)
					delete(want, made)
				}
				mustPrune(t, r, PruneOptions{MaxUnused: -1})
				clock.sleep(time.Duration(i) * time.Minute)
				last = made
			}
			clock.sleep(time.Hour)
			for _, r := range machines {
				for made, f := range want {
					mustRestore(t, r, made, f)
				}
				mustRestore(t, r, last, f)
				mustCheck(t, r)
			}
		})
	}
}
