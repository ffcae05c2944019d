package durable

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"
)

// BenchmarkWrite writes and commits one file after the other, as a whole and
// with writing to the disk started early or not.
func BenchmarkWrite(b *testing.B) {
	for _, size := range []int{1 << 10, 1 << 20, 32 << 20} {
		for _, kind := range kinds {
			for _, writeback := range []int64{0, defaultWritebackBytes, 4 << 20, 16 << 20} {
				if writeback != defaultWritebackBytes && (size < 32<<20 || kind.opts.NamedTemp) {
					continue
				}
				b.Run(fmt.Sprintf("%s/size=%dKiB/writeback=%dKiB", kind.name, size>>10, writeback>>10), func(b *testing.B) {
					benchmarkWrite(b, kind.opts, size, writeback)
				})
			}
		}
	}
}

func benchmarkWrite(b *testing.B, opts Options, size int, writeback int64) {
	d, err := Open(b.TempDir(), opts)
	if err != nil {
		b.Fatal(err)
	}
	defer d.Close()
	d.writebackBytes = writeback
	data := make([]byte, size)
	rand.NewChaCha8([32]byte{}).Read(data)
	b.SetBytes(int64(size))
	var inCommit time.Duration
	i := 0
	for b.Loop() {
		i++
		name := fmt.Sprintf("d/%d", i)
		f, err := d.NewFile()
		if err != nil {
			b.Fatal(err)
		}
		for rest := data; len(rest) > 0; rest = rest[min(len(rest), 1<<20):] {
			if _, err := f.Write(rest[:min(len(rest), 1<<20)]); err != nil {
				b.Fatal(err)
			}
		}
		start := time.Now()
		if err := f.Commit(name); err != nil {
			b.Fatal(err)
		}
		inCommit += time.Since(start)
		b.StopTimer()
		if err := d.Remove(name); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
	}
	b.ReportMetric(float64(inCommit.Microseconds())/float64(i), "commit-us/op")
}

// BenchmarkWriteConcurrent writes small files from 8 goroutines, which share
// the commits of the file system's journal.
func BenchmarkWriteConcurrent(b *testing.B) {
	d, err := Open(b.TempDir(), Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer d.Close()
	const writers = 8
	data := make([]byte, 1<<10)
	b.SetBytes(writers << 10)
	i := 0
	for b.Loop() {
		i++
		var wg sync.WaitGroup
		for writer := range writers {
			wg.Go(func() {
				if err := writeFile(d, fmt.Sprintf("d%d/%d", writer, i), data); err != nil {
					b.Error(err)
				}
			})
		}
		wg.Wait()
	}
}
