package index

import (
	"slices"
	"sync"
	"testing"

	"github.com/snapkeep/snap/pack"
)

func TestSpilledSetAgreesWithReference(t *testing.T) {
	t.Parallel()
	for seed := range uint64(3) {
		w := newWorld(seed, 400)
		s := newSet(t.TempDir())
		s.spillRows = 50
		for range 8 {
			for range 25 {
				w.step(s)
			}
			w.check(t, s)
			w.checkMarks(t, s)
		}
		if n := len(s.own); n > 10 {
			t.Errorf("%d parts", n)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestLookupsWhileRowsAreAdded finds each pack from the moment on when Add returned, whatever
// others do.
func TestLookupsWhileRowsAreAdded(t *testing.T) {
	t.Parallel()
	g := generator{rows: 24_000}
	s := newSet(t.TempDir())
	s.spillRows = 700
	defer s.Close()
	const adders = 3
	var wg sync.WaitGroup
	for a := range adders {
		wg.Go(func() {
			for i := a; i < g.packs(); i += adders {
				p := g.pack(i)
				s.Add(p)
				for _, n := range []int{i, a, i / 2 / adders * adders} {
					if n%adders != a {
						n = i
					}
					for k := range generatedChunks {
						if l, ok := s.Lookup(g.chunk(n*generatedChunks + k)); !ok || l.Pack != g.pack(n).ID {
							t.Errorf("chunk %d of pack %d: %v, %v", k, n, l, ok)
							return
						}
					}
				}
			}
		})
	}
	wg.Go(func() {
		for range 20 {
			m := s.NewMarks()
			var ids []pack.ChunkID
			for id := range s.Rows() {
				if ids = append(ids, id); len(ids) == 1000 {
					break
				}
			}
			m.Mark(ids, nil)
			for u := range m.Usage() {
				if u.LiveChunks > u.Chunks {
					t.Errorf("usage %+v", u)
				}
			}
			m.Close()
		}
	})
	wg.Wait()
	if n := s.Len(); n != g.rows {
		t.Errorf("%d rows, want %d", n, g.rows)
	}
	for _, p := range s.own {
		if p.mem != nil && p.chunks() > 5*700 {
			t.Errorf("%d rows on the heap", p.chunks())
		}
	}
}

func TestMarksOutliveTheSet(t *testing.T) {
	t.Parallel()
	w := newWorld(1, 300)
	s := newSet(t.TempDir())
	s.spillRows = 100
	for range 60 {
		w.step(s)
	}
	m := s.NewMarks()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	missing := m.Mark(w.universe, nil)
	for _, id := range w.universe {
		if m.Marked(id) == slices.Contains(missing, id) {
			t.Fatalf("%s is marked and missing, or neither", id)
		}
	}
	m.Close()
}
