package repo

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/snapkeep/snap/internal/store/faulty"
	"github.com/snapkeep/snap/pack"
)

// Clients of a lagging store.
const (
	writerClient = iota + 1
	otherClient
	readerClient
)

// lagging is a store on which listings of others than the writer may not show some index files.
type lagging struct {
	*faulty.Delayed
	clock *clock
	hides func(client int, name string) bool
}

func newLagging(c *clock) *lagging {
	l := &lagging{clock: c, hides: func(int, string) bool { return false }}
	l.Delayed = faulty.NewDelayed(c.store(), c.now, func(client, author int, name string) time.Duration {
		if client != author && strings.HasPrefix(name, "index/") && l.hides(client, name) {
			return time.Hour
		}
		return 0
	})
	return l
}

// TestASnapshotNamesTheFewIndexFilesThatItNeeds backs up many sources in one run, two nights, while a machine reads to which listings
// show no index file of the last hour, or only some. Sources have files in common with the first, and with the one before.
func TestASnapshotNamesTheFewIndexFilesThatItNeeds(t *testing.T) {
	t.Parallel()
	sources := 300
	if testing.Short() {
		sources = 40
	}
	c := newClock()
	store := newLagging(c)
	newTestRepo(t, store.Client(writerClient), c.options())
	o := c.options()
	o.OneRun = true
	for night := range 2 {
		r := reopen(t, store.Client(writerClient), o)
		made := map[*Snapshot]files{}
		all, most := 0, 0
		for i := range sources {
			c.sleep(5 * time.Second)
			f := files{"common": "of all", "own": fmt.Sprint("of ", i), "shared": fmt.Sprint("of two ", (i+1)/2), "night": fmt.Sprint(i, night)}
			s := mustBack(t, r, fmt.Sprint(i), f)
			made[s] = f
			all, most = all+len(s.Index), max(most, len(s.Index))
		}
		// Its own, that of the first, and that of the one before.
		if most > 3 || all > 3*sources || all < sources {
			t.Errorf("night %d: %d snapshots name %d index files, one of them %d", night, sources, all, most)
		}
		t.Logf("night %d: %d snapshots name %d index files, one of them %d", night, sources, all, most)
		for _, some := range []string{"0123456789abcdef", "02468ace", "0123"} {
			store.hides = func(client int, name string) bool {
				return client == readerClient && strings.Contains(some, name[len("index/"):][:1])
			}
			n := 0
			for s, f := range made {
				if n++; n%20 == 0 {
					mustRestore(t, reopen(t, store.Client(readerClient), c.options()), s, f)
				}
			}
		}
		c.sleep(24 * time.Hour)
	}
}

// TestWhatIsTakenFromAParentIsNamed has a parent whose data and tree are named by two index files, of which listings show the second only: to the
// machine that makes the next snapshot, and to one that reads it.
func TestWhatIsTakenFromAParentIsNamed(t *testing.T) {
	t.Parallel()
	c := newClock()
	store := newLagging(c)
	// The clock goes on whenever it is looked at, so that each pack gets an index file.
	var looks atomic.Int64
	o := c.options()
	o.Now = func() time.Time { return c.now().Add(time.Duration(looks.Add(1)) * time.Minute) }
	made := newTestRepo(t, store.Client(writerClient), o)
	var name string
	var f files
	var parent *Snapshot
	var data map[string]bool
	for try := uint64(0); len(data) == 0; try++ { // packs that are ready at the same moment may share one
		if try == 20 {
			t.Fatal("all index files name the root's pack")
		}
		name, f = fmt.Sprint("a", try), randomFiles(try, 40, 100_000)
		parent = mustBack(t, made, name, f)
		data = indexesBesideRoot(t, reopenSynced(t, store.Client(writerClient), c.options()), parent)
	}
	store.hides = func(_ int, index string) bool { return data[index] }

	mustRestore(t, reopen(t, store.Client(readerClient), c.options()), parent, f)
	f["new"] = "file"
	res, err := reopen(t, store.Client(otherClient), c.options()).Backup(t.Context(), BackupOptions{Source: f, SourceName: name, Granularity: 1})
	if err != nil {
		t.Fatal(err)
	}
	if res.Summary.FilesUnmodified != 40 || res.Summary.FilesNew != 1 {
		t.Errorf("the parent was not used: %+v", res.Summary)
	}
	mustRestore(t, reopen(t, store.Client(readerClient), c.options()), res.Snapshot, f)

	// When everybody sees them they are named no more.
	c.sleep(3 * time.Hour)
	store.hides = func(int, string) bool { return false }
	f["newer"] = "file"
	mustBack(t, reopen(t, store.Client(writerClient), c.options()), "b", files{"x": "y"}) // the newest index file tells
	if s := mustBack(t, reopen(t, store.Client(writerClient), c.options()), name, f); len(s.Index) != 1 {
		t.Errorf("three hours later %d index files are named", len(s.Index))
	}
}

// indexesBesideRoot returns the index files that a snapshot names and that do not name the pack with the root of its tree.
func indexesBesideRoot(t *testing.T, r *Repo, s *Snapshot) map[string]bool {
	t.Helper()
	root, err := s.RootID()
	if err != nil {
		t.Fatal(err)
	}
	l, ok := r.set.Lookup(root)
	if !ok {
		t.Fatal("the root is nowhere")
	}
	some := map[string]bool{}
	for _, name := range s.Index {
		some["index/"+name] = true
	}
	for name, p := range r.cache.Listings(func(pack.ID) bool { return true }) {
		if p == l.Pack {
			delete(some, "index/"+name.String())
		}
	}
	return some
}
