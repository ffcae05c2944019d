package target

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/snapkeep/snap/internal/tree"
)

// swap swaps the entries a and b of a folder until stop is set, and counts how often.
func swap(dir string, stop *atomic.Bool, n *atomic.Int64) {
	for !stop.Load() {
		if unix.Renameat2(unix.AT_FDCWD, dir+"/a", unix.AT_FDCWD, dir+"/b", unix.RENAME_EXCHANGE) == nil {
			n.Add(1)
		}
	}
}

// TestRacerCannotLeadARestoreOut swaps a folder and a link that leads out of the
// target, while files, links and metadata are restored through its name.
func TestRacerCannotLeadARestoreOut(t *testing.T) {
	eachRoot(t, Options{MaxDirs: 1}, func(t *testing.T, r *Root, path string) {
		outside := tempTree(t)
		if err := os.MkdirAll(outside+"/sub", 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(outside+"/file", []byte("safe"), 0o600); err != nil {
			t.Fatal(err)
		}
		before := manifest(t, outside)
		if err := os.Mkdir(path+"/a", 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(outside, path+"/b"); err != nil {
			t.Fatal(err)
		}
		var stop atomic.Bool
		var swaps atomic.Int64
		var wg sync.WaitGroup
		wg.Go(func() { swap(path, &stop, &swaps) })
		entered, refused := 0, 0
		for end := time.Now().Add(time.Second); time.Now().Before(end) || entered == 0 || swaps.Load() == 0; {
			if restoreOnce(r) {
				entered++
			} else {
				refused++
			}
		}
		stop.Store(true)
		wg.Wait()
		if diff := slices.Compare(before, manifest(t, outside)); diff != 0 {
			t.Errorf("something outside changed: %s", strings.Join(manifest(t, outside), "\n"))
		}
		t.Logf("%d entered, %d refused, %d swaps", entered, refused, swaps.Load())
		if names, err := filepath.Glob(outside + "/*"); err != nil || len(names) != 2 {
			t.Errorf("outside: %q, %v", names, err)
		}
	})
}

// restoreOnce does everything that a restore does in the folder a, and reports whether
// it got in.
func restoreOnce(r *Root) bool {
	// Another folder takes the only place in the cache.
	if top, err := r.Dir(""); err == nil {
		top.Mkdir("a", false)
		top.Release()
	}
	d, err := r.Dir("a")
	if err != nil {
		return false
	}
	defer d.Release()
	e := regular("file", "evil")
	e.Mode = 0o777
	write(d, e, Replace, "evil")
	d.SetFileMeta(e)
	d.Mkdir("sub", false)
	link := *e
	link.Kind, link.Name, link.Target = tree.Symlink, "link", "/"
	d.MakeSpecial(&link, Replace)
	d.Link("hard", d, "file", Replace)
	folder := *e
	folder.Kind = tree.Directory
	d.SetMeta(&folder, true)
	d.RemoveAll("hard")
	r.MkdirAll("a/sub/deep")
	if sub, err := r.Dir("a/sub"); err == nil {
		write(sub, e, Replace, "evil")
		sub.Release()
	}
	d.RemoveAll("sub")
	return true
}
