package restore

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/snapkeep/snap/internal/chunks"
	"github.com/snapkeep/snap/internal/filter"
)

// compileLists makes a list of patterns.
func compileLists(t *testing.T, patterns ...string) []*filter.List {
	t.Helper()
	l, err := filter.Compile(patterns, filter.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return []*filter.List{l}
}

func TestParseOverwrite(t *testing.T) {
	for _, o := range []Overwrite{OverwriteIfChanged, OverwriteAlways, OverwriteIfNewer, OverwriteNever} {
		if got, err := ParseOverwrite(o.String()); err != nil || got != o {
			t.Errorf("%v: %v, %v", o, got, err)
		}
	}
	if _, err := ParseOverwrite("sometimes"); err == nil {
		t.Error("nonsense is taken")
	}
}

func TestOverwrite(t *testing.T) {
	from := t.TempDir()
	fileSpec{"same": "content", "touched": "content", "older": "content", "newer": "content", "longer": "content", "missing": "content",
		"link": "-> same", "was-folder": "content", "was-link": "content", "folder/file": "content"}.make(t, from)
	stamp := time.Unix(1_600_000_000, 5)
	for name := range readTree(t, from) {
		if name != "link" {
			if err := os.Chtimes(from+"/"+name, stamp, stamp); err != nil {
				t.Fatal(err)
			}
		}
	}
	b := newBench()
	root := b.save(t, from)
	tests := map[Overwrite]fileSpec{
		OverwriteIfChanged: {"same": "CONTENT", "touched": "content", "older": "content", "newer": "content", "longer": "content", "missing": "content",
			"link": "-> same", "was-folder": "content", "was-link": "content", "folder/": "", "folder/file": "content", "own": "own", "elsewhere": "safe"},
		OverwriteAlways: {"same": "content", "touched": "content", "older": "content", "newer": "content", "longer": "content", "missing": "content",
			"link": "-> same", "was-folder": "content", "was-link": "content", "folder/": "", "folder/file": "content", "own": "own", "elsewhere": "safe"},
		OverwriteIfNewer: {"same": "CONTENT", "touched": "CONTENT", "older": "content", "newer": "CONTENT", "longer": "longer content", "missing": "content",
			"link": "-> other", "was-folder/": "", "was-link": "-> elsewhere", "folder/": "", "folder/file": "content", "own": "own", "elsewhere": "safe"},
		OverwriteNever: {"same": "CONTENT", "touched": "CONTENT", "older": "CONTENT", "newer": "CONTENT", "longer": "longer content", "missing": "content",
			"link": "-> other", "was-folder/": "", "was-link": "-> elsewhere", "folder/": "", "folder/file": "content", "own": "own", "elsewhere": "safe"},
	}
	for mode, want := range tests {
		t.Run(mode.String(), func(t *testing.T) {
			to := t.TempDir()
			fileSpec{"same": "CONTENT", "touched": "CONTENT", "older": "CONTENT", "newer": "CONTENT", "longer": "longer content", "link": "-> other",
				"was-folder/": "", "was-link": "-> elsewhere", "elsewhere": "safe", "own": "own"}.make(t, to)
			for name, seconds := range map[string]time.Duration{"same": 0, "touched": 1, "older": -1, "newer": 1, "longer": 0} {
				if err := os.Chtimes(to+"/"+name, stamp, stamp.Add(seconds*time.Second)); err != nil {
					t.Fatal(err)
				}
			}
			o := b.options(root, from, to)
			o.Overwrite = mode
			dry := o
			dry.DryRun = true
			before := readTree(t, to)
			dryResult, dryLog := mustRun(t, dry)
			sameTree(t, before, readTree(t, to))
			res, log := mustRun(t, o)
			sameTree(t, want, readTree(t, to))
			if *dryResult != *res {
				t.Errorf("a dry run says %+v, the real one %+v", dryResult, res)
			}
			for name, action := range log.items {
				if dryLog.items[name] != action {
					t.Errorf("%s: a dry run says %s, the real one %s", name, dryLog.items[name], action)
				}
			}
			if log.items["missing"] != Restored || log.items["folder/file"] != Restored || log.items["older"] == Restored {
				t.Errorf("items: %v", log.items)
			}
		})
	}
}

func TestDryRunNeedsNoTarget(t *testing.T) {
	from := t.TempDir()
	manyFiles().make(t, from)
	b := newBench()
	to := t.TempDir() + "/none"
	o := b.options(b.save(t, from), from, to)
	o.DryRun, o.Delete = true, true
	res, log := mustRun(t, o)
	if _, err := os.Stat(to); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the target: %v", err)
	}
	if want := len(readTree(t, from)); len(log.items) != want || res.Bytes == 0 {
		t.Errorf("%d items, want %d, %+v", len(log.items), want, res)
	}
}

func TestIncludeAndExclude(t *testing.T) {
	from := t.TempDir()
	fileSpec{"a/keep.txt": "1", "a/drop.o": "2", "a/b/c/deep.txt": "3", "a/b/x.o": "4", "cache/x.txt": "5", "top.txt": "6", "empty/": "", "z/z.txt": "7"}.make(t, from)
	b := newBench()
	root := b.save(t, from)
	tests := []struct {
		name             string
		include, exclude []string
		want             fileSpec
	}{
		{"exclude", nil, []string{"*.o", "/cache"}, fileSpec{"a/": "", "a/keep.txt": "1", "a/b/": "", "a/b/c/": "", "a/b/c/deep.txt": "3", "top.txt": "6", "empty/": "", "z/": "", "z/z.txt": "7"}},
		{"include", []string{"/a/b"}, nil, fileSpec{"a/": "", "a/b/": "", "a/b/c/": "", "a/b/c/deep.txt": "3", "a/b/x.o": "4"}},
		{"include files", []string{"*.txt"}, nil, fileSpec{"a/": "", "a/keep.txt": "1", "a/b/": "", "a/b/c/": "", "a/b/c/deep.txt": "3", "cache/": "", "cache/x.txt": "5", "top.txt": "6", "z/": "", "z/z.txt": "7"}},
		{"both", []string{"/a"}, []string{"*.o"}, fileSpec{"a/": "", "a/keep.txt": "1", "a/b/": "", "a/b/c/": "", "a/b/c/deep.txt": "3"}},
		{"negated", nil, []string{"/a/*", "!/a/keep.txt"}, fileSpec{"a/": "", "a/keep.txt": "1", "cache/": "", "cache/x.txt": "5", "top.txt": "6", "empty/": "", "z/": "", "z/z.txt": "7"}},
		{"nothing", []string{"/none"}, nil, fileSpec{}},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			to := t.TempDir()
			o := b.options(root, from, to)
			o.Include, o.Exclude, o.Verify = compileLists(t, tc.include...), compileLists(t, tc.exclude...), true
			mustRun(t, o)
			sameTree(t, tc.want, readTree(t, to))
		})
	}
}

func TestFoldersOnTheWayGetTheirMetadata(t *testing.T) {
	from, to := t.TempDir(), t.TempDir()
	fileSpec{"a/b/file": "x", "a/other": "y"}.make(t, from)
	stamp := time.Unix(1_400_000_000, 0)
	if err := errors.Join(os.Chmod(from+"/a", 0o710), os.Chtimes(from+"/a", stamp, stamp)); err != nil {
		t.Fatal(err)
	}
	b := newBench()
	o := b.options(b.save(t, from), from, to)
	o.Include = compileLists(t, "/a/b/file")
	mustRun(t, o)
	if info, err := os.Stat(to + "/a"); err != nil || info.Mode().Perm() != 0o710 || !info.ModTime().Equal(stamp) {
		t.Errorf("%v, %v", info, err)
	}
}

func TestDelete(t *testing.T) {
	from := t.TempDir()
	fileSpec{"a/one": "1", "a/three": "3", "b/x": "x", "made/y": "y"}.make(t, from)
	b := newBench()
	root := b.save(t, from)
	present := fileSpec{"a/one": "old", "a/two": "2", "a/zz/deep": "z", "a/aa": "-> /etc", "b/x": "x", "c/own": "own", "keep.log": "log", "b/keep.log": "log"}
	kept := fileSpec{"a/": "", "a/one": "1", "a/three": "3", "b/": "", "b/x": "x", "made/": "", "made/y": "y"}
	tests := []struct {
		name             string
		below            []string
		include, exclude []string
		also             fileSpec // what stays beside what is restored
		deleted          int64
	}{
		{"all", []string{""}, nil, nil, nil, 6},
		{"excluded stays", []string{""}, nil, []string{"*.log"}, fileSpec{"keep.log": "log", "b/keep.log": "log"}, 4},
		{"included only", []string{""}, []string{"/a", "/b/x", "/made"}, nil, fileSpec{"c/": "", "c/own": "own", "keep.log": "log", "b/keep.log": "log"}, 3},
		{"below one folder", []string{"a"}, nil, nil, fileSpec{"c/": "", "c/own": "own", "keep.log": "log", "b/keep.log": "log"}, 3},
		{"nowhere", nil, nil, nil, fileSpec{"a/two": "2", "a/zz/": "", "a/zz/deep": "z", "a/aa": "-> /etc", "c/": "", "c/own": "own", "keep.log": "log", "b/keep.log": "log"}, 0},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			to := t.TempDir()
			present.make(t, to)
			o := b.options(root, from, to)
			o.Delete, o.Include, o.Exclude = true, compileLists(t, tc.include...), compileLists(t, tc.exclude...)
			for _, dir := range tc.below {
				if dir != "" {
					dir = "/" + dir
				}
				o.DeleteBelow = append(o.DeleteBelow, (from + dir)[1:])
			}
			dry := o
			dry.DryRun = true
			before := readTree(t, to)
			dryResult, _ := mustRun(t, dry)
			sameTree(t, before, readTree(t, to))
			res, log := mustRun(t, o)
			want := fileSpec{}
			for _, s := range []fileSpec{kept, tc.also} {
				for name, content := range s {
					want[name] = content
				}
			}
			sameTree(t, want, readTree(t, to))
			if res.Deleted != tc.deleted || dryResult.Deleted != tc.deleted {
				t.Errorf("deleted %d, a dry run says %d, want %d", res.Deleted, dryResult.Deleted, tc.deleted)
			}
			if tc.deleted > 0 && log.items["a/two"] != Deleted {
				t.Errorf("items: %v", log.items)
			}
		})
	}
}

func TestFoldersThatAreNotEmptyStay(t *testing.T) {
	from := t.TempDir()
	fileSpec{"x": "file", "y": "file"}.make(t, from)
	b := newBench()
	root := b.save(t, from)
	to := t.TempDir()
	fileSpec{"x/own": "own"}.make(t, to)
	o := b.options(root, from, to)
	log := watch(&o)
	res, err := Run(t.Context(), o)
	if err != nil || res.Failed != 1 || len(log.problems["x"]) != 1 || !errors.Is(log.problems["x"][0], ErrInTheWay) {
		t.Errorf("%+v, %v, %v", res, err, log.problems)
	}
	sameTree(t, fileSpec{"x/": "", "x/own": "own", "y": "file"}, readTree(t, to))
	o.Delete, o.DeleteBelow = true, []string{from[1:]}
	mustRun(t, o)
	sameTree(t, fileSpec{"x": "file", "y": "file"}, readTree(t, to))
}

func TestVerifyFindsAFlippedByte(t *testing.T) {
	from := t.TempDir()
	manyFiles().make(t, from)
	if err := os.Truncate(from+"/noise", 2<<20); err != nil { // with a hole at its end
		t.Fatal(err)
	}
	b := newBench()
	root := b.save(t, from)
	for name, at := range map[string]int64{"large": 4 << 20, "a3/f7.c": 5, "noise": 1 << 20, "b/large2": 0} {
		to := t.TempDir()
		o := b.options(root, from, to)
		o.Verify = true
		log := watch(&o)
		item := o.Item
		o.Item = func(i Item) {
			item(i)
			if i.Path == name {
				flip(t, to+"/"+name, at)
			}
		}
		res, err := Run(t.Context(), o)
		if err != nil || res.Failed != 1 || len(log.problems[name]) != 1 || !errors.Is(log.problems[name][0], ErrDiffers) {
			t.Errorf("%s: %v, %+v, %v", name, err, res, log.problems)
		}
	}
}

func TestVerifyFindsAWrongLength(t *testing.T) {
	from := t.TempDir()
	fileSpec{"file": "content"}.make(t, from)
	b := newBench()
	root := b.save(t, from)
	for _, length := range []int64{0, 6, 8} {
		to := t.TempDir()
		o := b.options(root, from, to)
		o.Verify = true
		o.Item = func(i Item) {
			if err := os.Truncate(to+"/file", length); err != nil {
				t.Error(err)
			}
		}
		if res, err := Run(t.Context(), o); err != nil || res.Failed != 1 {
			t.Errorf("length %d: %+v, %v", length, res, err)
		}
	}
}

// flip changes one byte of a file.
func flip(t *testing.T, path string, at int64) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Error(err)
		return
	}
	defer f.Close()
	var p [1]byte
	if _, err := f.ReadAt(p[:], at); err != nil {
		t.Error(err)
	}
	p[0] ^= 4
	if _, err := f.WriteAt(p[:], at); err != nil {
		t.Error(err)
	}
}

func TestDeleteKeepsWhatIsExcludedInFoldersThatGo(t *testing.T) {
	from, to := t.TempDir(), t.TempDir()
	fileSpec{"x": "x", "was-file": "file"}.make(t, from)
	b := newBench()
	o := b.options(b.save(t, from), from, to)
	fileSpec{"gone/a.keep": "keep", "gone/b": "b", "gone/all/c": "c", "gone/some/d.keep": "keep", "gone/some/e": "e", "else/f": "f",
		"was-file/g.keep": "keep", "was-file/h": "h"}.make(t, to)
	o.Delete, o.DeleteBelow, o.Exclude = true, []string{""}, compileLists(t, "*.keep")
	dry := o
	dry.DryRun = true
	dryResult, _ := mustRun(t, dry)
	log := watch(&o)
	res, err := Run(t.Context(), o)
	if err != nil || res.Failed != 1 || !errors.Is(log.problems["was-file"][0], ErrInTheWay) {
		t.Errorf("%+v, %v, %v", res, err, log.problems)
	}
	sameTree(t, fileSpec{"x": "x", "gone/": "", "gone/a.keep": "keep", "gone/some/": "", "gone/some/d.keep": "keep",
		"was-file/": "", "was-file/g.keep": "keep", "was-file/h": "h"}, readTree(t, to))
	if res.Deleted != 4 || dryResult.Deleted != 4 || log.items["gone/all"] != Deleted || log.items["else"] != Deleted || log.items["gone"] == Deleted {
		t.Errorf("deleted %d, a dry run says %d, items %v", res.Deleted, dryResult.Deleted, log.items)
	}
}

// A backup that stays on one file system has empty folders where others are mounted.
func TestDeleteKeepsWhatIsMountedOnAnEmptyFolder(t *testing.T) {
	from, to := t.TempDir(), t.TempDir()
	fileSpec{"a/x": "x", "mnt/": "", "full/y": "y"}.make(t, from)
	fileSpec{"mnt/": "", "full/": "", "old": "old"}.make(t, to)
	for _, dir := range []string{"mnt", "full"} {
		if err := unix.Mount("none", to+"/"+dir, "tmpfs", 0, "size=1m"); err != nil {
			t.Skipf("mount: %v", err)
		}
		t.Cleanup(func() { _ = unix.Unmount(to+"/"+dir, unix.MNT_DETACH) })
	}
	fileSpec{"mnt/precious": "p", "full/z": "z"}.make(t, to)
	b := newBench()
	o := b.options(b.save(t, from), from, to)
	o.Delete, o.DeleteBelow = true, []string{""}
	mustRun(t, o)
	sameTree(t, fileSpec{"a/": "", "a/x": "x", "mnt/": "", "mnt/precious": "p", "full/": "", "full/y": "y"}, readTree(t, to))
}

func TestLinksThatLeadElsewhereAreReplaced(t *testing.T) {
	from, to := t.TempDir(), t.TempDir()
	stamp := []unix.Timeval{{Sec: 1}, {Sec: 1}}
	for dir, target := range map[string]string{from: "here", to: "there"} {
		fileSpec{"link": "-> " + target}.make(t, dir)
		if err := unix.Lutimes(dir+"/link", stamp); err != nil {
			t.Fatal(err)
		}
	}
	b := newBench()
	o := b.options(b.save(t, from), from, to)
	if _, log := mustRun(t, o); log.items["link"] != Updated {
		t.Errorf("items: %v", log.items)
	}
	sameTree(t, fileSpec{"link": "-> here"}, readTree(t, to))
	if _, log := mustRun(t, o); log.items["link"] != Unchanged {
		t.Errorf("again: %v", log.items)
	}
}

func TestNewerFileIsNotReplacedByAFolder(t *testing.T) {
	from, to := t.TempDir(), t.TempDir()
	fileSpec{"a/x": "x", "b/y": "y"}.make(t, from)
	fileSpec{"a": "newer", "b": "older"}.make(t, to)
	now := time.Now()
	if err := errors.Join(os.Chtimes(to+"/a", now, now.Add(time.Hour)), os.Chtimes(to+"/b", now, now.Add(-time.Hour))); err != nil {
		t.Fatal(err)
	}
	b := newBench()
	o := b.options(b.save(t, from), from, to)
	o.Overwrite = OverwriteIfNewer
	log := watch(&o)
	res, err := Run(t.Context(), o)
	if err != nil || res.Failed != 1 || !errors.Is(log.problems["a"][0], ErrInTheWay) {
		t.Errorf("%+v, %v, %v", res, err, log.problems)
	}
	sameTree(t, fileSpec{"a": "newer", "b/": "", "b/y": "y"}, readTree(t, to))
}

// watched is a store that calls look before each read.
type watched struct {
	chunks.Store
	look func()
}

func (w watched) ReadAt(ctx context.Context, name string, p []byte, off int64) (int, error) {
	w.look()
	return w.Store.ReadAt(ctx, name, p, off)
}

// A restore that was killed leaves files that are newer than in the snapshot: these modes would take them for the user's.
func TestNoPartOfAFileHasItsName(t *testing.T) {
	from := t.TempDir()
	fileSpec{"old/large": noise(5<<20, 1), "old/small": "small", "new/large": noise(5<<20, 2), "new/small": "small"}.make(t, from)
	b := newBench()
	root, want := b.save(t, from), readTree(t, from)
	for _, mode := range []Overwrite{OverwriteIfNewer, OverwriteNever} {
		to := t.TempDir()
		fileSpec{"old/": ""}.make(t, to)
		o := b.options(root, from, to)
		o.Overwrite, o.Workers, o.limits = mode, 1, limits{1, 1, 1, 1}
		parts := 0
		o.Store = watched{b.store, func() {
			for name, content := range readTree(t, to) {
				if strings.Contains(name, ".snap-restore-") {
					parts++
				} else if want[name] != content {
					t.Errorf("%v: %s has %d bytes of %d", mode, name, len(content), len(want[name]))
				}
			}
		}}
		mustRun(t, o)
		sameTree(t, want, readTree(t, to))
		if parts == 0 {
			t.Errorf("%v: no part of a file was seen", mode)
		}
	}
}
