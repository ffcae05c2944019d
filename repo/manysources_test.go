package repo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
	"unsafe"

	"github.com/snapkeep/snap/internal/snapshot"
	"github.com/snapkeep/snap/internal/store/mem"
)

// readCounter counts the reads of each file.
type readCounter struct {
	Store
	mu    sync.Mutex // guards what follows
	reads map[string]int
}

func (s *readCounter) ReadAt(ctx context.Context, name string, p []byte, off int64) (int, error) {
	s.mu.Lock()
	s.reads[name]++
	s.mu.Unlock()
	return s.Store.ReadAt(ctx, name, p, off)
}

// below returns the most reads of a file with a prefix, and how many such files were read.
func (s *readCounter) below(prefix string) (most, n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for name, reads := range s.reads {
		if strings.HasPrefix(name, prefix) {
			most, n = max(most, reads), n+1
		}
	}
	return most, n
}

func TestARunLoadsEachRecordOnce(t *testing.T) {
	t.Parallel()
	store := &readCounter{Store: mem.New(nil), reads: map[string]int{}}
	made := newTestRepo(t, store, Options{})
	for _, name := range []string{"a", "b", "c"} {
		s := mustBack(t, made, name, files{"x": name})
		if err := made.Tag(t.Context(), s, nil, []string{"tagged"}, nil); err != nil {
			t.Fatal(err)
		}
	}
	r := reopen(t, store, Options{OneRun: true})
	clear(store.reads)
	for _, name := range []string{"a", "b", "c", "d"} {
		mustBack(t, r, name, files{"x": name + name})
	}
	for _, prefix := range []string{"snapshots/", "labels/"} {
		// The last backup's own record was not listed since.
		if most, n := store.below(prefix); most != 1 || n < 3 {
			t.Errorf("%s: %d files were read, one of them %d times", prefix, n, most)
		}
	}
	all, err := r.Snapshots(t.Context(), Filter{})
	if err != nil || len(all) != 7 {
		t.Fatalf("%d snapshots: %v", len(all), err)
	}
	if all[0].Tags[0] != "tagged" || len(all[6].Tags) != 0 {
		t.Errorf("tags %q and %q", all[0].Tags, all[6].Tags)
	}
}

// TestARunSeesWhatOthersDoMeanwhile has another program at work between two sources of a run that keeps what it has loaded.
func TestARunSeesWhatOthersDoMeanwhile(t *testing.T) {
	t.Parallel()
	store := mem.New(nil)
	other := newTestRepo(t, store, Options{})
	first := mustBack(t, other, "a", files{"x": "1"})
	r := reopen(t, store, Options{OneRun: true})
	mustBack(t, r, "b", files{"x": "of b"})

	second := mustBack(t, other, "a", files{"x": "2"})
	if err := other.Pin(t.Context(), first, true); err != nil {
		t.Fatal(err)
	}
	var told []SnapshotID
	result, err := r.Backup(t.Context(), BackupOptions{Source: files{"x": "3"}, SourceName: "a", ChooseParent: func(all []*Snapshot, unread error) (*Snapshot, error) {
		for _, s := range all {
			told = append(told, s.ID)
		}
		return nil, unread
	}})
	if err != nil {
		t.Fatal(err)
	}
	third := result.Snapshot
	if third.Sequence != 3 || third.Previous != second.ID.String() || result.Parent.ID != second.ID {
		t.Errorf("snapshot %d follows %s", third.Sequence, third.Previous)
	}
	if !slices.Contains(told, second.ID) || len(told) != 3 {
		t.Errorf("the choice of a parent was told of %d snapshots", len(told))
	}
	pinned := func() (ids []SnapshotID) {
		t.Helper()
		all, err := r.Snapshots(t.Context(), Filter{})
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range all {
			if s.Pinned {
				ids = append(ids, s.ID)
			}
		}
		return ids
	}
	if got := pinned(); !slices.Equal(got, []SnapshotID{first.ID}) {
		t.Errorf("pinned: %v", got)
	}
	if err := other.Pin(t.Context(), first, false); err != nil {
		t.Fatal(err)
	}
	if got := pinned(); len(got) != 0 {
		t.Errorf("pinned after the pin was taken away: %v", got)
	}
	if _, err := other.Forget(t.Context(), []SnapshotID{second.ID}, ForgetOptions{}); err != nil {
		t.Fatal(err)
	}
	all, err := r.Snapshots(t.Context(), Filter{Sources: []string{"a"}})
	if err != nil || len(all) != 2 || all[0].ID != first.ID || all[1].ID != third.ID {
		t.Errorf("after the second was forgotten: %d snapshots, %v", len(all), err)
	}
}

func TestTheChoiceOfAParentCanEndABackup(t *testing.T) {
	t.Parallel()
	r := newTestRepo(t, mem.New(nil), Options{})
	no := errors.New("no")
	_, err := r.Backup(t.Context(), BackupOptions{Source: files{"x": "1"}, SourceName: "a", ChooseParent: func([]*Snapshot, error) (*Snapshot, error) { return nil, no }})
	if !errors.Is(err, no) {
		t.Errorf("got %v", err)
	}
	if left := names(t, r.store, "snapshots/"); len(left) != 0 {
		t.Errorf("snapshots were made: %q", left)
	}
	if left := names(t, r.store, "sessions/"); len(left) != 0 {
		t.Errorf("sessions left: %q", left)
	}
}

func TestKeptRecordsAreBounded(t *testing.T) {
	t.Parallel()
	k := &decodedRecords{}
	for i := range 20 {
		k.keepSnapshot(&Snapshot{ID: SnapshotID{byte(i)}, Index: []string{strings.Clone("same")}}, decodedBytes/10)
	}
	if len(k.snapshots) != 9 || k.bytes > decodedBytes {
		t.Errorf("%d snapshots of %d bytes are kept", len(k.snapshots), k.bytes)
	}
	if a, b := k.snapshots[SnapshotID{1}].Index[0], k.snapshots[SnapshotID{2}].Index[0]; unsafe.StringData(a) != unsafe.StringData(b) {
		t.Error("a name that two snapshots have in common is kept twice")
	}
	if s := k.snapshot(SnapshotID{19}); s != nil {
		t.Error("one beyond the bound is kept")
	}
	s := k.snapshot(SnapshotID{3})
	s.Tags, s.Pinned = []string{"mine"}, true
	if again := k.snapshot(SnapshotID{3}); again.Tags != nil || again.Pinned {
		t.Error("what a label says was kept with the snapshot")
	}
}

// TestBackupsSideBySideShareASession looks at the sessions while two backups run, when one has ended, and when both have.
func TestBackupsSideBySideShareASession(t *testing.T) {
	t.Parallel()
	now := time.Now()
	r := newTestRepo(t, mem.New(nil), Options{Now: func() time.Time { return now }})
	sessions := func(want int) {
		t.Helper()
		if got := names(t, r.store, sessionPrefix); len(got) != want {
			t.Errorf("sessions %q, want %d", got, want)
		}
	}
	leaveFirst := r.enterBackup(t.Context())
	<-r.running.own.ready
	leaveSecond := r.enterBackup(t.Context())
	sessions(1)
	if _, err := r.Prune(t.Context(), PruneOptions{Now: true}); !errors.Is(err, ErrBusy) {
		t.Errorf("prune beside two backups: %v", err)
	}
	leaveFirst()
	sessions(1)
	if _, err := r.Prune(t.Context(), PruneOptions{Now: true}); !errors.Is(err, ErrBusy) {
		t.Errorf("prune beside the second backup: %v", err)
	}
	leaveSecond()
	sessions(0)
	leaveThird := r.enterBackup(t.Context())
	<-r.running.own.ready
	sessions(1)
	// A prune spares what is younger than the oldest session: those that come much later have one of their own.
	now = now.Add(shareTime)
	leaveFourth := r.enterBackup(t.Context())
	<-r.running.own.ready
	sessions(2)
	leaveThird()
	sessions(1)
	leaveFourth()
	sessions(0)
	var all sync.WaitGroup
	for _, name := range []string{"a", "b", "c", "d"} {
		all.Go(func() { mustBackOrError(t, r, name, files{"x": name}) })
	}
	all.Wait()
	sessions(0)
}

// mustBackOrError is mustBack for goroutines.
func mustBackOrError(t *testing.T, r *Repo, name string, f files) {
	if _, err := back(t.Context(), r, name, f); err != nil {
		t.Errorf("backup of %s: %v", name, err)
	}
}

func TestBackupsOfARunShareAContentKey(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC)
	store := mem.New(nil)
	r := newTestRepo(t, store, Options{Now: func() time.Time { return now }})
	keys := func(want int) {
		t.Helper()
		if got := names(t, store, "content/"); len(got) != want {
			t.Errorf("content keys %q, want %d", got, want)
		}
	}
	// A dry run stores no key, so that nobody else may use its own.
	if _, err := r.Backup(t.Context(), BackupOptions{Source: files{"x": "dry"}, SourceName: "a", DryRun: true}); err != nil {
		t.Fatal(err)
	}
	keys(0)
	made := map[*Snapshot]files{}
	for _, name := range []string{"a", "b"} {
		f := files{"x": "of " + name}
		made[mustBack(t, r, name, f)] = f
	}
	keys(1)
	now = now.Add(contentKeyLife)
	f := files{"x": "later"}
	made[mustBack(t, r, "a", f)] = f
	keys(2)
	now = now.Add(-2 * contentKeyLife) // a clock that is set back makes no key older than it is
	f = files{"x": "earlier"}
	made[mustBack(t, r, "c", f)] = f
	keys(3)
	fresh := reopen(t, store, Options{})
	for s, want := range made {
		mustRestore(t, fresh, s, want)
	}
}

// failingKeys is a Store that cannot take content keys for a while.
type failingKeys struct {
	Store
	fails bool
}

var errNoRoom = errors.New("no room")

func (s *failingKeys) Create(ctx context.Context, name string, data io.Reader, size int64) error {
	if s.fails && strings.HasPrefix(name, "content/") {
		return errNoRoom
	}
	return s.Store.Create(ctx, name, data, size)
}

func TestAContentKeyThatIsNotStoredIsNotUsed(t *testing.T) {
	t.Parallel()
	store := &failingKeys{Store: mem.New(nil)}
	r := newTestRepo(t, store, Options{})
	store.fails = true
	if _, err := back(t.Context(), r, "a", files{"x": "1"}); !errors.Is(err, errNoRoom) {
		t.Errorf("backup without a key: %v", err)
	}
	store.fails = false
	s := mustBack(t, r, "a", files{"x": "1"})
	if got := names(t, store, "content/"); len(got) != 1 {
		t.Errorf("content keys %q", got)
	}
	mustRestore(t, reopen(t, store, Options{}), s, files{"x": "1"})
}

// TestSnapshotHoldsNothingOfTheSource keeps the snapshots of many sources, as a pull does: what else there was of a source goes.
func TestSnapshotHoldsNothingOfTheSource(t *testing.T) {
	type connection struct {
		origin snapshot.Origin
		_      [1 << 20]byte
	}
	r := newTestRepo(t, mem.New(nil), Options{})
	gone := make(chan bool, 1)
	c := &connection{origin: snapshot.Origin{Machine: "m"}}
	runtime.AddCleanup(c, func(done chan bool) { done <- true }, gone)
	res, err := r.Backup(t.Context(), BackupOptions{Source: files{"x": "y"}, SourceName: "s", Origin: &c.origin})
	if err != nil {
		t.Fatal(err)
	}
	c = nil
	for range 10_000 {
		runtime.GC()
		select {
		case <-gone:
			if res.Snapshot.Origin.Machine != "m" {
				t.Errorf("origin: %+v", res.Snapshot.Origin)
			}
			return
		case <-time.After(10 * time.Millisecond):
		}
	}
	t.Error("the snapshot holds what its origin was a part of")
	runtime.KeepAlive(res)
}

// TestForgettingReadsNoRecordsOfOtherSources counts what a run reads that thins out each of its sources. What a plan was made of holds for seconds: they are
// those of a bubble, in which a slow machine takes none.
func TestForgettingReadsNoRecordsOfOtherSources(t *testing.T) {
	t.Parallel()
	synctest.Test(t, forgettingReadsNoRecordsOfOtherSources)
}

func forgettingReadsNoRecordsOfOtherSources(t *testing.T) {
	store := &readCounter{Store: mem.New(nil), reads: map[string]int{}}
	made := newTestRepo(t, store, Options{})
	for i := range 12 {
		mustBack(t, made, fmt.Sprint(i%4), files{"x": fmt.Sprint(i)})
	}
	r := reopen(t, store, Options{OneRun: true})
	for i := range 4 {
		name := fmt.Sprint(i)
		mustBack(t, r, name, files{"x": "new"})
		clear(store.reads)
		plan, err := r.ForgetPlan(t.Context(), Policy{KeepLast: 2}, Filter{Sources: []string{name}}, ForgetPlanOptions{})
		if err != nil || len(plan.Remove()) != 2 || len(plan.Sources) != 1 {
			t.Fatalf("source %s: plan %+v, %v", name, plan, err)
		}
		if _, n := store.below("snapshots/"); n != 4 {
			t.Errorf("source %s: to plan, %d records were read, want its 4", name, n)
		}
		want := 2 // what the plan was made of is known
		if i%2 == 1 {
			want = 4 // unless another plan was made since
			if _, err := r.ForgetPlan(t.Context(), Policy{KeepLast: 1}, Filter{Sources: []string{"other"}}, ForgetPlanOptions{}); err != nil {
				t.Fatal(err)
			}
		}
		clear(store.reads)
		gone, err := r.Forget(t.Context(), plan.Remove(), ForgetOptions{})
		if err != nil || len(gone.Forgotten) != 2 {
			t.Fatalf("source %s: forgotten %+v, %v", name, gone, err)
		}
		if _, n := store.below("snapshots/"); n != want {
			t.Errorf("source %s: to forget, %d records were read, want %d of its own", name, n, want)
		}
		if left := snapshotIDs(t, r, name); len(left) != 2 {
			t.Errorf("source %s: %d snapshots are left", name, len(left))
		}
	}
	if _, err := r.Forget(t.Context(), snapshotIDs(t, r, "1"), ForgetOptions{}); err == nil {
		t.Error("the last snapshots of a source were forgotten")
	}
}

// snapshotIDs returns the ids of the snapshots of a source.
func snapshotIDs(t *testing.T, r *Repo, source string) (ids []SnapshotID) {
	t.Helper()
	all, err := r.Snapshots(t.Context(), Filter{Sources: []string{source}})
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range all {
		ids = append(ids, s.ID)
	}
	return ids
}

// showing is a Store that notes which files it was asked to store without waiting until their names are durable.
type showing struct {
	Store
	mu    sync.Mutex // guards what follows
	shown []string
}

func (s *showing) Show(ctx context.Context, name string, data io.Reader, size int64) error {
	folder, _, _ := strings.Cut(name, "/")
	s.mu.Lock()
	s.shown = append(s.shown, folder)
	s.mu.Unlock()
	return s.Store.Create(ctx, name, data, size)
}

// TestOnlyWhatIsOfNoUseBehindACrashIsNotDurable looks at all files that a backup, a forget, an undelete and a prune store.
func TestOnlyWhatIsOfNoUseBehindACrashIsNotDurable(t *testing.T) {
	t.Parallel()
	store := &showing{Store: mem.New(nil)}
	r := newTestRepo(t, store, Options{Parity: ParityOn})
	first := mustBack(t, r, "a", files{"x": "1"})
	mustBack(t, r, "a", files{"x": "2"})
	mustForget(t, r, ForgetOptions{}, first)
	if _, err := r.Undelete(t.Context(), []SnapshotID{first.ID}); err != nil {
		t.Fatal(err)
	}
	mustForget(t, r, ForgetOptions{Now: true}, first)
	mustPrune(t, r, PruneOptions{Now: true})
	slices.Sort(store.shown)
	if got := slices.Compact(store.shown); !slices.Equal(got, []string{"pending", "sessions"}) {
		t.Errorf("not durable: files in %q", got)
	}
}
