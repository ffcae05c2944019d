package repo_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/snapkeep/snap/internal/source/local"
	"github.com/snapkeep/snap/internal/store/mem"
	"github.com/snapkeep/snap/repo"
)

// fixture is a folder, a repository in memory and a snapshot of the folder in it.
type fixture struct {
	dir      string
	paths    []string // that the snapshot names
	store    repo.Store
	repo     *repo.Repo
	snapshot *repo.Snapshot
}

// under is the path of the folder in the snapshot.
func (f *fixture) under() string { return strings.TrimPrefix(f.dir, "/") }

// newFixture backs up the folder dir.
func newFixture(t *testing.T, dir string) *fixture {
	t.Helper()
	to, _ := weak(t)
	f := &fixture{dir: dir, store: mem.New(nil)}
	var err error
	if f.repo, err = repo.Create(t.Context(), f.store, to, repo.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.repo.Close() })
	f.backup(t)
	return f
}

// backup makes a new snapshot of the folder.
func (f *fixture) backup(t *testing.T) {
	t.Helper()
	src, err := local.New(local.Options{Roots: []string{f.dir}})
	if err != nil {
		t.Fatal(err)
	}
	res, err := f.repo.Backup(t.Context(), repo.BackupOptions{Source: src, SourceName: "here", Paths: f.paths})
	if err != nil {
		t.Fatal(err)
	}
	f.snapshot = res.Snapshot
}

// write writes a file and the folders above it.
func write(t *testing.T, dir, name string, data []byte) {
	t.Helper()
	p := filepath.Join(dir, name)
	if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(p, data, 0o644); err != nil {
		t.Fatal(err)
	}
}

func noise(n int, seed uint64) []byte {
	p := make([]byte, n)
	rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8)}).Read(p)
	return p
}

func TestFSBehavesAsOne(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "a.txt", []byte("alpha"))
	write(t, dir, "sub/empty", nil)
	write(t, dir, "sub/deep/large", noise(1500<<10, 1))
	write(t, dir, "sub/two.txt", bytes.Repeat([]byte("two "), 1000))
	for name, target := range map[string]string{"link": "sub/two.txt", "sub/up": "../a.txt", "sub/dir": "deep", "abs": dir + "/a.txt"} {
		if err := os.Symlink(target, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	f := newFixture(t, dir)
	fsys := f.repo.FS(t.Context(), f.snapshot)
	if err := fstest.TestFS(fsys, f.under()+"/sub/deep/large", f.under()+"/abs"); err != nil {
		t.Error(err)
	}
	sub, err := fs.Sub(fsys, f.under())
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"a.txt", "link", "sub/up", "sub/dir/large", "sub/deep/large", "sub/empty", "abs"} {
		want, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := fs.ReadFile(sub, name); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: %d bytes, %v, want %d", name, len(got), err, len(want))
		}
	}
	if target, err := fs.ReadLink(sub, "sub/up"); err != nil || target != "../a.txt" {
		t.Errorf("link to %q, %v", target, err)
	}
	if info, err := fs.Stat(fsys, f.under()+"/a.txt"); err != nil || info.Sys().(*repo.Entry).Size != 5 {
		t.Errorf("stat: %v, %v", info, err)
	}
}

func TestFSFollowsNoEndlessLinks(t *testing.T) {
	dir := t.TempDir()
	for name, target := range map[string]string{"a": "b", "b": "a", "self": "self/x", "out": "../../../../../../../../../../etc/passwd"} {
		if err := os.Symlink(target, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	f := newFixture(t, dir)
	fsys := f.repo.FS(t.Context(), f.snapshot)
	for _, name := range []string{"a", "self", "out", "none", "a/b"} {
		if _, err := fs.Stat(fsys, f.under()+"/"+name); err == nil {
			t.Errorf("%s: found", name)
		}
	}
	for _, name := range []string{"/", "..", "a/../b", "", "a//b"} {
		if _, err := fsys.Open(name); !errors.Is(err, fs.ErrInvalid) {
			t.Errorf("open %q: %v, want fs.ErrInvalid", name, err)
		}
	}
}

func TestFileReaderReadsAnywhere(t *testing.T) {
	dir := t.TempDir()
	want := noise(6<<20, 2)
	write(t, dir, "data", want)
	// A hole in the middle and one at the end.
	file, err := os.OpenFile(filepath.Join(dir, "data"), os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := file.Truncate(20 << 20); err != nil {
		t.Fatal(err)
	}
	tail := noise(100_000, 3)
	if _, err := file.WriteAt(tail, 16<<20); err != nil {
		t.Fatal(err)
	}
	file.Close()
	want = append(want, make([]byte, 14<<20)...)
	copy(want[16<<20:], tail)

	f := newFixture(t, dir)
	r, err := f.repo.OpenFile(t.Context(), f.snapshot, f.under()+"/data")
	if err != nil {
		t.Fatal(err)
	}
	if r.Size() != int64(len(want)) {
		t.Errorf("size %d, want %d", r.Size(), len(want))
	}
	random := rand.New(rand.NewPCG(1, 2))
	for range 100 {
		off, p := random.Int64N(r.Size()), make([]byte, 1+random.IntN(300_000))
		n, err := r.ReadAt(p, off)
		if end := min(off+int64(len(p)), r.Size()); !bytes.Equal(p[:n], want[off:end]) || (err == io.EOF) != (n < len(p)) {
			t.Fatalf("%d bytes at %d: got %d, %v", len(p), off, n, err)
		}
	}
	for _, start := range []int64{0, 1 << 20, 7 << 20, 19 << 20} {
		if _, err := r.Seek(start, io.SeekStart); err != nil {
			t.Fatal(err)
		}
		var got bytes.Buffer
		if n, err := io.Copy(&got, r); err != nil || n != r.Size()-start || !bytes.Equal(got.Bytes(), want[start:]) {
			t.Errorf("copy from %d: %d bytes, %v", start, n, err)
		}
	}
}

func TestReadingEndsWithItsContext(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "data", noise(4<<20, 4))
	f := newFixture(t, dir)
	ctx, cancel := context.WithCancel(t.Context())
	r, err := f.repo.OpenFile(ctx, f.snapshot, f.under()+"/data")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.ReadAt(make([]byte, 1), 0); err != nil {
		t.Fatal(err)
	}
	cancel()
	if n, err := r.ReadAt(make([]byte, 1), 0); n != 0 || !errors.Is(err, context.Canceled) {
		t.Errorf("%d bytes of what was loaded before: %v", n, err)
	}
	if _, err := io.Copy(io.Discard, r); !errors.Is(err, context.Canceled) {
		t.Errorf("copy: %v", err)
	}
	if _, err := io.ReadAll(struct{ io.Reader }{r}); !errors.Is(err, context.Canceled) {
		t.Errorf("read: %v", err)
	}
}

func TestLookupAndWalk(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "a/b/c", []byte("x"))
	write(t, dir, "a-b", []byte("y"))
	write(t, dir, "z", []byte("z"))
	f := newFixture(t, dir)
	var got []string
	err := f.repo.Walk(t.Context(), f.snapshot, f.under()+"/", func(dir string, entries []repo.Entry) error {
		for _, x := range entries {
			got = append(got, strings.TrimPrefix(dir, f.under())+"/"+x.Name)
		}
		return nil
	})
	if want := "/a /a-b /z /a/b /a/b/c"; err != nil || strings.Join(got, " ") != want {
		t.Errorf("walk: %q, %v, want %q", got, err, want)
	}
	if x, err := f.repo.Lookup(t.Context(), f.snapshot, dir+"/a/b"); err != nil || x.Name != "b" {
		t.Errorf("lookup: %+v, %v", x, err)
	}
	if x, err := f.repo.Lookup(t.Context(), f.snapshot, "/"); err != nil || x.Name != "" {
		t.Errorf("lookup of the top: %+v, %v", x, err)
	}
	stop := errors.New("stop")
	if err := f.repo.Walk(t.Context(), f.snapshot, "", func(string, []repo.Entry) error { return stop }); err != stop {
		t.Errorf("walk: %v, want what the function returned", err)
	}
	for _, name := range []string{"none", f.under() + "/a/b/c/d", f.under() + "/a/b/d"} {
		if _, err := f.repo.Lookup(t.Context(), f.snapshot, name); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("lookup of %q: %v", name, err)
		}
		if err := f.repo.Walk(t.Context(), f.snapshot, name, func(string, []repo.Entry) error { return nil }); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("walk of %q: %v", name, err)
		}
	}
}
