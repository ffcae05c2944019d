package index

import (
	"math/bits"

	"github.com/snapkeep/snap/pack"
)

// Rows of a part are numbered in the order of ids if it is a table, and are its positions if it is on the heap.

// firstRow returns the first row of id; negative if there is none.
func (p *part) firstRow(id pack.ChunkID) int {
	if p.mem != nil {
		if position, ok := p.mem.first[id]; ok {
			return int(position)
		}
		return -1
	}
	hi, lo := split((*[16]byte)(&id))
	if !p.table.mayHave(hi, lo) {
		return -1
	}
	return p.table.rowOf(hi, lo, p.table.guess(hi))
}

// nextRow returns the row of id behind another; negative if that was the last.
func (p *part) nextRow(id pack.ChunkID, row int) int {
	if p.mem == nil {
		if hi, lo := split((*[16]byte)(&id)); p.table.is(row+1, hi, lo) {
			return row + 1
		}
		return -1
	}
	for _, position := range p.mem.more[id] {
		if int(position) > row {
			return int(position)
		}
	}
	return -1
}

// position returns the position of a row.
func (p *part) position(row int) uint32 {
	if p.mem != nil {
		return uint32(row)
	}
	return p.table.position(row)
}

// packOfRow returns the pack of a row.
func (p *part) packOfRow(row int) pack.ID { return p.pack(p.packOf(p.position(row))).id }

// voidRows returns the rows in dead and condemned packs; nil if there are none.
func (p *part) voidRows() bitset {
	var positions bitset
	for i := range p.packCount() {
		if !p.dead.has(i) && !p.condemned.has(i) {
			continue
		}
		if positions == nil {
			positions = newBitset(p.chunks())
		}
		for position := p.pack(i).firstChunk; position < p.pack(i+1).firstChunk; position++ {
			positions.set(int(position))
		}
	}
	if positions == nil || p.mem != nil {
		return positions
	}
	rows := newBitset(p.chunks())
	for row := range p.chunks() {
		if positions.has(int(p.table.position(row))) {
			rows.set(row)
		}
	}
	return rows
}

// rowsToPositions returns the positions of a set of rows. It may be the set itself.
func (p *part) rowsToPositions(rows bitset) bitset {
	if p.mem != nil {
		return rows
	}
	out := scatter{to: newBitset(p.chunks())}
	for i, word := range rows {
		for ; word != 0; word &= word - 1 {
			out.add(p.table.position(i<<6 + bits.TrailingZeros64(word)))
		}
	}
	out.flush()
	return out.to
}

// scatter sets bits that lie far apart. It collects many and deals them out by regions of the set first, each of which the processor keeps at hand.
type scatter struct {
	to      bitset
	waiting []uint32
	dealt   []uint32
}

const (
	scatterMany  = 1 << 19 // bits that are collected, at 8 bytes each
	scatterShift = 20      // of a bit to its region
)

func (s *scatter) add(bit uint32) {
	if s.waiting = append(s.waiting, bit); len(s.waiting) == scatterMany {
		s.flush()
	}
}

func (s *scatter) flush() {
	at := make([]int, len(s.to)>>(scatterShift-6)+2)
	for _, bit := range s.waiting {
		at[bit>>scatterShift+1]++
	}
	for i := 1; i < len(at); i++ {
		at[i] += at[i-1]
	}
	if cap(s.dealt) < len(s.waiting) {
		s.dealt = make([]uint32, len(s.waiting))
	}
	dealt := s.dealt[:len(s.waiting)]
	for _, bit := range s.waiting {
		dealt[at[bit>>scatterShift]] = bit
		at[bit>>scatterShift]++
	}
	for _, bit := range dealt {
		s.to.set(int(bit))
	}
	s.waiting = s.waiting[:0]
}

// guess is where an id would stand in a table if the ids of its bucket were spread evenly, which they nearly are.
type guess struct{ from, at, to int }

// guess returns where an id with this first half may be.
func (t *table) guess(hi uint64) guess {
	bucket := int(hi >> t.shift)
	to := min(t.number(sectionFanout, bucket+1), t.chunks())
	from := min(t.number(sectionFanout, bucket), to)
	skip, _ := bits.Mul64(hi<<(64-t.shift), uint64(to-from))
	return guess{from, from + int(skip), to}
}

// manyRows is how many rows of a bucket are too many to be gone through one by one. Only ids that nobody hashed come so close.
const manyRows = 128

// find returns the first row whose id is not less.
func (t *table) find(hi, lo uint64, g guess) int {
	from, to := g.from, g.to
	if to-from > manyRows {
		for from < to {
			mid := int(uint(from+to) >> 1)
			if h, l := t.id(mid); less(h, l, hi, lo) {
				from = mid + 1
			} else {
				to = mid
			}
		}
		return from
	}
	at := g.at
	for at < to {
		if h, l := t.id(at); !less(h, l, hi, lo) {
			break
		}
		at++
	}
	if at > g.at {
		return at
	}
	for at > from {
		if h, l := t.id(at - 1); less(h, l, hi, lo) {
			break
		}
		at--
	}
	return at
}

// rowOf returns the first row of an id; negative if there is none.
func (t *table) rowOf(hi, lo uint64, g guess) int {
	if row := t.find(hi, lo, g); t.is(row, hi, lo) {
		return row
	}
	return -1
}

// is reports whether a row, which may lie behind the last, has the id.
func (t *table) is(row int, hi, lo uint64) bool {
	if uint(row) >= uint(t.chunks()) {
		return false
	}
	h, l := t.id(row)
	return h == hi && l == lo
}

// lookupGroup is how many ids rowsOf looks for at a time.
const lookupGroup = 64

// lookup is what rowsOf keeps of an id.
type lookup struct {
	number int // of the id in its group
	hi, lo uint64
	guess  guess
	near   byte
}

// rowsOf sets rows to the first row of each of up to lookupGroup ids, negative where there is none. It does not wait for the memory of one id
// before it asks for that of the next: with a table of gigabytes nearly all the time is such waiting. filtered says that many ids are in no row.
func (t *table) rowsOf(ids []pack.ChunkID, rows []int, filtered bool) {
	var all [lookupGroup]lookup
	n := 0
	for i := range ids {
		l := &all[n]
		l.number = i
		if l.hi, l.lo = split((*[16]byte)(&ids[i])); filtered && !t.mayHave(l.hi, l.lo) {
			rows[i] = -1
			continue
		}
		n++
	}
	wanted := all[:n]
	if t.chunks() == 0 {
		for i := range wanted {
			rows[wanted[i].number] = -1
		}
		return
	}
	for i := range wanted {
		wanted[i].guess = t.guess(wanted[i].hi)
	}
	table := t.section[sectionIDs]
	for i := range wanted {
		// The row is one of a few around the guess, in one line of the processor's memory or two.
		at := wanted[i].guess.at * idBytes
		wanted[i].near = table[max(at-2*idBytes, 0)] ^ table[min(at+2*idBytes, len(table)-1)]
	}
	for i := range wanted {
		l := &wanted[i]
		rows[l.number] = t.rowOf(l.hi, l.lo, l.guess)
	}
}
