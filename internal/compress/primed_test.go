package compress

import (
	"bytes"
	"encoding/hex"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/klauspost/compress/zstd"
)

func primed(level Level, dictionary []byte) *Primed {
	p := NewPrimed(level)
	p.Prime(dictionary)
	return p
}

func reader(dictionary []byte) *PrimedReader {
	r := new(PrimedReader)
	r.Prime(dictionary)
	return r
}

func TestPrimedRoundTrip(t *testing.T) {
	dictionaries := [][]byte{words(100_000, 1), noise(40_000, 1), make([]byte, 256<<10), []byte("x"), words(9, 2)}
	inputs := [][]byte{words(40_000, 1), words(50_000, 7), noise(40_000, 1), noise(40_000, 2), make([]byte, 100_000), words(700_000, 1), []byte("short"), nil}
	for _, level := range []Level{"", Fastest, Default, Better} {
		p, r := NewPrimed(level), new(PrimedReader)
		for i, dictionary := range dictionaries {
			keep := bytes.Clone(dictionary)
			p.Prime(dictionary)
			r.Prime(dictionary)
			for k, src := range inputs {
				out, ok := p.Append([]byte("head"), src)
				if string(out[:4]) != "head" || !bytes.Equal(dictionary, keep) {
					t.Fatalf("%s, %d, %d: changed what is not its own", level, i, k)
				}
				if !ok {
					if len(out) != 4 {
						t.Errorf("%s, %d, %d: not compressed, and %d bytes appended", level, i, k, len(out)-4)
					}
					continue
				}
				got, err := r.Append([]byte("head"), out[4:], len(src))
				if err != nil || string(got[:4]) != "head" || !bytes.Equal(got[4:], src) {
					t.Errorf("%s, %d, %d: %v", level, i, k, err)
				}
			}
		}
	}
}

// What the dictionary holds is found, or all this would be for nothing.
func TestDictionaryIsUsed(t *testing.T) {
	src := noise(40_000, 3)
	for _, level := range []Level{Fastest, Default, Better} {
		out, ok := primed(level, append(noise(20_000, 4), src...)).Append(nil, src)
		if !ok || len(out) > 1000 {
			t.Errorf("%s: %d bytes, %v", level, len(out), ok)
		}
	}
}

// A wrong dictionary gives wrong bytes or an error, and never a panic or bytes from elsewhere in memory.
func TestWrongDictionary(t *testing.T) {
	dictionary, src := words(60_000, 1), words(40_000, 1)
	frame, ok := primed(Fastest, dictionary).Append(nil, src)
	if !ok {
		t.Fatal("not compressed")
	}
	for name, other := range map[string][]byte{"other bytes": words(60_000, 2), "shorter": dictionary[:100], "one byte": dictionary[:1]} {
		got, err := reader(other).Append(nil, frame, len(src))
		if err == nil && bytes.Equal(got, src) || err != nil && !errors.Is(err, ErrCorrupt) {
			t.Errorf("%s: %v", name, err)
		}
	}
	var d Decompressor
	if got, err := d.Append(nil, frame, len(src)); err == nil && bytes.Equal(got, src) || err != nil && !errors.Is(err, ErrCorrupt) {
		t.Errorf("none: %v", err)
	}
}

// A frame of the zstd command with the raw content of a file for dictionary, frozen.
func TestForeignPrimedFrame(t *testing.T) {
	row := func(s string) string { return "INSERT INTO orders (id, customer, state) VALUES (" + s + ");\n" }
	dictionary, want := row("1, 'Ada', 'paid'"), row("2, 'Bob', 'open'")+row("3, 'Ada', 'paid'")
	frame, err := hex.DecodeString("28b52ffd2088cd0000504932426f626f70656e3305000be3098123601d00ae230a6c")
	if err != nil {
		t.Fatal(err)
	}
	if got, err := reader([]byte(dictionary)).Append(nil, frame, len(want)); err != nil || string(got) != want {
		t.Errorf("%q, %v", got, err)
	}
}

// The zstd command reads what is written here.
func TestZstdReadsPrimedFrames(t *testing.T) {
	program, err := exec.LookPath("zstd")
	if err != nil {
		t.Skip(err)
	}
	dictionary, src := words(80_000, 1), words(40_000, 1)
	for _, level := range []Level{Fastest, Default, Better} {
		frame, ok := primed(level, dictionary).Append(nil, src)
		if !ok {
			t.Fatal("not compressed")
		}
		path := filepath.Join(t.TempDir(), "dictionary")
		if err := os.WriteFile(path, dictionary, 0o600); err != nil {
			t.Fatal(err)
		}
		cmd := exec.CommandContext(t.Context(), program, "-q", "-d", "-c", "-D", path)
		cmd.Stdin = bytes.NewReader(frame)
		if got, err := cmd.Output(); err != nil || !bytes.Equal(got, src) {
			t.Errorf("%s: %d bytes, %v", level, len(got), err)
		}
	}
}

// What joins the dictionary and a frame gives what the library makes of the two, or an error where that does.
func TestJoinedFrameIsTheSame(t *testing.T) {
	for i, dictionary := range [][]byte{words(10, 1), words(70_000, 1), noise(128<<10, 2), words(128<<10+1, 1), make([]byte, 256<<10)} {
		dec, err := zstd.NewReader(nil, zstd.WithDecoderDictRaw(0, dictionary))
		if err != nil {
			t.Fatal(err)
		}
		defer dec.Close()
		r := reader(dictionary)
		for _, src := range [][]byte{words(40_000, 1), words(300_000, 1), noise(3000, 2), make([]byte, 200_000), {1}} {
			frame := plainFrame(t, src, zstd.WithEncoderDictRaw(0, dictionary), zstd.WithEncoderCRC(false))
			want, err := dec.DecodeAll(frame, nil)
			if err != nil || !bytes.Equal(want, src) {
				t.Fatal(err)
			}
			if got, err := r.Append(nil, frame, len(src)); err != nil || !bytes.Equal(got, src) {
				t.Errorf("dictionary %d, %d bytes: %v", i, len(src), err)
			}
			for n := range min(len(frame), 300) {
				if _, err := r.Append(nil, frame[:n], len(src)); !errors.Is(err, ErrCorrupt) {
					t.Errorf("dictionary %d, %d bytes cut to %d: %v", i, len(src), n, err)
				}
			}
			for name, bad := range map[string][]byte{"checksum": plainFrame(t, src, zstd.WithEncoderDictRaw(0, dictionary), zstd.WithEncoderCRC(true)),
				"named": plainFrame(t, src, zstd.WithEncoderDictRaw(7, dictionary), zstd.WithEncoderCRC(false)), "two": append(bytes.Clone(frame), frame...)} {
				if _, err := r.Append(nil, bad, len(src)); !errors.Is(err, ErrCorrupt) {
					t.Errorf("dictionary %d, %d bytes, %s: %v", i, len(src), name, err)
				}
			}
			for _, size := range []int{-1, 0, len(src) - 1, len(src) + 1, maxDecoded + 1} {
				if _, err := r.Append(nil, frame, size); !errors.Is(err, ErrCorrupt) && size != len(src) {
					t.Errorf("dictionary %d, %d bytes as %d: %v", i, len(src), size, err)
				}
			}
		}
	}
}

func FuzzPrimed(f *testing.F) {
	for _, dictionary := range [][]byte{words(200, 1), noise(50, 1), {0}} {
		for _, src := range [][]byte{words(500, 1), noise(100, 1), make([]byte, 1000)} {
			if frame, ok := primed(Fastest, dictionary).Append(nil, src); ok {
				f.Add(dictionary, frame, len(src))
			}
			f.Add(dictionary, plainFrame(f, src, zstd.WithEncoderDictRaw(0, dictionary)), len(src))
		}
	}
	var r PrimedReader
	f.Fuzz(func(t *testing.T, dictionary, frame []byte, size int) {
		if len(dictionary) == 0 {
			return
		}
		if size > 1<<20 {
			size %= 1 << 20
		}
		r.Prime(dictionary)
		out, err := r.Append([]byte("head"), frame, size)
		if string(out[:4]) != "head" || err == nil && len(out) != 4+size || err != nil && (!errors.Is(err, ErrCorrupt) || len(out) != 4) {
			t.Fatal(len(out), err)
		}
	})
}

// A frame that nobody writes takes memory while it is read, and no longer; what comes after it is read with the same dictionary.
func TestPrimedReaderKeepsNoLongBuffers(t *testing.T) {
	dictionary := noise(40_000, 1)
	r, p := reader(dictionary), primed(Fastest, dictionary)
	for range 2 {
		for _, size := range []int{10_000, 3 << 20, 10_000} {
			src := append(bytes.Clone(dictionary[:9_000]), make([]byte, size-9_000)...)
			out, ok := p.Append(nil, src)
			if got, err := r.Append(nil, out, size); !ok || err != nil || !bytes.Equal(got, src) {
				t.Fatal(size, ok, err)
			}
			if _, err := r.Append(nil, out, size+3<<20); !errors.Is(err, ErrCorrupt) {
				t.Fatal(size, err)
			}
			if cap(r.out) > maxPrimed || cap(r.joined) > maxPrimed {
				t.Errorf("after %d bytes, buffers of %d and %d stay", size, cap(r.out), cap(r.joined))
			}
		}
	}
}

// A frame that tells no size and decodes to less or more than it should is refused.
func TestPrimedFrameOfAnotherLength(t *testing.T) {
	frame := []byte{0x28, 0xb5, 0x2f, 0xfd, 0, 0x50, 5<<3 | 1, 0, 0, 'f', 'i', 'v', 'e', '!'}
	for size := range 12 {
		got, err := reader([]byte("dictionary")).Append(nil, frame, size)
		if ok := size == 5; ok != (err == nil) || ok != (string(got) == "five!") || !ok && !errors.Is(err, ErrCorrupt) {
			t.Errorf("%d bytes: %q, %v", size, got, err)
		}
	}
}
