package repo_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"testing"

	"filippo.io/age"

	"github.com/snapkeep/snap/internal/store/faulty"
	"github.com/snapkeep/snap/internal/store/mem"
	"github.com/snapkeep/snap/repo"
)

func TestRestoreBringsFilesBack(t *testing.T) {
	dir := t.TempDir()
	want := map[string][]byte{"a": []byte("alpha"), "sub/b": noise(3<<20, 5), "sub/deep/c": nil}
	for name, data := range want {
		write(t, dir, name, data)
	}
	f := newFixture(t, dir)
	// Where the folder's contents come to lie.
	for path, below := range map[string]string{"": dir, dir: "", f.under() + "/": ""} {
		to := t.TempDir()
		res, err := f.repo.Restore(t.Context(), f.snapshot, repo.RestoreOptions{Target: to, Path: path, Verify: true,
			Problem: func(path string, err error) { t.Errorf("%s: %v", path, err) }})
		if err != nil || int(res.Files) != len(want) {
			t.Errorf("path %q: %+v, %v", path, res, err)
		}
		for name, data := range want {
			if got, err := os.ReadFile(to + below + "/" + name); err != nil || !bytes.Equal(got, data) {
				t.Errorf("path %q: %s: %d bytes, %v", path, name, len(got), err)
			}
		}
	}
}

// TestRestoreDeletesInWhatWasSavedOnly restores over the place that was backed up, beside which
// other things lie.
func TestRestoreDeletesInWhatWasSavedOnly(t *testing.T) {
	base := t.TempDir()
	dir := base + "/saved"
	write(t, dir, "file", []byte("content"))
	f := &fixture{dir: dir, store: mem.New(nil)}
	to, _ := weak(t)
	var err error
	if f.repo, err = repo.Create(t.Context(), f.store, to, repo.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	f.paths = []string{dir + "/./"}
	f.backup(t)
	root := t.TempDir()
	write(t, root+base, "beside", []byte("own"))
	write(t, root+dir, "extra", []byte("extra"))
	res, err := f.repo.Restore(t.Context(), f.snapshot, repo.RestoreOptions{Target: root, Delete: true})
	if err != nil || res.Deleted != 1 {
		t.Errorf("%+v, %v", res, err)
	}
	if _, err := os.Stat(root + base + "/beside"); err != nil {
		t.Errorf("what lies beside: %v", err)
	}
	if _, err := os.Stat(root + dir + "/extra"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("what the snapshot does not have: %v", err)
	}
}

func TestWriterSlotCannotRestore(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "file", []byte("content"))
	f := newFixture(t, dir)
	id, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	to, err := repo.ForAge(id.Recipient().String())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.repo.AddSlot(t.Context(), to, repo.RoleWriter, "writer"); err != nil {
		t.Fatal(err)
	}
	credential, err := repo.AgeIdentities([]byte(id.String()))
	if err != nil {
		t.Fatal(err)
	}
	counter := new(faulty.Counter)
	w, err := repo.Open(t.Context(), counter.Wrap(f.store.(*mem.Store)), credential, repo.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	before := counter.Counts()
	target := t.TempDir() + "/none"
	if _, err := w.Restore(t.Context(), f.snapshot, repo.RestoreOptions{Target: target}); !errors.Is(err, repo.ErrCannotReadData) {
		t.Errorf("restore: %v", err)
	}
	if _, err := os.Stat(target); !errors.Is(err, os.ErrNotExist) || counter.Counts() != before {
		t.Errorf("it did something: %v, %+v", err, counter.Counts())
	}
	if _, err := w.Restore(t.Context(), f.snapshot, repo.RestoreOptions{Target: target, DryRun: true}); err != nil {
		t.Errorf("a dry run, which reads no data: %v", err)
	}
	if x, err := w.Lookup(t.Context(), f.snapshot, dir+"/file"); err != nil || x.Size != 7 {
		t.Errorf("lookup: %v, %v", x, err)
	}
	r, err := w.OpenFile(t.Context(), f.snapshot, dir+"/file")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.ReadAt(make([]byte, 7), 0); !errors.Is(err, repo.ErrCannotReadData) {
		t.Errorf("read: %v", err)
	}
}

func TestRestoreNeedsATarget(t *testing.T) {
	f := newFixture(t, t.TempDir())
	if _, err := f.repo.Restore(t.Context(), f.snapshot, repo.RestoreOptions{}); err == nil {
		t.Error("no target is taken")
	}
}

func ExampleRepo_Restore() {
	ctx := context.Background()
	r, snapshot, dir := exampleSnapshot(ctx)
	defer r.Close()
	target, err := os.MkdirTemp("", "restored")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(target)
	// One file goes into the target under its own name, a folder's contents go directly there.
	result, err := r.Restore(ctx, snapshot, repo.RestoreOptions{
		Target: target, Path: dir + "/motd",
		Problem: func(path string, err error) { log.Printf("%q: %v", path, err) },
	})
	if err != nil {
		log.Fatal(err)
	}
	data, err := os.ReadFile(filepath.Join(target, "motd"))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%d file, %d failed: %s", result.Files, result.Failed, data)
	// Output: 1 file, 0 failed: Welcome back.
}
