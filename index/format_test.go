package index

import (
	"bytes"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"testing"

	"github.com/snapkeep/snap/internal/vectortest"
	"github.com/snapkeep/snap/internal/wire"
	"github.com/snapkeep/snap/pack"
)

var update = flag.Bool("update", false, "write the golden files again")

// goldenFile is the content of testdata/index.golden.
func goldenFile() File {
	id := func(first byte) (id pack.ID) {
		for i := range id {
			id[i] = first + byte(i)
		}
		return id
	}
	chunk := func(first byte, length uint32) pack.Chunk {
		id := id(first)
		return pack.Chunk{ID: pack.ChunkID(id[:16]), Length: length}
	}
	return File{
		Supersedes: []pack.ID{id(0x10), id(0x30)},
		Packs: []Pack{
			{ID: id(0x50), Class: pack.ClassData, Size: 70_000, Directory: pack.Directory{
				{Kind: pack.KindData, Offset: 0, Length: 300, Chunks: []pack.Chunk{chunk(1, 100), chunk(2, 200)}},
				{Kind: pack.KindData, Offset: 300, Length: 65_000, Chunks: []pack.Chunk{chunk(3, 1<<20)}},
			}},
			{ID: id(0x70), Class: pack.ClassMeta, Size: 1024, Directory: pack.Directory{
				{Kind: pack.KindTree, Offset: 0, Length: 500, Chunks: []pack.Chunk{chunk(4, 4000)}},
				{Kind: pack.KindRefs, Offset: 500, Length: 200, Chunks: []pack.Chunk{chunk(5, 1)}},
			}},
			{ID: id(0x90), Class: pack.ClassMeta, Size: 64, Directory: pack.Directory{}},
		},
	}
}

func TestEncodeMatchesGolden(t *testing.T) {
	t.Parallel()
	name := filepath.Join("testdata", "index.golden")
	got := Encode(goldenFile())
	if *update {
		if err := os.WriteFile(name, got, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("got %x, want %x", got, want)
	}
}

// TestEncodeByHand spells an index file out byte by byte.
func TestEncodeByHand(t *testing.T) {
	t.Parallel()
	chunk := bytes.Repeat([]byte{0xcc}, 16)
	want := bytes.Join([][]byte{
		{1},                              // version
		{1}, bytes.Repeat([]byte{7}, 32), // superseded
		{1}, bytes.Repeat([]byte{9}, 32), {1}, {0x80, 0x08}, // one pack: name, class, size
		{1},                // segments
		{1, 0xac, 0x02, 1}, // kind, length, chunks
		chunk, {100},       // id, length
	}, nil)
	f := File{
		Supersedes: []pack.ID{pack.ID(bytes.Repeat([]byte{7}, 32))},
		Packs: []Pack{{ID: pack.ID(bytes.Repeat([]byte{9}, 32)), Class: pack.ClassData, Size: 1024,
			Directory: pack.Directory{{Kind: pack.KindData, Length: 300, Chunks: []pack.Chunk{{ID: pack.ChunkID(chunk), Length: 100}}}}}},
	}
	if got := Encode(f); !bytes.Equal(got, want) {
		t.Errorf("got %x, want %x", got, want)
	}
}

func TestDecodeReturnsWhatEncodeTook(t *testing.T) {
	t.Parallel()
	w := newWorld(1, 100)
	files := []File{{}, goldenFile()}
	for n := range 10 {
		var f File
		for range n {
			f.Packs = append(f.Packs, w.newPack())
			f.Supersedes = append(f.Supersedes, pack.ID(w.bytes(32)))
		}
		files = append(files, f)
	}
	for i, f := range files {
		body := Encode(f)
		got, err := Decode(body)
		if err != nil {
			t.Fatalf("file %d: %v", i, err)
		}
		if len(got.Packs) != len(f.Packs) || len(got.Supersedes) != len(f.Supersedes) || !bytes.Equal(Encode(got), body) {
			t.Errorf("file %d: got %+v, want %+v", i, got, f)
		}
		for k, p := range got.Packs {
			for j, s := range p.Directory {
				if want := f.Packs[k].Directory[j].Offset; s.Offset != want {
					t.Errorf("file %d, pack %d, segment %d: offset %d, want %d", i, k, j, s.Offset, want)
				}
			}
		}
	}
}

func TestDecodeTellsDamagedFromNewer(t *testing.T) {
	t.Parallel()
	good := Encode(goldenFile())
	with := func(change func(f *File)) []byte {
		f := goldenFile()
		change(&f)
		return Encode(f)
	}
	primed := with(func(f *File) {
		p := &f.Packs[0]
		second := p.Directory[0]
		second.Back, second.Length = 1, 0
		p.Directory = append(pack.Directory{p.Directory[0]}, second)
	})
	if got, err := Decode(primed); err != nil || got.Packs[0].Directory[1].Back != 1 {
		t.Fatalf("with a dictionary: %v", err)
	}
	head := func(version, superseded, packs uint64) []byte {
		b := wire.AppendUvarint(nil, version)
		b = wire.AppendUvarint(b, superseded)
		return wire.AppendUvarint(b, packs)
	}
	for _, tt := range []struct {
		name string
		body []byte
		want error
	}{
		{"empty", nil, ErrCorrupt},
		{"version 0", head(0, 0, 0), ErrCorrupt},
		{"version 3", head(3, 0, 0), ErrNewer},
		{"version 3 and what nobody knows", append(head(3, 9, 9), 1, 2, 3), ErrNewer},
		{"version 2 without a dictionary", head(2, 0, 0), ErrCorrupt},
		{"version 1 with a dictionary", append([]byte{1}, primed[1:]...), ErrCorrupt},
		{"dictionary before the pack", with(func(f *File) { f.Packs[0].Directory[0].Back = 1 }), ErrCorrupt},
		{"a varint too long", []byte{0x81, 0, 0, 0}, ErrCorrupt},
		{"more superseded names than bytes", head(1, 1<<40, 0), ErrCorrupt},
		{"more packs than bytes", head(1, 0, 1000), ErrCorrupt},
		{"more packs than allowed", head(1, 0, MaxPacks+1), ErrCorrupt},
		{"bytes behind the end", append(bytes.Clone(good), 0), ErrCorrupt},
		{"class 0", with(func(f *File) { f.Packs[0].Class = 0 }), ErrCorrupt},
		{"class 3", with(func(f *File) { f.Packs[0].Class = 3 }), ErrCorrupt},
		{"kind of another class", with(func(f *File) { f.Packs[0].Directory[0].Kind = pack.KindTree }), ErrCorrupt},
		{"unknown kind", with(func(f *File) { f.Packs[0].Directory[0].Kind = 4 }), ErrCorrupt},
		{"pack too large", with(func(f *File) { f.Packs[0].Size = pack.MaxPackSize + 1 }), ErrCorrupt},
		{"pack smaller than its segments", with(func(f *File) { f.Packs[0].Size = 65_299 }), ErrCorrupt},
		{"segment without chunks", with(func(f *File) { f.Packs[0].Directory[0].Chunks = nil }), ErrCorrupt},
		{"chunk of no bytes", with(func(f *File) { f.Packs[0].Directory[0].Chunks[0].Length = 0 }), ErrCorrupt},
		{"chunk too large", with(func(f *File) { f.Packs[0].Directory[0].Chunks[0].Length = 1<<24 + 1 }), ErrCorrupt},
		{"chunk without an id", with(func(f *File) { f.Packs[0].Directory[0].Chunks[0].ID = pack.ChunkID{} }), ErrCorrupt},
	} {
		if _, err := Decode(tt.body); !errors.Is(err, tt.want) {
			t.Errorf("%s: Decode: got %v, want %v", tt.name, err, tt.want)
		}
		var err error
		for _, err = range Scan(tt.body) {
		}
		if !errors.Is(err, tt.want) {
			t.Errorf("%s: Scan: got %v, want %v", tt.name, err, tt.want)
		}
	}
	for n := range len(good) {
		if _, err := Decode(good[:n]); !errors.Is(err, ErrCorrupt) {
			t.Errorf("cut to %d bytes: got %v, want %v", n, err, ErrCorrupt)
		}
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(Encode(File{}))
	f.Add(Encode(goldenFile()))
	f.Add([]byte{2})
	for _, v := range vectortest.Load(f, "index") {
		f.Add(v.Data)
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		file, err := Decode(body)
		var packs []Pack
		var scanErr error
		for p, err := range Scan(body) {
			if scanErr = err; err == nil {
				packs = append(packs, p)
			}
		}
		if err != nil {
			if !errors.Is(err, ErrCorrupt) && !errors.Is(err, ErrNewer) {
				t.Fatalf("error of no kind: %v", err)
			}
			if scanErr == nil {
				t.Fatalf("Scan takes what Decode refuses: %v", err)
			}
			return
		}
		if scanErr != nil || len(packs) != len(file.Packs) {
			t.Fatalf("Scan: %d packs, want %d, %v", len(packs), len(file.Packs), scanErr)
		}
		if !bytes.Equal(Encode(file), body) || !bytes.Equal(Encode(File{file.Supersedes, packs}), body) {
			t.Fatalf("encodes to other bytes")
		}
	})
}
