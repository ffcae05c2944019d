package compress

import (
	"bytes"
	"testing"
)

// TestDecompressorKeepsTheBuffer checks that a buffer that served once serves again for longer data.
func TestDecompressorKeepsTheBuffer(t *testing.T) {
	c, err := NewCompressor(Default)
	if err != nil {
		t.Fatal(err)
	}
	var d Decompressor
	buf := make([]byte, 0, 100_000)
	for _, size := range []int{10_000, 100_000, 5_000, 99_999} {
		want := bytes.Repeat([]byte{'x'}, size)
		packed, smaller := c.Append(nil, want)
		if !smaller {
			t.Fatal("it does not compress")
		}
		out, err := d.Append(buf[:0], packed, size)
		if err != nil || !bytes.Equal(out, want) {
			t.Fatalf("%d bytes: got %d, %v", size, len(out), err)
		}
		if cap(out) != cap(buf) || &out[0] != &buf[:1][0] {
			t.Errorf("%d bytes: capacity %d, want that of the buffer, %d", size, cap(out), cap(buf))
		}
		buf = out
	}
}
