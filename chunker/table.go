package chunker

// topShift moves the eight highest coefficients of a fingerprint to the bottom.
const topShift = degree - 8

// table holds what one step of the fingerprint looks up. With d the fingerprint
// of 64 bytes, the fingerprint one byte further on is
//
//	d<<8 ^ reduce[d>>topShift] ^ leave[oldest byte] ^ next byte
//
// The addition of polynomials over GF(2) is exclusive or, and the lookups are
// linear, so the order of the terms is free.
type table struct {
	// reduce[b] brings b·x^53 below degree 53: the remainder, and above it b
	// itself, to cancel the bits that a shift by eight pushes out.
	reduce [256]uint64
	// leave[b] is b·x^512 reduced: what a byte still adds after 64 steps.
	leave [256]uint64
}

// newTable computes the table of p, which has degree 53.
func newTable(p Polynomial) *table {
	t := new(table)
	for b := range uint64(256) {
		t.reduce[b] = timesPower(b, degree, p) | b<<degree
		t.leave[b] = timesPower(b, 8*windowSize, p)
	}
	return t
}

// timesPower returns a·x^n modulo p, where a has a degree below 53.
func timesPower(a uint64, n int, p Polynomial) uint64 {
	for range n {
		a <<= 1
		if a>>degree != 0 {
			a ^= uint64(p)
		}
	}
	return a
}
