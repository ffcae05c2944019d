package wire

import (
	"bytes"
	"encoding/hex"
	"errors"
	"math"
	"math/big"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// referenceUvarint decodes by the words of the format, with numbers of any size.
// n is 0 if there is no canonical varint of 64 bits in front of data.
func referenceUvarint(data []byte) (v uint64, n int) {
	sum := new(big.Int)
	for i, b := range data {
		group := new(big.Int).Lsh(big.NewInt(int64(b&0x7f)), uint(7*i))
		sum.Add(sum, group)
		if b >= 0x80 {
			continue
		}
		if !sum.IsUint64() || (i > 0 && b == 0) || i >= 10 {
			return 0, 0
		}
		return sum.Uint64(), i + 1
	}
	return 0, 0
}

func edges() (all []uint64) {
	for shift := range 64 {
		for _, d := range []uint64{^uint64(0), 0, 1} {
			all = append(all, 1<<shift+d)
		}
	}
	return append(all, math.MaxUint64)
}

func TestVarints(t *testing.T) {
	for _, tt := range []struct {
		hex string
		v   uint64
		ok  bool
	}{
		{"00", 0, true},
		{"01", 1, true},
		{"7f", 127, true},
		{"8001", 128, true},
		{"ff7f", 16383, true},
		{"808001", 16384, true},
		{"ffffffffffffffffff01", math.MaxUint64, true},
		{"ffffffffffffffff7f", math.MaxInt64, true},
		{"", 0, false},
		{"80", 0, false},
		{"ffffffffffffffffff", 0, false},
		{"8000", 0, false},
		{"ff00", 0, false},
		{"80808000", 0, false},
		{"80808080808080808000", 0, false},
		{"ffffffffffffffffff02", 0, false},
		{"ffffffffffffffffff7f", 0, false},
		{"ffffffffffffffffff8101", 0, false},
		{"8080808080808080808001", 0, false},
	} {
		data, err := hex.DecodeString(tt.hex)
		if err != nil {
			t.Fatal(err)
		}
		r := NewReader(data)
		if v := r.Uvarint(); v != tt.v || (r.End() == nil) != tt.ok {
			t.Errorf("%s: %d, %v", tt.hex, v, r.Err())
		}
		if v, n := referenceUvarint(data); v != tt.v || (n > 0) != tt.ok {
			t.Errorf("%s: the reference says %d in %d bytes", tt.hex, v, n)
		}
		if enc := AppendUvarint(nil, tt.v); tt.ok && !bytes.Equal(enc, data) {
			t.Errorf("%d: %x, want %x", tt.v, enc, data)
		}
	}
}

func TestVarintEdges(t *testing.T) {
	for _, v := range edges() {
		enc := AppendUvarint([]byte("x"), v)[1:]
		if len(enc) != UvarintLen(v) {
			t.Errorf("%d: %d bytes, UvarintLen says %d", v, len(enc), UvarintLen(v))
		}
		r := NewReader(enc)
		if got := r.Uvarint(); got != v || r.End() != nil {
			t.Errorf("%d: got %d, %v", v, got, r.Err())
		}
		for n := range enc {
			r := NewReader(enc[:n])
			if got := r.Uvarint(); got != 0 || !errors.Is(r.Err(), ErrCorrupt) {
				t.Errorf("%d cut off at %d: %d, %v", v, n, got, r.Err())
			}
		}
		signed := int64(v)
		r = NewReader(AppendVarint(nil, signed))
		if got := r.Varint(); got != signed || r.End() != nil {
			t.Errorf("%d: got %d, %v", signed, got, r.Err())
		}
	}
}

func TestSvarintByDefinition(t *testing.T) {
	for _, v := range edges() {
		n := int64(v)
		if got, want := AppendVarint(nil, n), AppendUvarint(nil, uint64(n<<1)^uint64(n>>63)); !bytes.Equal(got, want) {
			t.Errorf("%d: %x, want %x", n, got, want)
		}
	}
}

func TestReader(t *testing.T) {
	var b []byte
	b = AppendBytes(b, "name")
	b = AppendBytes(b, []byte(nil))
	b = append(b, 7, 1, 2, 3, 4, 5)
	b = AppendUvarint(b, 300)
	r := NewReader(b)
	if got := r.Bytes(4); string(got) != "name" || cap(got) != 4 {
		t.Errorf("%q with room for %d", got, cap(got))
	}
	if got := r.Bytes(0); len(got) != 0 || r.Err() != nil {
		t.Errorf("%q, %v", got, r.Err())
	}
	if got := r.Byte(); got != 7 {
		t.Errorf("byte %d", got)
	}
	var pair [2]byte
	if r.Fill(pair[:]); pair != [2]byte{1, 2} {
		t.Errorf("filled %v", pair)
	}
	if got := r.Next(3); !bytes.Equal(got, []byte{3, 4, 5}) {
		t.Errorf("next %v", got)
	}
	if got := r.Count(300); got != 300 || r.Len() != 0 || r.End() != nil {
		t.Errorf("count %d, %d bytes left, %v", got, r.Len(), r.Err())
	}
}

// Each read at its limit, over it, and past the end.
func TestReaderRefuses(t *testing.T) {
	for name, tt := range map[string]struct {
		data []byte
		read func(r *Reader) bool // reports whether a zero value came
		ok   bool
	}{
		"byte":                {nil, func(r *Reader) bool { return r.Byte() == 0 }, false},
		"count at the limit":  {[]byte{9}, func(r *Reader) bool { return r.Count(9) == 9 }, true},
		"count over":          {[]byte{10}, func(r *Reader) bool { return r.Count(9) == 0 }, false},
		"count of 2^64-1":     {AppendUvarint(nil, math.MaxUint64), func(r *Reader) bool { return r.Count(math.MaxInt) == 0 }, false},
		"count of 2^63":       {AppendUvarint(nil, 1<<63), func(r *Reader) bool { return r.Count(math.MaxInt) == 0 }, false},
		"count, no limit":     {[]byte{0}, func(r *Reader) bool { return r.Count(-1) == 0 }, false},
		"bytes at the limit":  {[]byte{1, 'x'}, func(r *Reader) bool { return string(r.Bytes(1)) == "x" }, true},
		"bytes over":          {[]byte{2, 'x', 'y'}, func(r *Reader) bool { return r.Bytes(1) == nil }, false},
		"bytes cut off":       {[]byte{2, 'x'}, func(r *Reader) bool { return r.Bytes(9) == nil }, false},
		"bytes far beyond":    {AppendUvarint(nil, math.MaxInt), func(r *Reader) bool { return r.Bytes(math.MaxInt) == nil }, false},
		"next":                {[]byte{1}, func(r *Reader) bool { return r.Next(2) == nil }, false},
		"next, negative":      {[]byte{1}, func(r *Reader) bool { return r.Next(-1) == nil }, false},
		"next, largest":       {[]byte{1}, func(r *Reader) bool { return r.Next(math.MaxInt) == nil }, false},
		"next of nothing":     {nil, func(r *Reader) bool { return len(r.Next(0)) == 0 }, true},
		"fill":                {[]byte{1}, func(r *Reader) bool { p := []byte{8, 8}; r.Fill(p); return p[0] == 0 && p[1] == 0 }, false},
		"fill nothing":        {nil, func(r *Reader) bool { r.Fill(nil); return true }, true},
		"end":                 {[]byte{1}, func(r *Reader) bool { return r.End() != nil }, false},
		"svarint":             {[]byte{0x80}, func(r *Reader) bool { return r.Varint() == 0 }, false},
		"caller's own reason": {nil, func(r *Reader) bool { r.Failf("page %d", 7); return strings.Contains(r.Err().Error(), "page 7") }, false},
	} {
		r := NewReader(tt.data)
		if !tt.read(r) {
			t.Errorf("%s: wrong value", name)
		}
		if (r.Err() == nil) != tt.ok || (!tt.ok && !errors.Is(r.Err(), ErrCorrupt)) {
			t.Errorf("%s: %v", name, r.Err())
		}
	}
}

func TestFirstErrorStays(t *testing.T) {
	r := NewReader([]byte{5, 1, 2, 3, 4, 5, 6})
	r.Count(4)
	first := r.Err()
	if first == nil || r.Len() != 0 {
		t.Fatalf("%v, %d bytes left", first, r.Len())
	}
	p := []byte{9}
	r.Fill(p)
	if r.Uvarint() != 0 || r.Varint() != 0 || r.Byte() != 0 || r.Next(1) != nil || r.Bytes(9) != nil || r.Count(9) != 0 || p[0] != 0 {
		t.Error("a read after the error gives something")
	}
	r.Failf("later")
	if r.End() != first || r.Err() != first {
		t.Errorf("%v took the place of %v", r.Err(), first)
	}
}

func TestZeroReaderIsEmpty(t *testing.T) {
	var r Reader
	if r.Len() != 0 || r.End() != nil {
		t.Errorf("%d bytes, %v", r.Len(), r.Err())
	}
}

func TestReadersDoNotAllocate(t *testing.T) {
	data := AppendBytes(AppendUvarint(nil, 1<<40), strings.Repeat("x", 100))
	n := testing.AllocsPerRun(100, func() {
		r := Reader{data: data}
		r.Uvarint()
		if len(r.Bytes(100)) != 100 || r.End() != nil {
			t.Error(r.Err())
		}
	})
	if n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// FuzzReader takes any bytes apart as varints and compares with the reference; what
// was read, written again, must give the same bytes.
func FuzzReader(f *testing.F) {
	for _, v := range edges() {
		f.Add(AppendUvarint(AppendVarint(nil, int64(v)), v))
	}
	f.Add([]byte{0x80, 0x00})
	f.Fuzz(func(t *testing.T, data []byte) {
		r, rest := NewReader(data), data
		var again []byte
		for len(rest) > 0 {
			v, n := referenceUvarint(rest)
			got := r.Uvarint()
			if got != v || (r.Err() == nil) != (n > 0) {
				t.Fatalf("%x: got %d, %v, want %d in %d bytes", rest, got, r.Err(), v, n)
			}
			if n == 0 {
				return
			}
			rest, again = rest[n:], AppendUvarint(again, v)
		}
		if r.End() != nil || !bytes.Equal(again, data) {
			t.Fatalf("%x became %x", data, again)
		}
	})
}

// FuzzBytes does the same for byte strings.
func FuzzBytes(f *testing.F) {
	f.Add(AppendBytes(AppendBytes(nil, "a"), "bcd"), 3)
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 2}, math.MaxInt)
	f.Fuzz(func(t *testing.T, data []byte, limit int) {
		r := NewReader(data)
		var again []byte
		for r.Len() > 0 {
			s := r.Bytes(limit)
			if r.Err() != nil {
				if s != nil || !errors.Is(r.Err(), ErrCorrupt) {
					t.Fatal(s, r.Err())
				}
				return
			}
			if len(s) > limit {
				t.Fatalf("%d bytes over the limit of %d", len(s), limit)
			}
			again = AppendBytes(again, s)
		}
		if !bytes.Equal(again, data) {
			t.Fatalf("%x became %x", data, again)
		}
	})
}

func benchVarints(bits int) (data []byte, count int) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 1000 {
		data = AppendUvarint(data, random.Uint64N(1<<bits))
	}
	return data, 1000
}

func BenchmarkUvarint(b *testing.B) {
	for name, bits := range map[string]int{"one byte": 7, "mixed": 14, "long": 50} {
		data, count := benchVarints(bits)
		b.Run(name, func(b *testing.B) {
			var sum uint64
			for b.Loop() {
				r := Reader{data: data}
				for range count {
					sum += r.Uvarint()
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*count), "ns/varint")
			if sum == 0 {
				b.Fatal("nothing was read")
			}
		})
	}
}

func BenchmarkBytes(b *testing.B) {
	data := slices.Repeat(AppendBytes(nil, "a-file-name.txt"), 1000)
	for b.Loop() {
		r := Reader{data: data}
		for range 1000 {
			r.Bytes(4096)
		}
		if r.End() != nil {
			b.Fatal(r.Err())
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*1000), "ns/string")
}
