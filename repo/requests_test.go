package repo

import (
	"fmt"
	"net/http"
	"os"
	"sync/atomic"
	"testing"

	"github.com/snapkeep/snap/internal/s3test"
	"github.com/snapkeep/snap/internal/store/s3"
)

// countAll counts requests.
type countAll struct {
	http.RoundTripper
	n *atomic.Int64
}

func (c countAll) RoundTrip(r *http.Request) (*http.Response, error) {
	c.n.Add(1)
	return c.RoundTripper.RoundTrip(r)
}

// TestRunsMakeFewRequests counts the requests of whole runs on an S3 server, from opening the repository on: what each run costs whatever it stores.
func TestRunsMakeFewRequests(t *testing.T) {
	t.Parallel()
	server := s3test.Start(t)
	var n atomic.Int64
	at := s3.Location{Host: server.Proxy.Addr(), Plain: true, Bucket: "few", Prefix: "r"}
	store, err := s3.Create(t.Context(), at, s3.Options{Credentials: server.Credentials(), Region: "us-east-1", Unique: isUnique,
		Wrap: func(t http.RoundTripper) http.RoundTripper { return countAll{t, &n} }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Close() })
	made := newTestRepo(t, store, Options{})
	mustBack(t, made, "one", randomFiles(1, 4, 100_000))
	credential, err := Passphrase("correct horse")
	if err != nil {
		t.Fatal(err)
	}
	cache := t.TempDir()
	run := func(what string, most int64, fn func(r *Repo)) {
		t.Helper()
		n.Store(0)
		r, err := Open(t.Context(), store, credential, Options{OneRun: true, CacheDir: cache})
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		fn(r)
		if got := n.Load(); got > most {
			t.Errorf("%s: %d requests, want %d at most", what, got, most)
		}
	}
	list := func(want int) func(r *Repo) {
		return func(r *Repo) {
			if all, err := r.Snapshots(t.Context(), Filter{}); err != nil || len(all) != want {
				t.Errorf("%d snapshots, %v", len(all), err)
			}
		}
	}
	run("snapshots that nobody has read", 4, list(1))
	run("a backup behind one of another machine", 16, func(r *Repo) { mustBack(t, r, "one", randomFiles(2, 4, 100_000)) })
	run("snapshots", 3, list(2))
	run("a backup", 14, func(r *Repo) { mustBack(t, r, "one", randomFiles(3, 4, 100_000)) })
	run("another source", 14, func(r *Repo) { mustBack(t, r, "other", randomFiles(5, 4, 100_000)) })
	run("a look at each file", 4, func(r *Repo) {
		all, err := r.Snapshots(t.Context(), Filter{})
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range all {
			if err := r.Walk(t.Context(), s, "", func(string, []Entry) error { return nil }); err != nil {
				t.Error(err)
			}
		}
	})
	run("a check", 26, func(r *Repo) {
		if _, err := r.Check(t.Context(), CheckOptions{}); err != nil {
			t.Error(err)
		}
	})
	run("a prune", 11, func(r *Repo) { mustPrune(t, r, PruneOptions{}) })
	run("forget and prune without a grace", 25, func(r *Repo) {
		plan, err := r.ForgetPlan(t.Context(), Policy{KeepLast: 1}, Filter{}, ForgetPlanOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := r.Forget(t.Context(), plan.Remove(), ForgetOptions{Now: true}); err != nil {
			t.Error(err)
		}
		if result := mustPrune(t, r, PruneOptions{Now: true}); result.RemovedPacks == 0 {
			t.Error("no pack was removed")
		}
	})
	if err := os.RemoveAll(cache); err != nil {
		t.Fatal(err)
	}
	run("a backup without what was kept", 23, func(r *Repo) { mustBack(t, r, "one", randomFiles(4, 4, 100_000)) })
	run("five sources", 66, func(r *Repo) {
		for i := range uint64(5) {
			before := n.Load()
			mustBack(t, r, fmt.Sprint("source ", i), randomFiles(10+i, 4, 100_000))
			// Six files that it stores and one that goes, four listings of small folders, the root read back: no listing of packs.
			if got := n.Load() - before; i > 0 && got > 12 {
				t.Errorf("source %d of a run: %d requests, want 12 at most", i, got)
			}
		}
	})
}
