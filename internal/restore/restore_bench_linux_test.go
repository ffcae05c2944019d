package restore

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

// BenchmarkRestoreSmallFiles restores 4,000 files in 100 folders.
func BenchmarkRestoreSmallFiles(b *testing.B) {
	spec := fileSpec{}
	size := int64(0)
	for i := range 4000 {
		content := strings.Repeat(fmt.Sprint("line ", i*7919%1000, "\n"), 100+i%900)
		spec[fmt.Sprintf("d%d/f%d.%d", i%100, i, i%7)] = content
		size += int64(len(content))
	}
	benchmarkRestore(b, spec, size)
}

// BenchmarkRestoreLargeFile restores a file that does not compress.
func BenchmarkRestoreLargeFile(b *testing.B) {
	benchmarkRestore(b, fileSpec{"large": noise(64<<20, 1)}, 64<<20)
}

func benchmarkRestore(b *testing.B, spec fileSpec, size int64) {
	from, to := b.TempDir(), b.TempDir()
	spec.make(b, from)
	r := newBench()
	root := r.save(b, from)
	b.SetBytes(size)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		target := fmt.Sprintf("%s/%d", to, i)
		if _, err := Run(b.Context(), r.options(root, from, target)); err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		os.RemoveAll(target)
		b.StartTimer()
	}
}
