package repo

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/snapkeep/snap/internal/sealed"
	"github.com/snapkeep/snap/internal/store/mem"
)

// bulky is a store elsewhere that removes many files at once, and may not tell what came of it.
type bulky struct {
	*mem.Store
	says func(gone []string) ([]string, error) // what DeleteAll returns; nil for the truth
	date func() time.Time                      // told in answers; nil for none
}

func (s *bulky) DeleteAll(ctx context.Context, names []string) (gone []string, err error) {
	for _, name := range names {
		if err := s.Remove(ctx, name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return gone, err
		}
		gone = append(gone, name)
	}
	if s.says != nil {
		return s.says(gone)
	}
	return gone, nil
}

func (s *bulky) StorageTime() time.Time {
	if s.date == nil {
		return time.Time{}
	}
	return s.date()
}

// forgotten returns the snapshots that the log says were forgotten, in order.
func forgotten(t *testing.T, r *Repo) (ids []string) {
	t.Helper()
	log, err := r.Log(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range log {
		if e.What == "forget" {
			ids = append(ids, e.Snapshots...)
		}
	}
	slices.Sort(ids)
	return ids
}

// TestForgetForGoodThatIsCutOff removes snapshots by a request whose answer does not come: what is gone is told, and in the log.
func TestForgetForGoodThatIsCutOff(t *testing.T) {
	t.Parallel()
	c := newClock()
	store := &bulky{Store: c.store()}
	r := newTestRepo(t, store, c.options())
	var ids []SnapshotID
	var want []string
	for i := range 4 {
		s := mustBack(t, r, "a", randomFiles(uint64(i), 1, 100))
		if i < 3 {
			ids, want = append(ids, s.ID), append(want, s.ID.String())
		}
	}
	slices.Sort(want)
	ctx, cancel := context.WithCancel(t.Context())
	store.says = func(gone []string) ([]string, error) {
		cancel()
		return gone[:1], context.Canceled
	}
	res, err := r.Forget(ctx, ids, ForgetOptions{Now: true})
	if !errors.Is(err, context.Canceled) || len(res.Forgotten) != 3 {
		t.Errorf("%d forgotten, %v", len(res.Forgotten), err)
	}
	store.says = nil
	if got := forgotten(t, r); !slices.Equal(got, want) {
		t.Errorf("the log has %q, want %q", got, want)
	}
	if left := names(t, store, sealed.Snapshot.Prefix); len(left) != 1 {
		t.Errorf("left: %q", left)
	}
}

// TestForgetForGoodTwiceNamed removes a snapshot that is named twice once.
func TestForgetForGoodTwiceNamed(t *testing.T) {
	t.Parallel()
	c := newClock()
	r := newTestRepo(t, &bulky{Store: c.store()}, c.options())
	s := mustBack(t, r, "a", files{"x": "1"})
	mustBack(t, r, "a", files{"x": "2"})
	res, err := r.Forget(t.Context(), []SnapshotID{s.ID, s.ID}, ForgetOptions{Now: true})
	if err != nil || len(res.Forgotten) != 1 || len(forgotten(t, r)) != 1 {
		t.Errorf("%v, %v, and in the log %v", res, err, forgotten(t, r))
	}
}

// TestPruneNowBehindAProxyWithAnotherClock prunes beside a backup on a storage whose answers tell a time that is not the one that stamps its files.
func TestPruneNowBehindAProxyWithAnotherClock(t *testing.T) {
	t.Parallel()
	c := newClock()
	store := &bulky{Store: c.store()}
	r := newTestRepo(t, store, c.options())
	mustBack(t, r, "a", files{"x": "1"})
	for _, ahead := range []time.Duration{2 * time.Hour, -2 * time.Hour, 0} {
		s := r.enter(t.Context(), "backup")
		<-s.ready
		store.date = func() time.Time { return c.now().Add(ahead) }
		if _, err := r.Prune(t.Context(), PruneOptions{Now: true}); !errors.Is(err, ErrBusy) {
			t.Errorf("%v ahead: %v, want %v", ahead, err, ErrBusy)
		}
		if left := names(t, store, sessionPrefix); len(left) != 1 {
			t.Errorf("%v ahead: sessions %q", ahead, left)
		}
		store.date = nil
		s.leave()
	}
}

// eachBulky lists several folders in one go.
type eachBulky struct{ *bulky }

func (s *eachBulky) ListEach(ctx context.Context, prefixes, along []string, fn func(string, int64, time.Time) error) ([]string, error) {
	for _, prefix := range slices.Sorted(slices.Values(slices.Concat(prefixes, along))) {
		if err := s.List(ctx, prefix, fn); err != nil {
			return nil, err
		}
	}
	return along, nil
}

// TestBackupByAListingWhoseIndexFilesWereMerged opens a repository, lets another run merge the index files that the listing of Open shows, and
// makes a backup: what is stored is not stored once more.
func TestBackupByAListingWhoseIndexFilesWereMerged(t *testing.T) {
	t.Parallel()
	c := newClock()
	store := &eachBulky{&bulky{Store: c.store()}}
	first := newTestRepo(t, store, c.options())
	f := randomFiles(1, 4, 100_000)
	mustBack(t, first, "a", f)
	f["more"] = "more"
	mustBack(t, first, "a", f)
	o := c.options()
	o.OneRun = true
	r := reopen(t, store, o)
	defer r.Close()
	if res := mustPrune(t, first, PruneOptions{Now: true}); res.RemovedIndexes == 0 {
		t.Fatalf("nothing was merged: %+v", res)
	}
	before := len(names(t, store, "data/"))
	s := mustBack(t, r, "a", f)
	if after := len(names(t, store, "data/")); after != before {
		t.Errorf("%d packs of data, and %d before", after, before)
	}
	if got, err := restored(t.Context(), r, s); err != nil || len(got) != len(f) {
		t.Errorf("%d files, %v", len(got), err)
	}
}

// rotting is a store that reads packs of metadata wrongly once it rots.
type rotting struct {
	*mem.Store
	rots bool
}

func (s *rotting) ReadAt(ctx context.Context, name string, p []byte, off int64) (int, error) {
	n, err := s.Store.ReadAt(ctx, name, p, off)
	if s.rots && strings.HasPrefix(name, "meta/") {
		for i := range p[:n] {
			p[i] ^= 1
		}
	}
	return n, err
}

// TestRootThatWasLostIsReadBack loses the packs of metadata of a snapshot: the next one has the same root, which it wrote itself and reads back.
func TestRootThatWasLostIsReadBack(t *testing.T) {
	t.Parallel()
	c := newClock()
	store := &rotting{Store: c.store()}
	r := newTestRepo(t, store, c.options())
	f := files{"x": "1", "dir/y": "2"}
	first := mustBack(t, r, "a", f)
	for _, name := range names(t, store, "meta/") {
		if err := store.Remove(t.Context(), name); err != nil {
			t.Fatal(err)
		}
	}
	r = reopen(t, store, c.options())
	defer r.Close()
	store.rots = true
	if s, err := back(t.Context(), r, "a", f); !IsDamage(err) {
		t.Errorf("%v, %v", s, err)
	}
	store.rots = false
	if s := mustBack(t, r, "a", f); s.Root != first.Root {
		t.Errorf("root %v, want %v", s.Root, first.Root)
	}
}

// TestNewerListingIsNotGivenUp begins a backup by the listing of Open, after another one of the run has seen a newer one.
func TestNewerListingIsNotGivenUp(t *testing.T) {
	t.Parallel()
	c := newClock()
	store := &eachBulky{&bulky{Store: c.store()}}
	first := newTestRepo(t, store, c.options())
	mustBack(t, first, "a", files{"x": "1"})
	o := c.options()
	o.OneRun = true
	r := reopen(t, store, o)
	defer r.Close()
	mustBack(t, first, "b", files{"y": "2"})
	if err := r.syncIndex(t.Context()); err != nil {
		t.Fatal(err)
	}
	w, err := r.beginBackup(t.Context(), nil)
	if want := len(names(t, store, sealed.Index.Prefix)); err != nil || len(w.indexes) != want {
		t.Errorf("%d index files, %v, want %d", len(w.indexes), err, want)
	}
}

// TestPlanDoesNotOutliveACommit forgets the only snapshot that a plan knew of, when another was made since.
func TestPlanDoesNotOutliveACommit(t *testing.T) {
	t.Parallel()
	c := newClock()
	store := c.store()
	newTestRepo(t, store, c.options())
	o := c.options()
	o.OneRun = true
	r := reopen(t, store, o)
	defer r.Close()
	s := mustBack(t, r, "a", files{"x": "1"})
	if _, err := r.ForgetPlan(t.Context(), Policy{KeepLast: 1}, Filter{}, ForgetPlanOptions{}); err != nil {
		t.Fatal(err)
	}
	mustBack(t, r, "a", files{"x": "2"})
	mustForget(t, r, ForgetOptions{}, s)
}

// mute is a store that takes no sessions, and counts looks at packs.
type mute struct {
	*bulky
	takes bool
	looks atomic.Int64
}

func (s *mute) Create(ctx context.Context, name string, data io.Reader, size int64) error {
	if !s.takes && strings.HasPrefix(name, sessionPrefix) {
		return fs.ErrPermission
	}
	return s.bulky.Create(ctx, name, data, size)
}

func (s *mute) Stat(ctx context.Context, name string) (int64, time.Time, error) {
	if strings.HasPrefix(name, "data/") {
		s.looks.Add(1)
	}
	return s.bulky.Stat(ctx, name)
}

// TestRunWithoutASignOfLife looks at the packs of a run that has no session: a prune without a grace may have taken them for leftovers.
func TestRunWithoutASignOfLife(t *testing.T) {
	t.Parallel()
	c := newClock()
	store := &mute{bulky: &bulky{Store: c.store(), date: c.now}, takes: true}
	r := newTestRepo(t, store, c.options())
	for i, takes := range []bool{true, false} {
		store.takes = takes
		store.looks.Store(0)
		leave := r.enterBackup(t.Context())
		<-r.running.own.ready
		mustBack(t, r, "a", randomFiles(uint64(i), 1, 1000))
		leave()
		if got := store.looks.Load(); got > 0 == takes {
			t.Errorf("sessions are taken: %v, and packs are looked at %d times", takes, got)
		}
	}
}

// TestPruneThatFailsLogsWhatItRemoved ends a prune after it removed packs.
func TestPruneThatFailsLogsWhatItRemoved(t *testing.T) {
	t.Parallel()
	c := newClock()
	store := &bulky{Store: c.store()}
	r := newTestRepo(t, store, c.options())
	s := mustBack(t, r, "a", randomFiles(1, 2, 1000))
	mustBack(t, r, "a", files{"x": "2"})
	mustForget(t, r, ForgetOptions{Now: true}, s)
	failed := errors.New("the line is cut")
	store.says = func(gone []string) ([]string, error) { return gone, failed }
	if res, err := r.Prune(t.Context(), PruneOptions{Now: true}); !errors.Is(err, failed) || res.RemovedPacks == 0 {
		t.Fatalf("%+v, %v", res, err)
	}
	log, err := r.Log(t.Context())
	if err != nil || len(log) == 0 || log[len(log)-1].What != "prune" || len(log[len(log)-1].Files) == 0 {
		t.Errorf("%+v, %v", log, err)
	}
}

// TestSignsOfLife tells since when a run has given signs of life.
func TestSignsOfLife(t *testing.T) {
	now := time.Now().Round(0)
	ago := func(d time.Duration) time.Time { return now.Add(-d) }
	for name, tt := range map[string]struct {
		signs [][2]time.Duration // how long ago each began to be stored, and was
		from  time.Duration
		want  bool
	}{
		"none":                        {nil, 0, false},
		"a young one":                 {[][2]time.Duration{{time.Minute, time.Minute}}, 0, true},
		"as old as the pack":          {[][2]time.Duration{{time.Minute, time.Minute}}, time.Minute, true},
		"younger than the pack":       {[][2]time.Duration{{time.Minute, time.Minute}}, 2 * time.Minute, false},
		"renewed":                     {[][2]time.Duration{{15 * time.Minute, 15 * time.Minute}, {5 * time.Minute, 5 * time.Minute}}, 14 * time.Minute, true},
		"not renewed":                 {[][2]time.Duration{{25 * time.Minute, 25 * time.Minute}}, time.Minute, false},
		"renewed late":                {[][2]time.Duration{{90 * time.Minute, 90 * time.Minute}, {5 * time.Minute, 5 * time.Minute}}, 14 * time.Minute, false},
		"renewed late, the pack then": {[][2]time.Duration{{90 * time.Minute, 90 * time.Minute}, {5 * time.Minute, 5 * time.Minute}}, 4 * time.Minute, true},
		"stored for long":             {[][2]time.Duration{{10 * time.Minute, 5 * time.Minute}}, 7 * time.Minute, false},
	} {
		own := &session{}
		for _, s := range tt.signs {
			own.signed(ago(s[0]), ago(s[1]))
		}
		r := &Repo{running: &sharedSession{own: own}}
		if got := r.isNoted(ago(tt.from)); got != tt.want {
			t.Errorf("%s: %v, want %v", name, got, tt.want)
		}
	}
}
