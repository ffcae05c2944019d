package chunker

import (
	"bytes"
	"testing"
)

// FuzzNext compares with the library. Interesting inputs are short, chunks are
// not: the bytes are repeated until several chunks fit.
func FuzzNext(f *testing.F) {
	f.Add([]byte{0}, uint16(1), uint8(0), uint16(0), uint16(0))
	f.Add([]byte("a line of text\n"), uint16(900), uint8(3), uint16(777), uint16(70))
	f.Add(randomBytes(1, 4000), uint16(20), uint8(1), uint16(5000), uint16(20_000))
	f.Add(padded(1, 60_000), uint16(4), uint8(2), uint16(0), uint16(60_000))
	f.Fuzz(func(t *testing.T, data []byte, repeat uint16, bits uint8, minExtra, maxExtra uint16) {
		data = bytes.Repeat(data, 1+min(int(repeat), (1<<18)/(1+len(data))))
		p := Params{
			Algorithm:   Rabin,
			Polynomial:  testPolynomial,
			MinSize:     MinSizeLimit + int(minExtra),
			AverageBits: MinBits + int(bits)%(MaxBits-MinBits+1),
		}
		p.MaxSize = p.MinSize + 1 + int(maxExtra)
		c := newCutter(t, p)
		got := libraryCuts(t, p, data)
		sameCutsOfBoth(t, "all at once", p, data, got)
		sum := 0
		for _, n := range got {
			sum += n
		}
		if sum != len(data) {
			t.Fatalf("chunks hold %d bytes of %d", sum, len(data))
		}
		cuts, joined, err := split(c, bytes.NewReader(data), nil)
		if err != nil || !bytes.Equal(joined, data) {
			t.Fatalf("Split gave %d bytes of %d, %v", len(joined), len(data), err)
		}
		sameCuts(t, "Split", cuts, got)
	})
}
