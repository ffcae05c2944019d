package repo

import (
	"bytes"
	"context"
	"encoding/binary"
	"math/rand/v2"
	"sync/atomic"
	"testing"
	"testing/iotest"

	"github.com/snapkeep/snap/internal/tree"
	"github.com/snapkeep/snap/pack"
)

// listedFile makes a file of many small parts, every third a hole, that is listed. loads counts
// what is loaded for it.
func listedFile(t *testing.T, parts int) (f *FileReader, want []byte, loads *[4]atomic.Int32) {
	t.Helper()
	stored := map[pack.ChunkID][]byte{}
	save := func(data []byte) (id pack.ChunkID, err error) {
		binary.LittleEndian.PutUint64(id[:], rand.Uint64())
		id[15] = 1
		stored[id] = bytes.Clone(data)
		return id, nil
	}
	list := tree.NewPartList(save)
	for i := range parts {
		chunk := bytes.Repeat([]byte{byte(i)}, 1+i%11)
		p := tree.Part{Length: int64(len(chunk))}
		if i%3 == 0 {
			clear(chunk)
		} else {
			p.ID, _ = save(chunk)
		}
		want = append(want, chunk...)
		if err := list.Add(p); err != nil {
			t.Fatal(err)
		}
	}
	x := &Entry{Stat: Stat{Name: "listed", Kind: tree.Regular}}
	var err error
	if x.Parts, x.Listed, x.Size, err = list.Finish(); err != nil || !x.Listed || len(x.Parts) < 3 {
		t.Fatalf("%d lists, listed: %v, %v", len(x.Parts), x.Listed, err)
	}
	loads = new([4]atomic.Int32)
	load := func(_ context.Context, kind pack.Kind, id pack.ChunkID) ([]byte, error) {
		loads[kind].Add(1)
		return stored[id], nil
	}
	return &FileReader{ctx: t.Context(), load: load, entry: x, top: newSpans(x.Parts)}, want, loads
}

func TestReaderOfListedFile(t *testing.T) {
	f, want, _ := listedFile(t, 30_000)
	if f.Size() != int64(len(want)) {
		t.Fatalf("size %d, want %d", f.Size(), len(want))
	}
	if err := iotest.TestReader(f, want); err != nil {
		t.Error(err)
	}
	f.Seek(12345, 0)
	var got bytes.Buffer
	if n, err := f.WriteTo(&got); err != nil || n != f.Size()-12345 || !bytes.Equal(got.Bytes(), want[12345:]) {
		t.Errorf("write: %d bytes, %v", n, err)
	}
}

func TestReaderLoadsOneListOnly(t *testing.T) {
	f, want, loads := listedFile(t, 30_000)
	for _, off := range []int64{f.Size() / 2, 0, f.Size() - 10} {
		loads[pack.KindRefs].Store(0)
		loads[pack.KindData].Store(0)
		p := make([]byte, 10)
		if _, err := f.ReadAt(p, off); err != nil || !bytes.Equal(p, want[off:off+10]) {
			t.Fatalf("at %d: got %v, %v", off, p, err)
		}
		// The bytes may reach into the next list.
		if lists, chunks := loads[pack.KindRefs].Load(), loads[pack.KindData].Load(); lists > 2 || chunks > 10 {
			t.Errorf("at %d: loaded %d lists and %d chunks", off, lists, chunks)
		}
	}
}
