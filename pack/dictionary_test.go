package pack

import (
	"bytes"
	"errors"
	"slices"
	"testing"

	"github.com/snapkeep/snap/internal/compress"
	"github.com/snapkeep/snap/internal/wire"
	"github.com/zeebo/blake3"
)

// primedSegment makes a segment of one chunk with a dictionary.
func primedSegment(t testing.TB, dictionary, chunk []byte) ([]byte, []Chunk, bool) {
	t.Helper()
	p := compress.NewPrimed(compress.Fastest)
	p.Prime(dictionary)
	id, _ := testIDKey.NewHasher().Sum(KindData, chunk)
	box, has, err := NewEncoder(keyOf(KindData), newCompressor(t, compress.Fastest)).AppendPrimed(nil, []uint32{uint32(len(chunk))}, chunk, blake3.Sum256(chunk), p)
	if err != nil {
		t.Fatal(err)
	}
	return box, []Chunk{{id, uint32(len(chunk))}}, has
}

func TestPackWithDictionaries(t *testing.T) {
	a, b, other := noise(1, 30_000), noise(2, 20_000), noise(3, 10_000)
	var out bytes.Buffer
	w := NewWriter(&out, ClassData, testRepo)
	add := func(chunks ...[]byte) {
		t.Helper()
		box, rows := segmentOf(t, compress.Fastest, KindData, chunks...)
		if err := w.Add(KindData, box, rows); err != nil {
			t.Fatal(err)
		}
	}
	addPrimed := func(k int, dictionary, chunk []byte) {
		t.Helper()
		box, rows, has := primedSegment(t, dictionary, chunk)
		if !has || len(box) > 2000 {
			t.Fatalf("%d bytes, %v", len(box), has)
		}
		if err := w.AddPrimed(k, box, rows); err != nil {
			t.Fatal(err)
		}
	}
	add(a, b)
	add(other)
	addPrimed(0, append(slices.Clone(a), b...), append(slices.Clone(a[5:]), 1))
	addPrimed(1, other, append(slices.Clone(other), other...))
	addPrimed(0, append(slices.Clone(a), b...), append(slices.Clone(b[7:]), a[:9]...))
	if _, _, has := primedSegment(t, a, noise(9, 5000)); has {
		t.Error("what the dictionary does not make smaller has it")
	}
	filler := w.Filler()
	id, want, size, err := w.Finish(metaKey, nil)
	if err != nil || id != SumID(out.Bytes()) {
		t.Fatal(err)
	}
	if got := size - int64(want[4].Offset+want[4].Length); filler >= got {
		t.Errorf("filler of %d bytes in a tail of %d", filler, got)
	}
	class, got, err := readDirectory(out.Bytes())
	if err != nil || class != ClassData || !equal(got, want) {
		t.Fatal(class, err)
	}
	var back []uint16
	for _, s := range got {
		back = append(back, s.Back)
	}
	if !slices.Equal(back, []uint16{0, 0, 2, 2, 4}) {
		t.Errorf("dictionaries stand %d before", back)
	}
	d := NewDecoder(&testIDKey, new(compress.Decompressor))
	box := func(i int) []byte { return out.Bytes()[got[i].Offset : got[i].Offset+got[i].Length] }
	for i, s := range got {
		var chunks [][]byte
		if s.Back == 0 {
			chunks, err = d.Open(keyOf(KindData), KindData, box(i))
		} else {
			var first [][]byte
			var with *Dictionary
			if first, err = d.Open(keyOf(KindData), KindData, box(i-int(s.Back))); err != nil {
				t.Fatal(err)
			}
			if with, err = NewDictionary(first); err != nil {
				t.Fatal(err)
			}
			if _, err := d.Open(keyOf(KindData), KindData, box(i)); !errors.Is(err, ErrCorrupt) {
				t.Errorf("segment %d without its dictionary: %v", i, err)
			}
			if _, err := d.OpenPrimed(keyOf(KindData), box(0), with); !errors.Is(err, ErrCorrupt) {
				t.Errorf("a dictionary for a segment that has none: %v", err)
			}
			if chunks, err = d.OpenPrimed(keyOf(KindData), box(i), with); err != nil {
				t.Fatal(err)
			}
		}
		if err != nil || len(chunks) != len(s.Chunks) {
			t.Fatalf("segment %d: %d chunks, %v", i, len(chunks), err)
		}
		for k, c := range chunks {
			if err := d.Check(KindData, s.Chunks[k].ID, c); err != nil {
				t.Errorf("segment %d: %v", i, err)
			}
		}
	}
}

func TestAddPrimedRefuses(t *testing.T) {
	small, large := noise(1, 1000), noise(2, MaxDictionarySize+1)
	w := NewWriter(new(bytes.Buffer), ClassData, testRepo)
	for _, chunk := range [][]byte{small, large} {
		box, rows := segmentOf(t, compress.Fastest, KindData, chunk)
		if err := w.Add(KindData, box, rows); err != nil {
			t.Fatal(err)
		}
	}
	box, rows, _ := primedSegment(t, small, append(slices.Clone(small), 'x'))
	if err := w.AddPrimed(0, box, rows); err != nil {
		t.Fatal(err)
	}
	for name, k := range map[string]int{"too large": 1, "has one itself": 2, "not there": 3, "negative": -1} {
		if err := w.AddPrimed(k, box, rows); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
	if w.Segments() != 3 {
		t.Errorf("%d segments, want 3", w.Segments())
	}
	if _, err := NewDictionary([][]byte{large}); !errors.Is(err, ErrCorrupt) {
		t.Errorf("dictionary over the limit: %v", err)
	}
	if _, err := NewDictionary(nil); !errors.Is(err, ErrCorrupt) {
		t.Errorf("dictionary of nothing: %v", err)
	}
}

func TestDirectoriesWithDictionaries(t *testing.T) {
	id := bytes.Repeat([]byte{0xcc}, 16)
	two := func(first, second, lengths []byte) []byte {
		return slices.Concat([]byte{2}, first, second, id, id, lengths)
	}
	for name, tt := range map[string]struct {
		plain []byte
		ok    bool
	}{
		"fits":            {two([]byte{1, 9, 1}, []byte{12, 9, 1, 1}, []byte{5, 5}), true},
		"largest":         {two([]byte{1, 9, 1}, []byte{12, 9, 1, 1}, []byte{0x80, 0x80, 0x10, 5}), true},
		"over the limit":  {two([]byte{1, 9, 1}, []byte{12, 9, 1, 1}, []byte{0x81, 0x80, 0x10, 5}), false},
		"itself":          {two([]byte{1, 9, 1}, []byte{12, 9, 1, 0}, []byte{5, 5}), false},
		"before the pack": {two([]byte{1, 9, 1}, []byte{12, 9, 1, 2}, []byte{5, 5}), false},
		"far too far":     {two([]byte{1, 9, 1}, []byte{12, 9, 1, 0x80, 0x80, 4}, []byte{5, 5}), false},
		"of a tree":       {two([]byte{2, 9, 1}, []byte{12, 9, 1, 1}, []byte{5, 5}), false},
		"longer varint":   {two([]byte{1, 9, 1}, []byte{12, 9, 1, 0x81, 0}, []byte{5, 5}), false},
		"first":           {slices.Concat([]byte{1, 12, 9, 1, 1}, id, []byte{5}), false},
		"chain":           {slices.Concat([]byte{3, 1, 9, 1, 12, 9, 1, 1, 12, 9, 1, 1}, id, id, id, []byte{5, 5, 5}), false},
		"kind 11":         {two([]byte{1, 9, 1}, []byte{11, 9, 1, 1}, []byte{5, 5}), false},
	} {
		r := wire.NewReader(tt.plain)
		d := ReadDirectory(r)
		if err := r.End(); (err == nil) != tt.ok {
			t.Errorf("%s: %v", name, err)
		}
		if tt.ok && (!d.HasDictionary() || !bytes.Equal(AppendDirectory(nil, d), tt.plain)) {
			t.Errorf("%s: encodes to other bytes", name)
		}
	}
}

// The version of a pack says whether there are dictionaries, so that older programs know what they cannot read.
func TestVersionOfPacksWithDictionaries(t *testing.T) {
	row := Segment{Kind: KindData, Length: 10, Chunks: []Chunk{{ChunkID{1}, 1}}}
	primed := row
	primed.Back = 1
	for _, d := range []Directory{{}, {row, row}, {row, primed}} {
		for version := uint16(1); version <= 2; version++ {
			box, err := metaKey.Seal(nil, 4, AppendDirectory(nil, d))
			if err != nil {
				t.Fatal(err)
			}
			file := footer{version, ClassData, uint32(len(box)), testRepo}.append(append(make([]byte, 20), box...))
			_, _, err = readDirectory(file)
			if fits := d.HasDictionary() == (version == 2); fits != (err == nil) || !fits && !errors.Is(err, ErrCorrupt) {
				t.Errorf("version %d of %d segments: %v", version, len(d), err)
			}
		}
	}
}

// FuzzPrimedSegment opens any plaintext as a segment with a dictionary.
func FuzzPrimedSegment(f *testing.F) {
	f.Add([]byte("dictionary"), []byte{2, 1, 3, 0x28, 0xb5, 0x2f, 0xfd, 0x20, 3, 3 | 3<<3, 0, 0, 'x'})
	f.Add([]byte("dictionary"), []byte{1, 1, 1, 'x'})
	f.Fuzz(func(t *testing.T, body, plain []byte) {
		with, err := NewDictionary([][]byte{body})
		if err != nil {
			return
		}
		key := keyOf(KindData)
		box, err := key.Seal(nil, byte(KindData), plain)
		if err != nil {
			t.Fatal(err)
		}
		chunks, err := NewDecoder(&testIDKey, new(compress.Decompressor)).OpenPrimed(key, box, with)
		if err != nil {
			if !errors.Is(err, ErrCorrupt) && !errors.Is(err, ErrNewer) {
				t.Fatalf("error of no kind: %v", err)
			}
			return
		}
		if plain[0] != codecDictionary || len(chunks) == 0 {
			t.Fatalf("%d chunks of codec %d", len(chunks), plain[0])
		}
	})
}

// A small directory may have many segments that have one of many chunks for dictionary. To add these up for each takes minutes, and the test ends
// at its time limit.
func TestManySegmentsOfOneDictionary(t *testing.T) {
	var d Directory
	id := ChunkID{1}
	for range 15 {
		first := Segment{Kind: KindData, Length: 64}
		for range MaxSegmentChunks {
			first.Chunks = append(first.Chunks, Chunk{id, MaxDictionarySize / MaxSegmentChunks})
		}
		d = append(d, first)
		for i := range maxBack {
			d = append(d, Segment{Kind: KindData, Length: 64, Back: uint16(i + 1), Chunks: []Chunk{{id, 1}}})
		}
	}
	r := wire.NewReader(AppendDirectory(nil, d))
	if got := ReadDirectory(r); r.End() != nil || len(got) != len(d) {
		t.Fatalf("%d segments, want %d: %v", len(got), len(d), r.Err())
	}
}
