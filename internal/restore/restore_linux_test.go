package restore

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/snapkeep/snap/internal/torturetest"
)

// eachLimit runs a test with the limits of real use and with ones that cut after each file
// and each segment.
func eachLimit(t *testing.T, test func(t *testing.T, l limits)) {
	for name, l := range map[string]limits{"default": {}, "one": {1, 1, 1, 1}, "few": {17, 2, 300_000, 10_000}} {
		t.Run(name, func(t *testing.T) { test(t, l) })
	}
}

func TestTortureTreeComesBack(t *testing.T) {
	from := t.TempDir()
	t.Cleanup(func() { torturetest.Clear(from) })
	if err := torturetest.Build(from); err != nil {
		t.Logf("not all can be made here: %v", err)
	}
	want, err := torturetest.Manifest(from)
	if err != nil {
		t.Fatal(err)
	}
	b := newBench()
	root := b.save(t, from)
	for name, l := range map[string]limits{"default": {}, "few": {170, 2, 300_000, 0}} {
		t.Run(name, func(t *testing.T) {
			to := t.TempDir()
			t.Cleanup(func() { torturetest.Clear(to) })
			o := b.options(root, "", to)
			o.limits, o.Verify = l, true
			res, _ := mustRun(t, o)
			got, err := torturetest.Manifest(to + from)
			if err != nil {
				t.Fatal(err)
			}
			if diff := torturetest.Diff(want, got); len(diff) > 0 {
				t.Errorf("%d differences:\n%s", len(diff), strings.Join(diff[:min(len(diff), 20)], "\n"))
			}
			if res.Files < 1000 || res.Dirs == 0 || res.Other == 0 || res.Bytes == 0 || res.Verified <= res.Bytes {
				t.Errorf("result: %+v", res)
			}
			if name != "default" {
				return
			}
			// Once more over it: nothing is written.
			again, _ := mustRun(t, o)
			if again.Files != 0 || again.Bytes != 0 || again.Other != 0 {
				t.Errorf("again: %+v", again)
			}
			if got, err = torturetest.Manifest(to + from); err != nil || len(torturetest.Diff(want, got)) > 0 {
				t.Errorf("again: %v, %q", err, torturetest.Diff(want, got))
			}
		})
	}
}

func TestManyFilesComeBack(t *testing.T) {
	from := t.TempDir()
	manyFiles().make(t, from)
	b := newBench()
	b.pack = 1 << 20
	root := b.save(t, from)
	eachLimit(t, func(t *testing.T, l limits) {
		to := filepath.Join(t.TempDir(), "new", "folder")
		o := b.options(root, from, to)
		o.limits, o.Verify = l, true
		res, log := mustRun(t, o)
		want := readTree(t, from)
		sameTree(t, want, readTree(t, to))
		if res.Verified != res.Bytes || len(log.items) != len(want) {
			t.Errorf("%d items, want %d; result %+v", len(log.items), len(want), res)
		}
	})
}

func TestProgressKnowsTheTotals(t *testing.T) {
	from := t.TempDir()
	manyFiles().make(t, from)
	b := newBench()
	o := b.options(b.save(t, from), "", t.TempDir())
	o.Progress = new(Progress)
	res, _ := mustRun(t, o)
	if p := o.Progress; p.TotalFiles.Load() != res.Files || p.TotalBytes.Load() != res.Bytes || res.Files == 0 {
		t.Errorf("%d files, %d bytes expected, result %+v", p.TotalFiles.Load(), p.TotalBytes.Load(), res)
	}
}

func TestSingleFileGoesIntoTheTarget(t *testing.T) {
	from := t.TempDir()
	fileSpec{"a/b/file": "content", "a/link": "-> b/file"}.make(t, from)
	b := newBench()
	root := b.save(t, from)
	for name, want := range map[string]fileSpec{
		"a/b/file": {"file": "content"}, "a/link": {"link": "-> b/file"}, "a/b": {"file": "content"}, "a": {"b/": "", "b/file": "content", "link": "-> b/file"},
	} {
		to := t.TempDir()
		o := b.options(root, from+"/"+name, to)
		o.Verify = true
		mustRun(t, o)
		sameTree(t, want, readTree(t, to))
	}
	if _, err := Run(t.Context(), b.options(root, from+"/none", t.TempDir())); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a path that is not there: %v", err)
	}
}

func TestTargetKeepsItsOwnMetadata(t *testing.T) {
	from, to := t.TempDir(), t.TempDir()
	fileSpec{"file": "x"}.make(t, from)
	b := newBench()
	root := b.save(t, from)
	if err := os.Chmod(to, 0o711); err != nil {
		t.Fatal(err)
	}
	mustRun(t, b.options(root, from, to))
	if info, err := os.Stat(to); err != nil || info.Mode().Perm() != 0o711 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
}

func inode(t *testing.T, path string) uint64 {
	t.Helper()
	var st unix.Stat_t
	if err := unix.Lstat(path, &st); err != nil {
		t.Fatal(err)
	}
	return st.Ino
}

func TestHardLinks(t *testing.T) {
	from := t.TempDir()
	fileSpec{"a/one": noise(2<<20, 1), "a/small": "small", "b/": "", "c/": "", "z/": ""}.make(t, from)
	names := []string{"a/one", "a/two", "b/one", "c/one", "z/last"}
	for i, name := range names[1:] {
		if err := os.Link(from+"/a/one", from+"/"+name); err != nil {
			t.Fatal(err)
		}
		if err := os.Link(from+"/a/small", fmt.Sprintf("%s/%s.small", from, names[i+1])); err != nil {
			t.Fatal(err)
		}
	}
	b := newBench()
	root := b.save(t, from)
	eachLimit(t, func(t *testing.T, l limits) {
		to := t.TempDir()
		o := b.options(root, from, to)
		o.limits, o.Verify = l, true
		res, _ := mustRun(t, o)
		sameTree(t, readTree(t, from), readTree(t, to))
		if res.Bytes != 2<<20+5 {
			t.Errorf("%d bytes written, want each file once", res.Bytes)
		}
		for _, name := range names[1:] {
			if inode(t, to+"/"+name) != inode(t, to+"/a/one") || inode(t, to+"/"+name+".small") != inode(t, to+"/a/small") {
				t.Errorf("%s is no link", name)
			}
		}
		// A link that was replaced by a copy becomes a link again, the others stay.
		if err := os.Remove(to + "/b/one"); err != nil {
			t.Fatal(err)
		}
		fileSpec{"b/one": "other"}.make(t, to)
		res, log := mustRun(t, o)
		if inode(t, to+"/b/one") != inode(t, to+"/a/one") || res.Files != 1 || log.items["b/one"] != Updated || log.items["z/last"] != Unchanged {
			t.Errorf("again: %+v, %v", res, log.items)
		}
		// Without the first name the second is written.
		other := t.TempDir()
		o.Target, o.Exclude = other, compileLists(t, "/a/one", "/a/small")
		mustRun(t, o)
		want := readTree(t, from)
		delete(want, "a/one")
		delete(want, "a/small")
		sameTree(t, want, readTree(t, other))
		if inode(t, other+"/a/two") != inode(t, other+"/z/last") {
			t.Error("without its first name, the file is not linked")
		}
	})
}

func TestHolesAreKeptOrFilled(t *testing.T) {
	from := t.TempDir()
	f, err := os.Create(from + "/sparse")
	if err != nil {
		t.Fatal(err)
	}
	for _, at := range []int64{1 << 20, 5 << 20, 9 << 20} {
		if _, err := f.WriteAt([]byte(strings.Repeat("data", 1024)), at); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(f.Truncate(12<<20), f.Close()); err != nil {
		t.Fatal(err)
	}
	b := newBench()
	root := b.save(t, from)
	eachLimit(t, func(t *testing.T, l limits) {
		for _, full := range []bool{false, true} {
			to := t.TempDir()
			o := b.options(root, from, to)
			o.limits, o.Verify, o.NoSparse = l, true, full
			mustRun(t, o)
			sameTree(t, readTree(t, from), readTree(t, to))
			var st unix.Stat_t
			if err := unix.Stat(to+"/sparse", &st); err != nil {
				t.Fatal(err)
			}
			if allocated := st.Blocks * 512; (allocated >= 12<<20) != full {
				t.Errorf("without holes: %v; %d bytes are allocated", full, allocated)
			}
		}
	})
}

func TestFileOfManyPartsComesBack(t *testing.T) {
	from := t.TempDir()
	f, err := os.Create(from + "/listed")
	if err != nil {
		t.Fatal(err)
	}
	for i := range 1100 {
		if _, err := f.WriteAt([]byte(strings.Repeat(fmt.Sprint(i%700, " "), 50)), int64(i)*8192); err != nil {
			t.Fatal(err)
		}
	}
	f.Close()
	b := newBench()
	root := b.save(t, from)
	for _, l := range []limits{{}, {pieces: 100, readBytes: 1}} {
		to := t.TempDir()
		o := b.options(root, from, to)
		o.limits, o.Verify = l, true
		mustRun(t, o)
		sameTree(t, readTree(t, from), readTree(t, to))
	}
}

func TestFullDiskEndsTheRestore(t *testing.T) {
	from, to := t.TempDir(), t.TempDir()
	spec := fileSpec{}
	for i := range 200 {
		spec[fmt.Sprintf("f%d", i)] = noise(100_000, byte(i))
	}
	spec.make(t, from)
	if err := unix.Mount("snap-test", to, "tmpfs", 0, "size=4m"); err != nil {
		t.Skipf("cannot mount: %v", err)
	}
	defer unix.Unmount(to, unix.MNT_DETACH)
	b := newBench()
	o := b.options(b.save(t, from), from, to)
	log := watch(&o)
	res, err := Run(t.Context(), o)
	if !errors.Is(err, unix.ENOSPC) || res.Failed == 0 || res.Failed > 20 || res.Failed != int64(len(log.problems)) {
		t.Errorf("%v, %+v", err, res)
	}
	for name, content := range readTree(t, to) {
		if content != spec[name] {
			t.Errorf("%s is left with %d bytes", name, len(content))
		}
	}
}

func TestInterruptedRestoreGoesOn(t *testing.T) {
	from := t.TempDir()
	manyFiles().make(t, from)
	b := newBench()
	b.pack = 1 << 20
	root := b.save(t, from)
	eachLimit(t, func(t *testing.T, l limits) {
		to := t.TempDir()
		o := b.options(root, from, to)
		o.limits = l
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		done := int64(0)
		o.Item = func(i Item) {
			if i.Kind == 1 {
				done++
			}
			if done == 60 {
				cancel()
			}
		}
		res, err := Run(ctx, o)
		if !errors.Is(err, context.Canceled) || res.Files < 60 {
			t.Fatalf("%v, %+v", err, res)
		}
		want := readTree(t, from)
		for name, content := range readTree(t, to) {
			if want[name] != content {
				t.Errorf("%s is left with %d bytes of %d", name, len(content), len(want[name]))
			}
		}
		again, _ := mustRun(t, o)
		sameTree(t, want, readTree(t, to))
		if again.Skipped != res.Files {
			t.Errorf("%d files written, then %d skipped", res.Files, again.Skipped)
		}
	})
}
