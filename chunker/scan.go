package chunker

// What follows serves every processor, and the ends of buffers on those with wide lanes.
//
// One step of the fingerprint waits for the lookup of the step before, about
// seven cycles. A candidate depends on 64 bytes only, so six neighbouring lanes
// of a buffer are searched in turn, and their waits overlap: the six together
// take little longer than one.
//
//	window   lane 0      lane 1      …      lane 5      next
//	64 B     laneLength  laneLength         laneLength  1 B
//	p[0]     p[64]                                      p[blockSize-1]
//
// A short lane wastes time to fill its first window, a long one behind a cut that
// an earlier lane finds. Twice the length gains 3 % with an average of 20 bits and
// loses 12 % with 14.
const (
	lanes       = 6
	laneLength  = 1024 // bytes
	blockLength = lanes * laneLength
	blockSize   = windowSize + blockLength + 1
)

// derailed replaces the state of a lane that has found its candidate. The lane
// goes on with a fingerprint of nothing, which differs from the true one for
// ever, so that a run of zeros does not stop the scan at each of its bytes.
const derailed = 1 << nextBits

// firstCandidate returns the smallest i below blockLength for which the window
// at p[i] is a candidate, otherwise blockLength.
func (t *table) firstCandidate(p *[blockSize]byte, mask uint64) int {
	first := blockLength
	states := t.fill(p)
	for i := t.scan(p, mask, &states, 0); i < laneLength; i = t.scan(p, mask, &states, i) {
		for k := range states {
			if states[k]&mask == 0 {
				first = min(first, k*laneLength+i)
				states[k] = derailed
			}
		}
		if first < laneLength { // in lane 0, so no other lane matters
			break
		}
	}
	return first
}

// fill returns the states of the lanes at their first windows.
func (t *table) fill(p *[blockSize]byte) [lanes]uint64 {
	var s0, s1, s2, s3, s4, s5 uint64
	for i := range windowSize + 1 {
		s0 = s0<<8 ^ uint64(p[i]) ^ t.reduce[s0>>topShift]
		s1 = s1<<8 ^ uint64(p[i+1*laneLength]) ^ t.reduce[s1>>topShift]
		s2 = s2<<8 ^ uint64(p[i+2*laneLength]) ^ t.reduce[s2>>topShift]
		s3 = s3<<8 ^ uint64(p[i+3*laneLength]) ^ t.reduce[s3>>topShift]
		s4 = s4<<8 ^ uint64(p[i+4*laneLength]) ^ t.reduce[s4>>topShift]
		s5 = s5<<8 ^ uint64(p[i+5*laneLength]) ^ t.reduce[s5>>topShift]
	}
	return [lanes]uint64{s0, s1, s2, s3, s4, s5}
}

// scan moves all lanes forward from their windows at p[i], p[i+laneLength], …,
// until one of them is at a candidate or all are at their ends. It leaves the
// states in states and returns i there.
//
// The compiler keeps six states in registers and needs no bounds check if it is
// written like this: constant distances, a step spelled out in this order, and a
// way out that does not come back.
func (t *table) scan(p *[blockSize]byte, mask uint64, states *[lanes]uint64, i int) int {
	const (
		after  = windowSize + 1
		l1, a1 = 1 * laneLength, 1*laneLength + after
		l2, a2 = 2 * laneLength, 2*laneLength + after
		l3, a3 = 3 * laneLength, 3*laneLength + after
		l4, a4 = 4 * laneLength, 4*laneLength + after
		l5, a5 = 5 * laneLength, 5*laneLength + after
	)
	_, _ = p[0], t.leave[0] // one nil check here instead of one in each turn
	s0, s1, s2, s3, s4, s5 := states[0], states[1], states[2], states[3], states[4], states[5]
	for ; uint(i) < laneLength; i++ {
		if s0&mask == 0 || s1&mask == 0 || s2&mask == 0 || s3&mask == 0 || s4&mask == 0 || s5&mask == 0 {
			break
		}
		s0 = uint64(p[i+after]) ^ t.leave[p[i]] ^ t.reduce[s0>>topShift] ^ s0<<8
		s1 = uint64(p[i+a1]) ^ t.leave[p[i+l1]] ^ t.reduce[s1>>topShift] ^ s1<<8
		s2 = uint64(p[i+a2]) ^ t.leave[p[i+l2]] ^ t.reduce[s2>>topShift] ^ s2<<8
		s3 = uint64(p[i+a3]) ^ t.leave[p[i+l3]] ^ t.reduce[s3>>topShift] ^ s3<<8
		s4 = uint64(p[i+a4]) ^ t.leave[p[i+l4]] ^ t.reduce[s4>>topShift] ^ s4<<8
		s5 = uint64(p[i+a5]) ^ t.leave[p[i+l5]] ^ t.reduce[s5>>topShift] ^ s5<<8
	}
	*states = [lanes]uint64{s0, s1, s2, s3, s4, s5}
	return i
}
