package index

import (
	"iter"
	"sync"
	"sync/atomic"

	"github.com/snapkeep/snap/pack"
)

// Marks says which rows of a Set are needed. It covers the rows that the Set had when it was
// made. Mark may be called by several goroutines at once, everything else when no Mark is under
// way.
//
// Of a chunk with several rows one is marked, the others count as dead: the one in a pack that
// was not condemned whose id is the lowest, so that everybody who marks chooses the same. A row
// in a condemned pack is never marked.
type Marks struct {
	parts []*part
	void  []bitset    // for each part, by row: those in dead and condemned packs; nil if there are none
	rows  []bitset    // for each part, by row: those that are marked
	stale atomic.Bool // Mark was called since live was made

	scratch sync.Pool // of *[]pack.ChunkID

	mu   sync.Mutex // guards what follows
	live []bitset   // the marks by position, if they were needed since the last Mark
}

// NewMarks returns Marks for the rows of the Set without a mark. They take up to three bits of memory a row.
func (s *Set) NewMarks() *Marks {
	m := &Marks{parts: s.frozen()}
	for _, p := range m.parts {
		m.void = append(m.void, p.voidRows())
		m.rows = append(m.rows, newBitset(p.chunks()))
	}
	return m
}

// Close releases what the Marks hold. They must not be used any more.
func (m *Marks) Close() { dropAll(m.parts) }

// Marked reports whether the chunk is marked.
func (m *Marks) Marked(id pack.ChunkID) bool {
	part, row, ok := m.choose(id)
	return ok && m.rows[part].has(row)
}

// choose returns the row of id that a mark is for.
func (m *Marks) choose(id pack.ChunkID) (part, row int, ok bool) {
	var c choice
	for k, p := range m.parts {
		m.consider(&c, k, id, p.firstRow(id))
	}
	return c.part, c.row, c.found
}

// choice is the best row of a chunk so far.
type choice struct {
	part, row int
	found     bool
}

// consider looks at the rows of id in part k, of which row is the first; negative if there is none.
func (m *Marks) consider(c *choice, k int, id pack.ChunkID, row int) {
	p := m.parts[k]
	for ; row >= 0; row = p.nextRow(id, row) {
		if !m.void[k].has(row) && (!c.found || m.lowerPack(k, row, c)) {
			*c = choice{k, row, true}
		}
	}
}

// lowerPack reports whether the pack of a row has a lower id than that of the choice.
func (m *Marks) lowerPack(k, row int, than *choice) bool {
	a, b := m.parts[k].packOfRow(row), m.parts[than.part].packOfRow(than.row)
	return string(a[:]) < string(b[:])
}

// byPosition returns the marks of a part by position.
func (m *Marks) byPosition(part int) bitset {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.stale.Swap(false) {
		m.live = nil
	}
	if m.live == nil {
		m.live = make([]bitset, len(m.parts))
	}
	if m.live[part] == nil {
		m.live[part] = m.parts[part].rowsToPositions(m.rows[part])
	}
	return m.live[part]
}

// Usage says how much of a pack is needed. Bytes are those of the boxes of segments: a
// segment is live if one of its chunks is, or if it is the dictionary of one that is live.
type Usage struct {
	PackInfo
	LiveChunks   int
	LiveSegments int
	LiveBytes    int64
	DeadBytes    int64
	// DeadInside is what the dead chunks of live segments take of LiveBytes, if all chunks of a segment are of one size.
	DeadInside int64
}

// Usage yields the packs with their use, also condemned ones, in no order.
func (m *Marks) Usage() iter.Seq[Usage] {
	return func(yield func(Usage) bool) {
		for k, p := range m.parts {
			for i := range p.packCount() {
				if p.holds(i) && !yield(m.usage(k, i)) {
					return
				}
			}
		}
	}
}

func (m *Marks) usage(part, i int) Usage {
	u := Usage{PackInfo: m.parts[part].info(i)}
	m.segments(part, i, func(s SegmentUsage) {
		u.LiveChunks += s.Live
		if s.Needed() {
			u.LiveSegments++
			u.LiveBytes += int64(s.Length)
			u.DeadInside += int64(s.Length) * int64(s.Chunks-s.Live) / int64(s.Chunks)
		} else {
			u.DeadBytes += int64(s.Length)
		}
	})
	return u
}

// SegmentUsage says how much of a segment is needed.
type SegmentUsage struct {
	Offset, Length uint32 // of the box in the pack
	Chunks         int
	Live           int  // chunks that are marked
	Primes         bool // it is the dictionary of a segment with a marked chunk
}

// Needed reports whether the segment is live.
func (s *SegmentUsage) Needed() bool { return s.Live > 0 || s.Primes }

// Segments returns the use of the segments of a pack in their order; nil if the pack is unknown
// or empty.
func (m *Marks) Segments(id pack.ID) []SegmentUsage {
	for k, p := range m.parts {
		if i, ok := p.find(id); ok {
			var all []SegmentUsage
			m.segments(k, i, func(s SegmentUsage) { all = append(all, s) })
			return all
		}
	}
	return nil
}

func (m *Marks) segments(part, i int, fn func(SegmentUsage)) {
	p, live := m.parts[part], m.byPosition(part)
	offset := uint32(0)
	first, last := int(p.pack(i).firstSegment), int(p.pack(i+1).firstSegment)
	if first >= last {
		return
	}
	primes := m.primes(p, first, last, live)
	s := p.segment(first)
	for k := first; k < last; k++ {
		next := p.segment(k + 1)
		begin, end := int(s.firstChunk), int(next.firstChunk)
		fn(SegmentUsage{Offset: offset, Length: s.end - offset, Chunks: end - begin, Live: live.count(begin, end), Primes: primes.has(k - first)})
		offset, s = s.end, next
	}
}

// primes returns which segments from first to last, exclusive, are dictionaries of live ones; nil if none is.
func (m *Marks) primes(p *part, first, last int, live bitset) (primes bitset) {
	s := p.segment(first)
	for k := first; k < last; k++ {
		next := p.segment(k + 1)
		if at := k - int(s.back); s.back > 0 && at >= first && live.count(int(s.firstChunk), int(next.firstChunk)) > 0 {
			if primes == nil {
				primes = newBitset(last - first)
			}
			primes.set(at - first)
		}
		s = next
	}
	return primes
}
