package compress

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/klauspost/compress/zstd"
)

func newCompressor(t testing.TB, level Level) *Compressor {
	t.Helper()
	c, err := NewCompressor(level)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// plainFrame returns a frame of src as any encoder may write it.
func plainFrame(t testing.TB, src []byte, options ...zstd.EOption) []byte {
	t.Helper()
	enc, err := zstd.NewWriter(nil, append([]zstd.EOption{zstd.WithZeroFrames(true)}, options...)...)
	if err != nil {
		t.Fatal(err)
	}
	return enc.EncodeAll(src, nil)
}

func TestParseLevel(t *testing.T) {
	for _, l := range append(levels, Off) {
		if got, err := ParseLevel(string(l)); got != l || err != nil {
			t.Errorf("%q: %q, %v", l, got, err)
		}
	}
	if got, err := ParseLevel(""); got != Default || err != nil {
		t.Errorf("empty: %q, %v", got, err)
	}
	for _, s := range []string{"Max", "fast", " off"} {
		if _, err := ParseLevel(s); err == nil || !strings.Contains(err.Error(), "fastest, default, better or max") {
			t.Errorf("%q: %v", s, err)
		}
		if _, err := NewCompressor(Level(s)); err == nil {
			t.Errorf("%q: made", s)
		}
	}
}

func TestRoundTrip(t *testing.T) {
	var d Decompressor
	inputs := [][]byte{nil, {0}, make([]byte, 31), make([]byte, 32), make([]byte, 33), make([]byte, 5<<20), // longer than a window

		words(100, 1), words(10_000, 2), words(1<<18, 3), noise(32, 1), noise(1<<16, 2),
		append(noise(1<<16, 3), words(1<<16, 4)...), append(words(1<<16, 5), noise(1<<18, 6)...), bytes.Repeat(noise(5000, 7), 40)}
	for _, level := range []Level{"", Off, Fastest, Default, Better, Max} {
		c := newCompressor(t, level)
		for i, src := range inputs {
			keep := bytes.Clone(src)
			out, ok := c.Append([]byte("head"), src)
			if string(out[:4]) != "head" || !bytes.Equal(src, keep) {
				t.Fatalf("%s, input %d: changed what is not its own", level, i)
			}
			if !ok {
				if len(out) != 4 {
					t.Errorf("%s, input %d: not compressed, and %d bytes appended", level, i, len(out)-4)
				}
				continue
			}
			if level == Off || len(out)-4 > len(src)-len(src)/32 || len(out)-4 >= len(src) {
				t.Errorf("%s, input %d: %d bytes from %d", level, i, len(out)-4, len(src))
			}
			got, err := d.Append([]byte("head"), out[4:], len(src))
			if err != nil || string(got[:4]) != "head" || !bytes.Equal(got[4:], src) {
				t.Errorf("%s, input %d: %v", level, i, err)
			}
		}
	}
}

// What compresses well at the cheapest level must be compressed at each.
func TestCompressesAtEveryLevel(t *testing.T) {
	src := words(1<<18, 9)
	for _, level := range levels {
		if out, ok := newCompressor(t, level).Append(nil, src); !ok || len(out) > len(src)/2 {
			t.Errorf("%s: %d bytes from %d", level, len(out), len(src))
		}
	}
}

func TestNoiseIsLeftAlone(t *testing.T) {
	for _, level := range levels {
		c := newCompressor(t, level)
		for _, size := range []int{0, 1, 31, 32, 33, 100, 1000, 1 << 20} {
			if _, ok := c.Append(nil, noise(size, 1)); ok {
				t.Errorf("%s: %d bytes of noise shrink", level, size)
			}
		}
	}
}

// What shrinks in a stretch of an eighth is found, wherever it stands.
func TestSamplesMissNoEighth(t *testing.T) {
	for _, size := range []int{minSampled, minSampled + 1, 1 << 20, 3<<20 + 17} {
		for start := 0; start+size/8 <= size; start += size / 37 {
			src := noise(size, 4)
			copy(src[start:], words(size/8, 5))
			if seemsRandom(src) {
				t.Errorf("%d bytes of words at %d of %d bytes of noise are missed", size/8, start, size)
			}
		}
	}
}

// What is common in files and shrinks must not pass for random, and random bytes must.
func TestSeemsRandom(t *testing.T) {
	counters := make([]byte, 0, minSampled)
	for i := range uint32(minSampled / 4) {
		counters = binary.LittleEndian.AppendUint32(counters, i*2654435761>>8)
	}
	base64 := []byte(hex.EncodeToString(noise(minSampled/2, 8)))
	program, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		t.Skip(err)
	}
	for name, data := range map[string][]byte{"words": words(minSampled, 1), "numbers": counters, "hex": base64, "zeros": make([]byte, minSampled), "program": program[:4<<20]} {
		if seemsRandom(data) {
			t.Errorf("%s seem random", name)
		}
	}
	for i := range uint64(200) {
		if !seemsRandom(noise(minSampled, i)) {
			t.Errorf("noise %d does not seem random", i)
		}
	}
}

// Around the threshold, whatever the mix: either a 32nd is saved or nothing is done.
func TestThreshold(t *testing.T) {
	c, took, left := newCompressor(t, Default), 0, 0
	for zeros := 0; zeros < 2048; zeros += 16 {
		src := append(noise(4096, 2), make([]byte, zeros)...)
		out, ok := c.Append(nil, src)
		if ok {
			took++
		} else {
			left++
		}
		if ok && len(out) > len(src)-len(src)/32 {
			t.Errorf("%d zeros: %d bytes from %d", zeros, len(out), len(src))
		}
		if !ok && zeros > 1000 {
			t.Errorf("%d zeros of %d bytes: left alone", zeros, len(src))
		}
	}
	if took == 0 || left == 0 {
		t.Errorf("%d compressed, %d not: this test shows nothing", took, left)
	}
}

func TestAppendUsesRoom(t *testing.T) {
	src := words(1<<16, 1)
	dst := make([]byte, 4, 1<<17)
	frame, ok := newCompressor(t, Default).Append(dst, src)
	if !ok || &frame[0] != &dst[0] {
		t.Error("the compressor does not use the room there is")
	}
	var d Decompressor
	dst = make([]byte, 4, 4+len(src))
	if out, err := d.Append(dst, frame[4:], len(src)); err != nil || &out[0] != &dst[0] || !bytes.Equal(out[4:], src) {
		t.Errorf("the decompressor does not use the room there is, or fails: %v", err)
	}
}

func TestDecompressRefuses(t *testing.T) {
	var d Decompressor
	src := words(5000, 1)
	frame := plainFrame(t, src)
	skippable := append(binary.LittleEndian.AppendUint32([]byte{0x50, 0x2a, 0x4d, 0x18}, 3), "abc"...)
	empty := plainFrame(t, nil)
	for name, tt := range map[string]struct {
		src  []byte
		size int
	}{
		"empty":                     {nil, 0},
		"nothing":                   {nil, 10},
		"no frame":                  {src, len(src)},
		"one less":                  {frame, len(src) - 1},
		"one more":                  {frame, len(src) + 1},
		"zero":                      {frame, 0},
		"negative":                  {frame, -1},
		"over the limit":            {frame, maxDecoded + 1},
		"largest int":               {frame, int(^uint(0) >> 1)},
		"byte behind":               {append(bytes.Clone(frame), 0), len(src)},
		"second frame":              {append(bytes.Clone(frame), frame...), 2 * len(src)},
		"empty frame behind":        {append(bytes.Clone(frame), empty...), len(src)},
		"empty frame in front":      {append(bytes.Clone(empty), frame...), len(src)},
		"skippable frame behind":    {append(bytes.Clone(frame), skippable...), len(src)},
		"skippable frame in front":  {append(bytes.Clone(skippable), frame...), len(src)},
		"skippable frame":           {skippable, 0},
		"dictionary":                {[]byte{0x28, 0xb5, 0x2f, 0xfd, 0x21, 7, 1, 9, 0, 0, 'x'}, 1},
		"checksum wrong":            {flipLast(plainFrame(t, src, zstd.WithEncoderCRC(true))), len(src)},
		"size in the frame wrong":   {edit(frame, 5, 1), len(src)},
		"reserved block":            {[]byte{0x28, 0xb5, 0x2f, 0xfd, 0x20, 1, 7 | 1<<3, 0, 0, 'x'}, 1},
		"block longer than a block": {append([]byte{0x28, 0xb5, 0x2f, 0xfd, 0x20, 1, 1, 0, 0x80}, make([]byte, 1<<20)...), 1},
	} {
		keep := bytes.Clone(tt.src)
		out, err := d.Append([]byte("head"), tt.src, tt.size)
		if !errors.Is(err, ErrCorrupt) || string(out) != "head" {
			t.Errorf("%s: %d bytes, %v", name, len(out), err)
		}
		if !bytes.Equal(tt.src, keep) {
			t.Errorf("%s: the input was changed", name)
		}
		if out, err := d.Append(nil, frame, len(src)); err != nil || !bytes.Equal(out, src) {
			t.Fatalf("%s spoils the decoder: %v", name, err)
		}
	}
}

func edit(b []byte, at int, by byte) []byte {
	b = bytes.Clone(b)
	b[at] += by
	return b
}

func flipLast(b []byte) []byte { return edit(b, len(b)-1, 1) }

// All that a frame may be, also those that this package does not write.
func TestDecompressTakesEveryFrame(t *testing.T) {
	var d Decompressor
	src := words(300_000, 4)
	streamed := new(bytes.Buffer)
	w, err := zstd.NewWriter(streamed) // does not know the size in advance
	if err != nil {
		t.Fatal(err)
	}
	for part := range slices.Chunk(src, 1000) {
		w.Write(part)
	}
	w.Close()
	for name, tt := range map[string]struct{ frame, want []byte }{
		"plain":           {plainFrame(t, src), src},
		"with a checksum": {plainFrame(t, src, zstd.WithEncoderCRC(true)), src},
		"without size":    {streamed.Bytes(), src},
		"raw blocks":      {plainFrame(t, noise(300_000, 1)), noise(300_000, 1)},
		"repeated byte":   {plainFrame(t, make([]byte, 300_000)), make([]byte, 300_000)},
		"empty":           {plainFrame(t, nil), nil},
		"one byte":        {plainFrame(t, []byte{1}), []byte{1}},
		"by hand":         {[]byte{0x28, 0xb5, 0x2f, 0xfd, 0x20, 3, 3 | 3<<3, 0, 0, 'x'}, []byte("xxx")},
	} {
		for _, dst := range [][]byte{nil, []byte("head"), make([]byte, 0, 1<<20)} {
			got, err := d.Append(dst, tt.frame, len(tt.want))
			if err != nil || !bytes.Equal(got[len(dst):], tt.want) {
				t.Errorf("%s: %d bytes, %v", name, len(got), err)
			}
		}
		for n := range min(len(tt.frame), 500) {
			if _, err := d.Append(nil, tt.frame[:n], len(tt.want)); !errors.Is(err, ErrCorrupt) {
				t.Errorf("%s cut off at %d: %v", name, n, err)
			}
		}
	}
}

// Frames of the zstd command, frozen: levels 19 and 3, the second with a checksum.
func TestForeignFrames(t *testing.T) {
	want := strings.Repeat("the quick brown fox jumps over the lazy dog; ", 7) + "end\n"
	for _, digits := range []string{
		"28b52ffd603f00d50100140374686520717569636b2062726f776e20666f78206a756d7073206f76657220746865206c617a7920646f673b20656e640a01005d80aa2a03",
		"28b52ffd643f00dd0100040374686520717569636b2062726f776e20666f78206a756d7073206f76657220746865206c617a7920646f673b656e640a0200075029c0106619f567f0bb",
	} {
		frame, err := hex.DecodeString(digits)
		if err != nil {
			t.Fatal(err)
		}
		var d Decompressor
		if got, err := d.Append(nil, frame, len(want)); err != nil || string(got) != want {
			t.Errorf("%s: %q, %v", digits, got, err)
		}
	}
}

// A frame that grows without end takes no more memory than was asked for.
func TestBombs(t *testing.T) {
	zeros := make([]byte, 64<<20)
	streamed := new(bytes.Buffer)
	w, err := zstd.NewWriter(streamed, zstd.WithEncoderConcurrency(1))
	if err != nil {
		t.Fatal(err)
	}
	w.Write(zeros)
	w.Close()
	bombs := map[string][]byte{"size in the header": plainFrame(t, zeros), "no size": streamed.Bytes()}
	// A header may promise 2^62 bytes and a window of as much.
	bombs["huge size"] = append([]byte{0x28, 0xb5, 0x2f, 0xfd, 0xe0}, append(binary.LittleEndian.AppendUint64(nil, 1<<62), 3|1<<3, 0, 0, 'x')...)
	bombs["huge window"] = []byte{0x28, 0xb5, 0x2f, 0xfd, 0x00, 0xff, 3 | 1<<3, 0, 0, 'x'}
	zeros = nil
	var d Decompressor
	d.Append(nil, plainFrame(t, []byte("x")), 1) // the decoder's own memory
	for name, bomb := range bombs {
		for _, size := range []int{0, 1, 1000} {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			if _, err := d.Append(nil, bomb, size); !errors.Is(err, ErrCorrupt) && !(name == "huge window" && size == 1) {
				t.Errorf("%s, %d bytes: %v", name, size, err)
			}
			runtime.ReadMemStats(&after)
			if took := after.TotalAlloc - before.TotalAlloc; took > 4<<20 {
				t.Errorf("%s, %d bytes: took %d bytes of memory", name, size, took)
			}
		}
	}
}

func TestConcurrentUse(t *testing.T) {
	c := newCompressor(t, Default)
	var d Decompressor
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for n := range 20 {
				src := words(1000*n+2000, uint64(i))
				frame, ok := c.Append(nil, src)
				if !ok {
					t.Errorf("%d bytes were not compressed", len(src))
					continue
				}
				if got, err := d.Append(nil, frame, len(src)); err != nil || !bytes.Equal(got, src) {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
}

func TestDamageNeverPanics(t *testing.T) {
	var d Decompressor
	random := rand.New(rand.NewPCG(5, 6))
	src := words(20_000, 1)
	frame := plainFrame(t, src)
	for range 3000 {
		damaged := bytes.Clone(frame)
		for range 1 + random.IntN(3) {
			damaged[random.IntN(len(damaged))] ^= 1 << random.IntN(8)
		}
		out, err := d.Append(nil, damaged, len(src))
		if err != nil && !errors.Is(err, ErrCorrupt) || err == nil && len(out) != len(src) {
			t.Fatalf("%d bytes, %v", len(out), err)
		}
	}
}

func FuzzDecompress(f *testing.F) {
	var d Decompressor
	for _, src := range [][]byte{nil, []byte("x"), words(500, 1), noise(100, 1), make([]byte, 1000)} {
		f.Add(plainFrame(f, src), len(src))
	}
	f.Fuzz(func(t *testing.T, frame []byte, size int) {
		if size > 1<<20 {
			size %= 1 << 20
		}
		out, err := d.Append([]byte("head"), frame, size)
		if string(out[:4]) != "head" {
			t.Fatal("changed what stood in dst")
		}
		if err != nil {
			if !errors.Is(err, ErrCorrupt) || len(out) != 4 {
				t.Fatal(len(out), err)
			}
			return
		}
		if len(out) != 4+size {
			t.Fatalf("%d bytes, want %d", len(out)-4, size)
		}
	})
}

func FuzzRoundTrip(f *testing.F) {
	var d Decompressor
	compressors := map[Level]*Compressor{}
	for _, l := range levels {
		compressors[l] = newCompressor(f, l)
	}
	f.Add(words(500, 1), 3)
	f.Add(noise(200, 1), 1)
	f.Fuzz(func(t *testing.T, src []byte, repeat int) {
		src = bytes.Repeat(src, max(repeat%8, 1))
		for l, c := range compressors {
			out, ok := c.Append(nil, src)
			if !ok {
				continue
			}
			if len(out) > len(src)-len(src)/32 {
				t.Fatalf("%s: %d bytes from %d", l, len(out), len(src))
			}
			if got, err := d.Append(nil, out, len(src)); err != nil || !bytes.Equal(got, src) {
				t.Fatalf("%s: %v", l, err)
			}
		}
	})
}
