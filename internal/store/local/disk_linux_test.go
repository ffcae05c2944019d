package local

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"syscall"
	"testing"
	"time"
)

// mount mounts a file system in memory, or skips the test.
func mount(t *testing.T, options string) string {
	t.Helper()
	dir := t.TempDir()
	if err := syscall.Mount("snap-test", dir, "tmpfs", 0, options); err != nil {
		t.Skipf("cannot mount: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// forBoth runs a test with and without names for temporary files.
func forBoth(t *testing.T, run func(t *testing.T, opts Options)) {
	for _, named := range []bool{false, true} {
		t.Run(fmt.Sprintf("NamedTemp=%v", named), func(t *testing.T) { run(t, Options{NamedTemp: named}) })
	}
}

// TestFullDisk fills a disk until nothing fits. What was stored stays whole,
// what failed leaves no trace, and removing makes room again.
func TestFullDisk(t *testing.T) {
	forBoth(t, func(t *testing.T, opts Options) {
		dir := mount(t, "size=4m,mode=0700")
		s, err := Create(dir, opts)
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		data := bytes.Repeat([]byte("full"), 200<<10/4)
		var stored []string
		failures := 0
		for i := 0; failures < 4; i++ {
			name := fmt.Sprintf("data/%02d/f", i)
			err := storeEitherWay(t, s, i, name, data)
			if err == nil {
				stored = append(stored, name)
				continue
			}
			failures++
			if !errors.Is(err, syscall.ENOSPC) {
				t.Errorf("Create on a full disk: %v, want ENOSPC", err)
			}
		}
		if got := names(t, s, ""); !slices.Equal(got, stored) {
			t.Errorf("List gives %q, want %q", got, stored)
		}
		if left, err := os.ReadDir(filepath.Join(dir, "tmp")); err == nil && len(left) > 0 {
			t.Errorf("%d temporary files are left", len(left))
		}
		p := make([]byte, len(data))
		for _, name := range stored {
			if n, err := s.ReadAt(t.Context(), name, p, 0); n != len(p) || err != nil && err != io.EOF || !bytes.Equal(p, data) {
				t.Errorf("ReadAt %q: %d bytes, error %v, or other contents", name, n, err)
			}
		}
		for _, name := range stored[:3] {
			if err := s.Remove(t.Context(), name); err != nil {
				t.Errorf("Remove on a full disk: %v", err)
			}
		}
		if err := storeEitherWay(t, s, 0, "again", data); err != nil {
			t.Errorf("Create after making room: %v", err)
		}
	})
}

// storeEitherWay creates a file, or spools it for every other i.
func storeEitherWay(t *testing.T, s *Store, i int, name string, data []byte) error {
	t.Helper()
	if i%2 == 0 {
		return s.Create(t.Context(), name, bytes.NewReader(data), int64(len(data)))
	}
	w, commit, err := s.Spool(t.Context())
	if err != nil {
		return err
	}
	defer w.Close()
	if _, err := w.Write(data); err != nil {
		return err
	}
	return commit(t.Context(), name)
}

// TestNoMoreInodes is the other way for a disk to be full.
func TestNoMoreInodes(t *testing.T) {
	forBoth(t, func(t *testing.T, opts Options) {
		dir := mount(t, "size=4m,nr_inodes=10,mode=0700")
		s, err := Create(dir, opts)
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		var stored []string
		for i := range 20 {
			name := fmt.Sprintf("d%02d/f", i)
			err := storeEitherWay(t, s, i, name, []byte("x"))
			if err == nil {
				stored = append(stored, name)
			} else if !errors.Is(err, syscall.ENOSPC) {
				t.Errorf("Create without inodes: %v, want ENOSPC", err)
			}
		}
		if got := names(t, s, ""); !slices.Equal(got, stored) || len(stored) == 0 || len(stored) == 20 {
			t.Errorf("List gives %q, want %q", got, stored)
		}
	})
}

func TestReadOnlyDisk(t *testing.T) {
	forBoth(t, func(t *testing.T, opts Options) {
		dir := mount(t, "size=4m,mode=0700")
		s, err := Create(dir, opts)
		if err != nil {
			t.Fatal(err)
		}
		create(t, s, "d/f", "data")
		s.Close()
		if err := syscall.Mount("", dir, "", syscall.MS_REMOUNT|syscall.MS_RDONLY, ""); err != nil {
			t.Skip(err)
		}
		s, err = Open(dir, opts)
		if err != nil {
			t.Fatalf("Open: %v", err)
		}
		defer s.Close()
		for i, name := range []string{"d/g", "d/h", "e/i"} {
			if err := storeEitherWay(t, s, i, name, nil); !errors.Is(err, syscall.EROFS) {
				t.Errorf("Create: %v, want EROFS", err)
			}
		}
		if err := s.Remove(t.Context(), "d/f"); !errors.Is(err, syscall.EROFS) {
			t.Errorf("Remove: %v, want EROFS", err)
		}
		if got := read(t, s, "d/f"); got != "data" {
			t.Errorf("read %q", got)
		}
	})
}

// TestMountCoveredMeanwhile checks that a store keeps to its own disk when
// another one is mounted over its folder.
func TestMountCoveredMeanwhile(t *testing.T) {
	dir := mount(t, "size=4m,mode=0700")
	s, err := Create(dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	create(t, s, "d/1", "one")
	if err := syscall.Mount("snap-test", dir, "tmpfs", 0, "size=1m"); err != nil {
		t.Skip(err)
	}
	create(t, s, "d/2", "two")
	if got := names(t, s, ""); !slices.Equal(got, []string{"d/1", "d/2"}) {
		t.Errorf("List gives %q", got)
	}
	covering, err := os.ReadDir(dir)
	if err := errors.Join(err, syscall.Unmount(dir, syscall.MNT_DETACH)); err != nil || len(covering) > 0 {
		t.Errorf("the disk on top has %d entries, error %v", len(covering), err)
	}
}

// TestNamedPipeDoesNotBlock reads and lists where somebody left a pipe.
func TestNamedPipeDoesNotBlock(t *testing.T) {
	t.Parallel()
	s, dir := newTestStore(t)
	if err := syscall.Mkfifo(filepath.Join(dir, "pipe"), 0o600); err != nil {
		t.Skip(err)
	}
	if _, err := s.ReadAt(t.Context(), "pipe", make([]byte, 1), 0); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("ReadAt: %v, want fs.ErrNotExist", err)
	}
	err := s.List(t.Context(), "", func(name string, _ int64, _ time.Time) error {
		return fmt.Errorf("listed %q", name)
	})
	if err != nil {
		t.Error(err)
	}
}

// TestListReadsOnlyFoldersThatCanMatch makes the other folders unreadable. For
// root, which may read everything, one thread gives up that right.
func TestListReadsOnlyFoldersThatCanMatch(t *testing.T) {
	t.Parallel()
	s, dir := newTestStore(t)
	for _, name := range []string{"data/3f/a", "data/40/b", "index/c"} {
		create(t, s, name, "")
	}
	for _, path := range []string{"data/40", "index"} {
		if err := os.Chmod(filepath.Join(dir, path), 0); err != nil {
			t.Fatal(err)
		}
		defer os.Chmod(filepath.Join(dir, path), 0o700)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		if os.Getuid() == 0 {
			runtime.LockOSThread() // and never unlock: the thread ends here
			const nobody = 65534
			for _, path := range []string{"", "data", "data/3f", "data/40", "index"} {
				if err := os.Chown(filepath.Join(dir, path), nobody, -1); err != nil {
					t.Error(err)
				}
			}
			if err := syscall.Setfsuid(nobody); err != nil {
				t.Error(err)
			}
		}
		for _, prefix := range []string{"data/3", "data/3f/", "data/3f/a"} {
			if got := names(t, s, prefix); !slices.Equal(got, []string{"data/3f/a"}) {
				t.Errorf("List %q gives %q", prefix, got)
			}
		}
		none := func(string, int64, time.Time) error { return nil }
		if err := s.List(t.Context(), "data/4", none); !errors.Is(err, fs.ErrPermission) {
			t.Errorf("List of an unreadable folder: %v, want fs.ErrPermission", err)
		}
	}()
	<-done
}
