package chunker

// A state holds the fingerprint of a window of 64 bytes, and below it, in the
// low eight bits, the byte that follows the window: the next one to enter. Both
// need 61 bits together. A table makes the state one byte further on:
//
//	state<<8 ^ reduce[state>>topShift] ^ leave[first byte of the window] ^ byte after the next
//
// Addition of polynomials over GF(2) is exclusive or, and all four terms are
// linear in the bytes of the window, so the order of their addition is free. The
// byte that waits below keeps one operation out of each step.
type table struct {
	// leave[b] is b·x^512 reduced: what b still adds after 64 further bytes.
	leave [256]uint64
	// reduce[b] is b·x^53 reduced, and above it b itself, to cancel the bits that
	// the shift pushes past the degree. Only the first 256 entries are ever used;
	// the others spare a bounds check in each step.
	reduce [1 << (64 - topShift)]uint64
}

const (
	nextBits = 8                     // of a state, for the byte that enters next
	topShift = degree + nextBits - 8 // moves the eight highest coefficients to the bottom
)

// newTable computes the table of p, which has degree 53. Both of its parts are linear: what a byte has is the sum of what its
// bits have.
func newTable(p Polynomial) *table {
	t := new(table)
	for b := range uint64(256) {
		low := b & -b
		if rest := b ^ low; rest != 0 {
			t.leave[b] = t.leave[rest] ^ t.leave[low]
			t.reduce[b] = t.reduce[rest] ^ t.reduce[low]
			continue
		}
		t.leave[b] = timesPower(b, 8*windowSize, p) << nextBits
		t.reduce[b] = (timesPower(b, degree, p) | b<<degree) << nextBits
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

// slide moves the window of state by one byte: first leaves it, and after waits
// behind it.
func (t *table) slide(state uint64, first, after byte) uint64 {
	return state<<8 ^ uint64(after) ^ t.leave[first] ^ t.reduce[state>>topShift]
}

// append adds a byte to a window that is not full yet.
func (t *table) append(state uint64, after byte) uint64 {
	return state<<8 ^ uint64(after) ^ t.reduce[state>>topShift]
}
