package durable

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

// TestPutAside moves what is in the way of a file a/b, and nothing else.
func TestPutAside(t *testing.T) {
	for what, c := range map[string]struct {
		make  func(dir string) error
		moved string // what is found at aside, "" if nothing was in the way
	}{
		"nothing":         {func(string) error { return nil }, ""},
		"empty folder":    {func(dir string) error { return os.Mkdir(filepath.Join(dir, "a"), 0o700) }, ""},
		"the file itself": {func(dir string) error { return makeFile(dir, "a/b") }, ""},
		"folder for file": {func(dir string) error { return makeFile(dir, "a/b/c") }, "folder"},
		"file for folder": {func(dir string) error { return makeFile(dir, "a") }, "file"},
		"link for file": {func(dir string) error {
			return errors.Join(makeFile(dir, "a/c"), os.Symlink("c", filepath.Join(dir, "a/b")))
		}, "link"},
		"link to a folder": {func(dir string) error {
			return errors.Join(makeFile(dir, "c/b"), os.Symlink("c", filepath.Join(dir, "a")))
		}, ""},
		"link to nothing": {func(dir string) error { return os.Symlink("c", filepath.Join(dir, "a")) }, "link"},
	} {
		dir := t.TempDir()
		if err := c.make(dir); err != nil {
			t.Fatal(err)
		}
		d, err := Open(dir, Options{})
		if err != nil {
			t.Fatal(err)
		}
		if blocked, err := d.Blocked("a/b"); err != nil || blocked != (c.moved != "") {
			t.Errorf("%s: blocked %v, %v", what, blocked, err)
		}
		err = d.PutAside("a/b", "bad/a/b.1")
		if c.moved == "" {
			if !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("%s: %v", what, err)
			}
		} else if got := kindAt(filepath.Join(dir, "bad/a/b.1")); err != nil || got != c.moved {
			t.Errorf("%s: %v, aside is %q", what, err, got)
		}
		if c.moved != "" {
			if err := writeFile(d, "a/b", []byte("x")); err != nil {
				t.Errorf("%s: %v", what, err)
			}
			if err := errors.Join(os.Remove(filepath.Join(dir, "a/b")), os.Mkdir(filepath.Join(dir, "a/b"), 0o700)); err != nil {
				t.Fatal(err)
			}
			if err := d.PutAside("a/b", "bad/a/b.1"); !errors.Is(err, fs.ErrExist) {
				t.Errorf("%s: a name that is taken: %v", what, err)
			}
		}
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	}
}

func makeFile(dir, name string) error {
	path := filepath.Join(dir, name)
	return errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, nil, 0o600))
}

func kindAt(path string) string {
	info, err := os.Lstat(path)
	switch {
	case err != nil:
		return ""
	case info.IsDir():
		return "folder"
	case info.Mode()&fs.ModeSymlink != 0:
		return "link"
	}
	return "file"
}
