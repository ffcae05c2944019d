package backup_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/snapkeep/snap/internal/backup"
	"github.com/snapkeep/snap/internal/source"
	"github.com/snapkeep/snap/internal/store/mem"
	"github.com/snapkeep/snap/internal/tree"
	"github.com/snapkeep/snap/pack"
)

// counting is a source that counts the folders that are open.
type counting struct {
	source.Source
	open, most *atomic.Int64
}

func (c counting) Root(ctx context.Context) (source.Dir, error) {
	dir, err := c.Source.Root(ctx)
	return c.opened(dir, err)
}

func (c counting) opened(dir source.Dir, err error) (source.Dir, error) {
	if err != nil {
		return nil, err
	}
	if n := c.open.Add(1); n > c.most.Load() { // the scanner opens one at a time
		c.most.Store(n)
	}
	return countingDir{dir, c}, nil
}

type countingDir struct {
	source.Dir
	c counting
}

func (d countingDir) OpenDir(ctx context.Context, st *tree.Stat) (source.Dir, error) {
	dir, err := d.Dir.OpenDir(ctx, st)
	return d.c.opened(dir, err)
}

func (d countingDir) Close() error {
	d.c.open.Add(-1)
	return d.Dir.Close()
}

// TestFewDirectoriesAreOpen backs up many folders of one file each, and some that are deeper than may be open at a time. Nothing stays open, also if the run
// is cancelled.
func TestFewDirectoriesAreOpen(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var folders []string
	for i := range 500 {
		folders = append(folders, fmt.Sprint(i))
	}
	for i := range 40 {
		folders = append(folders, strings.Repeat("d/", i+1))
	}
	for i, name := range folders {
		if err := os.MkdirAll(filepath.Join(dir, name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name, "f"), []byte(fmt.Sprint("content ", i)), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	const most = 20
	b := newBench(t, mem.New(nil))
	c := counting{localSource(t, dir), new(atomic.Int64), new(atomic.Int64)}
	few := func(o *backup.Options) { o.MaxDirs = most }
	result, err := b.back(t.Context(), c, pack.ChunkID{}, few)
	if err != nil || result.Summary.FilesNew != int64(len(folders)) || result.Summary.Unreadable != 0 {
		t.Fatalf("%+v, %v", result, err)
	}
	depth := int64(strings.Count(dir, "/") + 1 + 40)
	if n := c.most.Load(); n > most+depth {
		t.Errorf("%d folders were open at a time", n)
	}
	if n := c.open.Load(); n != 0 {
		t.Errorf("%d folders are open still", n)
	}
	for at := range 10 {
		ctx, cancel := context.WithCancel(t.Context())
		seen := 0
		_, err := b.back(ctx, c, pack.ChunkID{}, func(o *backup.Options) {
			few(o)
			o.Item = func(backup.Item) {
				if seen++; seen > at*50 {
					cancel()
				}
			}
		})
		cancel()
		if !errors.Is(err, context.Canceled) {
			t.Errorf("cancelled: %v", err)
		}
		if n := c.open.Load(); n != 0 {
			t.Errorf("cancelled at %d: %d folders are open still", at*50, n)
		}
	}
}
