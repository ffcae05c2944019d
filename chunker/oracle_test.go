package chunker

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"testing"

	rabin "github.com/restic/chunker"
)

// testPolynomial is a well-known irreducible polynomial of degree 53.
const testPolynomial Polynomial = 0x3DA3358B4DC173

func TestCutsEqualLibrary(t *testing.T) {
	t.Parallel()
	for _, p := range testParams() {
		size := min(p.MaxSize+p.MaxSize/3, 6*(p.MinSize+1<<p.AverageBits), 3<<19)
		for kind, generate := range testData {
			for seed := range uint64(2) {
				p.Polynomial = polynomial(t, seed)
				data := generate(seed, size+int(seed)*12345)
				name := fmt.Sprintf("%d-%d-%d %s %d", p.MinSize, p.MaxSize, p.AverageBits, kind, seed)
				sameCutsOfBoth(t, name, p, data, libraryCuts(t, p, data))
			}
		}
	}
}

func TestCutsDoNotDependOnBufferSizes(t *testing.T) {
	t.Parallel()
	p := Params{Rabin, testPolynomial, 16 << 10, 128 << 10, 15}
	c := newCutter(t, p)
	for kind, generate := range testData {
		data := generate(9, 400_001)
		want := libraryCuts(t, p, data)
		for seed := range uint64(3) {
			rng := rand.New(rand.NewPCG(seed, 0))
			for _, resume := range []bool{false, true} {
				name := fmt.Sprintf("%s, seed %d, resume %t", kind, seed, resume)
				sameCuts(t, name, growingCuts(t, c, data, rng, resume), want)
			}
		}
	}
}

// growingCuts cuts data that arrives in pieces of random length.
func growingCuts(t *testing.T, c *Cutter, data []byte, rng *rand.Rand, resume bool) []int {
	t.Helper()
	var cuts []int
	arrived, start, scanned := 0, 0, 0
	for start < len(data) {
		final := arrived == len(data)
		buf := data[start:arrived]
		var n int
		if resume {
			n = c.Resume(buf, scanned, final)
		} else {
			n = c.Next(buf, final)
		}
		switch {
		case n > 0:
			cuts = append(cuts, n)
			start, scanned = start+n, 0
		case final || len(buf) >= c.Params().MaxSize:
			t.Fatalf("no chunk in %d bytes, final %t", len(buf), final)
		default:
			scanned = len(buf)
			arrived = min(len(data), arrived+1+rng.IntN(1<<(8+rng.IntN(10))))
		}
	}
	return cuts
}

func TestCutsAtMaxSize(t *testing.T) {
	t.Parallel()
	data := bytes.Repeat([]byte{1}, MaxSizeLimit+12345) // never a candidate
	for _, p := range []Params{Files(testPolynomial), {Rabin, testPolynomial, MaxSizeLimit - 1, MaxSizeLimit, MinBits}} {
		got := allCuts(newCutter(t, p), data)
		if got[0] != p.MaxSize {
			t.Errorf("first cut %d, want %d", got[0], p.MaxSize)
		}
		sameCuts(t, "ones", got, libraryCuts(t, p, data))
	}
}

func TestNextFindsEveryLength(t *testing.T) {
	t.Parallel()
	p := Params{Rabin, testPolynomial, MinSizeLimit, 32 << 10, MaxBits}
	c := newCutter(t, p)
	// Ones never make a candidate here, 64 zeros always do.
	for n := p.MinSize; n < p.MaxSize; n += 1 + n%229 {
		data := bytes.Repeat([]byte{1}, p.MaxSize)
		clear(data[n-windowSize : n])
		clear(data[min(n+500, p.MaxSize-windowSize):])
		for _, end := range []int{n, n + 1, p.MaxSize} {
			if got := c.Next(data[:end], false); got != n {
				t.Fatalf("Next of %d bytes = %d, want %d", end, got, n)
			}
		}
		if got := c.Next(data[:n-1], false); got != 0 {
			t.Fatalf("Next of %d bytes = %d, want 0", n-1, got)
		}
	}
}

// testParams are the recommended sets and the corners of the limits.
func testParams() []Params {
	return []Params{
		Files(0),
		Database(0),
		{Rabin, 0, MinSizeLimit, MinSizeLimit + 1, MinBits},
		{Rabin, 0, MinSizeLimit, 64 << 10, MinBits},
		{Rabin, 0, MinSizeLimit, 300_000, 14},
		{Rabin, 0, 64 << 10, 1 << 20, 15},
		{Rabin, 0, 77_777, 99_999, 16},
		{Rabin, 0, 128 << 10, 1 << 20, 17},
		{Rabin, 0, MinSizeLimit, 1 << 20, MaxBits},
	}
}

// testData generates each kind of content; equal arguments give equal bytes.
var testData = map[string]func(seed uint64, n int) []byte{
	"random":     randomBytes,
	"zeros":      func(_ uint64, n int) []byte { return make([]byte, n) },
	"ones":       func(_ uint64, n int) []byte { return bytes.Repeat([]byte{0xff}, n) },
	"repetitive": repetitive,
	"text":       text,
	"padded":     padded,
}

func randomBytes(seed uint64, n int) []byte {
	data := make([]byte, n)
	rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8)}).Read(data)
	return data
}

// repetitive repeats some random bytes.
func repetitive(seed uint64, n int) []byte {
	return bytes.Repeat(randomBytes(seed, 97+1000*int(seed)), n/97+1)[:n]
}

// text looks like words of a log, in lines.
func text(seed uint64, n int) []byte {
	rng := rand.New(rand.NewPCG(seed, 1))
	words := []string{"the ", "backup ", "of ", "server ", "seven ", "took ", "0.3 ", "seconds\n", "failed\n"}
	var b bytes.Buffer
	for b.Len() < n {
		b.WriteString(words[rng.IntN(len(words))])
	}
	return b.Bytes()[:n]
}

// padded alternates between random bytes and runs of zeros, like a tar or a
// database.
func padded(seed uint64, n int) []byte {
	rng := rand.New(rand.NewPCG(seed, 2))
	data := randomBytes(seed, n)
	for i := 0; i < n; i += rng.IntN(20_000) {
		end := min(n, i+rng.IntN(700))
		clear(data[i:end])
		i = end
	}
	return data
}

// sameCutsOfBoth compares what a Cutter cuts with want, with and without the wide lanes that this processor may have.
func sameCutsOfBoth(t testing.TB, name string, p Params, data []byte, want []int) {
	t.Helper()
	c := newCutter(t, p)
	sameCuts(t, name, allCuts(c, data), want)
	if c.wide != nil {
		c.wide = nil
		sameCuts(t, name+", narrow", allCuts(c, data), want)
	}
}

func newCutter(t testing.TB, p Params) *Cutter {
	t.Helper()
	c, err := New(p)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func polynomial(t testing.TB, seed uint64) Polynomial {
	t.Helper()
	if seed == 0 {
		return testPolynomial
	}
	p, err := RandomPolynomial(bytes.NewReader(randomBytes(seed, 1<<16)))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// allCuts returns the lengths of all chunks of data.
func allCuts(c *Cutter, data []byte) []int {
	var cuts []int
	for len(data) > 0 {
		n := c.Next(data, true)
		cuts = append(cuts, n)
		data = data[n:]
	}
	return cuts
}

// libraryCuts returns the same according to github.com/restic/chunker.
func libraryCuts(t testing.TB, p Params, data []byte) []int {
	t.Helper()
	l := rabin.NewWithBoundaries(bytes.NewReader(data), rabin.Pol(p.Polynomial), uint(p.MinSize), uint(p.MaxSize))
	l.SetAverageBits(p.AverageBits)
	var cuts []int
	for buf := []byte(nil); ; {
		chunk, err := l.Next(buf)
		if err == io.EOF {
			return cuts
		}
		if err != nil {
			t.Fatal(err)
		}
		cuts = append(cuts, int(chunk.Length))
		buf = chunk.Data
	}
}

func sameCuts(t testing.TB, name string, got, want []int) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Fatalf("%s: cuts\n got %v\nwant %v", name, got, want)
	}
}
