package chunks

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"weak"

	"github.com/snapkeep/snap/index"
	"github.com/snapkeep/snap/internal/compress"
	"github.com/snapkeep/snap/internal/store/faulty"
	"github.com/snapkeep/snap/internal/store/mem"
	"github.com/snapkeep/snap/pack"
)

// rowsOf returns a piece of a dump of n bytes: rows that are alike, and differ.
func rowsOf(rng *rand.Rand, n int) []byte {
	names := []string{"Ada", "Bob", "Carol", "Dan", "Eve", "Frank", "Grace", "Heidi"}
	var b bytes.Buffer
	for b.Len() < n {
		fmt.Fprintf(&b, "(%d, '%s', 'order of %x', %d.%02d, '2026-%02d-%02d'),\n", rng.IntN(1e6), names[rng.IntN(len(names))], rng.Uint64(), rng.IntN(999),
			rng.IntN(100), 1+rng.IntN(12), 1+rng.IntN(28))
	}
	return b.Bytes()[:n]
}

// savedPieces saves pieces by several Savers and returns them by id.
func savedPieces(t *testing.T, w *Writer, savers, each int, piece func(rng *rand.Rand) []byte) map[pack.ChunkID][]byte {
	t.Helper()
	var mu sync.Mutex
	saved := map[pack.ChunkID][]byte{}
	var wg sync.WaitGroup
	for k := range savers {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(uint64(k), 5))
			s := w.NewSaver()
			for range each {
				data := piece(rng)
				life := Life(rng.IntN(lives))
				id, err := s.SavePiece(t.Context(), data, func() Life { return life })
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				saved[id] = data
				mu.Unlock()
			}
			if err := s.Flush(t.Context()); err != nil {
				t.Error(err)
			}
			s.Release()
		})
	}
	wg.Wait()
	if _, err := w.Finish(t.Context()); err != nil {
		t.Fatal(err)
	}
	return saved
}

// openAlone opens all segments of a pack with nothing but the pack, and returns how many have a dictionary.
func openAlone(t *testing.T, store *mem.Store, id pack.ID) (primed, chunks int) {
	t.Helper()
	_, directory, err := readDirectory(t, store, pack.ClassData, id)
	if err != nil {
		t.Fatal(err)
	}
	keys := testKeys()
	key, _ := keys.NewContent(t.Context())
	d := pack.NewDecoder(&keys.ChunkIDs, new(compress.Decompressor))
	box := func(s *pack.Segment) []byte {
		b := make([]byte, s.Length)
		if _, err := store.ReadAt(t.Context(), pack.Name(pack.ClassData, id), b, int64(s.Offset)); err != nil {
			t.Fatal(err)
		}
		return b
	}
	for i := range directory {
		s := &directory[i]
		var opened [][]byte
		if s.Back == 0 {
			opened, err = d.Open(key, pack.KindData, box(s))
		} else {
			primed++
			first, err := d.Open(key, pack.KindData, box(&directory[i-int(s.Back)]))
			if err != nil {
				t.Fatal(err)
			}
			with, err := pack.NewDictionary(first)
			if err != nil {
				t.Fatal(err)
			}
			if opened, err = d.OpenPrimed(key, box(s), with); err != nil {
				t.Fatal(err)
			}
		}
		if err != nil || len(opened) != len(s.Chunks) {
			t.Fatalf("segment %d of pack %s: %d chunks, %v", i, id, len(opened), err)
		}
		for k, chunk := range opened {
			chunks++
			if err := d.Check(pack.KindData, s.Chunks[k].ID, chunk); err != nil {
				t.Errorf("segment %d of pack %s: %v", i, id, err)
			}
		}
	}
	return primed, chunks
}

// Pieces of any lives, by several Savers, into packs that end all the time: each pack can be read by itself, and the pieces come back.
func TestPiecesHaveDictionariesInTheirPack(t *testing.T) {
	for _, level := range []compress.Level{compress.Default, compress.Better, compress.Max, compress.Off} {
		for _, replaces := range []bool{false, true} {
			store, set := mem.New(nil), index.NewSet()
			w := newWriter(t, store, set, Options{PackSize: 1 << 20, Compression: level, Replaces: replaces})
			each := 150
			if level == compress.Max {
				each = 10
			}
			saved := savedPieces(t, w, 3, each, func(rng *rand.Rand) []byte { return rowsOf(rng, 20_000+rng.IntN(60_000)) })
			primed, chunks, packs := 0, 0, map[pack.ID]bool{}
			for _, l := range set.PackRows() {
				if !packs[l.Pack] {
					packs[l.Pack] = true
					p, c := openAlone(t, store, l.Pack)
					primed, chunks = primed+p, chunks+c
				}
			}
			if has := primes(level); has != (primed > 0) || has && (primed < len(saved)/2 || len(packs) < 3) {
				t.Errorf("%s, %v: %d of %d segments have a dictionary, in %d packs", level, replaces, primed, chunks, len(packs))
			}
			// What several packs hold is little: a dictionary whose pack ended between two segments.
			if twice := chunks - len(saved); twice < 0 || twice > len(saved)/5 {
				t.Errorf("%s, %v: %d chunks are stored twice, of %d", level, replaces, twice, len(saved))
			}
			for _, cache := range []int{0, 64 << 20} {
				l := NewLoader(store, set, testKeys(), cache)
				for id, data := range saved {
					if got, err := l.Load(t.Context(), pack.KindData, id); err != nil || !bytes.Equal(got, data) {
						t.Fatalf("%s: %d bytes, want %d: %v", id, len(got), len(data), err)
					}
				}
			}
		}
	}
}

// What does not shrink is no dictionary, and is tried again but rarely.
func TestRandomPiecesHaveNoDictionary(t *testing.T) {
	store, set := mem.New(nil), index.NewSet()
	w := newWriter(t, store, set, Options{PackSize: 1 << 20})
	saved := savedPieces(t, w, 1, 200, func(rng *rand.Rand) []byte {
		b := make([]byte, pieceSegment)
		for i := range b {
			b[i] = byte(rng.Uint32())
		}
		return b
	})
	places, packs := map[segmentKey]bool{}, map[pack.ID]bool{}
	for _, l := range set.PackRows() {
		places[segmentKey{l.Pack, l.Offset}] = true
		if l.Dictionary.Length > 0 {
			t.Fatal("a dictionary of random bytes")
		}
		packs[l.Pack] = true
	}
	if len(places) < len(saved)-20 {
		t.Errorf("%d random pieces share %d segments", len(saved), len(places))
	}
}

// A store from which the dictionary cannot be read gives an error and no wrong bytes.
func TestDictionaryThatCannotBeRead(t *testing.T) {
	store, set := mem.New(nil), index.NewSet()
	w := newWriter(t, store, set, Options{})
	savedPieces(t, w, 1, 60, func(rng *rand.Rand) []byte { return rowsOf(rng, 50_000) })
	for id, l := range set.PackRows() {
		if l.Dictionary.Length == 0 {
			continue
		}
		flipped := store.Clone()
		if err := faulty.Rewrite(t.Context(), flipped, pack.Name(l.Class, l.Pack), func(b []byte) []byte {
			b[l.Dictionary.Offset+l.Dictionary.Length/2] ^= 4
			return b
		}); err != nil {
			t.Fatal(err)
		}
		for name, s := range map[string]Store{
			"flipped": flipped,
			"cut off": cutOff{store, l.Dictionary.Offset},
		} {
			loader := NewLoader(s, set, testKeys(), 0)
			if data, err := loader.Load(t.Context(), pack.KindData, id); !errors.Is(err, pack.ErrCorrupt) {
				t.Fatalf("%s: %d bytes, %v", name, len(data), err)
			}
		}
	}
}

// cutOff reads nothing from the place at which a dictionary begins.
type cutOff struct {
	Store
	at uint32
}

func (c cutOff) ReadAt(ctx context.Context, name string, p []byte, off int64) (int, error) {
	if off == int64(c.at) {
		return 0, nil
	}
	return c.Store.ReadAt(ctx, name, p, off)
}

// What an open pack holds of the dictionaries in it does not grow with them: pages of a database may shrink to a hundredth.
func TestOpenPackKeepsNoDictionaries(t *testing.T) {
	w := newWriter(t, mem.New(nil), index.NewSet(), Options{})
	s := w.NewSaver()
	var seen []weak.Pointer[dictionary]
	for n := range 3 * primedSegments {
		piece := fmt.Appendf(nil, "page %d of a database", n)
		if _, err := s.SavePiece(t.Context(), append(piece, make([]byte, pieceSegment)...), nil); err != nil {
			t.Fatal(err)
		}
		if d := s.groups[LifeLong].dictionary; d != nil && (len(seen) == 0 || seen[len(seen)-1].Value() != d) {
			seen = append(seen, weak.Make(d))
		}
	}
	runtime.GC()
	for i, d := range seen {
		if last := i == len(seen)-1; (d.Value() != nil) != last {
			t.Errorf("dictionary %d of %d is held: %v", i, len(seen), !last)
		}
	}
	if p := w.packers[pack.ClassData][LifeLong]; !p.isOpen() || len(p.dictionaries) != len(seen) || len(seen) < 3 {
		t.Errorf("an open pack with %d of %d dictionaries", len(p.dictionaries), len(seen))
	}
	if err := s.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.Release()
	if _, err := w.Finish(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// Memory in which a bit flips after a dictionary was sealed makes segments that no reader could open. They are found before they count.
func TestDictionaryThatChangesInMemory(t *testing.T) {
	w := newWriter(t, mem.New(nil), index.NewSet(), Options{})
	s, rng := w.NewSaver(), rand.New(rand.NewPCG(1, 1))
	save := func() error {
		_, err := s.SavePiece(t.Context(), rowsOf(rng, pieceSegment), nil)
		return err
	}
	for s.groups[LifeLong].dictionary == nil {
		if err := save(); err != nil {
			t.Fatal(err)
		}
	}
	s.groups[LifeLong].tried = true // or it would be given up for not helping
	for i := range s.groups[LifeLong].dictionary.plain.Bytes() {
		s.groups[LifeLong].dictionary.plain.Bytes()[i] ^= 1
	}
	var err error
	for range 10 {
		err = errors.Join(err, save())
	}
	if !errors.Is(err, ErrVerify) {
		t.Error(err)
	}
}

// A dictionary that stands further in front than a directory can tell, or in a pack that ended, is stored once more.
func TestPackerFarFromTheDictionary(t *testing.T) {
	const far = 65_535
	for _, between := range []int{1, far - 1, far} {
		store, set := mem.New(nil), index.NewSet()
		w := newWriter(t, store, set, Options{PackSize: 64 << 20})
		p, made := w.packers[pack.ClassData][LifeLong], uint64(0)
		segment := func() sealedSegment {
			made++
			var id pack.ChunkID
			binary.LittleEndian.PutUint64(id[:], made)
			return sealedSegment{kind: pack.KindData, box: []byte("box"), chunks: []pack.Chunk{{ID: id, Length: 1}}}
		}
		add := func(s sealedSegment) {
			t.Helper()
			if err := p.add(s); err != nil {
				t.Fatal(err)
			}
		}
		first := segment()
		first.is = &dictionary{sealedSegment: first, ended: new(atomic.Bool)}
		add(first)
		for range between {
			add(segment())
		}
		last := segment()
		last.with = first.is
		add(last)
		p.mu.Lock()
		err := p.finish()
		p.mu.Unlock()
		if err != nil || !first.is.ended.Load() {
			t.Fatal(err)
		}
		again := segment()
		again.with = first.is
		add(again)
		if _, err := w.Finish(t.Context()); err != nil {
			t.Fatal(err)
		}
		want := 2 // places of the dictionary: one in each pack
		if between+1 > far {
			want++
		}
		if got := len(set.Locations(first.chunks[0].ID)); got != want {
			t.Errorf("%d between: the dictionary stands in %d places, want %d", between, got, want)
		}
		for _, s := range []sealedSegment{last, again} {
			l, ok := set.Lookup(s.chunks[0].ID)
			if !ok || l.Dictionary.Length != uint32(len(first.box)) || !slices.ContainsFunc(set.Locations(first.chunks[0].ID), func(d index.Location) bool {
				return d.Pack == l.Pack && d.Offset == l.Dictionary.Offset
			}) {
				t.Errorf("%d between: a segment at %+v without its dictionary", between, l)
			}
		}
	}
}

// When the pack of a dictionary ends, the next segment is a dictionary itself: the one that was would have to be stored once more.
func TestNextPackBeginsWithADictionary(t *testing.T) {
	store, set := mem.New(nil), index.NewSet()
	w := newWriter(t, store, set, Options{})
	s, rng := w.NewSaver(), rand.New(rand.NewPCG(1, 1))
	p, g := w.packers[pack.ClassData][LifeLong], &s.groups[LifeLong]
	for n := range 4 {
		before := g.dictionary
		for range 3 + 8*n {
			if _, err := s.SavePiece(t.Context(), rowsOf(rng, pieceSegment), nil); err != nil {
				t.Fatal(err)
			}
		}
		if g.dictionary == nil || g.dictionary == before {
			t.Fatalf("pack %d has no dictionary of its own", n)
		}
		if err := s.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		p.mu.Lock()
		err := p.finish()
		p.mu.Unlock()
		if err != nil {
			t.Fatal(err)
		}
	}
	s.Release()
	if _, err := w.Finish(t.Context()); err != nil {
		t.Fatal(err)
	}
	for id := range set.PackRows() {
		if n := len(set.Locations(id)); n != 1 {
			t.Errorf("chunk %s is stored %d times", id, n)
		}
	}
}

// Rows that are alike in form alone get no dictionary: with one they would take more.
func TestNoDictionaryThatDoesNotHelp(t *testing.T) {
	for name, row := range map[string]func(rng *rand.Rand, i int) string{
		"numbers": func(rng *rand.Rand, i int) string {
			return fmt.Sprintf("INSERT INTO orders VALUES (%d,'customer %x',%d.%02d,'2026-%02d-%02d');\n", i, rng.Uint32(), rng.IntN(1000), rng.IntN(100), 1+rng.IntN(8), 1+rng.IntN(16))
		},
		"names": func(rng *rand.Rand, i int) string {
			return fmt.Sprintf("INSERT INTO orders VALUES (%d,'customer %x');\n", i, rng.Uint64N(1500)*0x9e3779b97f4a7c15)
		},
	} {
		store, set := mem.New(nil), index.NewSet()
		w := newWriter(t, store, set, Options{})
		savedPieces(t, w, 1, 40, func(rng *rand.Rand) []byte {
			var b bytes.Buffer
			for first := rng.IntN(1e6); b.Len() < 3*pieceSegment/2; {
				b.WriteString(row(rng, first+b.Len()))
			}
			return b.Bytes()
		})
		primed, all := 0, 0
		for _, l := range set.PackRows() {
			if all++; l.Dictionary.Length > 0 {
				primed++
			}
		}
		if has := primed > all/2; has != (name == "names") || !has && primed > 0 {
			t.Errorf("%s: %d of %d pieces are in segments with a dictionary", name, primed, all)
		}
	}
}

// A dictionary that is wholly in the stretch at hand is taken from there, and else read. Long pieces have none.
func TestDictionaryNearby(t *testing.T) {
	store, set := mem.New(nil), index.NewSet()
	w := newWriter(t, store, set, Options{})
	saved := savedPieces(t, w, 1, 20, func(rng *rand.Rand) []byte { return rowsOf(rng, pieceSegment+rng.IntN(2)*5*pieceSegment) })
	box := func(l index.Location) []byte {
		b := make([]byte, l.Length)
		if err := ReadSegment(t.Context(), store, l, b); err != nil {
			t.Fatal(err)
		}
		return b
	}
	primed := 0
	for id, l := range set.PackRows() {
		if l.Dictionary.Length == 0 {
			continue
		}
		primed++
		if n := len(saved[id]); n > maxPrimed {
			t.Errorf("a piece of %d bytes has a dictionary", n)
		}
		with := l
		with.Offset, with.Length = l.Dictionary.Offset, l.Dictionary.Length
		dictionary := box(with)
		for _, test := range []struct {
			before, cut int
			reads       bool
		}{{0, 0, false}, {3, 0, false}, {0, 1, true}, {0, len(dictionary), true}, {-1, 0, true}, {-len(dictionary), 0, true}} {
			near := Near{Offset: int64(with.Offset) - int64(test.before), Data: append(make([]byte, max(test.before, 0)), dictionary[max(-test.before, 0):len(dictionary)-test.cut]...)}
			counted := &counted{Store: store}
			loader := NewLoader(counted, set, testKeys(), 0)
			chunks, err := loader.OpenAt(t.Context(), loader.NewDecoder(), pack.KindData, l, box(l), near)
			if err != nil || !bytes.Equal(chunks[l.Ordinal], saved[id]) || (counted.reads > 0) != test.reads {
				t.Fatalf("%+v: %d chunks, %d reads, %v", test, len(chunks), counted.reads, err)
			}
		}
		l.Dictionary.Length = pack.MaxSegmentBoxSize + 1
		none := &counted{Store: store}
		loader := NewLoader(none, set, testKeys(), 0)
		if _, err := loader.OpenAt(t.Context(), loader.NewDecoder(), pack.KindData, l, box(l), Near{}); !errors.Is(err, pack.ErrCorrupt) || none.reads > 0 {
			t.Fatalf("%d reads, %v", none.reads, err)
		}
	}
	if primed < 5 {
		t.Errorf("%d of %d pieces have a dictionary", primed, len(saved))
	}
}

// counted is a store that counts how often it is read.
type counted struct {
	Store
	reads int
}

func (c *counted) ReadAt(ctx context.Context, name string, p []byte, off int64) (int, error) {
	c.reads++
	return c.Store.ReadAt(ctx, name, p, off)
}
