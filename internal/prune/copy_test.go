package prune

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/snapkeep/snap/index"
	"github.com/snapkeep/snap/internal/chunks"
	"github.com/snapkeep/snap/internal/seal"
	"github.com/snapkeep/snap/internal/store/mem"
	"github.com/snapkeep/snap/pack"
)

func testKeys() chunks.Keys {
	repo := [16]byte{1}
	content := seal.NewKey(&[32]byte{2}, repo, nil)
	return chunks.Keys{Repository: repo, ChunkIDs: pack.IDKey{3}, Metadata: seal.NewKey(&[32]byte{4}, repo, nil),
		Content:    func(context.Context, seal.KeyID) (*seal.Key, error) { return content, nil },
		NewContent: func(context.Context) (*seal.Key, error) { return content, nil }}
}

// savePieces stores pieces of a dump and returns their ids and bytes.
func savePieces(t *testing.T, store *mem.Store, set *index.Set, rng *rand.Rand, n int) map[pack.ChunkID][]byte {
	t.Helper()
	w, err := chunks.NewWriter(t.Context(), store, set, testKeys(), chunks.Options{PackSize: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	s := w.NewSaver()
	saved := map[pack.ChunkID][]byte{}
	for range n {
		var b bytes.Buffer
		for size := 20_000 + rng.IntN(60_000); b.Len() < size; {
			fmt.Fprintf(&b, "(%d, 'customer %x', '2026-%02d-%02d'),\n", rng.IntN(1e6), rng.Uint64N(1500)*0x9e3779b97f4a7c15, 1+rng.IntN(12), 1+rng.IntN(28))
		}
		id, err := s.SavePiece(t.Context(), b.Bytes(), nil)
		if err != nil {
			t.Fatal(err)
		}
		saved[id] = b.Bytes()
	}
	if err := s.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Finish(t.Context()); err != nil {
		t.Fatal(err)
	}
	return saved
}

// A segment goes to another pack together with its dictionary, wherever that goes itself, and not more often than needed. The new packs serve alone.
func TestCopiesHaveTheirDictionaries(t *testing.T) {
	for seed := range uint64(8) {
		rng := rand.New(rand.NewPCG(seed, 1))
		store, set := mem.New(nil), index.NewSet()
		saved := savePieces(t, store, set, rng, 200)
		marks := set.NewMarks()
		var live []pack.ChunkID
		for id := range saved {
			if rng.IntN(4) == 0 {
				live = append(live, id)
			}
		}
		if missing := marks.Mark(live, nil); len(missing) > 0 {
			t.Fatalf("%d chunks are missing", len(missing))
		}
		c := NewCopier(store, testKeys().Metadata, [16]byte{1}, 1<<20)
		wanted := int64(0)
		for u := range marks.Usage() {
			to := map[uint32]Stream{}
			for _, s := range marks.Segments(u.ID) {
				if to[s.Offset] = Leave; s.Needed() {
					to[s.Offset] = Stream(rng.IntN(int(streams)))
				}
			}
			wanted += u.LiveBytes
			if _, err := c.Copy(t.Context(), u.Class, u.ID, u.Size, func(offset uint32) Stream { return to[offset] }); err != nil {
				t.Fatal(err)
			}
		}
		made, err := c.Finish(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		// A dictionary is copied once for each stream, and again where a pack ends.
		if c.Copied() < wanted || c.Copied() > wanted*2 {
			t.Errorf("seed %d: %d bytes were copied, %d are needed", seed, c.Copied(), wanted)
		}
		alone, primed := index.NewSet(), 0
		for _, p := range made {
			alone.Add(p)
			if _, d, err := pack.ReadDirectoryFrom(at{t.Context(), store, pack.Name(p.Class, p.ID)}, p.Size, testKeys().Metadata, [16]byte{1}); err != nil || len(d) != len(p.Directory) {
				t.Fatal(err)
			}
			for _, s := range p.Directory {
				if s.Back > 0 {
					primed++
				}
			}
		}
		if primed < len(live)/2 {
			t.Errorf("seed %d: %d segments with a dictionary: this test shows little", seed, primed)
		}
		loader := chunks.NewLoader(onlyIn{store, made}, alone, testKeys(), 0)
		for _, id := range live {
			if data, err := loader.Load(t.Context(), pack.KindData, id); err != nil || !bytes.Equal(data, saved[id]) {
				t.Fatalf("seed %d, %s: %d bytes, %v", seed, id, len(data), err)
			}
		}
		marks.Close()
	}
}

// at is a pack of a store as an io.ReaderAt.
type at struct {
	ctx   context.Context
	store *mem.Store
	name  string
}

func (a at) ReadAt(p []byte, off int64) (int, error) { return a.store.ReadAt(a.ctx, a.name, p, off) }

// onlyIn is a store that has no packs but some.
type onlyIn struct {
	chunks.Store
	packs []index.Pack
}

func (o onlyIn) ReadAt(ctx context.Context, name string, p []byte, off int64) (int, error) {
	for _, made := range o.packs {
		if name == pack.Name(made.Class, made.ID) {
			return o.Store.ReadAt(ctx, name, p, off)
		}
	}
	panic("another pack was read: " + name)
}

// A dictionary that stands too far in front is copied once more, also if it is copied for itself.
func TestCopyFarFromItsDictionary(t *testing.T) {
	const far = 65_535 // as far as a directory can tell
	store := mem.New(nil)
	for _, between := range []int{0, far - 1, far, 2 * far} {
		d := pack.Directory{{Kind: pack.KindData, Chunks: []pack.Chunk{{ID: pack.ChunkID{1}, Length: 1}}}}
		d = append(d, pack.Segment{Kind: pack.KindData, Back: 1, Chunks: []pack.Chunk{{ID: pack.ChunkID{2}, Length: 1}}})
		d = append(d, pack.Segment{Kind: pack.KindData, Chunks: []pack.Chunk{{ID: pack.ChunkID{3}, Length: 1}}})
		boxes := []string{"dictionary", "primed", "other"}
		origin := func(id byte) Origin {
			return Origin{ID: pack.ID{id}, Directory: d, Box: func(i int) ([]byte, error) { return []byte(boxes[i]), nil }}
		}
		c := NewCopier(store, testKeys().Metadata, [16]byte{1}, 64<<20)
		add := func(from Origin, i int) {
			t.Helper()
			if err := c.Add(t.Context(), from, i); err != nil {
				t.Fatal(err)
			}
		}
		add(origin(1), 0)
		add(origin(2), 1) // a dictionary of the same number, of another pack
		for i := range between {
			add(Origin{ID: pack.ID{3, byte(i), byte(i >> 8), byte(i >> 16)}, Directory: d[2:], Box: origin(3).Box}, 0)
		}
		add(origin(1), 1)
		add(origin(1), 0)
		made, err := c.Finish(t.Context())
		if err != nil || len(made) != 1 {
			t.Fatal(err, made)
		}
		_, got, err := pack.ReadDirectoryFrom(at{t.Context(), store, pack.Name(pack.ClassData, made[0].ID)}, made[0].Size, testKeys().Metadata, [16]byte{1})
		if err != nil {
			t.Fatal(err)
		}
		want := between + 4
		if between+2 >= far {
			want++
		}
		last := want - 1
		if back := got[last].Back; len(got) != want || back == 0 || got[last-int(back)].Chunks[0].ID != (pack.ChunkID{1}) || want > between+4 && back != 1 {
			t.Errorf("%d between: %d segments, want %d, and a dictionary %d before the last", between, len(got), want, back)
		}
	}
}
