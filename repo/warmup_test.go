package repo

import (
	"context"
	"errors"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/snapkeep/snap/internal/filter"
	"github.com/snapkeep/snap/internal/store/mem"
)

// cold is a store whose packs of file data can be read only after they were warmed up.
type cold struct {
	Store

	mu   sync.Mutex // guards what follows
	warm map[string]bool
	read map[string]bool
}

func newCold() *cold {
	return &cold{Store: mem.New(nil), warm: map[string]bool{}, read: map[string]bool{}}
}

func (c *cold) ReadAt(ctx context.Context, name string, p []byte, off int64) (int, error) {
	if strings.HasPrefix(name, "data/") {
		c.mu.Lock()
		defer c.mu.Unlock()
		if !c.warm[name] {
			return 0, ErrArchived
		}
		c.read[name] = true
	}
	return c.Store.ReadAt(ctx, name, p, off)
}

// warmUp warms packs up, and fails if that was done before.
func (c *cold) warmUp(_ context.Context, names []string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, name := range names {
		if c.warm[name] {
			return errors.New(name + " is warm already")
		}
		c.warm[name] = true
	}
	if !slices.IsSorted(names) {
		return errors.New("the names are in no order")
	}
	return nil
}

// cool lets all packs be cold again, and returns those that were warmed up and those of them that were read.
func (c *cold) cool() (warm, read map[string]bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	warm, read = c.warm, c.read
	c.warm, c.read = map[string]bool{}, map[string]bool{}
	return warm, read
}

// TestPacksAreWarmedUpBeforeTheyAreRead restores, checks, copies and prunes a repository whose packs are in an archive. What is warmed up is what is
// read.
func TestPacksAreWarmedUpBeforeTheyAreRead(t *testing.T) {
	t.Parallel()
	store := newCold()
	made := newTestRepo(t, store, Options{PackSize: 1 << 20})
	first, second := randomFiles(1, 48, 600_000), randomFiles(2, 48, 600_000)
	s := mustBack(t, made, "one", first)
	mixed := files{}
	for i, name := range slices.Sorted(maps.Keys(first)) {
		if mixed[name] = first[name]; i%2 == 0 {
			mixed[name] = second[name]
		}
	}
	mustBack(t, made, "one", mixed)
	if warm, _ := store.cool(); len(warm) > 0 {
		t.Errorf("a backup warms up %d packs", len(warm))
	}
	if result, err := made.Restore(t.Context(), s, RestoreOptions{Target: t.TempDir()}); err == nil && result.Failed == 0 {
		t.Error("packs in the archive are read")
	}
	open := func() *Repo { return reopen(t, store, Options{PackSize: 1 << 20, WarmUp: store.warmUp}) }
	total := 0
	err := store.List(t.Context(), "data/", func(string, int64, time.Time) error { total++; return nil })
	if err != nil || total < 8 {
		t.Fatalf("%d packs, %v", total, err)
	}
	same := func(what string, least, most int) {
		t.Helper()
		warm, read := store.cool()
		if !maps.Equal(warm, read) || len(warm) < least || len(warm) > most {
			t.Errorf("%s: %d packs were warmed up and %d read, of %d", what, len(warm), len(read), total)
		}
	}

	restore := func(o RestoreOptions) {
		t.Helper()
		o.Target = t.TempDir()
		if result, err := open().Restore(t.Context(), s, o); err != nil || result.Failed > 0 {
			t.Errorf("restore: %+v, %v", result, err)
		}
	}
	restore(RestoreOptions{})
	same("restore", 4, total-1)
	only, err := filter.Compile([]string{"/" + slices.Sorted(maps.Keys(first))[0]}, filter.Options{})
	if err != nil {
		t.Fatal(err)
	}
	restore(RestoreOptions{Include: []*filter.List{only}})
	same("restore of one file", 1, 2)
	restore(RestoreOptions{Path: "dir1"})
	same("restore of a folder", 1, total/2)
	r := open()
	if err := r.WarmUp(t.Context(), s, slices.Sorted(maps.Keys(first))[1]); err != nil {
		t.Error(err)
	}
	if warm, _ := store.cool(); len(warm) < 1 || len(warm) > 2 {
		t.Errorf("one file is in %d packs", len(warm))
	}
	if _, err := open().Check(t.Context(), CheckOptions{ReadData: true}); err != nil {
		t.Error(err)
	}
	same("check", total, total)
	into := newTestRepo(t, mem.New(nil), Options{})
	if _, err := into.Copy(t.Context(), open(), []*Snapshot{s}, CopyOptions{}); err != nil {
		t.Error(err)
	}
	same("copy", 4, total-1)
	for _, blind := range []bool{false, true} {
		to := mem.New(nil)
		if err := StartReplica(t.Context(), store, to); err != nil {
			t.Fatal(err)
		}
		var result *ReplicateResult
		var err error
		if blind {
			result, err = ReplicateBlind(t.Context(), store, to, ReplicateOptions{WarmUp: store.warmUp})
		} else {
			result, err = reopen(t, to, Options{}).Replicate(t.Context(), open(), ReplicateOptions{})
		}
		if err != nil || result.Partial() {
			t.Errorf("replicate: %+v, %v", result, err)
		}
		same("replicate", 4, total)
	}
	cold := mem.New(nil)
	if err := StartReplica(t.Context(), store, cold); err != nil {
		t.Fatal(err)
	}
	if result, err := ReplicateBlind(t.Context(), store, cold, ReplicateOptions{}); !errors.Is(err, ErrArchived) || len(result.Damaged) != 0 {
		t.Errorf("packs in an archive: %+v, %v", result, err)
	}
	if _, err := Scrub(t.Context(), store, ScrubOptions{WarmUp: store.warmUp}); err != nil {
		t.Error(err)
	}
	same("scrub", total, total)
	for _, dry := range []bool{true, false} {
		if result, err := open().Repair(t.Context(), RepairOptions{DryRun: dry}); err != nil || result.Archived != 0 {
			t.Errorf("repair: %+v, %v", result, err)
		}
		same("repair", total, total)
	}
	r = open()
	x, err := r.Lookup(t.Context(), s, slices.Sorted(maps.Keys(first))[0])
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := r.WarmUpEntry(t.Context(), x); err != nil {
			t.Error(err)
		}
	}
	if f, err := r.OpenEntry(t.Context(), x); err != nil {
		t.Error(err)
	} else if _, err := io.ReadAll(f); err != nil {
		t.Error(err)
	}
	same("one entry", 1, 2)
	if _, err := made.Forget(t.Context(), []SnapshotID{s.ID}, ForgetOptions{Now: true}); err != nil {
		t.Fatal(err)
	}
	if result := mustPrune(t, open(), PruneOptions{Now: true, MaxUnused: -1}); result.Repacked == 0 {
		t.Errorf("nothing was copied: %+v", result)
	}
	same("prune", 1, total-1)

	refused := errors.New("the archive is closed")
	r = reopen(t, store, Options{WarmUp: func(context.Context, []string) error { return refused }})
	if _, err := r.Check(t.Context(), CheckOptions{ReadData: true}); !errors.Is(err, refused) {
		t.Errorf("a command that failed: %v", err)
	}
}

// TestWhatIsInAnArchiveIsNoDamage looks at a repository whose packs nobody can read at once. No pack is given up.
func TestWhatIsInAnArchiveIsNoDamage(t *testing.T) {
	t.Parallel()
	store := newCold()
	r := newTestRepo(t, store, Options{PackSize: 1 << 20})
	content := randomFiles(1, 8, 600_000)
	s := mustBack(t, r, "one", content)
	if _, err := r.Check(t.Context(), CheckOptions{ReadData: true}); !errors.Is(err, ErrArchived) || errors.Is(err, ErrDamagedFound) {
		t.Errorf("check: %v", err)
	}
	if _, err := Scrub(t.Context(), store, ScrubOptions{}); !errors.Is(err, ErrArchived) || errors.Is(err, ErrDamagedFound) {
		t.Errorf("scrub: %v", err)
	}
	result, err := reopen(t, store, Options{}).Repair(t.Context(), RepairOptions{})
	if err != nil || result.Archived == 0 || result.found() {
		t.Errorf("repair: %+v, %v", result, err)
	}
	// Nothing was condemned.
	r = reopen(t, store, Options{WarmUp: store.warmUp})
	mustPrune(t, r, PruneOptions{Now: true})
	if result, err := r.Restore(t.Context(), s, RestoreOptions{Target: t.TempDir()}); err != nil || result.Failed > 0 || result.Files != int64(len(content)) {
		t.Errorf("restore: %+v, %v", result, err)
	}
}
