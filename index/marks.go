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
	parts   []*part
	live    []bitset  // for each part, by position
	scratch sync.Pool // of *[]pack.ChunkID
}

// NewMarks returns Marks for the rows of the Set without a mark. They take a bit of memory a row.
func (s *Set) NewMarks() *Marks {
	m := &Marks{parts: s.frozen()}
	for _, p := range m.parts {
		m.live = append(m.live, newBitset(p.chunks()))
	}
	return m
}

// Close releases what the Marks hold. They must not be used any more.
func (m *Marks) Close() { dropAll(m.parts) }

// markBlock is how many ids Mark puts in order at once, at 16 bytes each.
const markBlock = 1 << 20

// Mark marks chunks and appends those without a row outside of condemned packs to missing. It
// is fastest for many ids at once; it neither changes nor keeps them.
func (m *Marks) Mark(ids []pack.ChunkID, missing []pack.ChunkID) []pack.ChunkID {
	scratch, _ := m.scratch.Get().(*[]pack.ChunkID)
	if scratch == nil {
		scratch = new([]pack.ChunkID)
	}
	defer m.scratch.Put(scratch)
	for len(ids) > 0 {
		block := ids[:min(len(ids), markBlock)]
		ids = ids[len(block):]
		if len(block) > 1 {
			*scratch = dealOut(block, *scratch)
			block = *scratch
		}
		for _, id := range block {
			part, position, ok := m.choose(id)
			if !ok {
				missing = append(missing, id)
				continue
			}
			atomic.OrUint64(&m.live[part][position>>6], 1<<(position&63))
		}
	}
	return missing
}

// dealOut returns ids, in the memory of scratch if it is large enough, ordered by their first
// bits: so close to each other are their rows in a table, and the parts of its filters.
func dealOut(ids, scratch []pack.ChunkID) []pack.ChunkID {
	const heaps = 1 << 12
	first := func(id *pack.ChunkID) int { return int(id[0])<<4 | int(id[1])>>4 }
	var at [heaps + 1]int
	for i := range ids {
		at[first(&ids[i])+1]++
	}
	for i := 1; i < len(at); i++ {
		at[i] += at[i-1]
	}
	if cap(scratch) < len(ids) {
		scratch = make([]pack.ChunkID, len(ids))
	}
	scratch = scratch[:len(ids)]
	for i := range ids {
		heap := first(&ids[i])
		scratch[at[heap]] = ids[i]
		at[heap]++
	}
	return scratch
}

// Marked reports whether the chunk is marked.
func (m *Marks) Marked(id pack.ChunkID) bool {
	part, position, ok := m.choose(id)
	return ok && m.live[part].has(int(position))
}

// choose returns the row of id that a mark is for.
func (m *Marks) choose(id pack.ChunkID) (part int, position uint32, ok bool) {
	var buffer [4]uint32
	for i, p := range m.parts {
		for _, at := range p.positions(id, buffer[:0]) {
			if p.void(at) || ok && !lowerPack(p, at, m.parts[part], position) {
				continue
			}
			part, position, ok = i, at, true
		}
	}
	return part, position, ok
}

// lowerPack reports whether the pack of a position has a lower id than that of another.
func lowerPack(p *part, position uint32, than *part, thanPosition uint32) bool {
	a, b := p.pack(p.packOf(position)).id, than.pack(than.packOf(thanPosition)).id
	return string(a[:]) < string(b[:])
}

// Usage says how much of a pack is needed. Bytes are those of the boxes of segments: a
// segment is live if one of its chunks is.
type Usage struct {
	PackInfo
	LiveChunks   int
	LiveSegments int
	LiveBytes    int64
	DeadBytes    int64
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
		if s.Live > 0 {
			u.LiveSegments++
			u.LiveBytes += int64(s.Length)
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
	Live           int // chunks that are marked
}

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
	p := m.parts[part]
	offset := uint32(0)
	for k := int(p.pack(i).firstSegment); k < int(p.pack(i+1).firstSegment); k++ {
		s := p.segment(k)
		first, end := int(s.firstChunk), int(p.segment(k+1).firstChunk)
		fn(SegmentUsage{Offset: offset, Length: s.end - offset, Chunks: end - first, Live: m.live[part].count(first, end)})
		offset = s.end
	}
}
