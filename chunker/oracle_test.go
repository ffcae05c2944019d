package chunker

import (
	"bytes"
	"io"
	"math/rand/v2"
	"testing"

	rabin "github.com/restic/chunker"
)

const testPolynomial Polynomial = 0x3DA3358B4DC173

func libraryCuts(t testing.TB, p Params, data []byte) []int {
	t.Helper()
	l := rabin.NewWithBoundaries(bytes.NewReader(data), rabin.Pol(p.Polynomial), uint(p.MinSize), uint(p.MaxSize))
	l.SetAverageBits(p.AverageBits)
	var cuts []int
	var buf []byte
	for {
		c, err := l.Next(buf)
		if err == io.EOF {
			return cuts
		}
		if err != nil {
			t.Fatal(err)
		}
		cuts = append(cuts, int(c.Length))
		buf = c.Data
	}
}

func randomBytes(seed uint64, n int) []byte {
	data := make([]byte, n)
	rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8), byte(seed >> 16)}).Read(data)
	return data
}
func TestCutsEqualLibrary(t *testing.T) {
	d := randomBytes(1, 32<<20)
	p := Files(testPolynomial)
	c, err := New(p)
	if err != nil {
		t.Fatal(err)
	}
	want := libraryCuts(t, p, d)
	rest := d
	for i, w := range want {
		n := c.Next(rest, true)
		if n != w {
			t.Fatal(i, n, w)
		}
		rest = rest[n:]
	}
	t.Log(len(want))
	i := 0
	if err := c.Split(bytes.NewReader(d), nil, func(b []byte) error {
		if len(b) != want[i] {
			t.Fatal(i)
		}
		i++
		return nil
	}); err != nil || i != len(want) {
		t.Fatal(err, i)
	}
}
