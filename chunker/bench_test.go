package chunker

import (
	"bytes"
	"testing"

	rabin "github.com/restic/chunker"
)

// Compare the two on a quiet machine: each handles the same bytes, and neither
// waits for a device.

func BenchmarkNext(b *testing.B) {
	for _, set := range benchmarkSets() {
		b.Run(set.name, func(b *testing.B) {
			c, err := New(set.params)
			if err != nil {
				b.Fatal(err)
			}
			b.SetBytes(int64(len(set.data)))
			b.ReportAllocs()
			for b.Loop() {
				for rest := set.data; len(rest) > 0; {
					rest = rest[c.Next(rest, true):]
				}
			}
		})
	}
}

func BenchmarkLibrary(b *testing.B) {
	for _, set := range benchmarkSets() {
		b.Run(set.name, func(b *testing.B) {
			buf := make([]byte, 0, set.params.MaxSize)
			l := rabin.New(nil, rabin.Pol(set.params.Polynomial))
			b.SetBytes(int64(len(set.data)))
			for b.Loop() {
				l.ResetWithBoundaries(bytes.NewReader(set.data), rabin.Pol(set.params.Polynomial),
					uint(set.params.MinSize), uint(set.params.MaxSize))
				l.SetAverageBits(set.params.AverageBits)
				for {
					if _, err := l.Next(buf); err != nil {
						break
					}
				}
			}
		})
	}
}

func BenchmarkNew(b *testing.B) {
	for b.Loop() {
		if _, err := New(Files(testPolynomial)); err != nil {
			b.Fatal(err)
		}
	}
}

type benchmarkSet struct {
	name   string
	params Params
	data   []byte
}

func benchmarkSets() []benchmarkSet {
	random := randomBytes(1, 32<<20)
	return []benchmarkSet{
		{"files", Files(testPolynomial), random},
		{"database", Database(testPolynomial), random},
		{"zeros", Files(testPolynomial), make([]byte, 32<<20)},
	}
}
