package repo

import (
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/snapkeep/snap/internal/store/local"
)

// protectedFolder makes a repository with parity in a folder.
func protectedFolder(t *testing.T) (dir string, store Store, o Options, r *Repo) {
	t.Helper()
	o = newClock().options()
	o.Parity = ParityOn
	dir = filepath.Join(t.TempDir(), "repo")
	folder, err := local.Create(dir, local.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = folder.Close() })
	return dir, folder, o, newTestRepo(t, folder, o)
}

// TestRepairMakesRoom puts what is no file where a file, or the folder of one, should be. Repair says what it mended, mends it, and keeps what
// was in the way.
func TestRepairMakesRoom(t *testing.T) {
	dir, store, o, r := protectedFolder(t)
	f := randomFiles(1, 20, 30_000)
	s := mustBack(t, r, "a", f)
	before := listing(t, store)
	obstacles := []struct {
		what string
		put  func(path string) error
	}{
		{"folder", func(path string) error { return os.Mkdir(path, 0o700) }},
		{"full folder", func(path string) error {
			return errors.Join(os.Mkdir(path, 0o700), os.WriteFile(filepath.Join(path, "x"), nil, 0o600))
		}},
		{"link to nothing", func(path string) error { return os.Symlink("nowhere", path) }},
		{"link to itself", func(path string) error { return os.Symlink(filepath.Base(path), path) }},
		{"pipe", func(path string) error { return syscall.Mkfifo(path, 0o600) }},
	}
	n := 0
	for _, name := range slices.Sorted(maps.Keys(before)) {
		kind, _ := classify(name)
		if !copied(kind) && kind != fileCopy && kind != fileParity {
			continue
		}
		path, in := filepath.Join(dir, name), obstacles[n%len(obstacles)]
		if err := errors.Join(os.Remove(path), in.put(path)); err != nil {
			t.Fatal(err)
		}
		repairsOne(t, store, o, name, in.what)
		n++
	}
	if n < 2*len(obstacles) {
		t.Errorf("%d files were tried", n)
	}
	for name, size := range listing(t, store) {
		if before[name] != size && !strings.HasPrefix(name, badPrefix) && !strings.HasPrefix(name, logPrefix) {
			t.Errorf("%s has %d bytes, had %d", name, size, before[name])
		}
	}
	mustRestore(t, reopen(t, store, o), s, f)
}

// TestRepairMakesRoomForFolders does the same with the folders of parity.
func TestRepairMakesRoomForFolders(t *testing.T) {
	dir, store, o, r := protectedFolder(t)
	mustBack(t, r, "a", randomFiles(1, 20, 30_000))
	name := names(t, store, parityPrefix)[0]
	folder := filepath.Join(dir, filepath.Dir(name))
	if err := errors.Join(os.RemoveAll(folder), os.WriteFile(folder, []byte("no folder"), 0o600)); err != nil {
		t.Fatal(err)
	}
	repairsOne(t, store, o, name, "file for a folder")
	kept := names(t, store, badPrefix+name)
	if len(kept) != 1 {
		t.Fatalf("kept are %q", kept)
	}
	if data, err := os.ReadFile(filepath.Join(dir, kept[0])); err != nil || string(data) != "no folder" {
		t.Errorf("%s holds %q, %v", kept[0], data, err)
	}
}

// repairsOne expects that a repair mends one file, after a dry run said so.
func repairsOne(t *testing.T, store Store, o Options, name, what string) {
	t.Helper()
	dry := mustRepair(t, reopen(t, store, o), RepairOptions{DryRun: true})
	res, err := reopen(t, store, o).Repair(t.Context(), RepairOptions{})
	if !errors.Is(err, ErrDamagedFound) || !slices.Equal(res.Mended, []string{name}) || len(res.Damage) > 0 || !slices.Equal(dry.Mended, res.Mended) {
		t.Errorf("%s for %s: %v: %+v; dry run %+v", what, name, err, res, dry)
	}
	mustCheck(t, reopen(t, store, o))
}

// TestLostFilesAreMissed removes each file that has a second copy. Check says that it is missing, and repair brings it back.
func TestLostFilesAreMissed(t *testing.T) {
	store, o, first, _, f1, _ := protected(t)
	for name := range listing(t, store) {
		if kind, _ := classify(name); !copied(kind) {
			continue
		}
		clone := store.Clone()
		if err := clone.Remove(t.Context(), name); err != nil {
			t.Fatal(err)
		}
		result, err := reopen(t, clone, o).Check(t.Context(), CheckOptions{})
		if !errors.Is(err, ErrDamagedFound) || len(result.Damage) != 1 || result.Damage[0].Name != name || !result.Damage[0].Missing || !errors.Is(result.Damage[0].Err, fs.ErrNotExist) {
			t.Errorf("%s: %v: %+v", name, err, result)
		}
		repairsOne(t, clone, o, name, "nothing")
		mustRestore(t, reopen(t, clone, o), first, f1)
	}
}

// TestPruneKeepsWhatALostSnapshotNeeds removes the record of a snapshot, of which there is a copy. Prune says so and removes nothing.
func TestPruneKeepsWhatALostSnapshotNeeds(t *testing.T) {
	store, o, first, _, f1, _ := protected(t)
	if err := store.Remove(t.Context(), "snapshots/"+first.ID.String()); err != nil {
		t.Fatal(err)
	}
	before := listing(t, store)
	if _, err := reopen(t, store, o).Prune(t.Context(), PruneOptions{Now: true}); !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), short(first.ID)) {
		t.Errorf("prune: %v", err)
	}
	for name, size := range before {
		if now, ok := listing(t, store)[name]; !ok || now != size {
			t.Errorf("%s has gone or changed", name)
		}
	}
	mustRepair(t, reopen(t, store, o), RepairOptions{})
	if _, err := reopen(t, store, o).Prune(t.Context(), PruneOptions{Now: true}); err != nil {
		t.Error(err)
	}
	mustRestore(t, reopen(t, store, o), first, f1)
}
