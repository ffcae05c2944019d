package chunker

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"testing"

	rabin "github.com/restic/chunker"
)

// TestIrreducibleAsTheLibrary compares with the library on polynomials of degree 53, which it makes, or which are random, products,
// or of another degree.
func TestIrreducibleAsTheLibrary(t *testing.T) {
	random := rand.New(rand.NewChaCha8([32]byte{1}))
	seen := map[bool]int{}
	check := func(p uint64) {
		t.Helper()
		pol := rabin.Pol(p)
		want := pol.Deg() == degree && pol.Irreducible()
		if got := irreducible(Polynomial(p)); got != want {
			t.Errorf("%#x: %t, want %t", p, got, want)
		}
		seen[want]++
	}
	for range 50 {
		p, err := RandomPolynomial(rand.NewChaCha8([32]byte{byte(random.Uint32()), byte(random.Uint32())}))
		if err != nil {
			t.Fatal(err)
		}
		check(uint64(p))
		for bit := range 8 {
			check(uint64(p) ^ 1<<bit)
		}
	}
	for range 1000 {
		check(1<<degree | random.Uint64()&(1<<degree-1))
	}
	for _, p := range []uint64{0, 1, 2, 3, 1 << degree, 1<<degree | 1, 1<<degree | 2, 1<<(degree+1) - 1, 1<<(degree-1) | 1, 1<<(degree+1) | 1, 1 << 63, 1<<63 | 1<<53 | 1, ^uint64(0)} {
		check(p)
	}
	for a := uint64(4); a < 128; a++ { // products with a factor of degree 2 to 6
		n := degree - rabin.Pol(a).Deg()
		check(uint64(rabin.Pol(a).Mul(rabin.Pol(1<<n | random.Uint64()&(1<<n-1)))))
	}
	square := rabin.Pol(1<<26 | random.Uint64()&(1<<26-1))
	check(uint64(square.Mul(square).Mul(2)))
	check(uint64(square.Mul(square).Mul(3)))
	if seen[true] < 50 || seen[false] < 1000 {
		t.Errorf("irreducible or not: %v", seen)
	}
}

// TestRandomPolynomialIsTheLibrarys: those of sources are derived anew at each pull, so they may never change.
func TestRandomPolynomialIsTheLibrarys(t *testing.T) {
	for i := range 200 {
		seed := [32]byte{byte(i), 7}
		ours, theirs := rand.NewChaCha8(seed), rand.NewChaCha8(seed)
		got, err := RandomPolynomial(ours)
		if err != nil {
			t.Fatal(err)
		}
		want, err := rabin.DerivePolynomial(theirs)
		if err != nil || uint64(got) != uint64(want) || ours.Uint64() != theirs.Uint64() {
			t.Errorf("seed %d: %#x, want %#x, %v, from as many bytes", i, uint64(got), uint64(want), err)
		}
	}
	for n := range 8 {
		if _, err := RandomPolynomial(bytes.NewReader(make([]byte, n))); !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("from %d bytes: %v", n, err)
		}
	}
	if _, err := RandomPolynomial(zeros{}); !errors.Is(err, ErrParams) {
		t.Errorf("from zeros: %v", err)
	}
}

// zeros is a source of randomness that has none.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

func BenchmarkRandomPolynomial(b *testing.B) {
	random := rand.NewChaCha8([32]byte{1})
	for b.Loop() {
		if _, err := RandomPolynomial(random); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkIrreducible(b *testing.B) {
	p, err := RandomPolynomial(rand.NewChaCha8([32]byte{1}))
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if !irreducible(p) {
			b.Fatal("it is")
		}
	}
}
