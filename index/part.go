package index

import (
	"iter"
	"slices"

	"github.com/snapkeep/snap/pack"
)

// rows is what a part is made of: chunks by position, grouped by segment and pack.
type rows interface {
	chunks() int
	packCount() int
	pack(i int) packRow
	segment(i int) segmentRow
	findPack(id pack.ID) (int, bool)
	packOf(position uint32) int
}

// part is a table in a Set, with what the Set knows about its packs.
type part struct {
	rows
	mem       *memTable // if it is one
	table     *table    // else
	dead      bitset    // packs that no index file lists any more, or whose rows stand in another part too
	condemned bitset
	fresh     bitset // packs that fresh index files alone list
	added     bool   // its rows were added, and are of no index file that was brought in
}

func newMemPart() *part {
	m := newMemTable()
	return &part{rows: m, mem: m, added: true}
}

func newTablePart(t *table) *part { return &part{rows: t, table: t} }

// positions appends the positions of id to dst, also those in dead and condemned packs.
func (p *part) positions(id pack.ChunkID, dst []uint32) []uint32 {
	if p.table != nil {
		return p.table.positions(id, dst)
	}
	return p.mem.positions(id, dst)
}

// stream returns all rows in order, as those of part number k.
func (p *part) stream(k int) *stream {
	if t := p.table; t != nil {
		return &stream{part: k, ids: t.section[sectionIDs], positions: t.section[sectionPositions]}
	}
	all := make([]sortRow, len(p.mem.ids))
	for i := range p.mem.ids {
		hi, lo := split((*[16]byte)(&p.mem.ids[i]))
		all[i] = sortRow{hi, lo, uint32(i)}
	}
	return &stream{part: k, rows: new(sorter).sort(all, 0)}
}

// view returns the part as it is now, which stays until drop is called.
func (p *part) view() *part {
	if p.table != nil {
		p.table.acquire()
	}
	v := *p
	v.condemned = slices.Clone(p.condemned)
	if p.mem != nil {
		m := *p.mem // slices that are only appended to, and maps that must not be used
		v.mem, v.rows = &m, &m
	}
	return &v
}

func (p *part) drop() {
	if p.table != nil {
		p.table.drop()
	}
}

// lookup returns where the chunk is in a pack that is neither dead nor condemned.
func (p *part) lookup(id pack.ChunkID) (Location, bool) {
	var buffer [4]uint32
	for _, position := range p.positions(id, buffer[:0]) {
		if l, ok := p.location(position); ok && !l.Condemned {
			return l, true
		}
	}
	return Location{}, false
}

// positionWindow is how many ids byPosition holds on the heap, at 16 bytes each; it passes over
// the rows of a table once for each so many.
const positionWindow = 1 << 21

// byPosition yields all chunk ids in the order of positions.
func (p *part) byPosition() iter.Seq2[uint32, pack.ChunkID] {
	return func(yield func(uint32, pack.ChunkID) bool) {
		n := p.chunks()
		var window []pack.ChunkID
		for first := 0; first < n; first += positionWindow {
			size := min(positionWindow, n-first)
			if p.mem != nil {
				window = p.mem.ids[first : first+size]
			} else {
				window = p.table.window(first, zeroed(window, size))
			}
			for i, id := range window {
				if !yield(uint32(first+i), id) {
					return
				}
			}
		}
	}
}

// location returns where the chunk at position is; false if its pack is dead.
func (p *part) location(position uint32) (Location, bool) {
	i := p.packOf(position)
	if p.dead.has(i) {
		return Location{}, false
	}
	row := p.pack(i)
	l := Location{Pack: row.id, Class: row.class, Condemned: p.condemned.has(i), Fresh: p.added || p.fresh.has(i), Stored: row.stored}
	// The last segment of the pack that begins at or before position.
	lo, hi := int(row.firstSegment), int(p.pack(i+1).firstSegment)
	for hi-lo > 1 {
		if mid := int(uint(lo+hi) >> 1); p.segment(mid).firstChunk <= position {
			lo = mid
		} else {
			hi = mid
		}
	}
	s, first := p.segment(lo), int(row.firstSegment)
	box := p.box(lo, first)
	l.Offset, l.Length = box.Offset, box.Length
	l.Ordinal = uint16(position - s.firstChunk)
	if k := lo - int(s.back); s.back > 0 && k >= first {
		l.Dictionary = p.box(k, first)
	}
	return l, true
}

// box returns where segment i stands in its pack, whose first segment is given.
func (p *part) box(i, first int) Range {
	r := Range{Length: p.segment(i).end}
	if i > first {
		r.Offset = p.segment(i - 1).end
		r.Length -= r.Offset
	}
	return r
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

// deadChunks returns how many rows are in dead packs.
func (p *part) deadChunks() int {
	n := 0
	for i := 0; p.dead != nil && i < p.packCount(); i++ {
		if p.dead.has(i) {
			n += p.info(i).Chunks
		}
	}
	return n
}

// holds reports whether pack i has its rows here, and an index file lists it.
func (p *part) holds(i int) bool { return !p.dead.has(i) && !p.pack(i).elsewhere }

// holdsNone reports whether there is no pack that the part holds. One may have no rows.
func (p *part) holdsNone() bool {
	for i := range p.packCount() {
		if p.holds(i) {
			return false
		}
	}
	return true
}

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
