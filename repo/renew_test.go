package repo

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"testing"

	"github.com/snapkeep/snap/internal/source"
	"github.com/snapkeep/snap/internal/tree"
)

// Whoever has opened a repository before a prune reads what the prune has copied to other packs.
func TestReadersGoOnAfterAPrune(t *testing.T) {
	c := newClock()
	o := c.options()
	o.PackSize = 4 << 20
	writer := newTestRepo(t, c.store(), o)
	rng := rand.New(rand.NewPCG(1, 1))
	f := files{}
	for i := range 12 {
		f[fmt.Sprintf("dir/file%d", i)] = randomText(rng, 600_000)
	}
	first := mustBack(t, writer, "a", f)
	for i := range 9 {
		delete(f, fmt.Sprintf("dir/file%d", i))
	}
	second := mustBack(t, writer, "a", f)
	reader, restorer := reopenSynced(t, writer.store, o), reopenSynced(t, writer.store, o)
	listed, err := reader.ReadDir(t.Context(), second, "dir")
	if err != nil || len(listed) != 3 {
		t.Fatal(len(listed), err)
	}
	mustForget(t, writer, ForgetOptions{Now: true}, first)
	if res := mustPrune(t, writer, PruneOptions{Now: true, MaxUnused: -1}); res.RemovedPacks == 0 || res.CopiedBytes == 0 {
		t.Fatalf("prune: %+v", res)
	}
	mustRestore(t, reader, second, f)
	to := t.TempDir()
	res, err := restorer.Restore(t.Context(), second, RestoreOptions{Target: to, Problem: func(path string, err error) { t.Errorf("%s: %v", path, err) }})
	if err != nil || res.Failed != 0 {
		t.Errorf("%+v, %v", res, err)
	}
	for name, want := range f {
		if got, err := os.ReadFile(to + "/" + name); err != nil || string(got) != want {
			t.Errorf("%s: %d bytes, %v", name, len(got), err)
		}
	}
}

// A pack that is missing is damage. It is not what fs.ErrNotExist says of a path: whoever copies files would take them for deleted.
func TestMissingPackIsNoMissingFile(t *testing.T) {
	c := newClock()
	for _, prefix := range []string{"data/", "meta/"} {
		r := newTestRepo(t, c.store(), c.options())
		s := mustBack(t, r, "a", files{"dir/file": "content"})
		for _, name := range names(t, r.store, prefix) {
			if err := r.store.Remove(t.Context(), name); err != nil {
				t.Fatal(err)
			}
		}
		r = reopen(t, r.store, c.options())
		fsys := r.FS(t.Context(), s)
		_, readErr := fs.ReadFile(fsys, "dir/file")
		_, lookErr := r.Lookup(t.Context(), s, "dir/file")
		for _, err := range []error{readErr, lookErr} {
			if err == nil && prefix == "data/" {
				continue
			}
			if !IsDamage(err) || errors.Is(err, fs.ErrNotExist) {
				t.Errorf("without %s: %v", prefix, err)
			}
		}
		if readErr == nil {
			t.Errorf("without %s the file is read", prefix)
		}
	}
}

// unlistable is a source with a folder that cannot be listed.
type unlistable struct{ files }

func (s unlistable) Root(context.Context) (Dir, error) {
	return unlistableDir{memDir{s.files, ""}}, nil
}

type unlistableDir struct{ memDir }

func (d unlistableDir) List(ctx context.Context) ([]tree.Stat, []source.Problem, error) {
	if d.path == "closed" {
		return nil, nil, errors.New("input/output error")
	}
	return d.memDir.List(ctx)
}

func (d unlistableDir) OpenDir(ctx context.Context, st *tree.Stat) (Dir, error) {
	sub, err := d.memDir.OpenDir(ctx, st)
	if err != nil {
		return nil, err
	}
	return unlistableDir{sub.(memDir)}, nil
}

// A copy of a folder that could not be listed is no empty folder: a restore of it that deletes would take it for one.
func TestCopyKnowsWhatCouldNotBeListed(t *testing.T) {
	c := newClock()
	from, to := c.repo(t), c.repo(t)
	f := files{"closed/file": "hidden", "open/file": "content"}
	made, err := from.Backup(t.Context(), BackupOptions{Source: unlistable{f}, SourceName: "a", Paths: []string{"/"}})
	if err != nil || !made.Partial {
		t.Fatalf("%+v, %v", made, err)
	}
	if _, err := to.Copy(t.Context(), from, []*Snapshot{made.Snapshot}, CopyOptions{}); err != nil {
		t.Fatal(err)
	}
	copies, err := to.Snapshots(t.Context(), Filter{})
	if err != nil || len(copies) != 1 {
		t.Fatal(len(copies), err)
	}
	for _, at := range []struct {
		r *Repo
		s *Snapshot
	}{{from, made.Snapshot}, {to, copies[0]}} {
		got := map[string]bool{}
		err := at.r.WalkListings(t.Context(), at.s, "", func(l Listing) error {
			got[l.Dir] = l.Unreadable
			return nil
		})
		if want := map[string]bool{"": false, "closed": true, "open": false}; err != nil || !maps.Equal(got, want) {
			t.Errorf("%v, %v", got, err)
		}
		target := t.TempDir()
		if err := errors.Join(os.Mkdir(target+"/closed", 0o755), os.WriteFile(target+"/closed/file", []byte("kept"), 0o600)); err != nil {
			t.Fatal(err)
		}
		res, err := at.r.Restore(t.Context(), at.s, RestoreOptions{Target: target, Delete: true, Path: ""})
		if err != nil || res.Failed != 1 {
			t.Errorf("restore: %+v, %v", res, err)
		}
		if _, err := os.Stat(target + "/closed/file"); err != nil {
			t.Error(err)
		}
	}
}
