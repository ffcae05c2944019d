package repo

import (
	"context"
	"fmt"
	"maps"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/snapkeep/snap/internal/store/mem"
)

// lookCounter counts listings, and looks at single files, by folder.
type lookCounter struct {
	Store
	wait time.Duration // that a listing takes

	mu           sync.Mutex // guards what follows
	lists, stats map[string]int
}

func newLookCounter(s Store) *lookCounter {
	return &lookCounter{Store: s, lists: map[string]int{}, stats: map[string]int{}}
}

func (s *lookCounter) List(ctx context.Context, prefix string, fn func(string, int64, time.Time) error) error {
	s.mu.Lock()
	s.lists[prefix]++
	s.mu.Unlock()
	time.Sleep(s.wait)
	return s.Store.List(ctx, prefix, fn)
}

func (s *lookCounter) Stat(ctx context.Context, name string) (int64, time.Time, error) {
	folder, _, _ := strings.Cut(name, "/")
	s.mu.Lock()
	s.stats[folder+"/"]++
	s.mu.Unlock()
	return s.Store.Stat(ctx, name)
}

// of returns how often packs were listed, and how often one was looked at.
func (s *lookCounter) of() (lists, stats int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.lists["data/"] + s.lists["meta/"], s.stats["data/"] + s.stats["meta/"]
}

// TestARunListsPacksOnce backs up many sources of one run, side by side and one after the other.
func TestARunListsPacksOnce(t *testing.T) {
	t.Parallel()
	c := newClock()
	store := newLookCounter(c.store())
	mustBack(t, newTestRepo(t, store, c.options()), "before", randomFiles(1, 10, 1000))
	o := c.options()
	o.OneRun = true
	r := reopen(t, store, o)
	clear(store.lists)
	clear(store.stats)
	store.wait = 50 * time.Millisecond
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() { mustBackOrError(t, r, fmt.Sprint(i), randomFiles(uint64(i), 3, 1000)) })
	}
	all.Wait()
	store.wait = 0
	for i := range 20 {
		mustBack(t, r, fmt.Sprint(i), randomFiles(uint64(i), 4, 1000))
	}
	// What each has stored it looks at once, behind its index file: two packs.
	if lists, stats := store.of(); lists != 2 || stats > 28*2 {
		t.Errorf("28 sources listed the folders of packs %d times and looked at %d packs", lists, stats)
	}
	c.sleep(partsLife)
	mustBack(t, r, "later", randomFiles(3, 4, 1000))
	if lists, _ := store.of(); lists != 4 {
		t.Errorf("folders of packs were listed %d times, with one behind the time", lists)
	}
	c.sleep(-time.Hour)
	mustBack(t, r, "clock put back", randomFiles(4, 4, 1000))
	if lists, _ := store.of(); lists != 6 {
		t.Errorf("folders of packs were listed %d times, with one after the clock was put back", lists)
	}
}

// TestARunThatCannotListLetsOthersTry cancels the backup for whose listing others wait.
func TestARunThatCannotListLetsOthersTry(t *testing.T) {
	t.Parallel()
	store := newLookCounter(mem.New(nil))
	newTestRepo(t, store, Options{})
	r := reopen(t, store, Options{OneRun: true})
	r.parts.turn <- struct{}{}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() {
		_, err := back(ctx, r, "first", files{"x": "1"})
		ended <- err
	}()
	cancel()
	if err := <-ended; err == nil {
		t.Error("a backup that was cancelled has made a snapshot")
	}
	<-r.parts.turn
	mustBack(t, r, "second", files{"x": "1"})
}

// TestALostPackIsNoticedByTheNextLook loses the packs of a source while a run goes on: the next run notices at once, and this one when
// it looks again.
func TestALostPackIsNoticedByTheNextLook(t *testing.T) {
	t.Parallel()
	c := newClock()
	store := c.store()
	f := randomFiles(1, 10, 1000)
	first := mustBack(t, newTestRepo(t, store, c.options()), "a", f)
	o := c.options()
	o.OneRun = true
	r := reopen(t, store, o)
	mustBack(t, r, "b", files{"x": "1"})
	for _, name := range names(t, store, "data/") {
		if err := store.Remove(t.Context(), name); err != nil {
			t.Fatal(err)
		}
	}
	clone := store.Clone()
	mustBack(t, reopen(t, clone, o), "a", f)
	mustRestore(t, reopen(t, clone, c.options()), first, f)

	c.sleep(partsLife)
	mustBack(t, r, "a", f)
	mustRestore(t, reopen(t, store, c.options()), first, f)
	// What was lost then is not forgotten as long as the look counts.
	g := maps.Clone(f)
	g["more"] = "2"
	second := mustBack(t, r, "a", g)
	if !r.parts.lost {
		t.Error("the loss is forgotten")
	}
	mustRestore(t, reopen(t, store, c.options()), second, g)
}

// TestARunNoticesAPruneWhateverItsClockSays has a run whose clock stands still while another machine forgets, prunes until nothing tells of it, and
// goes on: as if the machine had slept.
func TestARunNoticesAPruneWhateverItsClockSays(t *testing.T) {
	t.Parallel()
	c := newClock()
	store := c.store()
	other := newTestRepo(t, store, c.options())
	began := c.now()
	r := reopen(t, store, Options{OneRun: true, PackSize: 1 << 20, Now: func() time.Time { return began }})
	f := randomFiles(1, 10, 1000)
	first := mustBack(t, r, "a", f)
	gone := names(t, store, "data/")

	mustForget(t, other, ForgetOptions{AllowAll: true, Now: true}, first)
	for i := range 30 {
		c.sleep(100 * time.Hour)
		s := mustBack(t, other, "other", files{"x": fmt.Sprint(i)})
		mustPrune(t, other, PruneOptions{MaxUnused: -1})
		mustForget(t, other, ForgetOptions{AllowAll: true, Now: true}, s)
	}
	for _, name := range gone {
		if _, _, err := store.Stat(t.Context(), name); err == nil {
			t.Fatal("a pack that was to be pruned is still there")
		}
		_, id := classify(name)
		fresh := reopenSynced(t, store, c.options())
		if fresh.isCondemned(id) {
			t.Fatal("a prune record still tells of a pack that is gone")
		}
	}
	mustRestore(t, reopen(t, store, c.options()), mustBack(t, r, "b", f), f)
}

// TestARunLooksForPacksOfOthers has an index file come during a run that names packs which are not there: a machine that slept for days has stored it,
// and was switched off before it could look.
func TestARunLooksForPacksOfOthers(t *testing.T) {
	t.Parallel()
	c := newClock()
	store := c.store()
	other := newTestRepo(t, store, c.options())
	o := c.options()
	o.OneRun = true
	r := reopen(t, store, o)
	mustBack(t, r, "a", files{"x": "1"})
	before := listing(t, store)
	f := randomFiles(1, 10, 1000)
	mustBack(t, other, "other", f)
	for name := range listing(t, store) {
		if _, was := before[name]; !was && !strings.HasPrefix(name, "index/") && !strings.HasPrefix(name, "content/") {
			if err := store.Remove(t.Context(), name); err != nil {
				t.Fatal(err)
			}
		}
	}
	mustRestore(t, reopen(t, store, c.options()), mustBack(t, r, "b", f), f)
}
