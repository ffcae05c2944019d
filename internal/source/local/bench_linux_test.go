package local

import (
	"context"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/snapkeep/snap/internal/source"
	"github.com/snapkeep/snap/internal/tree"
)

// countEntries lists everything beneath d, in path order, and closes it.
func countEntries(ctx context.Context, d source.Dir) (int, error) {
	defer d.Close()
	stats, _, err := d.List(ctx)
	if err != nil {
		return 0, err
	}
	n := len(stats)
	for i := range stats {
		if stats[i].Kind != tree.Directory {
			continue
		}
		sub, err := d.OpenDir(ctx, &stats[i])
		if err != nil {
			return 0, err
		}
		k, err := countEntries(ctx, sub)
		if err != nil {
			return 0, err
		}
		n += k
	}
	return n, nil
}

// lstatWalk is the bare walk to compare with.
func lstatWalk(dir string) (int, error) {
	f, err := os.Open(dir)
	if err != nil {
		return 0, err
	}
	names, err := f.Readdirnames(-1)
	f.Close()
	if err != nil {
		return 0, err
	}
	n := len(names)
	for _, name := range names {
		var st syscall.Stat_t
		p := dir + "/" + name
		if err := syscall.Lstat(p, &st); err != nil {
			return 0, err
		}
		if st.Mode&syscall.S_IFMT == syscall.S_IFDIR {
			k, err := lstatWalk(p)
			if err != nil {
				return 0, err
			}
			n += k
		}
	}
	return n, nil
}

func cpu() time.Duration {
	var u syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkWalk walks the folder that SNAP_BENCH_TREE names, or one of 4,000 files, and
// gives the CPU time of an entry; lstat is a bare walk over full paths.
func BenchmarkWalk(b *testing.B) {
	root := os.Getenv("SNAP_BENCH_TREE")
	if root == "" {
		root = b.TempDir()
		for i := range 4000 {
			dir := filepath.Join(root, string(rune('a'+i/200)))
			if err := os.MkdirAll(dir, 0o755); err != nil {
				b.Fatal(err)
			}
			name := filepath.Join(dir, "file-"+time.Unix(int64(i*7919%4000), 0).UTC().Format("150405"))
			if err := os.WriteFile(name, nil, 0o644); err != nil {
				b.Fatal(err)
			}
		}
	}
	run := func(b *testing.B, walk func() (int, error)) {
		b.ReportAllocs()
		entries, start := 0, cpu()
		for b.Loop() {
			n, err := walk()
			if err != nil {
				b.Fatal(err)
			}
			entries += n
		}
		b.ReportMetric(float64(cpu()-start)/1000/float64(entries), "cpu-µs/entry")
		b.ReportMetric(float64(b.Elapsed())/1000/float64(entries), "µs/entry")
	}
	for name, ahead := range map[string]int{"source": 0, "in-turn": -1} {
		b.Run(name, func(b *testing.B) {
			s, err := New(Options{Roots: []string{root}, Ahead: ahead})
			if err != nil {
				b.Fatal(err)
			}
			run(b, func() (int, error) {
				d, err := s.Root(b.Context())
				if err != nil {
					return 0, err
				}
				return countEntries(b.Context(), d)
			})
		})
	}
	b.Run("lstat", func(b *testing.B) {
		run(b, func() (int, error) { return lstatWalk(root) })
	})
}
