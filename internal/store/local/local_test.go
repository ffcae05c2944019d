package local

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

func create(t *testing.T, s *Store, name, data string) {
	t.Helper()
	if err := s.Create(t.Context(), name, strings.NewReader(data), int64(len(data))); err != nil {
		t.Fatalf("Create %q: %v", name, err)
	}
}

func read(t *testing.T, s *Store, name string) string {
	t.Helper()
	p := make([]byte, 100)
	n, err := s.ReadAt(t.Context(), name, p, 0)
	if err != io.EOF {
		t.Errorf("ReadAt %q: %v", name, err)
	}
	return string(p[:n])
}

func names(t *testing.T, s *Store, prefix string) []string {
	t.Helper()
	var found []string
	err := s.List(t.Context(), prefix, func(name string, _ int64, _ time.Time) error {
		found = append(found, name)
		return nil
	})
	if err != nil {
		t.Errorf("List %q: %v", prefix, err)
	}
	slices.Sort(found)
	return found
}

func newTestStore(t *testing.T) (s *Store, dir string) {
	t.Helper()
	dir = t.TempDir()
	s, err := Open(dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s, dir
}

func TestOpenAndCreate(t *testing.T) {
	t.Parallel()
	parent := t.TempDir()
	dir := filepath.Join(parent, "a", "b")
	if _, err := Open(dir, Options{}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Open of a missing folder: %v, want fs.ErrNotExist", err)
	}
	s, err := Create(dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	s.Close()
	for _, allowed := range []string{"lost+found", "tmp"} {
		if err := os.Mkdir(filepath.Join(dir, allowed), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if s, err = Create(dir, Options{}); err != nil {
		t.Fatalf("Create in an empty folder: %v", err)
	}
	create(t, s, "f", "x")
	s.Close()
	_, err = Create(dir, Options{})
	if !errors.Is(err, syscall.ENOTEMPTY) || !errors.Is(err, fs.ErrExist) {
		t.Errorf("Create in a folder with a file: %v, want ENOTEMPTY", err)
	}
	if _, err := Open(filepath.Join(dir, "f"), Options{}); err == nil {
		t.Error("Open of a file: no error")
	}
}

func TestErrorNamesOperationAndFile(t *testing.T) {
	t.Parallel()
	s, dir := newTestStore(t)
	_, _, err := s.Stat(t.Context(), "data/3f/x")
	if want := "stat " + filepath.Join(dir, "data", "3f", "x") + ": no such file or directory"; runtime.GOOS == "linux" && err.Error() != want {
		t.Errorf("error %q, want %q", err, want)
	}
}

func TestTempIsNoPartOfTheStore(t *testing.T) {
	t.Parallel()
	s, dir := newTestStore(t)
	for _, name := range []string{"tmp", "tmp/x"} {
		if err := s.Create(t.Context(), name, strings.NewReader(""), 0); !errors.Is(err, fs.ErrInvalid) {
			t.Errorf("Create %q: %v, want fs.ErrInvalid", name, err)
		}
	}
	create(t, s, "tmpx/y", "y")
	old := filepath.Join(dir, "tmp", "left")
	if err := errors.Join(os.MkdirAll(filepath.Dir(old), 0o700), os.WriteFile(old, nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	for _, prefix := range []string{"", "t", "tmp", "tmp/", "tmp/l"} {
		for _, name := range names(t, s, prefix) {
			if name != "tmpx/y" {
				t.Errorf("List %q gives %q", prefix, name)
			}
		}
	}
	if removed, err := s.CleanTemp(t.Context(), 24*time.Hour); removed != 0 || err != nil {
		t.Errorf("CleanTemp of a young file: %d removed, error %v", removed, err)
	}
	yesterday := time.Now().Add(-25 * time.Hour)
	if err := os.Chtimes(old, yesterday, yesterday); err != nil {
		t.Fatal(err)
	}
	if removed, err := s.CleanTemp(t.Context(), 24*time.Hour); removed != 1 || err != nil {
		t.Errorf("CleanTemp of an old file: %d removed, error %v", removed, err)
	}
}

func TestListSkipsWhatIsNotItsOwn(t *testing.T) {
	t.Parallel()
	s, dir := newTestStore(t)
	create(t, s, "d/good", "x")
	for _, name := range []string{"UPPER", "lost+found", "d/with space"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("good", filepath.Join(dir, "d", "link")); err != nil {
		t.Skip(err)
	}
	if got := names(t, s, ""); !slices.Equal(got, []string{"d/good"}) {
		t.Errorf("List gives %q, want d/good only", got)
	}
}

func TestFolderMayBeRenamed(t *testing.T) {
	t.Parallel()
	parent := t.TempDir()
	before, after := filepath.Join(parent, "before"), filepath.Join(parent, "after")
	s, err := Create(before, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	create(t, s, "d/1", "one")
	if err := os.Rename(before, after); err != nil {
		t.Skip(err)
	}
	create(t, s, "d/2", "two")
	if got := read(t, s, "d/1") + read(t, s, "d/2"); got != "onetwo" {
		t.Errorf("after the rename: read %q", got)
	}
	if got := names(t, s, ""); !slices.Equal(got, []string{"d/1", "d/2"}) {
		t.Errorf("after the rename: List gives %q", got)
	}
	if err := s.Remove(t.Context(), "d/1"); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(before); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the old path is back: %v", err)
	}
}

// TestReadSeesRemovalByOthers checks that a descriptor kept open does not show
// a file that was removed or replaced behind the store's back.
func TestReadSeesRemovalByOthers(t *testing.T) {
	t.Parallel()
	s, dir := newTestStore(t)
	create(t, s, "f", "first")
	if got := read(t, s, "f"); got != "first" {
		t.Errorf("read %q", got)
	}
	other, err := Open(dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	if err := other.Remove(t.Context(), "f"); err != nil {
		t.Fatal(err)
	}
	if _, err := s.ReadAt(t.Context(), "f", make([]byte, 1), 0); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("ReadAt of a removed file: %v, want fs.ErrNotExist", err)
	}
	create(t, other, "f", "second")
	if got := read(t, s, "f"); got != "second" {
		t.Errorf("read %q, want the second file", got)
	}
}

func TestHandlesAreBounded(t *testing.T) {
	t.Parallel()
	s, _ := newTestStore(t)
	const files = 3 * maxHandles
	for i := range files {
		create(t, s, fmt.Sprintf("f%d", i), fmt.Sprint(i))
	}
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for i := range files {
				if got := read(t, s, fmt.Sprintf("f%d", i)); got != fmt.Sprint(i) {
					t.Errorf("file %d: read %q", i, got)
				}
			}
		})
	}
	wg.Wait()
	if kept := s.handles.recent.Len(); kept != maxHandles || len(s.handles.byName) != maxHandles {
		t.Errorf("%d descriptors kept, %d names, want %d", kept, len(s.handles.byName), maxHandles)
	}
	var kept []*os.File
	for h := range maps.Values(s.handles.byName) {
		kept = append(kept, h.f)
		if h.users != 0 {
			t.Errorf("%s has %d users after all reads", h.name, h.users)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	for _, f := range kept {
		if _, err := f.Stat(); !errors.Is(err, fs.ErrClosed) {
			t.Errorf("%s is open after Close: %v", f.Name(), err)
		}
	}
}

func TestClosedStore(t *testing.T) {
	t.Parallel()
	s, _ := newTestStore(t)
	create(t, s, "f", "x")
	read(t, s, "f")
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := s.ReadAt(t.Context(), "f", make([]byte, 1), 0); !errors.Is(err, fs.ErrClosed) {
		t.Errorf("ReadAt after Close: %v", err)
	}
	if err := s.Create(t.Context(), "g", strings.NewReader(""), 0); err == nil {
		t.Error("Create after Close: no error")
	}
	if _, _, err := s.Spool(t.Context()); err == nil {
		t.Error("Spool after Close: no error")
	}
	if err := s.List(t.Context(), "", func(string, int64, time.Time) error { return nil }); err == nil {
		t.Error("List after Close: no error")
	}
}

func BenchmarkCreate(b *testing.B) {
	for _, size := range []int{1 << 10, 32 << 20} {
		b.Run(fmt.Sprintf("size=%dKiB", size>>10), func(b *testing.B) {
			s, err := Create(b.TempDir(), Options{})
			if err != nil {
				b.Fatal(err)
			}
			defer s.Close()
			data := make([]byte, size)
			b.SetBytes(int64(size))
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				i++
				if err := s.Create(b.Context(), fmt.Sprintf("d/%d", i), bytes.NewReader(data), int64(size)); err != nil {
					b.Fatal(err)
				}
				if size > 1<<20 {
					b.StopTimer()
					if err := s.Remove(b.Context(), fmt.Sprintf("d/%d", i)); err != nil {
						b.Fatal(err)
					}
					b.StartTimer()
				}
			}
		})
	}
}

// BenchmarkReadAt reads 64 KiB from one of a few files, some of which are open.
func BenchmarkReadAt(b *testing.B) {
	for _, files := range []int{1, maxHandles, 4 * maxHandles} {
		b.Run(fmt.Sprintf("files=%d", files), func(b *testing.B) {
			s, err := Create(b.TempDir(), Options{})
			if err != nil {
				b.Fatal(err)
			}
			defer s.Close()
			const size, part = 1 << 20, 64 << 10
			for i := range files {
				if err := s.Create(b.Context(), fmt.Sprintf("data/%02x/f", i), bytes.NewReader(make([]byte, size)), size); err != nil {
					b.Fatal(err)
				}
			}
			p := make([]byte, part)
			b.SetBytes(part)
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				i++
				name := fmt.Sprintf("data/%02x/f", i%files)
				if _, err := s.ReadAt(b.Context(), name, p, int64(i%16)*part); err != nil && err != io.EOF {
					b.Fatal(err)
				}
			}
		})
	}
}

func TestShow(t *testing.T) {
	t.Parallel()
	s, _ := newTestStore(t)
	if err := s.Show(t.Context(), "a/b", strings.NewReader("xyz"), 3); err != nil {
		t.Fatal(err)
	}
	if got := names(t, s, ""); !slices.Equal(got, []string{"a/b"}) {
		t.Errorf("after Show List gives %q", got)
	}
	for what, err := range map[string]error{
		"again":     s.Show(t.Context(), "a/b", strings.NewReader("123"), 3),
		"by Create": s.Create(t.Context(), "a/b", strings.NewReader("123"), 3),
	} {
		if !errors.Is(err, fs.ErrExist) {
			t.Errorf("a name that is taken, %s: %v", what, err)
		}
	}
	got := make([]byte, 3)
	if _, err := s.ReadAt(t.Context(), "a/b", got, 0); err != nil || string(got) != "xyz" {
		t.Errorf("read %q, %v", got, err)
	}
	if err := s.Show(t.Context(), "tmp/x", strings.NewReader(""), 0); !errors.Is(err, fs.ErrInvalid) {
		t.Errorf("a temporary name: %v", err)
	}
	if err := s.Show(t.Context(), "short", strings.NewReader("x"), 3); err == nil || len(names(t, s, "")) != 1 {
		t.Errorf("a file that ends early is shown: %v", err)
	}
}

func TestDrop(t *testing.T) {
	t.Parallel()
	s, err := Create(filepath.Join(t.TempDir(), "store"), Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := s.Create(t.Context(), "a/b", strings.NewReader("x"), 1); err != nil {
		t.Fatal(err)
	}
	if _, err := s.ReadAt(t.Context(), "a/b", make([]byte, 1), 0); err != nil {
		t.Fatal(err)
	}
	if err := s.Drop(t.Context(), "a"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Drop of a folder: %v", err)
	}
	if err := s.Drop(t.Context(), "a/b"); err != nil {
		t.Errorf("Drop: %v", err)
	}
	if _, err := s.ReadAt(t.Context(), "a/b", make([]byte, 1), 0); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("ReadAt after Drop: %v", err)
	}
	if err := s.Drop(t.Context(), "a/b"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Drop of nothing: %v", err)
	}
}
