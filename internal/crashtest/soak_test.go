package crashtest

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"strings"
	"syscall"
	"testing"
	"testing/fstest"
	"time"

	"filippo.io/age"
	"github.com/snapkeep/snap/internal/source/iofs"
	"github.com/snapkeep/snap/internal/store/faulty"
	"github.com/snapkeep/snap/internal/store/mem"
	"github.com/snapkeep/snap/repo"
)

// years is a repository that is used for a long time, in a short one.
type years struct {
	testing.TB
	now     time.Time
	store   *mem.Store
	secret  *age.X25519Identity
	rng     *rand.Rand
	sources map[string]fstest.MapFS
	kept    map[repo.SnapshotID]kept
	sound   bool // the storage does not fail any more
	faults  int
	failed  map[string]int // operations, by name
}

// kept is a snapshot that nobody has forgotten.
type kept struct {
	source string
	files  fstest.MapFS
}

// TestSoak backs three sources up every day, forgets and prunes every week, and has the storage fail now and then.
func TestSoak(t *testing.T) {
	t.Parallel()
	days := size(40, 400)
	if testing.Short() {
		days = 15
	}
	y := newYears(t, seed(5))
	for day := range days {
		y.now = y.now.Add(24 * time.Hour)
		for name := range y.sources {
			y.change(name)
			y.backup(name)
		}
		if day%7 == 6 {
			y.tidy()
		}
		if day%50 == 49 {
			y.run("check", false, func(ctx context.Context, r *repo.Repo) error {
				_, err := r.Check(ctx, repo.CheckOptions{ReadData: true})
				return err
			})
		}
		if t.Failed() {
			t.Fatalf("day %d", day)
		}
	}
	y.end()
	t.Logf("%d days, %d faults, operations that failed: %v", days, y.faults, y.failed)
}

func newYears(t testing.TB, seed uint64) *years {
	t.Helper()
	y := &years{TB: t, now: time.Date(2026, 1, 1, 2, 0, 0, 0, time.UTC), rng: rand.New(rand.NewPCG(seed, 3)),
		sources: map[string]fstest.MapFS{}, kept: map[repo.SnapshotID]kept{}, failed: map[string]int{}}
	var err error
	if y.secret, err = age.GenerateX25519Identity(); err != nil {
		t.Fatal(err)
	}
	y.store = y.fresh()
	for _, name := range []string{"mail", "photos", "system"} {
		y.sources[name] = fstest.MapFS{}
		for range 8 {
			y.change(name)
		}
	}
	return y
}

func (y *years) clock() time.Time { return y.now }

func (y *years) options() repo.Options { return repo.Options{Now: y.clock, PackSize: 4 << 20} }

// fresh makes an empty repository.
func (y *years) fresh() *mem.Store {
	y.Helper()
	to, err := repo.ForAge(y.secret.Recipient().String())
	if err != nil {
		y.Fatal(err)
	}
	store := mem.New(y.clock)
	r, err := repo.Create(y.Context(), store, to, repo.CreateOptions{Options: y.options()})
	if err != nil {
		y.Fatal(err)
	}
	if err := r.Close(); err != nil {
		y.Fatal(err)
	}
	return store
}

// change writes, or removes, a file of a source.
func (y *years) change(name string) {
	source := y.sources[name]
	path := fmt.Sprintf("d%d/f%d", y.rng.IntN(3), y.rng.IntN(4))
	if y.rng.IntN(5) == 0 && len(source) > 4 {
		delete(source, path)
		return
	}
	data := make([]byte, y.rng.IntN(1_000_000))
	for i := range data {
		data[i] = byte(y.rng.Uint32())
	}
	source[path] = &fstest.MapFile{Data: data, Mode: 0o644, ModTime: y.now}
}

// run opens the repository and does something, with a storage that may fail. It reports whether all went well.
func (y *years) run(what string, mayFail bool, fn func(ctx context.Context, r *repo.Repo) error) bool {
	y.Helper()
	store, injector := repo.Store(y.store), faulty.NewInjector()
	if mayFail && !y.sound && y.rng.IntN(5) == 0 {
		injector = faulty.NewInjector(faulty.Fault{Class: faulty.All, After: y.rng.IntN(60), Times: []int{1, 2, -1}[y.rng.IntN(3)],
			Err: []error{syscall.EIO, syscall.ENOSPC}[y.rng.IntN(2)], Bytes: y.rng.Int64N(2000), LoseReply: y.rng.IntN(4) == 0})
		store = injector.Wrap(y.store)
	}
	credential, err := repo.AgeIdentities([]byte(y.secret.String()))
	if err != nil {
		y.Fatal(err)
	}
	r, err := repo.Open(y.Context(), store, credential, y.options())
	if err == nil {
		err = errors.Join(fn(y.Context(), r), r.Close())
	}
	y.faults += injector.Fired()
	if err == nil {
		return true
	}
	y.failed[what]++
	if injector.Fired() == 0 {
		y.Errorf("%s: %v", what, err)
	}
	return false
}

// backup backs a source up.
func (y *years) backup(name string) {
	y.Helper()
	files := maps.Clone(y.sources[name])
	y.run("backup", true, func(ctx context.Context, r *repo.Repo) error {
		res, err := r.Backup(ctx, repo.BackupOptions{Source: iofs.New(files), SourceName: name})
		if err == nil {
			y.kept[res.Snapshot.ID] = kept{name, files}
		}
		return err
	})
	y.compare(func(*repo.Snapshot) kept { return kept{name, files} })
}

// compare looks whether all snapshots are there. Those that were stored although the run failed come from unknown.
func (y *years) compare(unknown func(s *repo.Snapshot) kept) {
	y.Helper()
	y.run("list", false, func(ctx context.Context, r *repo.Repo) error {
		all, err := r.Snapshots(ctx, repo.Filter{})
		seen := map[repo.SnapshotID]bool{}
		for _, s := range all {
			seen[s.ID] = true
			if _, ok := y.kept[s.ID]; !ok {
				y.kept[s.ID] = unknown(s)
			}
		}
		for id, k := range y.kept {
			if !seen[id] {
				y.Errorf("snapshot %s of %s is gone", id, k.source)
			}
		}
		return err
	})
}

// tidy forgets by the default policy, and prunes.
func (y *years) tidy() {
	y.Helper()
	leaving := map[repo.SnapshotID]kept{}
	y.run("forget", true, func(ctx context.Context, r *repo.Repo) error {
		plan, err := r.ForgetPlan(ctx, repo.DefaultPolicy(), repo.Filter{}, repo.ForgetPlanOptions{})
		if err != nil {
			return err
		}
		for _, id := range plan.Remove() {
			leaving[id] = y.kept[id]
			delete(y.kept, id)
		}
		_, err = r.Forget(ctx, plan.Remove(), repo.ForgetOptions{})
		return err
	})
	// If it failed some may still be there.
	y.compare(func(s *repo.Snapshot) kept { return leaving[s.ID] })
	y.run("prune", true, func(ctx context.Context, r *repo.Repo) error {
		_, err := r.Prune(ctx, repo.PruneOptions{MaxUnused: -1})
		return err
	})
}

// end lets all graces pass, and compares what is left with a repository that was made today.
func (y *years) end() {
	y.Helper()
	y.sound = true
	for range 4 {
		y.now = y.now.Add(8 * 24 * time.Hour)
		y.tidy()
	}
	want := y.fresh()
	var order []*repo.Snapshot
	y.run("restore", false, func(ctx context.Context, r *repo.Repo) (err error) {
		order, err = r.Snapshots(ctx, repo.Filter{})
		for _, s := range order {
			y.restore(ctx, r, s)
		}
		return err
	})
	y.run("check", false, func(ctx context.Context, r *repo.Repo) error {
		_, err := r.Check(ctx, repo.CheckOptions{ReadData: true})
		return err
	})
	if err := y.again(want, order); err != nil {
		y.Fatal(err)
	}
	got, fresh := folderSizes(y, y.store), folderSizes(y, want)
	for _, folder := range []string{"data", "meta"} {
		if got[folder] > fresh[folder]*105/100 {
			y.Errorf("%s: %d bytes, a fresh repository has %d", folder, got[folder], fresh[folder])
		}
	}
	if got["all"] > fresh["all"]*105/100 {
		y.Errorf("%d bytes, a fresh repository has %d", got["all"], fresh["all"])
	}
	y.Logf("%d snapshots; bytes: %v; fresh: %v", len(order), got, fresh)
}

func (y *years) restore(ctx context.Context, r *repo.Repo, s *repo.Snapshot) {
	y.Helper()
	want := contents(y, y.kept[s.ID].files)
	n := 0
	err := readTree(r.FS(ctx, s), func(path, data string) {
		n++
		if want[path] != data {
			y.Errorf("snapshot %s: %q is not what was saved", s.ID, path)
		}
	})
	if err != nil || n != len(want) {
		y.Errorf("snapshot %s: %d of %d: %v", s.ID, n, len(want), err)
	}
}

// again makes the same snapshots in another store.
func (y *years) again(store *mem.Store, order []*repo.Snapshot) error {
	credential, err := repo.AgeIdentities([]byte(y.secret.String()))
	if err != nil {
		return err
	}
	r, err := repo.Open(y.Context(), store, credential, y.options())
	if err != nil {
		return err
	}
	defer r.Close()
	for _, s := range order {
		k := y.kept[s.ID]
		if _, err := r.Backup(y.Context(), repo.BackupOptions{Source: iofs.New(fs.FS(k.files)), SourceName: k.source}); err != nil {
			return err
		}
	}
	return nil
}

func folderSizes(t testing.TB, store *mem.Store) map[string]int64 {
	t.Helper()
	out := map[string]int64{}
	err := store.List(t.Context(), "", func(name string, size int64, _ time.Time) error {
		folder, _, _ := strings.Cut(name, "/")
		out[folder] += size
		out["all"] += size
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}
