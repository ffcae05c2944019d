package repo

import (
	"fmt"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/snapkeep/snap/internal/s3test"
	"github.com/snapkeep/snap/internal/store/s3"
)

// countAll counts requests.
type countAll struct {
	http.RoundTripper
	asked *requests
}

// requests are what was asked of a server, and what came of it.
type requests struct {
	mu  sync.Mutex
	all []string
}

func (r *requests) have() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.all
}

func (r *requests) forget() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.all = nil
}

func (c countAll) RoundTrip(r *http.Request) (*http.Response, error) {
	res, err := c.RoundTripper.RoundTrip(r)
	outcome := fmt.Sprint(err)
	if err == nil {
		outcome = res.Status
	}
	c.asked.mu.Lock()
	defer c.asked.mu.Unlock()
	c.asked.all = append(c.asked.all, fmt.Sprintf("%s %s: %s", r.Method, r.URL.RequestURI(), outcome))
	return res, err
}

// backNoted backs up when the session is stored. A backup does not wait for it, and looks at its packs once more if they came before.
func backNoted(t *testing.T, r *Repo, name string, f files) {
	t.Helper()
	leave := r.enterBackup(t.Context())
	defer leave()
	<-r.running.own.ready
	mustBack(t, r, name, f)
}

// TestRunsMakeFewRequests counts the requests of whole runs on an S3 server, from opening the repository on: what each run costs whatever it stores.
func TestRunsMakeFewRequests(t *testing.T) {
	t.Parallel()
	server := s3test.Start(t)
	var asked requests
	at := s3.Location{Host: server.Proxy.Addr(), Plain: true, Bucket: "few", Prefix: "r"}
	store, err := s3.Create(t.Context(), at, s3.Options{Credentials: server.Credentials(), Region: "us-east-1", Unique: isUnique,
		Wrap: func(t http.RoundTripper) http.RoundTripper { return countAll{t, &asked} }})
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
	run := func(what string, most int, fn func(r *Repo)) {
		t.Helper()
		asked.forget()
		r, err := Open(t.Context(), store, credential, Options{OneRun: true, CacheDir: cache})
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		fn(r)
		if got := asked.have(); len(got) > most {
			t.Errorf("%s: %d requests, want %d at most:\n%s", what, len(got), most, strings.Join(got, "\n"))
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
	run("a backup behind one of another machine", 16, func(r *Repo) { backNoted(t, r, "one", randomFiles(2, 4, 100_000)) })
	run("snapshots", 3, list(2))
	run("a backup", 14, func(r *Repo) { backNoted(t, r, "one", randomFiles(3, 4, 100_000)) })
	run("another source", 14, func(r *Repo) { backNoted(t, r, "other", randomFiles(5, 4, 100_000)) })
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
	run("a backup without what was kept", 23, func(r *Repo) { backNoted(t, r, "one", randomFiles(4, 4, 100_000)) })
	run("five sources", 66, func(r *Repo) {
		for i := range uint64(5) {
			before := len(asked.have())
			backNoted(t, r, fmt.Sprint("source ", i), randomFiles(10+i, 4, 100_000))
			// Six files that it stores and one that goes, four listings of small folders, the root read back: no listing of packs.
			if got := asked.have()[before:]; i > 0 && len(got) > 12 {
				t.Errorf("source %d of a run: %d requests, want 12 at most:\n%s", i, len(got), strings.Join(got, "\n"))
			}
		}
	})
}
