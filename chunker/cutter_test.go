package chunker

import (
	"math"
	"sync"
	"testing"
)

func TestNextAtBounds(t *testing.T) {
	t.Parallel()
	p := Params{Rabin, testPolynomial, MinSizeLimit, 2 * MinSizeLimit, MinBits}
	c := newCutter(t, p)
	ones := make([]byte, 3*MinSizeLimit)
	for i := range ones {
		ones[i] = 1 // never a candidate
	}
	zeros := make([]byte, 3*MinSizeLimit)
	tests := []struct {
		name  string
		buf   []byte
		final bool
		want  int
	}{
		{"nothing", nil, false, 0},
		{"nothing at the end", nil, true, 0},
		{"one byte", ones[:1], false, 0},
		{"one byte at the end", ones[:1], true, 1},
		{"below minimum", zeros[:p.MinSize-1], false, 0},
		{"below minimum at the end", zeros[:p.MinSize-1], true, p.MinSize - 1},
		{"minimum", zeros[:p.MinSize], false, p.MinSize},
		{"minimum without candidate", ones[:p.MinSize], false, 0},
		{"below maximum", ones[:p.MaxSize-1], false, 0},
		{"below maximum at the end", ones[:p.MaxSize-1], true, p.MaxSize - 1},
		{"maximum", ones[:p.MaxSize], false, p.MaxSize},
		{"above maximum", ones, false, p.MaxSize},
		{"above maximum at the end", ones, true, p.MaxSize},
	}
	for _, test := range tests {
		if got := c.Next(test.buf, test.final); got != test.want {
			t.Errorf("%s: Next = %d, want %d", test.name, got, test.want)
		}
		// Whatever scanned says, the result stays within the buffer.
		for _, scanned := range []int{math.MinInt, -1, len(test.buf), len(test.buf) + 1, math.MaxInt} {
			if got := c.Resume(test.buf, scanned, test.final); got < 0 || got > len(test.buf) {
				t.Errorf("%s: Resume(%d) = %d", test.name, scanned, got)
			}
		}
	}
}

func TestNextAllocatesNothing(t *testing.T) {
	c := newCutter(t, Database(testPolynomial))
	data := padded(1, 1<<20)
	if n := testing.AllocsPerRun(5, func() { allLengths(c, data) }); n != 0 {
		t.Errorf("Next allocates %g times", n)
	}
}

func TestCutterIsShared(t *testing.T) {
	t.Parallel()
	c := newCutter(t, Database(testPolynomial))
	data := padded(2, 2<<20)
	want := allLengths(c, data)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			if got := allLengths(c, data); got != want {
				t.Errorf("cuts with checksum %d, want %d", got, want)
			}
		})
	}
	wg.Wait()
}

func TestLikeCutsAsNewDoes(t *testing.T) {
	t.Parallel()
	data := padded(3, 4<<20)
	for _, p := range []Params{Database(testPolynomial), Database(polynomial(t, 7)), Files(testPolynomial)} {
		like, err := newCutter(t, Files(testPolynomial)).Like(p)
		if err != nil {
			t.Fatal(err)
		}
		if like.Params() != p {
			t.Errorf("made of %v, want %v", like.Params(), p)
		}
		if got, want := allLengths(like, data), allLengths(newCutter(t, p), data); got != want {
			t.Errorf("cuts with checksum %d, want %d", got, want)
		}
	}
}

// allLengths returns a checksum of the lengths of all chunks.
func allLengths(c *Cutter, data []byte) (sum int) {
	for len(data) > 0 {
		n := c.Next(data, true)
		sum = sum*31 + n
		data = data[n:]
	}
	return sum
}
