package compress

import (
	"fmt"
	"math/rand/v2"
	"testing"
)

var levels = []Level{Fastest, Default, Better, Max}

// words returns size bytes that look like source text: words of a small vocabulary.
func words(size int, seed uint64) []byte {
	random := rand.New(rand.NewPCG(seed, 1))
	vocabulary := make([]string, 2000)
	for i := range vocabulary {
		vocabulary[i] = fmt.Sprintf("%x%c", random.Uint64()>>(16+random.IntN(40)), " \n\t.,;(){}"[random.IntN(10)])
	}
	var b []byte
	for len(b) < size {
		n := int(random.ExpFloat64() * 200)
		b = append(b, vocabulary[min(n, len(vocabulary)-1)]...)
	}
	return b[:size]
}

// noise returns size bytes that nothing compresses.
func noise(size int, seed uint64) []byte {
	b := make([]byte, size)
	rand.NewChaCha8([32]byte{byte(seed)}).Read(b)
	return b
}

func BenchmarkAppend(b *testing.B) {
	for _, level := range levels {
		for _, data := range []struct {
			name string
			src  []byte
		}{{"words", words(1<<20, 1)}, {"noise", noise(1<<20, 1)}, {"small", words(4<<10, 1)}} {
			b.Run(string(level)+"/"+data.name, func(b *testing.B) {
				c, err := NewCompressor(level)
				if err != nil {
					b.Fatal(err)
				}
				dst := make([]byte, 0, 2<<20)
				b.SetBytes(int64(len(data.src)))
				b.ReportAllocs()
				size := len(data.src)
				for b.Loop() {
					if out, ok := c.Append(dst, data.src); ok {
						size = len(out)
					}
				}
				b.ReportMetric(float64(size)/float64(len(data.src)), "ratio")
			})
		}
	}
}

func BenchmarkDecompress(b *testing.B) {
	for _, size := range []int{4 << 10, 1 << 20} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			c, err := NewCompressor(Default)
			if err != nil {
				b.Fatal(err)
			}
			frame, ok := c.Append(nil, words(size, 1))
			if !ok {
				b.Fatal("not compressed")
			}
			var d Decompressor
			dst := make([]byte, 0, size)
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := d.Append(dst, frame, size); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkNewEncoder(b *testing.B) {
	for _, level := range levels {
		b.Run(string(level), func(b *testing.B) {
			src, dst := words(1<<20, 1), make([]byte, 0, 2<<20)
			b.ReportAllocs()
			for b.Loop() {
				newEncoder(level, windowSize).EncodeAll(src, dst)
			}
		})
	}
}
