package durable

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

// TestLinkAndUnlink covers the way for file systems that cannot rename
// exclusively, which the other tests do not take on most machines.
func TestLinkAndUnlink(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, name := range []string{"one", "two"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(name), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	f, err := os.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	fd := int(f.Fd())
	if err := linkAndUnlink(fd, "one", fd, "final"); err != nil {
		t.Error(err)
	}
	if err := linkAndUnlink(fd, "two", fd, "final"); !errors.Is(err, fs.ErrExist) {
		t.Errorf("a name that is taken: %v, want fs.ErrExist", err)
	}
	expectFiles(t, dir, map[string]string{"final": "one", "two": "two"})
}

// TestFilesWithoutName checks that they are used where the kernel has them:
// while a file is written there is nothing to be seen of it.
func TestFilesWithoutName(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	d, err := Open(dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	probe, err := d.openAnonymous()
	if err != nil {
		t.Skip(err)
	}
	probe.Close()
	f, err := d.NewFile()
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.Write([]byte("data")); err != nil {
		t.Fatal(err)
	}
	expectFiles(t, dir, map[string]string{})
	if err := f.Commit("a"); err != nil {
		t.Error(err)
	}
	expectFiles(t, dir, map[string]string{"a": "data"})
}
