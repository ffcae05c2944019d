package local

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/snapkeep/snap/internal/source"
	"github.com/snapkeep/snap/internal/tree"
)

// wideTree makes folders of folders and returns the one above all.
func wideTree(t *testing.T) string {
	top := t.TempDir()
	for i := range 12 {
		for k := range i {
			dir := filepath.Join(top, fmt.Sprintf("d%02d", i), fmt.Sprintf("e%02d", k))
			if err := os.MkdirAll(dir, 0o755); err != nil {
				t.Fatal(err)
			}
			for n := range k {
				if err := os.WriteFile(filepath.Join(dir, fmt.Sprint(n)), nil, 0o644); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	return top
}

// addLarge makes a folder that is larger than what is listed ahead.
func addLarge(t *testing.T, dir string) {
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for n := range aheadNames + 10 {
		if err := os.Symlink("x", filepath.Join(dir, fmt.Sprint(n))); err != nil {
			t.Fatal(err)
		}
	}
}

// gather returns all stats beneath d by path, in path order but for folders of which skip says that they are passed over, and closes d.
func gather(ctx context.Context, d source.Dir, path string, skip func(path string) bool) (all []string, err error) {
	defer d.Close()
	stats, problems, err := d.List(ctx)
	if err != nil || len(problems) > 0 {
		return nil, errors.Join(err, fmt.Errorf("%s: %d problems", path, len(problems)))
	}
	for i := range stats {
		at := path + "/" + stats[i].Name
		all = append(all, fmt.Sprintf("%s %v", at, stats[i]))
		if stats[i].Kind != tree.Directory || skip(at) {
			continue
		}
		sub, err := d.OpenDir(ctx, &stats[i])
		if err != nil {
			return nil, err
		}
		below, err := gather(ctx, sub, at, skip)
		if err != nil {
			return nil, err
		}
		all = append(all, below...)
	}
	return all, nil
}

// rootDir opens the only root of a source. The folders above it stay open until the caller calls close.
func rootDir(t *testing.T, src *Source) (d source.Dir, close func()) {
	var above []source.Dir
	d, err := src.Root(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for depth := strings.Count(src.Roots()[0], "/"); depth > 0; depth-- {
		above = append(above, d)
		stats, _, err := d.List(t.Context())
		if err != nil || len(stats) != 1 {
			t.Fatalf("%d ways to the root, %v", len(stats), err)
		}
		if d, err = d.OpenDir(t.Context(), &stats[0]); err != nil {
			t.Fatal(err)
		}
	}
	return d, func() {
		for _, d := range above {
			d.Close()
		}
	}
}

// listedRoot opens the only root of a source, which wideTree has made, and lists it. It is closed when the test ends.
func listedRoot(t *testing.T, src *Source) (source.Dir, []tree.Stat) {
	t.Helper()
	d, above := rootDir(t, src)
	t.Cleanup(func() { d.Close(); above() })
	stats, _, err := d.List(t.Context())
	if err != nil || len(stats) != 11 {
		t.Fatalf("%d folders, %v", len(stats), err)
	}
	return d, stats
}

// openFiles counts the descriptors of this process.
func openFiles(t *testing.T) int {
	list, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(list)
}

// TestListedAheadIsTheSame walks a tree with and without listing ahead, whole and with folders passed over, and leaves nothing open.
func TestListedAheadIsTheSame(t *testing.T) {
	top := wideTree(t)
	addLarge(t, filepath.Join(top, "d05", "large"))
	before := openFiles(t)
	n := 0
	for name, skip := range map[string]func(string) bool{
		"whole":       func(string) bool { return false },
		"every third": func(string) bool { n++; return n%3 == 2 },
		"none below":  func(path string) bool { return true },
	} {
		var want []string
		for _, ahead := range []int{-1, 0, 1, 50} {
			src, err := New(Options{Roots: []string{top}, Ahead: ahead})
			if err != nil {
				t.Fatal(err)
			}
			n = 0
			root, above := rootDir(t, src)
			got, err := gather(t.Context(), root, "", skip)
			if above(); err != nil {
				t.Fatalf("%s, %d ahead: %v", name, ahead, err)
			}
			if ahead < 0 {
				want = got
			} else if !reflect.DeepEqual(got, want) {
				t.Errorf("%s, %d ahead: %d entries, %d in turn, or others", name, ahead, len(got), len(want))
			}
			if len(got) < 11 {
				t.Errorf("%s: %d entries", name, len(got))
			}
		}
	}
	if after := openFiles(t); after > before { // what another test has left to the collector may be closed by now
		t.Errorf("%d files are open, %d were before", after, before)
	}
}

// TestOpenDirInAnyOrder opens folders from the last to the first, and some twice.
func TestOpenDirInAnyOrder(t *testing.T) {
	src, err := New(Options{Roots: []string{wideTree(t)}})
	if err != nil {
		t.Fatal(err)
	}
	d, stats := listedRoot(t, src)
	for _, i := range []int{1, 1, 10, 0, 4, 2, 3, 3} {
		sub, err := d.OpenDir(t.Context(), &stats[i])
		if err != nil {
			t.Fatal(err)
		}
		below, _, err := sub.List(t.Context())
		again, _, errAgain := sub.List(t.Context())
		if want := i + 1; err != nil || errAgain != nil || len(below) != want || !reflect.DeepEqual(below, again) {
			t.Errorf("folder %d: %d entries, then %d; %v, %v", i, len(below), len(again), err, errAgain)
		}
		if err := sub.Close(); err != nil {
			t.Error(err)
		}
	}
}

// TestFolderThatGoesAwayWhileListedAhead removes and replaces folders between the look at them and their turn.
func TestFolderThatGoesAwayWhileListedAhead(t *testing.T) {
	top := wideTree(t)
	src, err := New(Options{Roots: []string{top}})
	if err != nil {
		t.Fatal(err)
	}
	d, stats := listedRoot(t, src)
	if err := os.RemoveAll(filepath.Join(top, "d01")); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(filepath.Join(top, "d02"), filepath.Join(top, "elsewhere")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/etc", filepath.Join(top, "d02")); err != nil {
		t.Fatal(err)
	}
	if _, err := d.OpenDir(t.Context(), &stats[0]); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("opened what is gone: %v", err)
	}
	if _, err := d.OpenDir(t.Context(), &stats[1]); !errors.Is(err, source.ErrReplaced) {
		t.Errorf("opened a link: %v", err)
	}
	sub, err := d.OpenDir(t.Context(), &stats[2])
	if err != nil {
		t.Fatal(err)
	}
	sub.Close()
}

// TestCancelledWhileListedAhead cancels the context that a folder was listed ahead with: its List looks anew.
func TestCancelledWhileListedAhead(t *testing.T) {
	src, err := New(Options{Roots: []string{wideTree(t)}})
	if err != nil {
		t.Fatal(err)
	}
	d, stats := listedRoot(t, src)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for i := range 3 {
		sub, err := d.OpenDir(ctx, &stats[i])
		if err != nil {
			t.Fatal(err)
		}
		if below, _, err := sub.List(t.Context()); err != nil || len(below) != i+1 {
			t.Errorf("folder %d: %d entries, %v", i, len(below), err)
		}
		sub.Close()
	}
}
