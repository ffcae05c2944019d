package chunks

import (
	"errors"
	"io"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/snapkeep/snap/index"
	"github.com/snapkeep/snap/internal/compress"
	"github.com/snapkeep/snap/internal/store/mem"
	"github.com/snapkeep/snap/pack"
)

// livedPiece is a piece of a large file that a test saves.
type livedPiece struct {
	life Life
	id   pack.ChunkID
	raw  int // bytes
	size int // of its segment, in bytes
}

// savePieces saves random pieces with random lives, and returns the packs that were made, each as its chunks in order.
func savePieces(t *testing.T, rng *rand.Rand, packSize int, shares [lives]float64, total int) (saved []livedPiece, packs [][]pack.ChunkID) {
	t.Helper()
	set := index.NewSet()
	w := newWriter(t, mem.New(nil), set, Options{PackSize: packSize, Compression: compress.Off, SkipVerify: true, Replaces: true})
	s := w.NewSaver()
	for done := 0; done < total; {
		life, x := LifeLong, rng.Float64()
		for life < lives-1 && x >= shares[life] {
			x -= shares[life]
			life++
		}
		chunk := make([]byte, pieceSegment+rng.IntN(60<<10))
		for i := 0; i < len(chunk); i += 512 {
			chunk[i] = byte(rng.Uint32())
		}
		id, err := s.SavePiece(t.Context(), chunk, func() Life { return life })
		if err != nil {
			t.Fatal(err)
		}
		saved = append(saved, livedPiece{life: life, id: id, raw: len(chunk)})
		done += len(chunk)
	}
	if err := s.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Finish(t.Context()); err != nil {
		t.Fatal(err)
	}
	sizes, at := map[pack.ChunkID]int{}, map[pack.ID]int{}
	for id, l := range set.PackRows() {
		sizes[id] = int(l.Length)
		i, ok := at[l.Pack]
		if !ok {
			i = len(packs)
			at[l.Pack], packs = i, append(packs, nil)
		}
		packs[i] = append(packs[i], id)
	}
	for i := range saved {
		saved[i].size = sizes[saved[i].id]
	}
	return saved, packs
}

// placed is a slow version of what a Writer does: it sees all pieces at once.
func placed(saved []livedPiece, packSize int) (packs [][]pack.ChunkID) {
	least := min(packSize/32, 1<<20)
	sum := func(all []livedPiece) (n int) {
		for _, p := range all {
			n += p.size
		}
		return n
	}
	out := func(all []livedPiece) {
		var ids []pack.ChunkID
		for _, p := range all {
			ids = append(ids, p.id)
		}
		packs = append(packs, ids)
	}
	// cut takes full packs away and returns the rest.
	cut := func(all []livedPiece) []livedPiece {
		for from, n := pack.NewWriter(io.Discard, pack.ClassData, [16]byte{}), 0; n < len(all); {
			p := all[n]
			if err := from.Add(pack.KindData, make([]byte, p.size), []pack.Chunk{{ID: p.id, Length: uint32(p.raw)}}); err != nil {
				panic(err)
			}
			if n++; from.IsFull(int64(packSize)) {
				out(all[:n])
				all, n, from = all[n:], 0, pack.NewWriter(io.Discard, pack.ClassData, [16]byte{})
			}
		}
		return all
	}
	var open [lives][]livedPiece // of each life, what its last pack holds
	var carried []livedPiece
	last := 0
	for life := lives - 1; life >= 0; life-- {
		var own []livedPiece
		for _, p := range saved {
			if int(p.life) == life {
				own = append(own, p)
			}
		}
		own = cut(own)
		if sum(own) < least {
			carried, own = append(carried, own...), nil
			if sum(carried) < least {
				continue
			}
		}
		last = life
		open[life] = cut(append(own, carried...))
		carried = nil
	}
	open[last] = cut(append(open[last], carried...))
	for _, all := range open {
		if len(all) > 0 {
			out(all)
		}
	}
	return packs
}

// TestPiecesShareThePacksOfTheirLife compares where pieces go with a slow version.
func TestPiecesShareThePacksOfTheirLife(t *testing.T) {
	t.Parallel()
	mixed := 0
	for seed := range uint64(40) {
		rng := rand.New(rand.NewPCG(seed, 17))
		packSize := []int{1 << 20, 4 << 20, 8 << 20}[rng.IntN(3)]
		var shares [lives]float64
		left := 1.0
		for i := range shares {
			shares[i] = left * rng.Float64()
			if rng.IntN(3) == 0 {
				shares[i] = 0.02 * left
			}
			left -= shares[i]
		}
		saved, got := savePieces(t, rng, packSize, shares, 50_000<<rng.IntN(9))
		want := placed(saved, packSize)
		for _, packs := range [][][]pack.ChunkID{got, want} {
			slices.SortFunc(packs, func(a, b []pack.ChunkID) int { return slices.Compare(a[0][:], b[0][:]) })
		}
		if !slices.EqualFunc(got, want, slices.Equal[[]pack.ChunkID]) {
			t.Fatalf("seed %d: %d pieces in %d packs, want %d, or others", seed, len(saved), len(got), len(want))
		}
		if len(got) > 2 {
			mixed++
		}
	}
	if mixed < 10 {
		t.Errorf("only %d runs made more than two packs", mixed)
	}
}

// TestLittleOfEachLifeMakesOnePack: a small run makes no more files because its pieces have several lives.
func TestLittleOfEachLifeMakesOnePack(t *testing.T) {
	t.Parallel()
	for seed := range uint64(10) {
		saved, packs := savePieces(t, rand.New(rand.NewPCG(seed, 1)), DefaultPackSize, [lives]float64{.25, .25, .25, .25}, 800<<10)
		if len(packs) != 1 || len(packs[0]) != len(saved) {
			t.Errorf("%d pieces in %d packs", len(saved), len(packs))
		}
	}
}

// TestAgeIsThatOfThePack looks at ages of chunks that were stored by this run, by others on a known day, and on an unknown one.
func TestAgeIsThatOfThePack(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 26, 0, 30, 0, 0, time.UTC)
	set := index.NewSet()
	w := newWriter(t, mem.New(nil), set, Options{Now: func() time.Time { return now }})
	s := w.NewSaver()
	id, err := s.SavePiece(t.Context(), []byte("piece"), nil)
	if err = errors.Join(err, s.Flush(t.Context())); err != nil {
		t.Fatal(err)
	}
	if _, ok := w.Age(id); ok {
		t.Error("a chunk that is not stored so far has an age")
	}
	if _, err := w.Finish(t.Context()); err != nil {
		t.Fatal(err)
	}
	for wait, want := range map[time.Duration]int{0: 0, 23 * time.Hour: 0, 24 * time.Hour: 1, 10 * 24 * time.Hour: 10, -48 * time.Hour: 0} {
		now = time.Date(2026, 11, 26, 0, 30, 0, 0, time.UTC).Add(wait)
		if days, ok := w.Age(id); !ok || days != want {
			t.Errorf("after %v: %d days, %v, want %d", wait, days, ok, want)
		}
	}
	other := pack.ChunkID{1}
	set.Add(index.Pack{ID: pack.ID{1}, Class: pack.ClassData, Size: 100, Directory: pack.Directory{{Kind: pack.KindData, Length: 50, Chunks: []pack.Chunk{{ID: other, Length: 1}}}}})
	if _, ok := w.Age(other); ok {
		t.Error("a pack of which nobody knows when it was stored has an age")
	}
}

func TestLifeFollowsAge(t *testing.T) {
	t.Parallel()
	for days, want := range map[float64]Life{0: LifeDay, 1: LifeDay, 1.5: LifeDays, 4: LifeDays, 5: LifeWeeks, 20: LifeWeeks, 21: LifeLong, 400: LifeLong} {
		if got := LifeOf(days); got != want {
			t.Errorf("what replaces chunks of %v days has life %d, want %d", days, got, want)
		}
	}
}
