package pack

import (
	"bytes"
	"errors"
	"testing"

	"github.com/snapkeep/snap/internal/compress"
	"github.com/snapkeep/snap/internal/seal"
	"github.com/snapkeep/snap/internal/vectortest"
	"github.com/snapkeep/snap/internal/wire"
)

// What decodes encodes to the same bytes; what does not is refused as what it is.
func FuzzReadDirectory(f *testing.F) {
	for _, v := range vectortest.Load(f, "directory") {
		f.Add(v.Data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		r := wire.NewReader(data)
		d := ReadDirectory(r)
		if r.Err() != nil {
			return
		}
		used := data[:len(data)-r.Len()]
		if again := AppendDirectory(nil, d); !bytes.Equal(again, used) {
			t.Fatalf("%x became %x", used, again)
		}
		end := uint32(0)
		for _, s := range d {
			if s.Offset != end {
				t.Fatalf("segment at %d, want %d", s.Offset, end)
			}
			end += s.Length
		}
	})
}

// FuzzSegment seals any plaintext and opens it as a segment.
func FuzzSegment(f *testing.F) {
	for _, v := range vectortest.Load(f, "segment") {
		f.Add(v.Data)
	}
	f.Fuzz(func(t *testing.T, plain []byte) {
		box, err := metaKey.Seal(nil, byte(KindTree), plain)
		if err != nil {
			t.Fatal(err)
		}
		chunks, err := NewDecoder(&testIDKey, new(compress.Decompressor)).Open(metaKey, KindTree, box)
		if err != nil {
			if !errors.Is(err, ErrCorrupt) && !errors.Is(err, ErrNewer) {
				t.Fatalf("error of no kind: %v", err)
			}
			return
		}
		total := 0
		for _, c := range chunks {
			total += len(c)
		}
		if len(chunks) == 0 || len(chunks) > MaxSegmentChunks || total > MaxChunkSize {
			t.Fatalf("%d chunks of %d bytes", len(chunks), total)
		}
	})
}

// FuzzPack reads any bytes as a pack. Without the key nothing but a pack of ours is taken.
func FuzzPack(f *testing.F) {
	file, _, _, _ := smallPack(f, ClassMeta)
	f.Add(file)
	for _, v := range vectortest.Load(f, "pack") {
		f.Add(v.Data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		_, d, err := readDirectory(data)
		if err != nil {
			if !errors.Is(err, ErrCorrupt) && !errors.Is(err, ErrNewer) && !errors.Is(err, ErrOtherRepository) {
				t.Fatalf("error of no kind: %v", err)
			}
			return
		}
		for _, s := range d {
			if int(s.Offset)+int(s.Length) > len(data)-FooterSize-seal.Overhead {
				t.Fatalf("segment at %d of %d bytes in a pack of %d", s.Offset, s.Length, len(data))
			}
		}
	})
}
