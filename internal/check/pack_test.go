package check

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/snapkeep/snap/index"
	"github.com/snapkeep/snap/internal/compress"
	"github.com/snapkeep/snap/internal/seal"
	"github.com/snapkeep/snap/internal/store/faulty"
	"github.com/snapkeep/snap/internal/store/mem"
	"github.com/snapkeep/snap/pack"
	"github.com/zeebo/blake3"
)

func testKeys() *Keys {
	repo := [16]byte{1}
	content := seal.NewKey(&[32]byte{2}, repo, nil)
	return &Keys{Repository: repo, ChunkIDs: pack.IDKey{3}, Metadata: seal.NewKey(&[32]byte{4}, repo, nil),
		Content: func(context.Context, seal.KeyID) (*seal.Key, error) { return content, nil }}
}

// storeDictionaries stores a pack of n segments that are dictionaries, of the largest size there is, and behind them n that have them, in their order.
func storeDictionaries(t *testing.T, store *mem.Store, n int) index.Pack {
	t.Helper()
	keys := testKeys()
	compressor, err := compress.NewCompressor(compress.Fastest)
	if err != nil {
		t.Fatal(err)
	}
	content, _ := keys.Content(t.Context(), seal.KeyID{})
	encoder, hasher := pack.NewEncoder(content, compressor), keys.ChunkIDs.NewHasher()
	var out bytes.Buffer
	w := pack.NewWriter(&out, pack.ClassData, keys.Repository)
	body := func(k int) []byte {
		return bytes.Repeat([]byte(fmt.Sprintf("%016d", k)), pack.MaxDictionarySize/16)
	}
	chunk := func(b []byte) []pack.Chunk {
		id, _ := hasher.Sum(pack.KindData, b)
		return []pack.Chunk{{ID: id, Length: uint32(len(b))}}
	}
	for k := range n {
		box, err := encoder.Append(nil, pack.KindData, []uint32{pack.MaxDictionarySize}, body(k), blake3.Sum256(body(k)))
		if err == nil {
			err = w.Add(pack.KindData, box, chunk(body(k)))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	primed := compress.NewPrimed(compress.Fastest)
	for k := range n {
		primed.Prime(body(k))
		b := append(body(k)[:1000], 'x')
		box, has, err := encoder.AppendPrimed(nil, []uint32{uint32(len(b))}, b, blake3.Sum256(b), primed)
		if err == nil && has {
			err = w.AddPrimed(k, box, chunk(b))
		}
		if err != nil || !has {
			t.Fatal(has, err)
		}
	}
	id, directory, size, err := w.Finish(keys.Metadata, nil)
	if err == nil {
		err = store.Create(t.Context(), pack.Name(pack.ClassData, id), &out, size)
	}
	if err != nil {
		t.Fatal(err)
	}
	return index.Pack{ID: id, Class: pack.ClassData, Size: size, Directory: directory}
}

// watched is a store that looks at how many bytes of dictionaries a PackReader keeps whenever it reads.
type watched struct {
	Store
	r    **PackReader
	most *int
}

func (w watched) ReadAt(ctx context.Context, name string, p []byte, off int64) (int, error) {
	kept := 0
	for _, d := range (*w.r).dictionaries {
		if d.dictionary != nil {
			kept += len(d.dictionary.Bytes())
		}
	}
	*w.most = max(*w.most, kept)
	return w.Store.ReadAt(ctx, name, p, off)
}

// A small pack can need more dictionaries at once than fit in memory. They are read again, and all is found whole.
func TestPackOfDictionaries(t *testing.T) {
	store, set := mem.New(nil), index.NewSet()
	const n = 3 * keptDictionaries / pack.MaxDictionarySize
	p := storeDictionaries(t, store, n)
	set.Add(p)
	var r *PackReader
	most := 0
	r = NewPackReader(watched{store, &r, &most}, set, testKeys())
	for range 2 { // the second finds nothing left of the first
		report, err := r.Check(t.Context(), p.Class, p.ID, p.Size)
		if err != nil || report.Err != nil || len(report.Bad) > 0 {
			t.Fatal(err, report)
		}
	}
	if most < keptDictionaries || most > keptDictionaries+pack.MaxDictionarySize {
		t.Errorf("%d bytes of dictionaries are in memory", most)
	}
	if len(r.dictionaries) > 0 || r.kept != 0 {
		t.Errorf("%d dictionaries stay, of %d bytes", len(r.dictionaries), r.kept)
	}
}

// A dictionary that cannot be opened takes those with it that have it, and no others, whether it was to be kept or read again.
func TestPackWithBrokenDictionaries(t *testing.T) {
	store, set := mem.New(nil), index.NewSet()
	const n = 2 * keptDictionaries / pack.MaxDictionarySize
	p := storeDictionaries(t, store, n)
	set.Add(p)
	for _, k := range []int{0, n / 4, n - 1} {
		flipped := store.Clone()
		if err := faulty.Rewrite(t.Context(), flipped, pack.Name(p.Class, p.ID), func(b []byte) []byte {
			b[p.Directory[k].Offset+p.Directory[k].Length/2] ^= 4
			return b
		}); err != nil {
			t.Fatal(err)
		}
		report, err := NewPackReader(flipped, set, testKeys()).Check(t.Context(), p.Class, p.ID, p.Size)
		want := []uint32{p.Directory[k].Offset, p.Directory[n+k].Offset}
		if err != nil || !errors.Is(report.Err, pack.ErrCorrupt) || report.Unknown || !slices.Equal(report.Bad, want) {
			t.Errorf("dictionary %d: %v, %+v", k, err, report)
		}
	}
}

// An index that names another dictionary than the pack's directory leads readers astray, and is damage.
func TestIndexWithAnotherDictionary(t *testing.T) {
	store := mem.New(nil)
	p := storeDictionaries(t, store, 3)
	for _, back := range []uint16{0, 1, 2} {
		set, wrong := index.NewSet(), p
		wrong.Directory = slices.Clone(p.Directory)
		wrong.Directory[5].Back = back
		set.Add(wrong)
		report, err := NewPackReader(store, set, testKeys()).Check(t.Context(), p.Class, p.ID, p.Size)
		if err != nil || !errors.Is(report.Err, index.ErrCorrupt) || !report.Unknown {
			t.Errorf("%d before: %v, %+v", back, err, report)
		}
	}
}
