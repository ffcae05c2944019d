package durable

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"sync"
	"syscall"
	"testing"
	"time"
)

// kinds are the ways in which a file can be without its final name.
var kinds = []struct {
	name string
	opts Options
}{
	{"Default", Options{}},
	{"NamedTemp", Options{NamedTemp: true}},
}

func forKinds(t *testing.T, run func(t *testing.T, d *Dir, dir string)) {
	for _, kind := range kinds {
		t.Run(kind.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			d, err := Open(dir, kind.opts)
			if err != nil {
				t.Fatal(err)
			}
			defer d.Close()
			run(t, d, dir)
		})
	}
}

func writeFile(d *Dir, name string, data []byte) error {
	f, err := d.NewFile()
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := f.Write(data); err != nil {
		return err
	}
	return f.Commit(name)
}

// files returns the contents of all files below dir.
func files(t *testing.T, dir string) map[string]string {
	t.Helper()
	found := make(map[string]string)
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		name, _ := filepath.Rel(dir, path)
		found[filepath.ToSlash(name)] = string(data)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func expectFiles(t *testing.T, dir string, want map[string]string) {
	t.Helper()
	if got := files(t, dir); !reflect.DeepEqual(got, want) {
		t.Errorf("files %.200q, want %.200q", got, want)
	}
}

func TestCommitMakesFileVisible(t *testing.T) {
	t.Parallel()
	forKinds(t, func(t *testing.T, d *Dir, dir string) {
		f, err := d.NewFile()
		if err != nil {
			t.Fatal(err)
		}
		for _, part := range []string{"one ", "", "two"} {
			if _, err := io.WriteString(f, part); err != nil {
				t.Fatal(err)
			}
		}
		for name := range files(t, dir) {
			if filepath.Dir(name) != TempName {
				t.Errorf("%q is visible before Commit", name)
			}
		}
		if err := f.Commit("a/b/c"); err != nil {
			t.Fatal(err)
		}
		if err := f.Close(); err != nil {
			t.Errorf("Close after Commit: %v", err)
		}
		if err := f.Commit("again"); err == nil {
			t.Error("Commit a second time: no error")
		}
		expectFiles(t, dir, map[string]string{"a/b/c": "one two"})
		for name, want := range map[string]fs.FileMode{"a": fs.ModeDir | 0o700, "a/b": fs.ModeDir | 0o700, "a/b/c": 0o600} {
			if info, err := os.Stat(filepath.Join(dir, name)); err != nil || info.Mode() != want {
				t.Errorf("mode of %s: %v, error %v, want %v", name, info.Mode(), err, want)
			}
		}
	})
}

func TestCommitIsExclusive(t *testing.T) {
	t.Parallel()
	forKinds(t, func(t *testing.T, d *Dir, dir string) {
		const writers = 16
		errs := make([]error, writers)
		var wg sync.WaitGroup
		for i := range writers {
			wg.Go(func() { errs[i] = writeFile(d, "a/b", []byte{byte(i)}) })
		}
		wg.Wait()
		want := map[string]string{}
		for i, err := range errs {
			if err == nil {
				want["a/b"] = string([]byte{byte(i)})
			} else if !errors.Is(err, fs.ErrExist) {
				t.Errorf("writer %d: %v, want fs.ErrExist", i, err)
			}
		}
		expectFiles(t, dir, want)
	})
}

func TestCommitKeepsSymbolicLink(t *testing.T) {
	t.Parallel()
	forKinds(t, func(t *testing.T, d *Dir, dir string) {
		if err := os.Symlink("nowhere", filepath.Join(dir, "link")); err != nil {
			t.Skip(err)
		}
		if err := os.Symlink(t.TempDir(), filepath.Join(dir, "out")); err != nil {
			t.Fatal(err)
		}
		if err := writeFile(d, "link", []byte("x")); !errors.Is(err, fs.ErrExist) {
			t.Errorf("Commit to a symbolic link: %v, want fs.ErrExist", err)
		}
		if err := writeFile(d, "out/file", []byte("x")); err == nil {
			t.Error("Commit through a symbolic link that leads out: no error")
		}
	})
}

// TestOrderOfSteps checks the order that doc.go promises.
func TestOrderOfSteps(t *testing.T) {
	t.Parallel()
	forKinds(t, func(t *testing.T, d *Dir, dir string) {
		var steps []string
		d.step = func(name string) error {
			steps = append(steps, name)
			return nil
		}
		if err := writeFile(d, "a/b/c", []byte("x")); err != nil {
			t.Fatal(err)
		}
		want := []string{"write", "sync folder", "sync folder", "sync file", "close file", "link", "sync folder"}
		if !reflect.DeepEqual(steps, want) {
			t.Errorf("first file: steps %q, want %q", steps, want)
		}
		steps = nil
		if err := writeFile(d, "a/b/d", []byte("x")); err != nil {
			t.Fatal(err)
		}
		want = []string{"write", "sync file", "close file", "link", "sync folder"}
		if !reflect.DeepEqual(steps, want) {
			t.Errorf("second file: steps %q, want %q", steps, want)
		}
		steps = nil
		if err := writeFile(d, "a/b/d", []byte("y")); !errors.Is(err, fs.ErrExist) {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(steps, want) {
			t.Errorf("name that is taken: steps %q, want %q", steps, want)
		}
		steps = nil
		for range 2 { // the second name is taken
			f, err := d.NewFile()
			if err != nil {
				t.Fatal(err)
			}
			if _, err := f.Write([]byte("z")); err != nil {
				t.Fatal(err)
			}
			if err := f.Show("a/b/e"); err != nil && !errors.Is(err, fs.ErrExist) {
				t.Fatal(err)
			}
			want = []string{"write", "sync file", "close file", "link"}
			if !reflect.DeepEqual(steps, want) || files(t, dir)["a/b/e"] != "z" {
				t.Errorf("Show: steps %q, want %q", steps, want)
			}
			steps = nil
		}
		if err := d.Remove("a/b/d"); err != nil || !reflect.DeepEqual(steps, []string{"sync folder"}) {
			t.Errorf("Remove: steps %q, error %v", steps, err)
		}
	})
}

// TestFailureAtEachStep fails the k-th step for each k. The file must not be
// there, no temporary file either, and the next attempt must succeed.
func TestFailureAtEachStep(t *testing.T) {
	t.Parallel()
	forKinds(t, func(t *testing.T, d *Dir, dir string) {
		d.writebackBytes = 10
		for failAt := 1; ; failAt++ {
			name := fmt.Sprintf("d%d/e/f", failAt)
			count := 0
			d.step = func(step string) error {
				if count++; count == failAt {
					return fmt.Errorf("step %s: %w", step, syscall.EIO)
				}
				return nil
			}
			err := writeFile(d, name, bytes.Repeat([]byte("x"), 25))
			d.step = nil
			if count < failAt {
				if err != nil || failAt < 9 {
					t.Errorf("with all %d steps taken: %v", count, err)
				}
				break
			}
			if !errors.Is(err, syscall.EIO) {
				t.Errorf("failure at step %d: %v, want EIO", failAt, err)
			}
			expectFiles(t, dir, map[string]string{})
			if err := writeFile(d, name, []byte("y")); err != nil {
				t.Errorf("second attempt after a failure at step %d: %v", failAt, err)
			}
			expectFiles(t, dir, map[string]string{name: "y"})
			if err := d.Remove(name); err != nil {
				t.Error(err)
			}
		}
	})
}

// TestFailedSyncIsNotRepeated checks that a File stays failed.
func TestFailedSyncIsNotRepeated(t *testing.T) {
	t.Parallel()
	forKinds(t, func(t *testing.T, d *Dir, dir string) {
		f, err := d.NewFile()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.Write([]byte("x")); err != nil {
			t.Fatal(err)
		}
		syncs := 0
		d.step = func(step string) error {
			if step != "sync file" {
				return nil
			}
			syncs++
			return syscall.EIO
		}
		for range 2 {
			if err := f.Commit("a"); !errors.Is(err, syscall.EIO) {
				t.Errorf("Commit: %v, want EIO", err)
			}
		}
		if _, err := f.Write([]byte("y")); !errors.Is(err, syscall.EIO) {
			t.Errorf("Write after a failed Commit: %v, want EIO", err)
		}
		if err := f.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
		if syncs != 1 {
			t.Errorf("%d attempts to sync, want 1", syncs)
		}
		expectFiles(t, dir, map[string]string{})
	})
}

func TestCloseDrops(t *testing.T) {
	t.Parallel()
	forKinds(t, func(t *testing.T, d *Dir, dir string) {
		f, err := d.NewFile()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.Write([]byte("x")); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if err := f.Close(); err != nil {
				t.Errorf("Close: %v", err)
			}
		}
		if err := f.Commit("a"); !errors.Is(err, fs.ErrClosed) {
			t.Errorf("Commit after Close: %v, want fs.ErrClosed", err)
		}
		expectFiles(t, dir, map[string]string{})
	})
}

// TestFolderMayBeRenamed checks that everything goes through the descriptor.
func TestFolderMayBeRenamed(t *testing.T) {
	t.Parallel()
	for _, kind := range kinds {
		parent := t.TempDir()
		before, after := filepath.Join(parent, "before"), filepath.Join(parent, "after")
		d, err := Create(before, kind.opts)
		if err != nil {
			t.Fatal(err)
		}
		defer d.Close()
		if err := writeFile(d, "a/1", []byte("one")); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(before, after); err != nil {
			t.Fatal(err)
		}
		if err := writeFile(d, "a/2", []byte("two")); err != nil {
			t.Errorf("%s: write after the rename: %v", kind.name, err)
		}
		if err := writeFile(d, "b/3", []byte("three")); err != nil {
			t.Errorf("%s: write into another folder after the rename: %v", kind.name, err)
		}
		if err := d.Remove("a/1"); err != nil {
			t.Errorf("%s: Remove after the rename: %v", kind.name, err)
		}
		expectFiles(t, after, map[string]string{"a/2": "two", "b/3": "three"})
	}
}

func TestFolderRemovedMeanwhileIsMadeAgain(t *testing.T) {
	t.Parallel()
	forKinds(t, func(t *testing.T, d *Dir, dir string) {
		if err := writeFile(d, "a/b/1", nil); err != nil {
			t.Fatal(err)
		}
		if err := os.RemoveAll(filepath.Join(dir, "a")); err != nil {
			t.Fatal(err)
		}
		if err := writeFile(d, "a/b/2", nil); err != nil {
			t.Errorf("write: %v", err)
		}
		expectFiles(t, dir, map[string]string{"a/b/2": ""})
	})
}

// TestFolderIsSyncedBeforeFirstUse checks that a folder which somebody else
// made is not taken for durable.
func TestFolderIsSyncedBeforeFirstUse(t *testing.T) {
	t.Parallel()
	forKinds(t, func(t *testing.T, d *Dir, dir string) {
		for _, name := range []string{"a/b", "a/c"} {
			if err := os.MkdirAll(filepath.Join(dir, name), 0o700); err != nil {
				t.Fatal(err)
			}
		}
		syncs := 0
		d.step = func(step string) error {
			if step == "sync folder" {
				syncs++
			}
			return nil
		}
		for i, want := range []int{3, 1, 1} { // the first: of ".", a and a/b
			syncs = 0
			name := []string{"a/b/1", "a/b/2", "a/c/3"}[i]
			if err := writeFile(d, name, nil); err != nil {
				t.Fatal(err)
			}
			if syncs != want {
				t.Errorf("%s: %d folders synced, want %d", name, syncs, want)
			}
		}
	})
}

func TestCreate(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "x", "y", "z")
	if _, err := Open(dir, Options{}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Open of a missing folder: %v, want fs.ErrNotExist", err)
	}
	for range 2 {
		d, err := Create(dir, Options{})
		if err != nil {
			t.Fatal(err)
		}
		d.Close()
	}
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if d, err := Create(file, Options{}); err == nil {
		d.Close()
		t.Error("Create where a file is: no error")
	}
	if d, err := Create(filepath.Join(file, "a", "b"), Options{}); err == nil {
		d.Close()
		t.Error("Create below a file: no error")
	}
	old := filepath.Join(t.TempDir(), "old")
	if err := os.Mkdir(old, 0o755); err != nil {
		t.Fatal(err)
	}
	d, err := Create(old, Options{})
	if err != nil {
		t.Fatal(err)
	}
	d.Close()
	if info, err := os.Stat(old); err != nil || info.Mode().Perm() != 0o755 {
		t.Errorf("mode of a folder that was there: %v, want it as it was", info.Mode())
	}
}

func TestRemove(t *testing.T) {
	t.Parallel()
	forKinds(t, func(t *testing.T, d *Dir, dir string) {
		if err := writeFile(d, "a/b", nil); err != nil {
			t.Fatal(err)
		}
		if err := os.Mkdir(filepath.Join(dir, "empty"), 0o700); err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"a", "empty", "missing", "a/missing"} {
			if err := d.Remove(name); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("Remove %q: %v, want fs.ErrNotExist", name, err)
			}
		}
		if _, err := os.Stat(filepath.Join(dir, "empty")); err != nil {
			t.Errorf("Remove took a folder: %v", err)
		}
		if err := d.Remove("a/b"); err != nil {
			t.Errorf("Remove: %v", err)
		}
	})
}

func TestCleanTemp(t *testing.T) {
	t.Parallel()
	forKinds(t, func(t *testing.T, d *Dir, dir string) {
		if removed, err := d.CleanTemp(t.Context(), 0); removed != 0 || err != nil {
			t.Errorf("without a folder: %d removed, error %v", removed, err)
		}
		now := time.Now()
		ages := map[string]time.Duration{"young": time.Hour, "old": 25 * time.Hour, "older": 1000 * time.Hour, "future": -30 * time.Hour}
		if err := os.Mkdir(filepath.Join(dir, TempName), 0o700); err != nil {
			t.Fatal(err)
		}
		for name, age := range ages {
			path := filepath.Join(dir, TempName, name)
			if err := os.WriteFile(path, nil, 0o600); err != nil {
				t.Fatal(err)
			}
			if err := os.Chtimes(path, now, now.Add(-age)); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.Mkdir(filepath.Join(dir, TempName, "folder"), 0o700); err != nil {
			t.Fatal(err)
		}
		if removed, err := d.CleanTemp(t.Context(), 24*time.Hour); removed != 2 || err != nil {
			t.Errorf("%d removed, error %v, want 2", removed, err)
		}
		expectFiles(t, dir, map[string]string{"tmp/young": "", "tmp/future": ""})
	})
}
