package record

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/snapkeep/snap/internal/compress"
)

func newCodec(t testing.TB, level compress.Level) *Codec {
	t.Helper()
	c, err := NewCodec(level)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestUnpackReturnsWhatPackTook(t *testing.T) {
	t.Parallel()
	for _, level := range []compress.Level{compress.Off, compress.Default} {
		c := newCodec(t, level)
		for _, size := range []int{0, 1, 31, 32, 1000, 1 << 20} {
			body := []byte(strings.Repeat("snap ", size/5+1)[:size])
			packed := c.Pack([]byte("front"), body)
			if !bytes.HasPrefix(packed, []byte("front")) {
				t.Fatalf("%s: %d bytes: what stood in front is gone", level, size)
			}
			got, err := c.Unpack(packed[5:], size)
			if err != nil || !bytes.Equal(got, body) {
				t.Errorf("%s: %d bytes: got %d bytes, %v", level, size, len(got), err)
			}
			if small := len(packed) < 5+size; small != (level == compress.Default && size >= 32) {
				t.Errorf("%s: %d bytes packed to %d", level, size, len(packed)-5)
			}
			if size > 0 {
				if _, err := c.Unpack(packed[5:], size-1); !errors.Is(err, ErrCorrupt) {
					t.Errorf("%s: %d bytes over the limit: got %v, want %v", level, size, err, ErrCorrupt)
				}
			}
		}
	}
}

func TestUnpackTellsDamagedFromNewer(t *testing.T) {
	t.Parallel()
	c := newCodec(t, compress.Default)
	zstd := c.Pack(nil, bytes.Repeat([]byte("a"), 100))
	for _, tt := range []struct {
		name   string
		packed string
		want   error
	}{
		{"empty", "", ErrCorrupt},
		{"no length", "\x00", ErrCorrupt},
		{"length too small", "\x00\x02abc", ErrCorrupt},
		{"length too large", "\x00\x04abc", ErrCorrupt},
		{"long form of the length", "\x00\x83\x00abc", ErrCorrupt},
		{"no frame", "\x01\x03abc", ErrCorrupt},
		{"frame cut off", string(zstd[:len(zstd)-1]), ErrCorrupt},
		{"frame of another length", "\x01\x63" + string(zstd[2:]), ErrCorrupt},
		{"codec of the future", "\x02\x03abc", ErrNewer},
	} {
		if _, err := c.Unpack([]byte(tt.packed), 1000); !errors.Is(err, tt.want) {
			t.Errorf("%s: got %v, want %v", tt.name, err, tt.want)
		}
	}
}

func FuzzUnpack(f *testing.F) {
	c := newCodec(f, compress.Default)
	f.Add([]byte("\x00\x03abc"))
	f.Add(c.Pack(nil, bytes.Repeat([]byte("abc"), 50)))
	f.Fuzz(func(t *testing.T, packed []byte) {
		body, err := c.Unpack(packed, 1<<16)
		if err != nil {
			if !errors.Is(err, ErrCorrupt) && !errors.Is(err, ErrNewer) {
				t.Fatalf("error of no kind: %v", err)
			}
			return
		}
		again, err := c.Unpack(c.Pack(nil, body), 1<<16)
		if err != nil || !bytes.Equal(again, body) {
			t.Fatalf("packed again: %v", err)
		}
	})
}
