package chunker

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// Limits of Params. They bound what a hostile configuration can ask for.
const (
	MinSizeLimit = 4 << 10  // smallest MinSize, in bytes
	MaxSizeLimit = 16 << 20 // largest MaxSize, in bytes
	MinBits      = 10       // smallest AverageBits
	MaxBits      = 23       // largest AverageBits
)

const (
	degree     = 53        // of every polynomial
	windowSize = 64        // bytes that decide about a cut
	maxTries   = 1_000_000 // for a polynomial; a source that is random needs a thousand once in 10^16 times
)

var (
	// ErrAlgorithm says that Params name an algorithm this version does not know.
	ErrAlgorithm = errors.New("unknown chunking algorithm")
	// ErrParams says that Params lie outside the limits.
	ErrParams = errors.New("invalid chunking parameters")
)

// Algorithm numbers a rule for cutting. Numbers are stored in repositories and
// never change their meaning.
type Algorithm uint8

// Rabin cuts where the fingerprint's low bits are zero.
const Rabin Algorithm = 1

// Polynomial is an irreducible polynomial of degree 53 over GF(2), bit i being
// the coefficient of x^i. It is a secret of the repository: printing one with
// %v, %s or %#v shows none of it.
type Polynomial uint64

// String returns a fixed text that does not give the polynomial away.
func (Polynomial) String() string { return "Polynomial(secret)" }

// GoString returns the same text as String.
func (p Polynomial) GoString() string { return p.String() }

// RandomPolynomial derives a polynomial from bytes of rand: from crypto/rand.Reader, or from a stream that has to give the same
// one again. Equal bytes give equal polynomials, in every version.
//
// It takes the first irreducible one of the numbers that each 8 bytes are, low byte first, when bits 53 and 0 are set and those
// above are not. One in 26 is.
func RandomPolynomial(rand io.Reader) (Polynomial, error) {
	var b [8]byte
	for range maxTries {
		if _, err := io.ReadFull(rand, b[:]); err != nil {
			return 0, fmt.Errorf("derive polynomial: %w", err)
		}
		p := Polynomial(binary.LittleEndian.Uint64(b[:])&(1<<degree-1) | 1<<degree | 1)
		if irreducible(p) {
			return p, nil
		}
	}
	return 0, fmt.Errorf("derive polynomial: %w: none is irreducible", ErrParams)
}

// Params are all that decides about cuts. Each field changes every chunk of a
// repository, so they are fixed when it is created.
type Params struct {
	Algorithm   Algorithm  // the rule, Rabin
	Polynomial  Polynomial // from RandomPolynomial
	MinSize     int        // bytes, at least MinSizeLimit; only the last chunk of an input may be shorter
	MaxSize     int        // bytes, more than MinSize, at most MaxSizeLimit
	AverageBits int        // MinBits to MaxBits; a cut follows MinSize after 1<<AverageBits bytes on average
}

// Files returns the parameters for file trees and dumps: 512 KiB to 8 MiB,
// 1.5 MiB on average.
func Files(p Polynomial) Params {
	return Params{Algorithm: Rabin, Polynomial: p, MinSize: 512 << 10, MaxSize: 8 << 20, AverageBits: 20}
}

// Database returns the parameters for data changed in place, such as databases
// and disk images: 32 KiB to 1 MiB, 48 KiB on average, 32 where zeros abound.
// What is stored again after scattered changes is about their number times the
// size of a chunk.
func Database(p Polynomial) Params {
	return Params{Algorithm: Rabin, Polynomial: p, MinSize: 32 << 10, MaxSize: 1 << 20, AverageBits: 14}
}

// Validate returns nil if a Cutter can be made of the parameters, otherwise an
// error that wraps ErrAlgorithm or ErrParams.
func (p Params) Validate() error {
	if err := p.validateSizes(); err != nil {
		return err
	}
	if !irreducible(p.Polynomial) {
		return fmt.Errorf("%w: polynomial is not irreducible of degree %d", ErrParams, degree)
	}
	return nil
}

// validateSizes is Validate for all but the polynomial.
func (p Params) validateSizes() error {
	switch {
	case p.Algorithm != Rabin:
		return fmt.Errorf("%w %d", ErrAlgorithm, uint8(p.Algorithm))
	case p.MinSize < MinSizeLimit:
		return fmt.Errorf("%w: minimum size %d is below %d", ErrParams, p.MinSize, MinSizeLimit)
	case p.MaxSize > MaxSizeLimit:
		return fmt.Errorf("%w: maximum size %d is above %d", ErrParams, p.MaxSize, MaxSizeLimit)
	case p.MinSize >= p.MaxSize:
		return fmt.Errorf("%w: minimum size %d is not below maximum size %d", ErrParams, p.MinSize, p.MaxSize)
	case p.AverageBits < MinBits || p.AverageBits > MaxBits:
		return fmt.Errorf("%w: average of %d bits is outside %d to %d", ErrParams, p.AverageBits, MinBits, MaxBits)
	}
	return nil
}
