package index

import (
	"math"
	"math/bits"
	"slices"
)

// A binary fuse filter (Graf and Lemire, 2022) answers whether a key may be in a set, with one
// wrong yes in 256 and never a wrong no, in about nine bits a key. Its slots are cut into
// segments; each key has a slot in three neighbouring segments, and the XOR of the three is the
// key's fingerprint.

// fuse says where the slots of a filter for one shard of a table are. The filter of zero
// segments says yes to everything.
type fuse struct {
	seed          uint64
	segmentLength uint32 // a power of two
	segments      uint32 // in which a key's first slot may be
}

// slots returns how many bytes the filter takes.
func (f fuse) slots() int {
	if f.segments == 0 {
		return 0
	}
	return int(f.segments+2) * int(f.segmentLength)
}

// fuseKey folds a chunk id, in two halves, to the key of a filter.
func fuseKey(hi, lo uint64) uint64 { return hi ^ lo*0x9e3779b97f4a7c15 }

// mix is a bijection that spreads each bit over all.
func mix(h uint64) uint64 {
	h ^= h >> 33
	h *= 0xff51afd7ed558ccd
	h ^= h >> 33
	h *= 0xc4ceb9fe1a85ec53
	return h ^ h>>33
}

func (f fuse) places(h uint64) (a, b, c uint32) {
	mask := f.segmentLength - 1
	hi, _ := bits.Mul64(h, uint64(f.segments)*uint64(f.segmentLength))
	a = uint32(hi)
	b = (a + f.segmentLength) ^ uint32(h>>18)&mask
	c = (a + 2*f.segmentLength) ^ uint32(h)&mask
	return a, b, c
}

func fingerprint(h uint64) uint8 { return uint8(h ^ h>>32) }

// mayHave reports whether the key may be in the set. slots are f.slots() bytes.
func (f fuse) mayHave(slots []byte, key uint64) bool {
	if f.segments == 0 {
		return true
	}
	h := mix(key + f.seed)
	a, b, c := f.places(h)
	return slots[a]^slots[b]^slots[c] == fingerprint(h)
}

// fuseBuilder makes filters and keeps its scratch memory for the next one, about 24 bytes a key.
type fuseBuilder struct {
	hashes []uint64 // by slot: XOR of the hashes of the keys that have it
	counts []uint16 // by slot: their number times 4, XOR which of its three slots it is to each
	alone  []uint32
	stack  []uint64
	which  []uint8
}

// fuseAttempts bounds the search for a seed; each attempt fails for fewer than one set in a
// hundred.
const fuseAttempts = 64

// build returns a filter for the keys, its slots appended to dst. It may change keys. If there
// is no seed that works, which no input is known to cause, the filter says yes to everything.
func (b *fuseBuilder) build(dst []byte, keys []uint64) (fuse, []byte) {
	f := fuseSize(len(keys))
	for attempt := range uint64(fuseAttempts) {
		f.seed = mix(attempt + 1)
		if attempt == 1 { // equal keys never come apart
			slices.Sort(keys)
			keys = slices.Compact(keys)
		}
		if b.peel(f, keys) {
			start := len(dst)
			dst = append(dst, make([]byte, f.slots())...)
			b.fill(f, dst[start:])
			return f, dst
		}
	}
	return fuse{}, dst
}

// fuseSize returns a filter of the size for n keys. The constants are those of the paper.
func fuseSize(n int) fuse {
	n = max(n, 2)
	logN := math.Log(float64(n))
	length := min(1<<int(math.Floor(logN/math.Log(3.33)+2.25)), 1<<18)
	factor := math.Max(1.125, 0.875+0.25*math.Log(1e6)/logN)
	capacity := int(math.Round(float64(n) * factor))
	segments := max((capacity+length-1)/length-2, 1)
	return fuse{segmentLength: uint32(length), segments: uint32(segments)}
}

// peel takes the keys away one by one, each when it is alone in one of its slots, and reports
// whether none was left. The order is left in b.stack.
func (b *fuseBuilder) peel(f fuse, keys []uint64) bool {
	n := f.slots()
	b.hashes, b.counts = zeroed(b.hashes, n), zeroed(b.counts, n)
	b.alone, b.stack, b.which = b.alone[:0], b.stack[:0], b.which[:0]
	for _, key := range keys {
		h := mix(key + f.seed)
		p0, p1, p2 := f.places(h)
		for j, p := range [3]uint32{p0, p1, p2} {
			b.hashes[p] ^= h
			if b.counts[p] = (b.counts[p] + 4) ^ uint16(j); b.counts[p] < 4 {
				return false // 16,384 keys in one slot
			}
		}
	}
	for p, c := range b.counts {
		if c>>2 == 1 {
			b.alone = append(b.alone, uint32(p))
		}
	}
	for len(b.alone) > 0 {
		p := b.alone[len(b.alone)-1]
		b.alone = b.alone[:len(b.alone)-1]
		if b.counts[p]>>2 != 1 {
			continue
		}
		h, own := b.hashes[p], uint8(b.counts[p]&3)
		b.stack = append(b.stack, h)
		b.which = append(b.which, own)
		p0, p1, p2 := f.places(h)
		for j, q := range [3]uint32{p0, p1, p2} {
			b.hashes[q] ^= h
			b.counts[q] = (b.counts[q] - 4) ^ uint16(j)
			if b.counts[q]>>2 == 1 {
				b.alone = append(b.alone, q)
			}
		}
	}
	return len(b.stack) == len(keys)
}

// fill sets the slots in the reverse order of peeling: each key finds the slot in
// which it was alone still free.
func (b *fuseBuilder) fill(f fuse, slots []byte) {
	for i := len(b.stack) - 1; i >= 0; i-- {
		h := b.stack[i]
		p0, p1, p2 := f.places(h)
		p := [3]uint32{p0, p1, p2}
		slots[p[b.which[i]]] = 0
		slots[p[b.which[i]]] = fingerprint(h) ^ slots[p0] ^ slots[p1] ^ slots[p2]
	}
}

// zeroed returns n zeros in the memory of s if it is large enough.
func zeroed[T any](s []T, n int) []T {
	if cap(s) < n {
		return make([]T, n)
	}
	s = s[:n]
	clear(s)
	return s
}
