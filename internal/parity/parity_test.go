package parity

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"testing"

	"github.com/snapkeep/snap/pack"
)

func randomPack(seed uint64, n int) []byte {
	var key [32]byte
	key[0], key[1] = byte(seed), byte(seed>>8)
	data := make([]byte, n)
	rand.NewChaCha8(key).Read(data)
	return data
}

func encode(t testing.TB, data []byte) []byte {
	t.Helper()
	var c Coder
	file, err := c.Encode(t.Context(), bytes.NewReader(data), int64(len(data)), pack.SumID(data))
	if err != nil {
		t.Fatal(err)
	}
	return file
}

// sizes are packs around each turn of the layout.
var sizes = []int{1, 100, 4095, 4096, 4097, 70_000, 64 * 4096, 64*4096 + 1, 1 << 20, 4<<20 - 1, 4 << 20, 4<<20 + 1, 5_000_000, 9<<20 + 5}

func TestSizes(t *testing.T) {
	for _, size := range sizes {
		l, err := layoutOf(int64(size))
		if err != nil {
			t.Fatal(err)
		}
		if l.width > stripeShards || l.shard%shardUnit != 0 || l.shard > maxShard || l.shards*l.shard < size || (l.shards-1)*l.shard >= size || l.width*l.stripes < l.shards {
			t.Errorf("%d bytes: %+v", size, l)
		}
		data := randomPack(1, size)
		file := encode(t, data)
		if len(file) != l.fileSize() || len(file) > MaxFileSize {
			t.Errorf("%d bytes: parity of %d, want %d", size, len(file), l.fileSize())
		}
		f, err := Parse(file)
		if err != nil || f.Damaged != nil || f.Size != int64(size) {
			t.Errorf("%d bytes: %+v, %v", size, f, err)
		}
	}
	for _, size := range []int64{0, -1, pack.MaxPackSize + 1} {
		if _, err := layoutOf(size); !errors.Is(err, ErrCorrupt) {
			t.Errorf("%d bytes: %v", size, err)
		}
	}
	if l, _ := layoutOf(32 << 20); l.stripes != 8 || l.width != 64 {
		t.Errorf("32 MiB: %+v", l)
	}
}

// holes is a pack with ranges that cannot be read.
type holes struct {
	data []byte
	bad  [][2]int
}

func (h holes) ReadAt(p []byte, off int64) (int, error) {
	for _, b := range h.bad {
		if int(off) < b[1] && b[0] < int(off)+len(p) {
			return 0, errors.New("input/output error")
		}
	}
	return bytes.NewReader(h.data).ReadAt(p, off)
}

// TestMendsWounds makes wounds within what is promised, of each sort.
func TestMendsWounds(t *testing.T) {
	var c Coder
	rng := rand.New(rand.NewPCG(1, 1))
	for _, size := range sizes {
		data := randomPack(2, size)
		f, err := Parse(encode(t, data))
		if err != nil {
			t.Fatal(err)
		}
		l := f.layout
		promise := max((parityShards*l.stripes-1)*l.shard, 1)
		for round := range 8 {
			var hurt io.ReaderAt
			wound := 1 + rng.IntN(min(promise, size))
			at := rng.IntN(size - wound + 1)
			switch round % 4 {
			case 0: // other bytes
				other := bytes.Clone(data)
				rand.NewChaCha8([32]byte{byte(round)}).Read(other[at : at+wound])
				hurt = bytes.NewReader(other)
			case 1: // cut off
				hurt = bytes.NewReader(data[:size-wound])
			case 2: // unreadable
				hurt = holes{data, [][2]int{{at, at + wound}}}
			case 3: // two places
				a, b := rng.IntN(size), rng.IntN(size)
				hurt = holes{data, [][2]int{{a, a + 1}, {b, b + 1}}}
			}
			got, mended, err := c.Mend(context.Background(), f, hurt)
			if err != nil || !bytes.Equal(got, data) || mended == 0 {
				t.Fatalf("%d bytes, wound of %d at %d, sort %d: mended %d, %v", size, wound, at, round%4, mended, err)
			}
		}
	}
}

// TestTellsWhatIsBeyond destroys more than can be mended: the answer is an error, never other bytes.
func TestTellsWhatIsBeyond(t *testing.T) {
	var c Coder
	rng := rand.New(rand.NewPCG(2, 2))
	for _, size := range []int{3 * 4096, 300_000, 5_000_000} {
		data := randomPack(3, size)
		f, err := Parse(encode(t, data))
		if err != nil {
			t.Fatal(err)
		}
		l := f.layout
		for range 50 {
			other := bytes.Clone(data)
			for _, k := range rng.Perm(l.width)[:3] { // of stripe 0
				if i := k * l.stripes; i < l.shards {
					start, end := l.bounds(i)
					other[start+rng.Int64N(end-start)] ^= 1
				}
			}
			if got, _, err := c.Mend(t.Context(), f, bytes.NewReader(other)); !errors.Is(err, ErrTooMuch) || got != nil {
				t.Fatalf("%d bytes: %v", size, err)
			}
		}
	}
}

// TestDamagedParity damages the parity file beside the pack: what is left of it is used.
func TestDamagedParity(t *testing.T) {
	var c Coder
	rng := rand.New(rand.NewPCG(3, 3))
	data := randomPack(4, 6<<20)
	file := encode(t, data)
	other := bytes.Clone(data)
	other[3<<20] ^= 1
	for range 60 {
		hurt := bytes.Clone(file)
		hurt[rng.IntN(len(hurt))] ^= 1 << rng.IntN(8)
		f, err := Parse(hurt)
		if err != nil || f.Damaged == nil {
			t.Fatalf("one flipped bit: %v, %+v", err, f)
		}
		if got, _, err := c.Mend(t.Context(), f, bytes.NewReader(other)); err != nil || !bytes.Equal(got, data) {
			t.Fatal(err)
		}
	}
	for range 50 {
		cut := file[:rng.IntN(len(file))]
		f, err := Parse(cut)
		if err == nil && f.Damaged == nil {
			t.Errorf("%d of %d bytes count as whole", len(cut), len(file))
		}
		if err == nil {
			if got, _, err := c.Mend(t.Context(), f, bytes.NewReader(other)); err == nil && !bytes.Equal(got, data) {
				t.Fatal("wrong bytes")
			}
		}
	}
	newer := bytes.Clone(file)
	newer[8]++
	copy(newer[len(newer)-f(t, file).layout.headerSize():], newer[:f(t, file).layout.headerSize()])
	if _, err := Parse(newer); !errors.Is(err, ErrNewer) {
		t.Errorf("newer version: %v", err)
	}
}

func f(t *testing.T, file []byte) *File {
	parsed, err := Parse(file)
	if err != nil {
		t.Fatal(err)
	}
	return parsed
}

// TestLinear compares parity with a slow, obvious computation over GF(2^8): the sum of all data shards of a stripe that differ in
// one byte only differs in one byte.
func TestStripesAreIndependent(t *testing.T) {
	data := randomPack(5, 5_000_000)
	a := encode(t, data)
	data[0] ^= 1
	b := encode(t, data)
	fa, fb := f(t, a), f(t, b)
	for i := range fa.parity {
		if stripe := i / parityShards; (stripe == 0) == bytes.Equal(fa.parity[i], fb.parity[i]) {
			t.Errorf("parity shard %d", i)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, size := range []int{1, 5000, 300_000} {
		f.Add(encode(f, randomPack(1, size)))
	}
	data := randomPack(1, 5000)
	f.Fuzz(func(t *testing.T, file []byte) {
		p, err := Parse(file)
		if err != nil {
			if !errors.Is(err, ErrCorrupt) && !errors.Is(err, ErrNewer) {
				t.Errorf("error of no kind: %v", err)
			}
			return
		}
		if p.Size > 1<<20 {
			return
		}
		var c Coder
		if got, _, err := c.Mend(t.Context(), p, bytes.NewReader(data)); err == nil && pack.SumID(got) != p.Name {
			t.Error("mended to bytes of another name")
		}
	})
}

func BenchmarkEncode(b *testing.B) {
	data := randomPack(6, 32<<20)
	id := pack.SumID(data)
	var c Coder
	b.SetBytes(int64(len(data)))
	for b.Loop() {
		if _, err := c.Encode(b.Context(), bytes.NewReader(data), int64(len(data)), id); err != nil {
			b.Fatal(err)
		}
	}
}
