package index

import (
	"runtime"
	"testing"

	"github.com/snapkeep/snap/pack"
)

// synced returns a Cache with the rows of a generator.
func synced(b *testing.B, g generator, dir string) *Cache {
	b.Helper()
	c := OpenCache(dir)
	if _, err := c.Sync(b.Context(), g.list, g.load); err != nil {
		b.Fatal(err)
	}
	return c
}

func BenchmarkLookup(b *testing.B) {
	g := generator{rows: 1_000_000}
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	c := synced(b, g, b.TempDir())
	defer c.Close()
	s := c.Set()
	runtime.GC()
	runtime.ReadMemStats(&after)
	heap := float64(int64(after.HeapAlloc)-int64(before.HeapAlloc)) / float64(g.rows)
	for _, bb := range []struct {
		name  string
		first int
	}{{"hit", 0}, {"miss", g.rows}} {
		b.Run(bb.name, func(b *testing.B) {
			ids := make([]pack.ChunkID, 1<<16)
			for i := range ids {
				ids[i] = g.chunk(bb.first + i*15)
			}
			b.ReportAllocs()
			b.ResetTimer()
			found := 0
			for i := range b.N {
				if s.Has(ids[i&(1<<16-1)]) {
					found++
				}
			}
			if (found == b.N) != (bb.first == 0) {
				b.Fatalf("found %d of %d", found, b.N)
			}
			b.ReportMetric(heap, "heap-bytes/row")
		})
	}
}

func BenchmarkFirstSync70k(b *testing.B) {
	g := generator{rows: 70_000}
	names, _ := g.list(b.Context())
	bodies := make(map[pack.ID][]byte)
	for _, name := range names {
		bodies[name], _ = g.load(b.Context(), name)
	}
	r := repository{files: bodies}
	for range b.N {
		c := OpenCache(b.TempDir())
		if _, err := c.Sync(b.Context(), g.list, r.load); err != nil {
			b.Fatal(err)
		}
		if err := c.Close(); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkOpen100k(b *testing.B) {
	g := generator{rows: 100_000}
	dir := b.TempDir()
	if err := synced(b, g, dir).Close(); err != nil {
		b.Fatal(err)
	}
	b.ResetTimer()
	for range b.N {
		if err := synced(b, g, dir).Close(); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkAdd(b *testing.B) {
	g := generator{rows: 1 << 30}
	s := newSet(b.TempDir())
	defer s.Close()
	packs := make([]Pack, 1000)
	b.ReportAllocs()
	for i := range b.N {
		if i%len(packs) == 0 {
			b.StopTimer()
			for k := range packs {
				packs[k] = g.pack(i + k)
			}
			b.StartTimer()
		}
		s.Add(packs[i%len(packs)])
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*generatedChunks), "ns/row")
}

func BenchmarkMark(b *testing.B) {
	g := generator{rows: 1_000_000}
	c := synced(b, g, b.TempDir())
	defer c.Close()
	ids := make([]pack.ChunkID, g.rows)
	for i := range ids {
		ids[i] = g.chunk(i)
	}
	m := c.Set().NewMarks()
	defer m.Close()
	b.ResetTimer()
	for range b.N {
		if missing := m.Mark(ids, nil); len(missing) > 0 {
			b.Fatal("missing")
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*g.rows), "ns/id")
}

func BenchmarkFuseBuild(b *testing.B) {
	keys := make([]uint64, shardRows)
	for i := range keys {
		keys[i] = mix(uint64(i))
	}
	var builder fuseBuilder
	var slots []byte
	for range b.N {
		_, slots = builder.build(slots[:0], keys)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(keys)), "ns/key")
	b.ReportMetric(float64(len(slots)*8)/float64(len(keys)), "bits/key")
}
