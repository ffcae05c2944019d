package seal

import (
	"bytes"
	"fmt"
	"testing"
)

var benchSizes = []int{64, 4 << 10, 64 << 10, 1 << 20}

func BenchmarkSeal(b *testing.B) {
	for _, size := range benchSizes {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			k, plain := NewKey(&[32]byte{1}, [16]byte{2}, nil), bytes.Repeat([]byte{7}, size)
			dst := make([]byte, 0, size+Overhead)
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := k.Seal(dst, 1, plain); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// SealInPlace is what segments use: they were compressed where they are sealed. What is sealed the next time is the last box.
func BenchmarkSealInPlace(b *testing.B) {
	for _, size := range benchSizes {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			k := NewKey(&[32]byte{1}, [16]byte{2}, nil)
			buf := make([]byte, Front+size, size+Overhead)
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := k.SealInPlace(buf, 0, 1, [32]byte{3}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkOpen(b *testing.B) {
	for _, size := range benchSizes {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			k := NewKey(&[32]byte{1}, [16]byte{2}, nil)
			box, err := k.Seal(nil, 1, bytes.Repeat([]byte{7}, size))
			if err != nil {
				b.Fatal(err)
			}
			dst := make([]byte, 0, size)
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := k.Open(dst, 1, box); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
