package repo

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/snapkeep/snap/internal/s3test"
	"github.com/snapkeep/snap/internal/store/mem"
	"github.com/snapkeep/snap/internal/store/s3"
)

// elsewhere is a store that counts as one of another machine, and notes what is read.
type elsewhere struct {
	*mem.Store

	mu   sync.Mutex // guards what follows
	read map[string]int
}

func newElsewhere() *elsewhere { return &elsewhere{Store: mem.New(nil), read: map[string]int{}} }

func (e *elsewhere) Remote() bool { return true }

func (e *elsewhere) ReadAt(ctx context.Context, name string, p []byte, off int64) (int, error) {
	folder, _, _ := strings.Cut(name, "/")
	e.mu.Lock()
	e.read[folder]++
	e.mu.Unlock()
	return e.Store.ReadAt(ctx, name, p, off)
}

// reads returns how often files of a folder were read since the last call.
func (e *elsewhere) reads(folder string) int {
	e.mu.Lock()
	defer e.mu.Unlock()
	n := e.read[folder]
	e.read[folder] = 0
	return n
}

// keptFiles returns the files of metadata below a cache folder.
func keptFiles(t *testing.T, cache, folder string) []string {
	t.Helper()
	all, err := filepath.Glob(filepath.Join(cache, "*", keptFolder, folder, "*"))
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestMetadataIsReadOnce(t *testing.T) {
	t.Parallel()
	store, cache := newElsewhere(), t.TempDir()
	some := randomFiles(1, 50, 3000)
	r := newTestRepo(t, store, Options{CacheDir: cache})
	first := mustBack(t, r, "one", some)
	store.reads("meta")
	for range 3 { // each as a process of its own
		r = reopen(t, store, Options{CacheDir: cache})
		mustRestore(t, r, first, some)
		mustBack(t, r, "one", some)
		if n := store.reads("meta"); n > 1 { // the root that was written is read back
			t.Errorf("packs of metadata were read %d times", n)
		}
		if n := store.reads("snapshots") + store.reads("index"); n > 0 {
			t.Errorf("snapshots and index were read %d times", n)
		}
	}
	mustPrune(t, reopen(t, store, Options{CacheDir: cache}), PruneOptions{})
	if n := store.reads("meta") + store.reads("snapshots") + store.reads("index"); n > 0 {
		t.Errorf("a prune read metadata %d times", n)
	}
	// Another machine reads each pack once, whole.
	r = reopen(t, store, Options{CacheDir: t.TempDir()})
	mustRestore(t, r, first, some)
	if n := store.reads("meta"); n != 1 {
		t.Errorf("%d reads of one pack of metadata by another machine", n)
	}
	// Nothing is kept of a store that is a folder of this machine, or if nobody wants it.
	for _, o := range []Options{{CacheDir: t.TempDir(), MetadataCacheBytes: -1}, {}} {
		mustRestore(t, reopen(t, store, o), first, some)
		if o.CacheDir != "" && len(keptFiles(t, o.CacheDir, "*")) > 0 {
			t.Error("something is kept")
		}
	}
	here := t.TempDir()
	mustBack(t, newTestRepo(t, mem.New(nil), Options{CacheDir: here}), "one", some)
	if len(keptFiles(t, here, "*")) > 0 {
		t.Error("something is kept of a store that is here")
	}
}

// TestSpoiledCacheIsHarmless loses and damages what is kept while a process uses it, and while none does.
func TestSpoiledCacheIsHarmless(t *testing.T) {
	t.Parallel()
	store, cache := newElsewhere(), t.TempDir()
	some := randomFiles(2, 300, 3000)
	r := newTestRepo(t, store, Options{CacheDir: cache, CacheBytes: 1})
	s := mustBack(t, r, "one", some)
	mustRestore(t, r, s, some)
	each := func(fn func(name string) error) {
		all := keptFiles(t, cache, "*")
		if len(all) < 3 {
			t.Fatalf("%d files are kept", len(all))
		}
		for _, name := range all {
			if err := fn(name); err != nil {
				t.Fatal(err)
			}
		}
	}
	flip := func(name string) error {
		data, err := os.ReadFile(name)
		for i := 0; i < len(data); i += 50 {
			data[i] ^= 1
		}
		return errors.Join(err, os.WriteFile(name, data, 0o600))
	}
	for what, spoil := range map[string]func(){
		"deleted": func() { each(os.Remove) },
		"cut off": func() { each(func(name string) error { return os.Truncate(name, 20) }) },
		"changed": func() { each(flip) },
		"gone":    func() { _ = os.RemoveAll(cache) },
	} {
		t.Log(what)
		spoil()
		mustRestore(t, r, s, some)
		mustRestore(t, reopen(t, store, Options{CacheDir: cache}), s, some)
		mustBack(t, reopen(t, store, Options{CacheDir: cache}), "one", some)
		spoil()
		mustBack(t, reopen(t, store, Options{CacheDir: cache}), "one", some)
		mustPrune(t, reopen(t, store, Options{CacheDir: cache}), PruneOptions{})
		mustRestore(t, reopen(t, store, Options{CacheDir: cache}), s, some)
	}
	mustCheck(t, reopen(t, store, Options{CacheDir: cache}))
}

// flipByte changes a byte of a file.
func flipByte(t *testing.T, store Store, name string) {
	t.Helper()
	size, _, err := store.Stat(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	data := make([]byte, size)
	if n, err := store.ReadAt(t.Context(), name, data, 0); n < len(data) {
		t.Fatal(err)
	}
	data[size/2] ^= 1
	if err := store.Remove(t.Context(), name); err != nil {
		t.Fatal(err)
	}
	if err := store.Create(t.Context(), name, bytes.NewReader(data), size); err != nil {
		t.Fatal(err)
	}
}

// TestCheckReadsTheStore damages files in the store of which there are whole ones on this machine.
func TestCheckReadsTheStore(t *testing.T) {
	t.Parallel()
	for _, folder := range []string{"meta/", "index/", "snapshots/"} {
		store, cache := newElsewhere(), t.TempDir()
		some := randomFiles(3, 50, 3000)
		s := mustBack(t, newTestRepo(t, store, Options{CacheDir: cache}), "one", some)
		for _, name := range names(t, store, folder) {
			flipByte(t, store, name)
		}
		r := reopen(t, store, Options{CacheDir: cache})
		res, err := r.Check(t.Context(), CheckOptions{})
		if !errors.Is(err, ErrDamagedFound) {
			t.Errorf("%s damaged: check says %v%s", folder, err, describe(res))
		}
		if left, _ := filepath.Glob(filepath.Join(cache, "*", checkPattern)); len(left) > 0 {
			t.Errorf("left: %q", left)
		}
		// Whoever reads has the whole ones.
		mustRestore(t, reopen(t, store, Options{CacheDir: cache}), s, some)
	}
}

// TestLostMetadataIsNoticed removes a pack that is kept on this machine: the next backup writes anew what it held.
func TestLostMetadataIsNoticed(t *testing.T) {
	t.Parallel()
	store, cache := newElsewhere(), t.TempDir()
	some := randomFiles(4, 50, 3000)
	mustBack(t, newTestRepo(t, store, Options{CacheDir: cache}), "one", some)
	for _, name := range names(t, store, "meta/") {
		if err := store.Remove(t.Context(), name); err != nil {
			t.Fatal(err)
		}
	}
	s := mustBack(t, reopen(t, store, Options{CacheDir: cache}), "one", some)
	mustRestore(t, reopen(t, store, Options{}), s, some)
	for _, name := range keptFiles(t, cache, "meta") {
		id := filepath.Base(name)
		if _, _, err := store.Stat(t.Context(), "meta/"+id[:2]+"/"+id); err != nil {
			t.Errorf("kept, and gone from the store: %v", err)
		}
	}
}

// TestForgetCountsWhatIsThere shows a forget a snapshot that is gone and that this machine has kept: a listing that is late. It must not
// be taken for one that is left.
func TestForgetCountsWhatIsThere(t *testing.T) {
	t.Parallel()
	store, cache := newElsewhere(), t.TempDir()
	r := newTestRepo(t, store, Options{CacheDir: cache})
	first := mustBack(t, r, "one", randomFiles(5, 3, 3000))
	second := mustBack(t, r, "one", randomFiles(6, 3, 3000))
	mustForget(t, reopen(t, store, Options{}), ForgetOptions{Now: true}, second)
	late := &lateListing{store, "snapshots/" + second.ID.String()}
	r = reopen(t, late, Options{CacheDir: cache})
	if all, err := r.Snapshots(t.Context(), Filter{}); err != nil || len(all) != 2 {
		t.Fatalf("%d snapshots, %v: the listing is not late", len(all), err)
	}
	if _, err := r.Forget(t.Context(), []SnapshotID{first.ID}, ForgetOptions{}); !errors.Is(err, ErrLastOfSource) {
		t.Errorf("the last snapshot was forgotten: %v", err)
	}
	plan, err := r.ForgetPlan(t.Context(), Policy{KeepLast: 1}, Filter{}, ForgetPlanOptions{})
	if err != nil || len(plan.Remove()) > 0 {
		t.Errorf("the last snapshot is to be forgotten: %v", err)
	}
	mustPrune(t, r, PruneOptions{})
}

// lateListing is a store whose listings show a file that is gone.
type lateListing struct {
	*elsewhere
	gone string
}

func (l *lateListing) List(ctx context.Context, prefix string, fn func(string, int64, time.Time) error) error {
	if strings.HasPrefix(l.gone, prefix) {
		if err := fn(l.gone, 500, time.Now()); err != nil {
			return err
		}
	}
	return l.elsewhere.List(ctx, prefix, fn)
}

// TestParityGoesWithItsPack prunes a repository in a bucket that is protected though that is not the default.
func TestParityGoesWithItsPack(t *testing.T) {
	t.Parallel()
	server := s3test.Start(t)
	at := s3.Location{Host: server.Proxy.Addr(), Plain: true, Bucket: "parity", Prefix: "r"}
	store, err := s3.Create(t.Context(), at, s3.Options{Credentials: server.Credentials(), Region: "us-east-1", Unique: isUnique})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Close() })
	r := newTestRepo(t, store, Options{Parity: ParityOn, CacheDir: t.TempDir()})
	gone := mustBack(t, r, "one", randomFiles(1, 4, 100_000))
	mustBack(t, r, "one", randomFiles(2, 4, 100_000))
	mustForget(t, r, ForgetOptions{Now: true}, gone)
	if res := mustPrune(t, r, PruneOptions{Now: true}); res.RemovedPacks == 0 {
		t.Fatal("nothing was removed")
	}
	for _, name := range names(t, store, parityPrefix) {
		id := name[strings.LastIndexByte(name, '/')+1:]
		_, _, dataErr := store.Stat(t.Context(), "data/"+id[:2]+"/"+id)
		_, _, metaErr := store.Stat(t.Context(), "meta/"+id[:2]+"/"+id)
		if errors.Is(dataErr, fs.ErrNotExist) && errors.Is(metaErr, fs.ErrNotExist) {
			t.Errorf("%s is of a pack that is gone", name)
		}
	}
	mustCheck(t, r)
}
