package index

import (
	"github.com/snapkeep/snap/pack"
)

// rows is what a part is made of: chunks by position, grouped by segment and pack.
type rows interface {
	chunks() int
	packCount() int
	segmentCount() int
	pack(i int) packRow
	segment(i int) segmentRow
	findPack(id pack.ID) (int, bool)
	packOf(position uint32) int
}

// part is a table in a Set, with what the Set knows about its packs.
type part struct {
	rows
	mem       *memTable
	dead      bitset // packs that no index file lists any more, or whose rows stand in another part too
	condemned bitset
}

func newMemPart() *part {
	m := newMemTable()
	return &part{rows: m, mem: m}
}

// positions appends the positions of id to dst, also those in dead and condemned packs.
func (p *part) positions(id pack.ChunkID, dst []uint32) []uint32 {
	return p.mem.positions(id, dst)
}

// location returns where the chunk at position is; false if its pack is dead.
func (p *part) location(position uint32) (Location, bool) {
	i := p.packOf(position)
	if p.dead.has(i) {
		return Location{}, false
	}
	row := p.pack(i)
	l := Location{Pack: row.id, Class: row.class, Condemned: p.condemned.has(i)}
	// The last segment of the pack that begins at or before position.
	lo, hi := int(row.firstSegment), int(p.pack(i+1).firstSegment)
	for hi-lo > 1 {
		if mid := int(uint(lo+hi) >> 1); p.segment(mid).firstChunk <= position {
			lo = mid
		} else {
			hi = mid
		}
	}
	s := p.segment(lo)
	if lo > int(row.firstSegment) {
		l.Offset = p.segment(lo - 1).end
	}
	l.Length = s.end - l.Offset
	l.Ordinal = uint16(position - s.firstChunk)
	return l, true
}

// info returns what is known about pack i.
func (p *part) info(i int) PackInfo {
	row, next := p.pack(i), p.pack(i+1)
	return PackInfo{
		ID: row.id, Class: row.class, Size: int64(row.size),
		Segments:  int(next.firstSegment - row.firstSegment),
		Chunks:    int(next.firstChunk - row.firstChunk),
		Condemned: p.condemned.has(i),
	}
}

// holds reports whether pack i has its rows here, and an index file lists it.
func (p *part) holds(i int) bool { return !p.dead.has(i) && !p.pack(i).elsewhere }

// find returns the number of the pack id if the part holds it.
func (p *part) find(id pack.ID) (int, bool) {
	i, ok := p.findPack(id)
	return i, ok && p.holds(i)
}

// condemn marks the pack id, if it is here.
func (p *part) condemn(id pack.ID) {
	if i, ok := p.findPack(id); ok {
		for len(p.condemned) <= i>>6 {
			p.condemned = append(p.condemned, 0)
		}
		p.condemned.set(i)
	}
}
