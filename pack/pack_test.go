package pack

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/snapkeep/snap/internal/compress"
	"github.com/snapkeep/snap/internal/seal"
	"github.com/zeebo/blake3"
)

var (
	testRepo  = [16]byte{1, 2, 3}
	testIDKey = IDKey{7}
	metaKey   = seal.NewKey(&[32]byte{8}, testRepo, nil)
	dataKey   = seal.NewKey(&[32]byte{9}, testRepo, nil)
)

func keyOf(k Kind) *seal.Key {
	if k == KindData {
		return dataKey
	}
	return metaKey
}

// steady is a random source that repeats itself.
type steady struct{}

func (steady) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = 0x5a
	}
	return len(p), nil
}

func noise(seed uint64, n int) []byte {
	b := make([]byte, n)
	random := rand.New(rand.NewPCG(seed, 1))
	for i := range b {
		b[i] = byte(random.Uint32())
	}
	return b
}

func newCompressor(t testing.TB, level compress.Level) *compress.Compressor {
	t.Helper()
	c, err := compress.NewCompressor(level)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// segmentOf seals chunks of the kind and returns the box and the directory's rows.
func segmentOf(t testing.TB, level compress.Level, kind Kind, chunks ...[]byte) ([]byte, []Chunk) {
	t.Helper()
	var lengths []uint32
	var rows []Chunk
	h := testIDKey.NewHasher()
	for _, c := range chunks {
		id, _ := h.Sum(kind, c)
		lengths, rows = append(lengths, uint32(len(c))), append(rows, Chunk{id, uint32(len(c))})
	}
	body := bytes.Join(chunks, nil)
	box, err := NewEncoder(keyOf(kind), newCompressor(t, level)).Append([]byte("head"), kind, lengths, body, blake3.Sum256(body))
	if err != nil || string(box[:4]) != "head" {
		t.Fatal(err)
	}
	return box[4:], rows
}

// smallPack makes a pack of the class with a few segments.
func smallPack(t testing.TB, class Class) (file []byte, id ID, d Directory, chunks [][][]byte) {
	t.Helper()
	var out bytes.Buffer
	w := NewWriter(&out, class, testRepo)
	kinds := []Kind{KindData, KindData}
	if class == ClassMeta {
		kinds = []Kind{KindTree, KindRefs, KindTree}
	}
	for i, kind := range kinds {
		some := [][]byte{noise(uint64(i), 40), bytes.Repeat([]byte{'z'}, 300+i), {byte(i)}}
		box, rows := segmentOf(t, compress.Default, kind, some...)
		if err := w.Add(kind, box, rows); err != nil {
			t.Fatal(err)
		}
		chunks = append(chunks, some)
	}
	if w.Segments() != len(kinds) || w.Size() != int64(out.Len()) {
		t.Errorf("%d segments of %d bytes, wrote %d", w.Segments(), w.Size(), out.Len())
	}
	id, d, size, err := w.Finish(metaKey, nil)
	if err != nil || size != int64(out.Len()) || PaddedSize(size) != size {
		t.Fatalf("%d bytes, wrote %d, %v", size, out.Len(), err)
	}
	return out.Bytes(), id, d, chunks
}

func readDirectory(file []byte) (Class, Directory, error) {
	return ReadDirectoryFrom(bytes.NewReader(file), int64(len(file)), metaKey, testRepo)
}

func TestPackRoundTrip(t *testing.T) {
	for _, class := range []Class{ClassData, ClassMeta} {
		file, id, want, chunks := smallPack(t, class)
		if id != SumID(file) || id != ID(blake3.Sum256(file)) {
			t.Errorf("name %s is not the hash of the bytes", id)
		}
		gotClass, got, err := readDirectory(file)
		if err != nil || gotClass != class || !equal(got, want) {
			t.Fatalf("class %d: %v, %v, want %v", gotClass, err, got, want)
		}
		d := NewDecoder(&testIDKey, new(compress.Decompressor))
		for i, s := range got {
			opened, err := d.Open(keyOf(s.Kind), s.Kind, file[s.Offset:s.Offset+s.Length])
			if err != nil || !slices.EqualFunc(opened, chunks[i], bytes.Equal) {
				t.Fatalf("segment %d: %v", i, err)
			}
			for k, c := range opened {
				if err := d.Check(s.Kind, s.Chunks[k].ID, c); err != nil {
					t.Error(err)
				}
				if err := d.Check(s.Kind, s.Chunks[k].ID, append(bytes.Clone(c), 0)); !errors.Is(err, ErrChunkMismatch) {
					t.Errorf("other bytes: %v", err)
				}
			}
		}
	}
}

func equal(a, b Directory) bool {
	return slices.EqualFunc(a, b, func(x, y Segment) bool {
		return x.Kind == y.Kind && x.Back == y.Back && x.Offset == y.Offset && x.Length == y.Length && slices.Equal(x.Chunks, y.Chunks)
	})
}

func TestEmptyPack(t *testing.T) {
	var out bytes.Buffer
	if _, d, _, err := NewWriter(&out, ClassData, testRepo).Finish(metaKey, nil); err != nil || len(d) != 0 {
		t.Fatal(err)
	}
	if class, d, err := readDirectory(out.Bytes()); err != nil || class != ClassData || len(d) != 0 {
		t.Errorf("class %d, %v, %v", class, d, err)
	}
}

// A pack that lost or gained bytes anywhere is refused, or is at least not what its name says; a directory
// that is read is the one that was written.
func TestDamagedPackIsRefused(t *testing.T) {
	file, id, want, _ := smallPack(t, ClassMeta)
	for n := range file {
		if _, _, err := readDirectory(file[:n]); !errors.Is(err, ErrCorrupt) {
			t.Errorf("cut to %d bytes: %v", n, err)
		}
	}
	tail := int(want[len(want)-1].Offset + want[len(want)-1].Length) // behind it: filler, directory, footer
	refused := 0
	for bit := range 8 * len(file) {
		damaged := bytes.Clone(file)
		damaged[bit/8] ^= 1 << (bit % 8)
		if SumID(damaged) == id {
			t.Fatalf("bit %d is not in the name", bit)
		}
		_, d, err := readDirectory(damaged)
		switch {
		case err == nil && !equal(d, want):
			t.Fatalf("bit %d: another directory", bit)
		case err != nil && bit/8 < tail:
			t.Fatalf("bit %d of a segment keeps the directory from being read: %v", bit, err)
		case err != nil:
			refused++
			if !errors.Is(err, ErrCorrupt) {
				t.Fatalf("bit %d: %v", bit, err)
			}
		}
	}
	if refused < 8*(FooterSize+seal.Overhead) {
		t.Errorf("only %d bits were refused", refused)
	}
	for _, extra := range [][]byte{{0}, noise(1, 64), file} {
		if _, d, err := readDirectory(append(bytes.Clone(file), extra...)); err == nil && !equal(d, want) {
			t.Errorf("%d bytes behind the end: another directory", len(extra))
		} else if err != nil && !errors.Is(err, ErrCorrupt) {
			t.Error(err)
		}
	}
}

func TestDamagedSegmentIsRefused(t *testing.T) {
	for _, level := range []compress.Level{compress.Off, compress.Default} {
		box, _ := segmentOf(t, level, KindTree, bytes.Repeat([]byte("page "), 20), []byte("x"))
		d := NewDecoder(&testIDKey, new(compress.Decompressor))
		for n := range box {
			if _, err := d.Open(metaKey, KindTree, box[:n]); !errors.Is(err, ErrCorrupt) {
				t.Errorf("cut to %d bytes: %v", n, err)
			}
		}
		for bit := range 8 * len(box) {
			damaged := bytes.Clone(box)
			damaged[bit/8] ^= 1 << (bit % 8)
			if _, err := d.Open(metaKey, KindTree, damaged); !errors.Is(err, ErrCorrupt) {
				t.Errorf("bit %d: %v", bit, err)
			}
		}
		for name, err := range map[string]error{
			"other kind":       second(d.Open(metaKey, KindRefs, box)),
			"other key":        second(d.Open(dataKey, KindTree, box)),
			"other repository": second(d.Open(seal.NewKey(&[32]byte{8}, [16]byte{4}, nil), KindTree, box)),
			"a byte behind":    second(d.Open(metaKey, KindTree, append(bytes.Clone(box), 0))),
			"over the limit":   second(d.Open(metaKey, KindTree, make([]byte, MaxSegmentBoxSize+1))),
		} {
			if !errors.Is(err, ErrCorrupt) {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
}

func second[T any](_ T, err error) error { return err }

// What authentic plaintexts a decoder refuses: a writer with the keys may be hostile, or faulty.
func TestSegmentPlaintexts(t *testing.T) {
	frame := []byte{0x28, 0xb5, 0x2f, 0xfd, 0x20, 3, 3 | 3<<3, 0, 0, 'x'} // xxx
	for name, tt := range map[string]struct {
		plain []byte
		want  error // nil for none
	}{
		"raw":                     {[]byte{0, 2, 1, 2, 'a', 'b', 'c'}, nil},
		"zstd":                    {append([]byte{1, 2, 1, 2}, frame...), nil},
		"empty":                   {nil, ErrCorrupt},
		"codec alone":             {[]byte{0}, ErrCorrupt},
		"codec 2 of a tree":       {append([]byte{2, 1, 3}, frame...), ErrCorrupt},
		"codec 3":                 {[]byte{3, 1, 1, 'a'}, ErrNewer},
		"no chunk":                {[]byte{0, 0}, ErrCorrupt},
		"no bytes":                {[]byte{0, 1, 0}, ErrCorrupt},
		"more chunks than bytes":  {[]byte{0, 200, 1, 1}, ErrCorrupt},
		"65,537 chunks":           {append([]byte{0, 0x81, 0x80, 0x04}, bytes.Repeat([]byte{1}, 2*65_537)...), ErrCorrupt},
		"chunk over 16 MiB":       {[]byte{0, 1, 0x81, 0x80, 0x80, 0x08, 'a'}, ErrCorrupt},
		"chunks over 16 MiB":      {[]byte{0, 2, 0x80, 0x80, 0x80, 0x08, 1, 'a'}, ErrCorrupt},
		"body too short":          {[]byte{0, 1, 2, 'a'}, ErrCorrupt},
		"body too long":           {[]byte{0, 1, 1, 'a', 'b'}, ErrCorrupt},
		"longer varint":           {[]byte{0, 0x81, 0, 1, 'a'}, ErrCorrupt},
		"frame of fewer bytes":    {append([]byte{1, 1, 4}, frame...), ErrCorrupt},
		"frame of more bytes":     {append([]byte{1, 1, 2}, frame...), ErrCorrupt},
		"two frames":              {append(append([]byte{1, 1, 6}, frame...), frame...), ErrCorrupt},
		"no frame":                {[]byte{1, 1, 1, 'a'}, ErrCorrupt},
		"byte behind the frame":   {append(append([]byte{1, 1, 3}, frame...), 0), ErrCorrupt},
		"65,536 chunks":           {append([]byte{0, 0x80, 0x80, 0x04}, bytes.Repeat([]byte{1}, 2*65_536)...), nil},
		"count of ten-byte width": {[]byte{0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1}, ErrCorrupt},
	} {
		box, err := metaKey.Seal(nil, byte(KindTree), tt.plain)
		if err != nil {
			t.Fatal(err)
		}
		_, err = NewDecoder(&testIDKey, new(compress.Decompressor)).Open(metaKey, KindTree, box)
		if (tt.want == nil) != (err == nil) || (tt.want != nil && !errors.Is(err, tt.want)) {
			t.Errorf("%s: got %v, want %v", name, err, tt.want)
		}
	}
}

func TestDirectoryPlaintexts(t *testing.T) {
	id := bytes.Repeat([]byte{0xcc}, 16)
	join := func(parts ...[]byte) []byte { return bytes.Join(parts, nil) }
	row := func(b ...byte) []byte { return b }
	for name, tt := range map[string]struct {
		plain []byte
		want  error
	}{
		"empty directory":           {row(0), nil},
		"one segment":               {join(row(1, 1, 100, 1), id, row(9)), nil},
		"padded":                    {join(row(1, 1, 100, 1), id, row(9), make([]byte, 500)), nil},
		"two segments":              {join(row(2, 2, 100, 1, 3, 50, 2), id, id, id, row(9, 1, 1)), nil},
		"no bytes":                  {nil, ErrCorrupt},
		"padding not zero":          {join(row(1, 1, 100, 1), id, row(9), row(0, 0, 1)), ErrCorrupt},
		"kind 0":                    {join(row(1, 0, 100, 1), id, row(9)), ErrCorrupt},
		"kind 4":                    {join(row(1, 4, 100, 1), id, row(9)), ErrCorrupt},
		"no chunks":                 {row(1, 1, 100, 0), ErrCorrupt},
		"zero id":                   {join(row(1, 1, 100, 1), make([]byte, 16), row(9)), ErrCorrupt},
		"chunk of no bytes":         {join(row(1, 1, 100, 1), id, row(0)), ErrCorrupt},
		"chunks over 16 MiB":        {join(row(1, 1, 100, 2), id, id, row(0x80, 0x80, 0x80, 0x08, 1)), ErrCorrupt},
		"box over the limit":        {join(row(1, 1, 0x80, 0x80, 0x80, 0x0c, 1), id, row(9)), ErrCorrupt},
		"more chunks than there is": {join(row(1, 1, 100, 2), id, row(9, 9)), ErrCorrupt},
		"more segments than bytes":  {row(0xc0, 0x84, 0x3d, 1, 100, 1), ErrCorrupt},
		"over 1,000,000 segments":   {row(0xc1, 0x84, 0x3d), ErrCorrupt},
		"longer varint":             {join(row(0x81, 0, 1, 100, 1), id, row(9)), ErrCorrupt},
	} {
		box, err := metaKey.Seal(nil, seal.KindDirectory, tt.plain)
		if err != nil {
			t.Fatal(err)
		}
		d, err := OpenDirectory(metaKey, box)
		if (tt.want == nil) != (err == nil) || (tt.want != nil && !errors.Is(err, tt.want)) {
			t.Errorf("%s: got %v, want %v", name, err, tt.want)
		}
		if err == nil && !bytes.HasPrefix(tt.plain, AppendDirectory(nil, d)) {
			t.Errorf("%s: encodes to other bytes", name)
		}
	}
}

// A directory whose segments reach into itself, or are of another class than the footer says.
func TestDirectoryThatDoesNotFitThePack(t *testing.T) {
	for name, tt := range map[string]struct {
		class Class
		d     Directory
		ok    bool
	}{
		"fits":              {ClassData, Directory{{Kind: KindData, Length: 10, Chunks: []Chunk{{ChunkID{1}, 1}}}}, true},
		"other class":       {ClassMeta, Directory{{Kind: KindData, Length: 10, Chunks: []Chunk{{ChunkID{1}, 1}}}}, false},
		"unknown class":     {3, Directory{}, false},
		"past the segments": {ClassData, Directory{{Kind: KindData, Length: 11, Chunks: []Chunk{{ChunkID{1}, 1}}}}, false},
	} {
		box, err := metaKey.Seal(nil, seal.KindDirectory, AppendDirectory(nil, tt.d))
		if err != nil {
			t.Fatal(err)
		}
		file := footer{1, tt.class, uint32(len(box)), testRepo}.append(append(make([]byte, 10), box...))
		if _, _, err := readDirectory(file); (err == nil) != tt.ok || (!tt.ok && !errors.Is(err, ErrCorrupt)) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestFooterTellsDamagedFromNewer(t *testing.T) {
	with := func(change func(b []byte)) []byte {
		b := footer{1, ClassData, 100, testRepo}.append(nil)
		change(b)
		sum := blake3.Sum256(b[:48])
		copy(b[48:], sum[:])
		return b
	}
	for name, tt := range map[string]struct {
		b    []byte
		want error
	}{
		"good":       {with(func([]byte) {}), nil},
		"version 2":  {with(func(b []byte) { b[8] = 2 }), nil},
		"version 3":  {with(func(b []byte) { b[8] = 3 }), ErrNewer},
		"high byte":  {with(func(b []byte) { b[9] = 1 }), ErrNewer},
		"version 0":  {with(func(b []byte) { b[8] = 0 }), ErrCorrupt},
		"magic":      {with(func(b []byte) { b[0] = 'S' }), ErrCorrupt},
		"class 0":    {with(func(b []byte) { b[10] = 0 }), ErrCorrupt},
		"class 3":    {with(func(b []byte) { b[10] = 3 }), ErrCorrupt},
		"zero byte":  {with(func(b []byte) { b[11] = 1 }), ErrCorrupt},
		"zero bytes": {with(func(b []byte) { b[47] = 1 }), ErrCorrupt},
		"checksum":   {append(footer{1, ClassData, 100, testRepo}.append(nil)[:63], 0), ErrCorrupt},
		"short":      {make([]byte, 63), ErrCorrupt},
	} {
		f, err := decodeFooter(tt.b)
		if (tt.want == nil) != (err == nil) || (tt.want != nil && !errors.Is(err, tt.want)) {
			t.Errorf("%s: got %v, want %v", name, err, tt.want)
		}
		if err == nil && !bytes.Equal(f.append(nil), tt.b) {
			t.Errorf("%s: encodes to other bytes", name)
		}
	}
}

func TestOtherRepository(t *testing.T) {
	file, _, _, _ := smallPack(t, ClassData)
	_, _, err := ReadDirectoryFrom(bytes.NewReader(file), int64(len(file)), metaKey, [16]byte{9})
	if !errors.Is(err, ErrOtherRepository) {
		t.Errorf("got %v", err)
	}
}

// brokenReader fails with an error of its own.
type brokenReader struct{ err error }

func (b brokenReader) ReadAt([]byte, int64) (int, error) { return 0, b.err }

func TestErrorsOfTheStoreAreNoDamage(t *testing.T) {
	want := errors.New("network")
	if _, _, err := ReadDirectoryFrom(brokenReader{want}, 1000, metaKey, testRepo); !errors.Is(err, want) || errors.Is(err, ErrCorrupt) {
		t.Errorf("got %v", err)
	}
	for _, size := range []int64{-1, 0, FooterSize - 1, MaxPackSize + 1} {
		if _, _, err := ReadDirectoryFrom(brokenReader{want}, size, metaKey, testRepo); !errors.Is(err, ErrCorrupt) {
			t.Errorf("%d bytes: %v", size, err)
		}
	}
}

// brokenWriter takes so many writes.
type brokenWriter struct {
	left  int
	short bool
}

func (b *brokenWriter) Write(p []byte) (int, error) {
	if b.left--; b.left >= 0 {
		return len(p), nil
	}
	if b.short {
		return len(p) - 1, nil
	}
	return 0, errors.New("disk full")
}

func TestWriterStaysFailed(t *testing.T) {
	box, rows := segmentOf(t, compress.Off, KindData, []byte("chunk"))
	for left := range 3 { // the second segment, the filler, the rest
		for _, short := range []bool{false, true} {
			b := &brokenWriter{left: left, short: short}
			w := NewWriter(b, ClassData, testRepo)
			var first error
			for range 2 {
				if err := w.Add(KindData, box, rows); err != nil && first == nil {
					first = err
				}
			}
			id, d, size, err := w.Finish(metaKey, nil)
			if err == nil || !id.IsZero() || d != nil || size != 0 || (first != nil && err != first) {
				t.Errorf("%d writes: %v behind %v", left, err, first)
			}
			b.left = 1000
			if again := w.Add(KindData, box, rows); again != err {
				t.Errorf("%d writes: a segment was taken after %v", left, err)
			}
		}
	}
}

func TestWriterRefuses(t *testing.T) {
	box, rows := segmentOf(t, compress.Off, KindData, []byte("chunk"))
	w := NewWriter(new(bytes.Buffer), ClassData, testRepo)
	for name, err := range map[string]error{
		"another class":   w.Add(KindTree, box, rows),
		"no chunks":       w.Add(KindData, box, nil),
		"too many chunks": w.Add(KindData, box, make([]Chunk, MaxSegmentChunks+1)),
		"too large":       w.Add(KindData, make([]byte, MaxSegmentBoxSize+1), rows),
	} {
		if err == nil {
			t.Errorf("%s: taken", name)
		}
	}
	if err := w.Add(KindData, box, rows); err != nil {
		t.Errorf("a refusal spoils the writer: %v", err)
	}
	if _, _, _, err := w.Finish(metaKey, bytes.NewReader(nil)); err == nil {
		t.Error("finished without a random source")
	}
	if _, _, _, err := w.Finish(metaKey, nil); err == nil {
		t.Error("finished after a failure")
	}
	w = NewWriter(new(bytes.Buffer), ClassData, testRepo)
	if _, _, _, err := w.Finish(metaKey, nil); err != nil {
		t.Fatal(err)
	}
	if w.Add(KindData, box, rows) == nil {
		t.Error("a finished pack takes segments")
	}
}

// discard counts.
type discard struct{ n int64 }

func (d *discard) Write(p []byte) (int, error) { d.n += int64(len(p)); return len(p), nil }

// However a pack is filled, it stays within the limits that readers have.
func TestFullPackCanBeRead(t *testing.T) {
	w := NewWriter(new(discard), ClassData, testRepo)
	many := make([]Chunk, MaxSegmentChunks)
	for i := range many {
		many[i] = Chunk{ChunkID{1, byte(i), byte(i >> 8)}, 255}
	}
	chunks := 0
	for w.Add(KindData, make([]byte, 100), many) == nil {
		chunks += len(many)
	}
	if chunks > maxChunks || chunks < maxChunks-len(many) {
		t.Errorf("%d chunks", chunks)
	}
	plain := AppendDirectory(nil, w.directory)
	if PaddedSize(int64(len(plain)))+seal.Overhead > maxDirectorySize {
		t.Errorf("directory of %d bytes", len(plain))
	}
	w = NewWriter(new(discard), ClassData, testRepo)
	box := make([]byte, 8<<20)
	for w.Add(KindData, box, many[:1]) == nil {
	}
	if got := w.Size(); got < MaxPackSize/2 || got > MaxPackSize*3/4 {
		t.Errorf("%d bytes", got)
	}
}

// The grid by its definition, and what it is for: at most 12 % more, and few different sizes.
func TestPaddedSize(t *testing.T) {
	reference := func(n int64) int64 {
		if n < 2 {
			return n
		}
		e := 0
		for n>>(e+1) > 0 {
			e++
		}
		s := 1
		for e>>s > 0 {
			s++
		}
		step := int64(1) << (e - s)
		return (n + step - 1) / step * step
	}
	random := rand.New(rand.NewPCG(1, 1))
	sizes := map[int64]bool{}
	for n := range int64(1 << 16) {
		sizes[PaddedSize(n)] = true
		if got, want := PaddedSize(n), reference(n); got != want {
			t.Fatalf("%d: got %d, want %d", n, got, want)
		}
	}
	if len(sizes) > 400 {
		t.Errorf("%d different sizes", len(sizes))
	}
	for range 100_000 {
		n := 2 + random.Int64N(1<<random.IntN(40))
		got := PaddedSize(n)
		if got != reference(n) || got < n || float64(got) > float64(n)*1.12 || PaddedSize(got) != got || PaddedSize(n+1) < got {
			t.Fatalf("%d: %d, reference %d", n, got, reference(n))
		}
	}
	for _, n := range []int64{-5, 0, 1, 2, 3} {
		if PaddedSize(n) != n {
			t.Errorf("%d: %d", n, PaddedSize(n))
		}
	}
}

// Should the random source repeat itself: equal nonces only for equal plaintexts, whatever level compressed them.
func TestNoncesDifferWithoutRandomness(t *testing.T) {
	key := seal.NewKey(&[32]byte{9}, testRepo, steady{})
	byNonce := map[string]string{}
	var body []byte
	random := rand.New(rand.NewPCG(3, 3))
	for len(body) < 20_000 {
		body = append(body, []string{"some ", "text ", "that ", "shrinks; ", "or so "}[random.IntN(5)]...)
	}
	add := func(name string, level compress.Level, kind Kind, lengths []uint32, body []byte) {
		box, err := NewEncoder(key, newCompressor(t, level)).Append(nil, kind, lengths, body, blake3.Sum256(body))
		if err != nil {
			t.Fatal(err)
		}
		nonce := string(box[8:32])
		if other, ok := byNonce[nonce]; ok && other != string(box) {
			t.Errorf("%s: a nonce was used for two plaintexts", name)
		}
		byNonce[nonce] = string(box)
	}
	n := uint32(len(body))
	for _, level := range []compress.Level{compress.Off, compress.Fastest, compress.Default, compress.Better, compress.Max} {
		add("whole", level, KindTree, []uint32{n}, body)
		add("two chunks", level, KindTree, []uint32{1, n - 1}, body)
		add("two others", level, KindTree, []uint32{2, n - 2}, body)
		add("other kind", level, KindRefs, []uint32{n}, body)
		add("other bytes", level, KindTree, []uint32{n - 1}, body[1:])
	}
	if len(byNonce) < 15 {
		t.Errorf("only %d boxes", len(byNonce))
	}
}

func TestEncoderRefuses(t *testing.T) {
	e := NewEncoder(metaKey, newCompressor(t, compress.Default))
	body := make([]byte, 10)
	for name, lengths := range map[string][]uint32{
		"no chunks": nil, "too many": make([]uint32, MaxSegmentChunks+1), "empty chunk": {10, 0}, "too few bytes": {9}, "too many bytes": {11},
		"overflow": {1 << 31, 1 << 31, 10},
	} {
		if out, err := e.Append([]byte("head"), KindTree, lengths, body, [32]byte{}); err == nil || string(out) != "head" {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := e.Append(nil, KindTree, []uint32{MaxChunkSize + 1}, make([]byte, MaxChunkSize+1), [32]byte{}); err == nil {
		t.Error("over the limit: taken")
	}
}

// The definition of section 6, spelled out.
func TestChunkIDs(t *testing.T) {
	h := testIDKey.NewHasher()
	seen := map[ChunkID]bool{}
	for _, kind := range []Kind{KindData, KindTree, KindRefs} {
		for _, chunk := range [][]byte{{0}, {1}, noise(1, 5000)} {
			plain := blake3.Sum256(chunk)
			keyed, err := blake3.NewKeyed(testIDKey[:])
			if err != nil {
				t.Fatal(err)
			}
			keyed.Write(append([]byte{byte(kind)}, plain[:]...))
			want := ChunkID(keyed.Sum(nil)[:16])
			got, gotPlain := h.Sum(kind, chunk)
			if got != want || gotPlain != plain || h.FromHash(kind, plain) != want || seen[got] {
				t.Errorf("kind %d: got %s, want %s", kind, got, want)
			}
			seen[got] = true
		}
	}
}

func TestParseIDs(t *testing.T) {
	long := fmt.Sprintf("%064x", 0xabcdef)
	if id, err := ParseID(long); err != nil || id.String() != long || id.IsZero() {
		t.Errorf("%s, %v", id, err)
	}
	if id, err := ParseChunkID(long[32:]); err != nil || id.String() != long[32:] || id.IsZero() {
		t.Errorf("%s, %v", id, err)
	}
	for _, s := range []string{"", "ab", long[:63], long + "0", long[:63] + "G", long[:63] + "A", long[:62] + "\u00e9", " " + long[1:]} {
		if _, err := ParseID(s); err == nil {
			t.Errorf("%q: parsed", s)
		}
		if _, err := ParseChunkID(s[:min(len(s), 31)]); err == nil {
			t.Errorf("%q: parsed", s)
		}
	}
	if !(ID{}).IsZero() || !(ChunkID{}).IsZero() {
		t.Error("zero is not zero")
	}
	id := ID{0xab, 1}
	if got := Name(ClassData, id); got != "data/ab/"+id.String() {
		t.Error(got)
	}
	if got := Name(ClassMeta, id); got != "meta/ab/"+id.String() {
		t.Error(got)
	}
	if KindData.Class() != ClassData || KindTree.Class() != ClassMeta || KindRefs.Class() != ClassMeta {
		t.Error("classes of kinds")
	}
}

// TestLargeBuffersAreKeptOnRequest opens a large segment, and then a small one.
func TestLargeBuffersAreKeptOnRequest(t *testing.T) {
	e := NewEncoder(keyOf(KindData), newCompressor(t, compress.Default))
	var boxes [][]byte
	for _, body := range [][]byte{noise(1, maxKept+1), []byte("small")} {
		box, err := e.Append(nil, KindData, []uint32{uint32(len(body))}, body, blake3.Sum256(body))
		if err != nil {
			t.Fatal(err)
		}
		boxes = append(boxes, box)
	}
	for _, keeps := range []bool{false, true} {
		d := NewDecoder(&testIDKey, new(compress.Decompressor))
		if keeps {
			d.KeepLarge()
		}
		for _, box := range boxes {
			if _, err := d.Open(keyOf(KindData), KindData, box); err != nil {
				t.Fatal(err)
			}
		}
		if got := cap(d.plain) > maxKept; got != keeps {
			t.Errorf("keeps large buffers: %v, and has one of %d bytes", keeps, cap(d.plain))
		}
	}
}

// TestPacksEndWhereLittleIsFiller fills packs with segments of many lengths. What Filler told is what Finish writes.
func TestPacksEndWhereLittleIsFiller(t *testing.T) {
	for _, largest := range []int{3_000, 60_000, 300_000} {
		t.Run(fmt.Sprint(largest), func(t *testing.T) {
			const target = 4 << 20
			random := rand.New(rand.NewPCG(1, uint64(largest)))
			var filler, sizes int64
			for range 50 {
				w := NewWriter(io.Discard, ClassData, testRepo)
				for !w.IsFull(target) {
					chunks := make([]Chunk, 1+random.IntN(400))
					for i := range chunks {
						chunks[i].Length = 1 + random.Uint32N(MaxChunkSize/400)
					}
					if err := w.Add(KindData, make([]byte, 1+random.IntN(largest)), chunks); err != nil {
						t.Fatal(err)
					}
				}
				told, written := w.Filler(), w.Size()
				_, directory, size, err := w.Finish(metaKey, nil)
				if err != nil {
					t.Fatal(err)
				}
				rows := int64(len(AppendDirectory(nil, directory)))
				if got := size - written - rows - seal.Overhead - FooterSize; got != told {
					t.Fatalf("%d bytes of filler and padding, told %d", got, told)
				}
				if size < target*7/8 || written > target*9/8+int64(largest) {
					t.Errorf("a pack of %d bytes, %d of them segments", size, written)
				}
				filler, sizes = filler+told, sizes+size
			}
			if filler > sizes/100 { // at target it would be a 64th, and half a step of the directory's grid
				t.Errorf("%d of %d bytes are filler", filler, sizes)
			}
		})
	}
}
