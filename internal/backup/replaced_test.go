package backup

import (
	"context"
	"errors"
	"io"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/snapkeep/snap/chunker"
	"github.com/snapkeep/snap/index"
	"github.com/snapkeep/snap/internal/chunks"
	"github.com/snapkeep/snap/internal/seal"
	"github.com/snapkeep/snap/internal/source"
	"github.com/snapkeep/snap/internal/store/mem"
	"github.com/snapkeep/snap/internal/tree"
	"github.com/snapkeep/snap/pack"
)

// agedFile is a file of the parent's tree with random parts, holes among them, and ages.
type agedFile struct {
	earlier
	all   []tree.Part
	pages [][]tree.Part // as they are listed, or all of them
	size  int64
	ages  map[pack.ChunkID]int // of those of which it is known
	lists map[pack.ChunkID][]byte
}

func newAgedFile(t *testing.T, rng *rand.Rand, parts int) *agedFile {
	f := &agedFile{ages: map[pack.ChunkID]int{}, lists: map[pack.ChunkID][]byte{}}
	list := tree.NewPartList(func(page []byte) (id pack.ChunkID, _ error) {
		id[0], id[15] = byte(len(f.lists)), 1
		f.lists[id] = page
		return id, nil
	})
	hole := false
	for len(f.all) < parts {
		p := tree.Part{Length: 1 + rng.Int64N(100)}
		if hole = !hole && rng.IntN(10) == 0; !hole {
			for i := range p.ID {
				p.ID[i] = byte(rng.Uint32())
			}
			if rng.IntN(8) > 0 {
				f.ages[p.ID] = rng.IntN(1 << rng.IntN(10))
			}
		}
		f.all, f.size = append(f.all, p), f.size+p.Length
		if err := list.Add(p); err != nil {
			t.Fatal(err)
		}
	}
	var err error
	if f.parts, f.listed, _, err = list.Finish(); err != nil {
		t.Fatal(err)
	}
	f.pages = [][]tree.Part{f.all}
	if f.listed {
		f.pages = nil
		for rest := f.all; len(f.pages) < len(f.parts); {
			n := int64(0)
			i := 0
			for ; n < f.parts[len(f.pages)].Length; i++ {
				n += rest[i].Length
			}
			f.pages, rest = append(f.pages, rest[:i]), rest[i:]
		}
	}
	return f
}

func (f *agedFile) load(_ context.Context, _ pack.Kind, id pack.ChunkID) ([]byte, error) {
	if page, ok := f.lists[id]; ok {
		return page, nil
	}
	return nil, errors.New("no such page")
}

func (f *agedFile) age(id pack.ChunkID) (int, bool) {
	days, ok := f.ages[id]
	return days, ok
}

// life is a slow version of replaced.life.
func (f *agedFile) life(offset int64) chunks.Life {
	end := int64(0)
	for _, page := range f.pages {
		for at, p := range page {
			if end += p.Length; offset >= end {
				continue
			}
			if p.ID.IsZero() {
				return chunks.LifeLong
			}
			product, n := 1.0, 0.0
			for i := at - 4; i <= at+4; i++ {
				if i < 0 || i >= len(page) || page[i].ID.IsZero() {
					continue
				}
				days, ok := f.ages[page[i].ID]
				if !ok || days > 400 {
					days = 400
				}
				times := 1
				if i == at {
					times = 8
				}
				for range times {
					product, n = product*float64(max(days, 1)), n+1
				}
			}
			return chunks.LifeOf(math.Pow(product, 1/n))
		}
	}
	return chunks.LifeLong
}

// TestLifeFollowsTheAgesAround compares the lives of places in files with a slow version.
func TestLifeFollowsTheAgesAround(t *testing.T) {
	t.Parallel()
	seen := map[chunks.Life]int{}
	for seed := range uint64(12) {
		rng := rand.New(rand.NewPCG(seed, 4))
		f := newAgedFile(t, rng, []int{1, 3, 12, 500, 6000}[seed%5])
		p := newReplaced(f.earlier, f.load, f.age)
		for range 600 { // here and there, and then on from there
			for offset := rng.Int64N(f.size + 100); rng.IntN(10) > 0; offset += rng.Int64N(200) {
				want := f.life(offset)
				if got := p.life(t.Context(), offset); got != want {
					t.Fatalf("seed %d, offset %d of %d: life %d, want %d", seed, offset, f.size, got, want)
				}
				seen[want]++
			}
		}
	}
	for life := chunks.LifeLong; life <= chunks.LifeDay; life++ {
		if seen[life] < 20 {
			t.Errorf("life %d was seen %d times", life, seen[life])
		}
	}
}

// TestPageThatCannotBeReadTellsNothing: what was there is a hint, and its loss no error.
func TestPageThatCannotBeReadTellsNothing(t *testing.T) {
	t.Parallel()
	f := newAgedFile(t, rand.New(rand.NewPCG(1, 1)), 3000)
	for id := range f.ages {
		f.ages[id] = 1
	}
	clear(f.lists)
	p := newReplaced(f.earlier, f.load, f.age)
	if got := p.life(t.Context(), f.size/2); got != chunks.LifeLong || !f.listed {
		t.Errorf("life %d", got)
	}
	if newReplaced(earlier{}, f.load, f.age) != nil {
		t.Error("a file that replaces nothing replaces something")
	}
}

// regions is a file of regions of all kinds.
type regions struct {
	source.File
	all  []source.Region
	at   int // the current one and 1
	left int64
	rng  *rand.Rand
}

func (r *regions) Next() (source.Region, error) {
	if r.at == len(r.all) {
		return source.Region{}, io.EOF
	}
	r.at++
	r.left = r.all[r.at-1].Length
	return r.all[r.at-1], nil
}

func (r *regions) Read(p []byte) (int, error) {
	n := int(min(int64(len(p)), r.left))
	for i := 0; i < n; i++ {
		p[i] = byte(r.rng.Uint32())
	}
	if r.left -= int64(n); n == 0 && len(p) > 0 {
		return 0, io.EOF
	}
	return n, nil
}

// TestPiecesKnowWhereTheyAre compares the places of the pieces of a file, some of which is holes, cut by the source or stored already, with its parts.
func TestPiecesKnowWhereTheyAre(t *testing.T) {
	t.Parallel()
	key := seal.NewKey(&[32]byte{2}, [16]byte{}, nil)
	keys := chunks.Keys{Metadata: key, NewContent: func(context.Context) (*seal.Key, error) { return key, nil }}
	w, err := chunks.NewWriter(t.Context(), mem.New(nil), index.NewSet(), keys, chunks.Options{SkipVerify: true})
	if err != nil {
		t.Fatal(err)
	}
	poly, err := chunker.RandomPolynomial(rand.NewChaCha8([32]byte{5}))
	if err != nil {
		t.Fatal(err)
	}
	cutter, err := chunker.New(chunker.Database(poly))
	if err != nil {
		t.Fatal(err)
	}
	saver := w.NewSaver()
	known, err := saver.SavePiece(t.Context(), []byte("stored"), nil)
	if err != nil {
		t.Fatal(err)
	}
	file := &regions{rng: rand.New(rand.NewPCG(2, 2)), all: []source.Region{{Length: 9 << 20}, {Hole: true, Length: 12345}, {Whole: true, Length: 700_000},
		{Chunk: known, Length: 6}, {Whole: true, Length: 600_000}, {Whole: true, Length: 700_000}, {Chunk: known, Length: 6}, {Whole: true, Length: 5_000_000}, {Hole: true, Length: 7},
		{Length: 5 << 20}}}
	r := &run{Options: Options{Writer: w, Blocks: NewBlocks(0), Files: cutter}, pieces: make(chan *piece)}
	l := &largeFile{run: r, cutter: cutter, file: file, parts: tree.NewPartList(func(page []byte) (pack.ChunkID, error) { return pack.ChunkID{1}, nil })}
	places := map[pack.ChunkID]int64{} // of the first chunks of pieces
	done := make(chan error)
	go func() {
		var failed error
		for p := range r.pieces {
			b, first, at := p.block, p.first, p.at
			b.pending.Add(1) // until it was looked at
			failed = errors.Join(failed, p.save(t.Context(), saver))
			if id := b.parts[first].ID; id != known {
				places[id] = at
			}
			b.done()
		}
		done <- failed
	}()
	err = l.read(t.Context())
	close(r.pieces)
	if err := errors.Join(err, <-done, l.sourceErr); err != nil {
		t.Fatal(err)
	}
	parts, listed, size, err := l.parts.Finish()
	if err != nil || listed {
		t.Fatal(listed, err)
	}
	seen, at := 0, int64(0)
	for _, p := range parts {
		if place, ok := places[p.ID]; ok {
			if seen++; place != at {
				t.Errorf("a piece is at %d, want %d", place, at)
			}
		}
		at += p.Length
	}
	if seen != len(places) || seen < 15 || l.sent != size {
		t.Errorf("%d of %d pieces found; %d bytes of %d sent", seen, len(places), l.sent, size)
	}
	if err := w.Abandon(t.Context()); err != nil {
		t.Fatal(err)
	}
}
