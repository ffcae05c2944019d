package local

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/snapkeep/snap/internal/source"
	"github.com/snapkeep/snap/internal/tree"
)

// TestDeepTreeNeedsFewDescriptors walks down a deep tree in which each folder has others that come after the one that leads on.
func TestDeepTreeNeedsFewDescriptors(t *testing.T) {
	const depth = 150
	top := t.TempDir()
	for i := range depth {
		dir := filepath.Join(top, strings.Repeat("a/", i))
		for k := range 6 {
			if err := os.MkdirAll(filepath.Join(dir, fmt.Sprint("b", k)), 0o755); err != nil {
				t.Fatal(err)
			}
		}
	}
	src, err := New(Options{Roots: []string{top}})
	if err != nil {
		t.Fatal(err)
	}
	before, most := openFiles(t), 0
	var walk func(ctx context.Context, d source.Dir) int
	walk = func(ctx context.Context, d source.Dir) (folders int) {
		defer d.Close()
		stats, _, err := d.List(ctx)
		if err != nil {
			t.Fatal(err)
		}
		most = max(most, openFiles(t)-before)
		for i := range stats {
			if stats[i].Kind != tree.Directory {
				continue
			}
			sub, err := d.OpenDir(ctx, &stats[i])
			if err != nil {
				t.Fatal(err)
			}
			folders += 1 + walk(ctx, sub)
		}
		return folders
	}
	d, above := rootDir(t, src)
	defer above()
	if n := walk(t.Context(), d); n != depth-1+6*depth {
		t.Errorf("%d folders", n)
	}
	if left := d.(*dir).w.begun.Load(); left != 0 {
		t.Errorf("%d folders count as open", left)
	}
	if most > depth+2*mostBegun {
		t.Errorf("%d files were open at a time, in %d folders", most, depth)
	}
}
