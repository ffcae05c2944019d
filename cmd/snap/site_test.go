package main

import (
	"bytes"
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// site is a repository with one snapshot, and a folder to work in.
type site struct {
	dir  string
	env  map[string]string
	repo string
	docs string
}

// newSite makes a site.
func newSite(t *testing.T) *site {
	t.Helper()
	s := &site{dir: t.TempDir()}
	s.repo, s.docs = filepath.Join(s.dir, "data/snap/repository"), filepath.Join(s.dir, "docs")
	s.env = map[string]string{"HOME": s.dir, "XDG_DATA_HOME": s.dir + "/data", "XDG_CONFIG_HOME": s.dir + "/config", "SNAP_HOST": "box", "SNAP_CACHE_DIR": s.dir + "/cache"}
	write(t, filepath.Join(s.docs, "a.txt"), "hello\n")
	write(t, filepath.Join(s.docs, "big"), strings.Repeat("0123456789abcdef", 20_000))
	if code, _, stderr := call(t, s.env, "backup", "--no-cache", "--compression", "off", s.docs); code != 0 {
		t.Fatalf("backup: exit code %d: %s", code, stderr)
	}
	return s
}

// copy returns a copy of a site.
func (s *site) copy(t *testing.T) *site {
	t.Helper()
	c := *s
	c.dir = t.TempDir()
	if err := os.CopyFS(c.dir, os.DirFS(s.dir)); err != nil {
		t.Fatal(err)
	}
	c.repo, c.docs = filepath.Join(c.dir, "data/snap/repository"), filepath.Join(c.dir, "docs")
	c.env = maps.Clone(s.env)
	c.env["HOME"], c.env["XDG_DATA_HOME"], c.env["XDG_CONFIG_HOME"], c.env["SNAP_CACHE_DIR"] = c.dir, c.dir+"/data", c.dir+"/config", c.dir+"/cache"
	return &c
}

func write(t *testing.T, name, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

// files returns the contents of all files below a folder.
func files(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			var data []byte
			data, err = os.ReadFile(name)
			all[strings.TrimPrefix(name, dir)] = string(data)
		}
		return err
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	return all
}

// change changes all files of the repository whose names begin with prefix.
func (s *site) change(t *testing.T, prefix string, fn func([]byte) []byte) {
	t.Helper()
	n := 0
	for name, data := range files(t, s.repo) {
		if !strings.HasPrefix(name, "/"+prefix) {
			continue
		}
		n++
		name = s.repo + name
		os.Chmod(name, 0o600)
		out := fn([]byte(data))
		if out == nil {
			if err := os.Remove(name); err != nil {
				t.Fatal(err)
			}
			continue
		}
		write(t, name, string(out))
	}
	if n == 0 {
		t.Fatalf("the repository has no %s", prefix)
	}
}

func flip(data []byte) []byte {
	data[len(data)/2] ^= 0x40
	return data
}

func cut(data []byte) []byte { return data[:len(data)/2] }

func remove([]byte) []byte { return nil }

func replace(from, to string) func([]byte) []byte {
	return func(data []byte) []byte { return bytes.Replace(data, []byte(from), []byte(to), 1) }
}
