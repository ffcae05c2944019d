package chunks

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/snapkeep/snap/index"
	"github.com/snapkeep/snap/internal/store/mem"
	"github.com/snapkeep/snap/pack"
)

// TestPiecesOfLargeFilesDieAlone makes sure that a chunk of a large file shares its segment with none, unless it is tiny, and that small files do.
func TestPiecesOfLargeFilesDieAlone(t *testing.T) {
	set := index.NewSet()
	w := newWriter(t, mem.New(nil), set, Options{})
	s := w.NewSaver()
	rng := rand.New(rand.NewPCG(1, 1))
	chunk := func(n int) []byte {
		b := make([]byte, n)
		for i := range b {
			b[i] = byte(rng.Uint32())
		}
		return b
	}
	var small, large, tiny []pack.ChunkID
	for range 20 {
		id, err := s.Save(t.Context(), pack.KindData, chunk(pieceSegment+rng.IntN(20_000)))
		if err != nil {
			t.Fatal(err)
		}
		large = append(large, id)
		data := chunk(1000 + rng.IntN(20_000))
		buf, err := s.Tail(t.Context(), pack.KindData, len(data))
		if err != nil {
			t.Fatal(err)
		}
		copy(buf, data)
		if id, err = s.SaveTail(t.Context(), pack.KindData, len(data)); err != nil {
			t.Fatal(err)
		}
		small = append(small, id)
	}
	for range 2 { // ends of files
		id, err := s.Save(t.Context(), pack.KindData, chunk(500))
		if err != nil {
			t.Fatal(err)
		}
		tiny = append(tiny, id)
	}
	if err := s.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Finish(t.Context()); err != nil {
		t.Fatal(err)
	}
	segments := func(ids []pack.ChunkID) int {
		places := map[segmentKey]bool{}
		for _, id := range ids {
			l, ok := set.Lookup(id)
			if !ok {
				t.Fatalf("%s is not stored", id)
			}
			places[segmentKey{l.Pack, l.Offset}] = true
		}
		return len(places)
	}
	// The first segment might have been a dictionary, and so holds up to four.
	if l, s, e := segments(large), segments(small), segments(tiny); l < len(large)-3 || s != 1 || e != 1 {
		t.Errorf("%d chunks of large files in %d segments, %d small files in %d, %d ends of files in %d", len(large), l, len(small), s, len(tiny), e)
	}
}

// full is a store without room for packs.
type full struct{ Store }

var errFull = errors.New("no room")

func (f full) Create(ctx context.Context, name string, r io.Reader, size int64) error {
	if strings.HasPrefix(name, "data/") {
		return errFull
	}
	return f.Store.Create(ctx, name, r, size)
}

// TestPackThatCannotBeStoredEndsTheRun: the rest of the source is not read for nothing.
func TestPackThatCannotBeStoredEndsTheRun(t *testing.T) {
	w, err := NewWriter(t.Context(), full{mem.New(nil)}, index.NewSet(), testKeys(), Options{PackSize: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	s, rng := w.NewSaver(), rand.New(rand.NewPCG(3, 3))
	data := make([]byte, 1<<20)
	for range 100 {
		for i := range data {
			data[i] = byte(rng.Uint32())
		}
		if _, err = s.Save(t.Context(), pack.KindData, data); err != nil {
			break
		}
	}
	if !errors.Is(err, errFull) {
		t.Errorf("saving 100 MiB: %v", err)
	}
	if _, err := w.Finish(t.Context()); !errors.Is(err, errFull) {
		t.Errorf("Finish: %v", err)
	}
}
