package index

import (
	"encoding/binary"
	"iter"

	"github.com/snapkeep/snap/pack"
)

// builder makes a table of index files in bounded memory: rows are dealt out in runs, which go to a
// temporary file and are put in order when the table is written; so do segments. On the heap stay
// the packs, at about 80 bytes each.
//
//	add → run on the heap → run in the spool, dealt out → heap by heap: sorted → table
type builder struct {
	packs   []packRow
	numbers map[uint64]uint32  // of packs, by the first eight bytes of their ids
	others  map[pack.ID]uint32 // of packs whose first eight bytes another pack has
	content content
	stored  Day // of the index file that was begun last

	segments  *cursor
	runs      runs
	directory pack.DirectoryBuffer
}

func newBuilder(dir string) *builder {
	return &builder{
		numbers:  make(map[uint64]uint32),
		others:   make(map[pack.ID]uint32),
		segments: &cursor{spool: newSpool(dir)},
		runs:     runs{spooled: &cursor{spool: newSpool(dir)}},
	}
}

// close drops the temporary files.
func (b *builder) close() {
	b.segments.spool.drop()
	b.runs.spooled.spool.drop()
}

// source begins the listings of an index file, which was stored on a day.
func (b *builder) source(name pack.ID, stored Day) {
	b.stored = stored
	b.content.sources = append(b.content.sources, sourceRow{name, uint32(len(b.content.listings))})
}

// abandon takes the index file back. The packs that it listed stay without a source that is
// ever live.
func (b *builder) abandon() { b.content.sources[len(b.content.sources)-1].name = pack.ID{} }

// number returns the number of a pack that is here.
func (b *builder) number(id pack.ID) (uint32, bool) {
	n, ok := b.numbers[binary.LittleEndian.Uint64(id[:])]
	if ok && b.packs[n].id != id {
		n, ok = b.others[id]
	}
	return n, ok
}

// add lists a pack under the source that was begun last, with its rows unless they are here or
// elsewhere.
func (b *builder) add(p Pack, elsewhere bool) {
	n, ok := b.number(p.ID)
	if !ok {
		n = uint32(len(b.packs))
		b.packs = append(b.packs, packRow{
			id: p.ID, size: uint32(p.Size), class: p.Class, elsewhere: elsewhere, stored: b.stored,
			firstChunk: uint32(b.content.rows), firstSegment: uint32(b.content.nSegments),
		})
		key := binary.LittleEndian.Uint64(p.ID[:])
		if _, taken := b.numbers[key]; taken {
			b.others[p.ID] = n
		} else {
			b.numbers[key] = n
		}
		if !elsewhere {
			b.addRows(p)
		}
	} else {
		b.packs[n].stored = earlier(b.packs[n].stored, b.stored)
	}
	b.content.listings = append(b.content.listings, n)
}

func (b *builder) addRows(p Pack) {
	end := uint32(0)
	for _, s := range p.Directory {
		end += s.Length
		row := segmentRow{firstChunk: uint32(b.content.rows), end: end, back: s.Back}
		b.segments.buffer = appendSegmentRow(b.segments.room(segmentRowBytes), row)
		b.content.nSegments++
		for i := range s.Chunks {
			hi, lo := split((*[16]byte)(&s.Chunks[i].ID))
			b.runs.add(sortRow{hi, lo, uint32(b.content.rows)})
			b.content.rows++
		}
	}
}

// write writes the table to s. The builder is used up then.
func (b *builder) write(s *spool) error {
	c := b.content
	c.packs = b.packs
	sorted, release, err := b.runs.sorted()
	if err != nil {
		return err
	}
	defer release()
	c.sorted = sorted
	segments, release, err := b.segments.end()
	if err != nil {
		return err
	}
	defer release()
	c.segments = func(yield func([]byte) bool) { yield(segments) }
	return writeTable(s, c)
}

// end returns all that was written.
func (c *cursor) end() (data []byte, release func(), err error) {
	c.flush()
	if c.err != nil {
		return nil, nil, c.err
	}
	return c.spool.bytes()
}

// merger writes one table of the rows of several parts.
type merger struct {
	parts   []*part
	live    func(source pack.ID) bool
	content content
	numbers [][]uint32 // by part and old number: the new one
	shifts  [][]uint32 // by part and old number: from old positions to new ones, modulo 2^32
	absent  map[pack.ID]uint32
}

// notKept is the number of a pack that does not go into the new table.
const notKept = ^uint32(0)

// mergeParts writes one table of parts to s, without dead packs, and with the sources that are
// live.
func mergeParts(s *spool, parts []*part, live func(source pack.ID) bool) error {
	m := merger{parts: parts, live: live, absent: make(map[pack.ID]uint32)}
	m.packs()
	var streams []*stream
	for k, p := range parts {
		if p.table != nil {
			m.sources(k, p.table)
		}
		streams = append(streams, m.stream(k))
	}
	m.content.sorted = blocks(streams)
	m.content.segments = m.segments()
	return writeTable(s, m.content)
}

// packs numbers the packs that are kept.
func (m *merger) packs() {
	c := &m.content
	for _, p := range m.parts {
		numbers, shifts := make([]uint32, p.packCount()), make([]uint32, p.packCount())
		next := p.pack(0)
		for i := range p.packCount() {
			row := next
			next = p.pack(i + 1)
			if !p.holds(i) {
				numbers[i] = notKept
				continue
			}
			numbers[i] = uint32(len(c.packs))
			shifts[i] = uint32(c.rows) - row.firstChunk
			segments := int(next.firstSegment) - int(row.firstSegment)
			chunks := int(next.firstChunk) - int(row.firstChunk)
			row.firstChunk, row.firstSegment = uint32(c.rows), uint32(c.nSegments)
			c.packs = append(c.packs, row)
			c.rows += max(chunks, 0)
			c.nSegments += max(segments, 0)
		}
		m.numbers, m.shifts = append(m.numbers, numbers), append(m.shifts, shifts)
	}
}

// sources takes over what the live index files of part k list.
func (m *merger) sources(k int, t *table) {
	for i := range int(t.counts.sources) {
		name, first, end := t.source(i)
		if !m.live(name) {
			continue
		}
		m.content.sources = append(m.content.sources, sourceRow{name, uint32(len(m.content.listings))})
		for j := first; j < end; j++ {
			old := t.listing(j)
			number := m.numbers[k][old]
			if number == notKept {
				number = m.elsewhere(t.pack(old))
			}
			m.content.listings = append(m.content.listings, number)
		}
	}
}

// elsewhere returns the number of a listed pack that its part does not hold.
func (m *merger) elsewhere(row packRow) uint32 {
	for k, p := range m.parts {
		if i, ok := p.find(row.id); ok {
			return m.numbers[k][i]
		}
	}
	number, ok := m.absent[row.id]
	if !ok {
		number = uint32(len(m.content.packs))
		m.absent[row.id] = number
		row.elsewhere = true
		row.firstChunk, row.firstSegment = uint32(m.content.rows), uint32(m.content.nSegments)
		m.content.packs = append(m.content.packs, row)
	}
	return number
}

// stream returns the rows of part k with their new positions.
func (m *merger) stream(k int) *stream {
	p := m.parts[k]
	s := p.stream(k)
	numbers, shifts := m.numbers[k], m.shifts[k]
	same := true
	for i := range numbers {
		same = same && numbers[i] != notKept && shifts[i] == shifts[0]
	}
	if same {
		s.remap = func(position uint32) (uint32, bool) { return position + shifts[0], true }
	} else {
		s.remap = func(position uint32) (uint32, bool) {
			i := p.packOf(position)
			return position + shifts[i], numbers[i] != notKept
		}
	}
	return s
}

func (m *merger) segments() iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		var rows []byte
		for k, p := range m.parts {
			for i := range p.packCount() {
				if m.numbers[k][i] == notKept {
					continue
				}
				rows = rows[:0]
				for j := p.pack(i).firstSegment; j < p.pack(i+1).firstSegment; j++ {
					row := p.segment(int(j))
					row.firstChunk += m.shifts[k][i]
					rows = appendSegmentRow(rows, row)
				}
				if !yield(rows) {
					return
				}
			}
		}
	}
}
