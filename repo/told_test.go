package repo_test

import (
	"bytes"
	"errors"
	"io/fs"
	"testing"
	"testing/fstest"
	"time"

	"github.com/snapkeep/snap/internal/store/mem"
	"github.com/snapkeep/snap/repo"
)

// TestOpenTellsDamagedFromNewer compares errors with the variables that the package has for them.
func TestOpenTellsDamagedFromNewer(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		change func(config []byte) []byte
		want   error
		is     func(error) bool
	}{
		"cut off": {func(b []byte) []byte { return b[:len(b)/2] }, repo.ErrDamaged, repo.IsDamage},
		"newer":   {func(b []byte) []byte { return bytes.Replace(b, []byte(`"version":1`), []byte(`"version":99`), 1) }, repo.ErrNewer, repo.IsNewer},
	} {
		store := mem.New(nil)
		to, cred := weak(t)
		r, err := repo.Create(t.Context(), store, to, repo.CreateOptions{})
		if err != nil {
			t.Fatal(err)
		}
		r.Close()
		size, _, err := store.Stat(t.Context(), "snap.json")
		if err != nil {
			t.Fatal(err)
		}
		config := make([]byte, size)
		if _, err := store.ReadAt(t.Context(), "snap.json", config, 0); err != nil {
			t.Fatal(err)
		}
		if err := store.Remove(t.Context(), "snap.json"); err != nil {
			t.Fatal(err)
		}
		changed := tc.change(config)
		if err := store.Create(t.Context(), "snap.json", bytes.NewReader(changed), int64(len(changed))); err != nil {
			t.Fatal(err)
		}
		_, err = repo.Open(t.Context(), store, cred, repo.Options{})
		if !errors.Is(err, tc.want) || !tc.is(err) {
			t.Errorf("%s: %v, want %v", name, err, tc.want)
		}
		if errors.Is(err, repo.ErrDamaged) == errors.Is(err, repo.ErrNewer) {
			t.Errorf("%s: %v is as good as both", name, err)
		}
	}
}

// TestMissingPackIsNoMissingPath takes all packs away: what lies in them is damaged, and does not seem never to have been saved.
func TestMissingPackIsNoMissingPath(t *testing.T) {
	t.Parallel()
	for _, folder := range []string{"data/", "meta/"} {
		store := mem.New(nil)
		to, cred := weak(t)
		r, err := repo.Create(t.Context(), store, to, repo.CreateOptions{})
		if err != nil {
			t.Fatal(err)
		}
		res, err := r.Backup(t.Context(), repo.BackupOptions{Source: repo.FromFS(fstest.MapFS{"a": {Data: []byte("alpha")}}), SourceName: "here"})
		if err != nil {
			t.Fatal(err)
		}
		r.Close()
		var packs []string
		err = store.List(t.Context(), folder, func(name string, _ int64, _ time.Time) error {
			packs = append(packs, name)
			return nil
		})
		if err != nil || len(packs) == 0 {
			t.Fatalf("packs %q, %v", packs, err)
		}
		for _, name := range packs {
			if err := store.Remove(t.Context(), name); err != nil {
				t.Fatal(err)
			}
		}
		if r, err = repo.Open(t.Context(), store, cred, repo.Options{}); err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		_, err = fs.ReadFile(r.FS(t.Context(), res.Snapshot), "a")
		errs := []error{err}
		if folder == "meta/" {
			_, lookup := r.Lookup(t.Context(), res.Snapshot, "a")
			_, list := r.ReadDir(t.Context(), res.Snapshot, "")
			walk := r.Walk(t.Context(), res.Snapshot, "", func(string, []repo.Entry) error { return nil })
			_, restore := r.Restore(t.Context(), res.Snapshot, repo.RestoreOptions{Target: t.TempDir()})
			errs = append(errs, lookup, list, walk, restore)
		}
		for i, err := range errs {
			if !repo.IsDamage(err) || !errors.Is(err, repo.ErrDamaged) || errors.Is(err, fs.ErrNotExist) {
				t.Errorf("%s, error %d: %v", folder, i, err)
			}
		}
		if _, err := fs.ReadFile(r.FS(t.Context(), res.Snapshot), "b"); folder == "data/" && !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("a path that the snapshot does not have: %v", err)
		}
	}
}

// closedFS has files that cannot be opened.
type closedFS struct{ fstest.MapFS }

func (f closedFS) Open(name string) (fs.File, error) {
	if info, err := f.MapFS.Stat(name); err == nil && !info.IsDir() {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrPermission}
	}
	return f.MapFS.Open(name)
}

// shutFS has a folder that cannot be listed.
type shutFS struct{ fstest.MapFS }

func (f shutFS) ReadDir(name string) ([]fs.DirEntry, error) {
	if name == "shut" {
		return nil, &fs.PathError{Op: "readdir", Path: name, Err: fs.ErrPermission}
	}
	return f.MapFS.ReadDir(name)
}

// TestNothingFoundIsNoSnapshot backs up a folder that cannot be listed, where nothing else is and then beside files: one that cannot be read is in the
// snapshot without content.
func TestNothingFoundIsNoSnapshot(t *testing.T) {
	t.Parallel()
	r := inMemory(t)
	shut := repo.FromFS(shutFS{fstest.MapFS{"shut/a": {Data: []byte("alpha")}}})
	o := repo.BackupOptions{Source: shut, SourceName: "here"}
	if res, err := r.Backup(t.Context(), o); !errors.Is(err, repo.ErrEmpty) {
		t.Errorf("nothing is found: %+v, %v", res, err)
	}
	o.AllowEmpty = true
	if res, err := r.Backup(t.Context(), o); err != nil || !res.Partial || res.Summary.Unreadable != 1 {
		t.Errorf("with AllowEmpty: %+v, %v", res, err)
	}
	o.AllowEmpty, o.Source = false, repo.Merge(shut, repo.FromFS(closedFS{fstest.MapFS{"closed": {Data: []byte("beta")}}}))
	res, err := r.Backup(t.Context(), o)
	if err != nil || !res.Partial || res.Summary.Unreadable != 2 {
		t.Fatalf("with a file that cannot be read: %+v, %v", res, err)
	}
	if _, err := r.OpenFile(t.Context(), res.Snapshot, "closed"); !errors.Is(err, repo.ErrUnreadable) {
		t.Errorf("open what could not be read: %v", err)
	}
}
