package chunker

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
)

func TestValidate(t *testing.T) {
	t.Parallel()
	const pol = testPolynomial
	tests := []struct {
		name string
		p    Params
		want error
	}{
		{"files", Files(pol), nil},
		{"database", Database(pol), nil},
		{"smallest", Params{Rabin, pol, MinSizeLimit, MinSizeLimit + 1, MinBits}, nil},
		{"largest", Params{Rabin, pol, MaxSizeLimit - 1, MaxSizeLimit, MaxBits}, nil},
		{"zero value", Params{}, ErrAlgorithm},
		{"unknown algorithm", Params{99, pol, 1 << 19, 1 << 23, 20}, ErrAlgorithm},
		{"minimum too small", Params{Rabin, pol, MinSizeLimit - 1, 1 << 23, 20}, ErrParams},
		{"minimum negative", Params{Rabin, pol, -1, 1 << 23, 20}, ErrParams},
		{"maximum too large", Params{Rabin, pol, 1 << 19, MaxSizeLimit + 1, 20}, ErrParams},
		{"minimum is maximum", Params{Rabin, pol, 1 << 19, 1 << 19, 20}, ErrParams},
		{"too few bits", Params{Rabin, pol, 1 << 19, 1 << 23, MinBits - 1}, ErrParams},
		{"too many bits", Params{Rabin, pol, 1 << 19, 1 << 23, MaxBits + 1}, ErrParams},
		{"negative bits", Params{Rabin, pol, 1 << 19, 1 << 23, -20}, ErrParams},
		{"no polynomial", Files(0), ErrParams},
		{"degree 52", Files(pol >> 1), ErrParams},
		{"degree 54", Files(pol << 1), ErrParams},
		{"degree 63", Files(1<<63 | pol), ErrParams},
		{"reducible", Files(pol ^ 1), ErrParams}, // divisible by x
	}
	for _, test := range tests {
		err := test.p.Validate()
		if !errors.Is(err, test.want) || (err == nil) != (test.want == nil) {
			t.Errorf("%s: Validate = %v, want %v", test.name, err, test.want)
		}
		like, err := newCutter(t, Files(pol)).Like(test.p)
		if !errors.Is(err, test.want) || (like == nil) != (test.want != nil) {
			t.Errorf("%s: Like = %v, %v, want %v", test.name, like, err, test.want)
		}
		c, err := New(test.p)
		if !errors.Is(err, test.want) || (c == nil) != (test.want != nil) {
			t.Errorf("%s: New = %v, %v, want %v", test.name, c, err, test.want)
		}
		if c != nil && c.Params() != test.p {
			t.Errorf("%s: Params = %v, want %v", test.name, c.Params(), test.p)
		}
	}
}

func TestRandomPolynomial(t *testing.T) {
	t.Parallel()
	seen := map[Polynomial]bool{}
	for seed := range uint64(5) {
		first, err := RandomPolynomial(bytes.NewReader(randomBytes(seed, 1<<16)))
		if err != nil {
			t.Fatal(err)
		}
		second, err := RandomPolynomial(bytes.NewReader(randomBytes(seed, 1<<16)))
		if err != nil || first != second {
			t.Errorf("equal bytes give %#x and %#x, %v", uint64(first), uint64(second), err)
		}
		if err := Files(first).Validate(); err != nil {
			t.Error(err)
		}
		seen[first] = true
	}
	if len(seen) != 5 {
		t.Errorf("5 seeds gave %d polynomials", len(seen))
	}
}

func TestRandomPolynomialReportsReadError(t *testing.T) {
	t.Parallel()
	p, err := RandomPolynomial(bytes.NewReader([]byte{1, 2, 3}))
	if !errors.Is(err, io.ErrUnexpectedEOF) || p != 0 {
		t.Errorf("got %#x, %v, want 0, %v", uint64(p), err, io.ErrUnexpectedEOF)
	}
}

func TestPolynomialIsNotPrinted(t *testing.T) {
	t.Parallel()
	p := Files(testPolynomial)
	digits := []string{fmt.Sprintf("%d", uint64(testPolynomial)), fmt.Sprintf("%x", uint64(testPolynomial))}
	bad := p
	bad.MinSize = 1
	for _, text := range []string{
		fmt.Sprint(p), fmt.Sprintf("%+v", p), fmt.Sprintf("%#v", p), fmt.Sprint(bad.Validate()),
		fmt.Sprint(p.Polynomial), fmt.Sprintf("%s %q", p.Polynomial, p.Polynomial),
	} {
		for _, secret := range digits {
			if strings.Contains(strings.ToLower(text), secret) {
				t.Errorf("%q holds the polynomial", text)
			}
		}
	}
}
