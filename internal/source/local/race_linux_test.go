package local

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/snapkeep/snap/internal/source"
	"github.com/snapkeep/snap/internal/tree"
)

// TestRacerCannotLeadABackupOut swaps folders and files of a root with links that
// lead out of it, while the root is read.
func TestRacerCannotLeadABackupOut(t *testing.T) {
	outside := build(t, "file=secret", "sub/file=secret", "hidden=secret")
	root := build(t, "dir-a/file=open", "dir-a/sub/file=open", "file-a=open")
	for link, target := range map[string]string{"dir-b": "", "file-b": "/file"} {
		if err := os.Symlink(outside+target, filepath.Join(root, link)); err != nil {
			t.Fatal(err)
		}
	}
	var stop atomic.Bool
	var swaps atomic.Int64
	var wg sync.WaitGroup
	for _, pair := range []string{"dir", "file"} {
		wg.Go(func() {
			a, b := filepath.Join(root, pair+"-a"), filepath.Join(root, pair+"-b")
			for !stop.Load() {
				if unix.Renameat2(unix.AT_FDCWD, a, unix.AT_FDCWD, b, unix.RENAME_EXCHANGE) == nil {
					swaps.Add(1)
				}
			}
		})
	}
	reads := 0
	for end := time.Now().Add(time.Second); time.Now().Before(end) || reads == 0 || swaps.Load() == 0; {
		d := openRoot(t, root, Options{})
		for _, content := range readWhatOpens(t, d) {
			reads++
			if strings.Contains(content, "secret") || content == "hidden" {
				t.Fatalf("read %q from outside", content)
			}
		}
		d.Close()
	}
	stop.Store(true)
	wg.Wait()
	t.Logf("%d reads, %d swaps", reads, swaps.Load())
}

// readWhatOpens returns the names and contents of all that can be opened beneath d, as
// it was listed and as if it were something else.
func readWhatOpens(t *testing.T, d source.Dir) (all []string) {
	stats, _, err := d.List(t.Context())
	if err != nil {
		t.Error(err)
	}
	for i := range stats {
		st := stats[i]
		all = append(all, st.Name)
		if sub, err := d.OpenDir(t.Context(), &st); err == nil {
			all = append(all, readWhatOpens(t, sub)...)
			sub.Close()
		}
		f, err := d.Open(t.Context(), &st)
		if err == nil {
			for {
				if _, err := f.Next(); err != nil {
					break
				}
				b, _ := io.ReadAll(f)
				all = append(all, string(b))
			}
			f.Close()
		}
		var e tree.Entry
		d.Describe(t.Context(), &st, &e, nil)
	}
	return all
}
