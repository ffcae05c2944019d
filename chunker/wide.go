package chunker

import "math/bits"

// Where the processor multiplies matrices over GF(2) with bytes, 64 lanes are searched at once. Byte k of a register belongs to lane k, and a state is seven
// registers, its planes. A step of all lanes is
//
//	plane[i] = plane[i-1] ^ reduce[i]·plane[6] ^ leave[i]·out ^ enter[i]·in
//
// where out and in are the bytes that leave and enter the windows, one of each lane, and reduce, leave and enter are matrices of 8 by 8 bits: what [table]
// holds is linear. Planes hold the fingerprint times x^3, so that its eight highest coefficients are a plane of their own.
//
// 64 bytes of each lane make a tile. It is turned over first, so that the bytes of a step lie side by side; the tile that entered before is the one that leaves.
// But for candidates, nothing takes a time that depends on the data.
const (
	wideLanes = 64
	planes    = 7
	planeBits = 8*planes - degree // by which a fingerprint is shifted
)

// Lengths of a lane in bytes: odd multiples of 64, so that the lanes of a block do not compete for the same lines of a cache. A short lane wastes time to fill its
// first window, a long one behind the candidate that an earlier lane finds.
const (
	shortLane = 5 * 64
	longLane  = 17 * 64
	longBits  = 18 // lanes are long from this average on
)

// wide searches blocks of 64 lanes for one set of parameters.
type wide struct {
	lane     int // bytes
	matrices matrices
}

// matrices are what a step multiplies with, in the form of the instruction: byte 7-i is row i. At the end stand the masks of planes 0 to 3, each eight
// times the same byte.
type matrices struct {
	reduce, leave [planes]uint64
	enter         [2]uint64
	mask          [4]uint64
}

// sighting tells which lanes have their first candidate at one position. Bit k is lane k.
type sighting struct {
	position int // in the lanes
	lanes    uint64
}

// newWide returns nil where the processor cannot do it.
func newWide(t *table, average int) *wide {
	if !haveWide {
		return nil
	}
	w := &wide{lane: shortLane}
	if average >= longBits {
		w.lane = longLane
	}
	m := &w.matrices
	for i := range planes {
		// What reduce cancels beyond the degree is no part of the planes.
		m.reduce[i] = matrix(func(b uint8) uint64 { return t.reduce[b] >> nextBits & (1<<degree - 1) << planeBits >> (8 * i) })
		m.leave[i] = matrix(func(b uint8) uint64 { return t.leave[b] >> nextBits << planeBits >> (8 * i) })
	}
	for i := range m.enter {
		m.enter[i] = matrix(func(b uint8) uint64 { return uint64(b) << planeBits >> (8 * i) })
	}
	for i := range m.mask {
		m.mask[i] = (1<<average - 1) << planeBits >> (8 * i) & 0xff * 0x0101010101010101
	}
	return w
}

// matrix returns the matrix of the low eight bits of a linear f.
func matrix(f func(uint8) uint64) (m uint64) {
	for column := range 8 {
		b := f(1 << column)
		for row := range 8 {
			m |= b >> row & 1 << (8*(7-row) + column)
		}
	}
	return m
}

// block returns how many neighbouring windows firstCandidate searches.
func (w *wide) block() int { return wideLanes * w.lane }

// firstCandidate returns the smallest i below block for which the window at p[i] is a candidate, otherwise block. p holds at least
// windowSize bytes more than a block.
func (w *wide) firstCandidate(p []byte) int {
	first := w.block()
	p = p[:windowSize+first]
	var found [wideLanes]sighting
	for _, s := range found[:scanWide(&p[0], w.lane, &w.matrices, &found)] {
		first = min(first, bits.TrailingZeros64(s.lanes)*w.lane+s.position)
	}
	return first
}
