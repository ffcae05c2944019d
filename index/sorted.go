package index

import (
	"cmp"
	"encoding/binary"
	"slices"

	"github.com/snapkeep/snap/pack"
)

// sortRow is a row while it is sorted: the halves of its chunk id, and its position.
type sortRow struct {
	hi, lo   uint64
	position uint32
}

func compareSortRows(a, b sortRow) int {
	if c := cmp.Compare(a.hi, b.hi); c != 0 {
		return c
	}
	if c := cmp.Compare(a.lo, b.lo); c != 0 {
		return c
	}
	return cmp.Compare(a.position, b.position)
}

// id returns the chunk id.
func (r *sortRow) id() (id pack.ChunkID) {
	binary.BigEndian.PutUint64(id[:], r.hi)
	binary.BigEndian.PutUint64(id[8:], r.lo)
	return id
}

// sortRows sorts rows into scratch, which is as long, and returns it. Ids are spread evenly, so
// that they are dealt out by their first bits, and each heap of a few dozen is sorted by
// itself.
func sortRows(rows, scratch []sortRow) []sortRow {
	const shift = 64 - 12
	var at [1<<12 + 1]int
	for i := range rows {
		at[rows[i].hi>>shift+1]++
	}
	for i := 1; i < len(at); i++ {
		at[i] += at[i-1]
	}
	begin := at
	for i := range rows {
		heap := rows[i].hi >> shift
		scratch[at[heap]] = rows[i]
		at[heap]++
	}
	for i := range len(begin) - 1 {
		if heap := scratch[begin[i]:begin[i+1]]; len(heap) > 1 {
			slices.SortFunc(heap, compareSortRows)
		}
	}
	return scratch
}

// stream yields rows in order: those of a sorted slice, or of a table, or of a run in the same
// form.
type stream struct {
	current sortRow
	part    int // whose rows these are

	rows      []sortRow // if they are on the heap
	ids       []byte    // else
	positions []byte
	remap     func(position uint32) (to uint32, keep bool) // nil keeps all as they are
}

// next goes to the next row and reports whether there is one.
func (s *stream) next() bool {
	for {
		switch {
		case len(s.rows) > 0:
			s.current, s.rows = s.rows[0], s.rows[1:]
		case len(s.positions) >= 4:
			s.current.hi = binary.BigEndian.Uint64(s.ids)
			s.current.lo = binary.BigEndian.Uint64(s.ids[8:])
			s.current.position = binary.LittleEndian.Uint32(s.positions)
			s.ids, s.positions = s.ids[idBytes:], s.positions[4:]
		default:
			return false
		}
		if s.remap == nil {
			return true
		}
		to, keep := s.remap(s.current.position)
		if keep {
			s.current.position = to
			return true
		}
	}
}

// merged yields the rows of several streams in order: a heap with the least row on top.
type merged []*stream

func mergeStreams(streams []*stream) merged {
	var m merged
	for _, s := range streams {
		if s.next() {
			m = append(m, s)
		}
	}
	for i := len(m)/2 - 1; i >= 0; i-- {
		m.down(i)
	}
	return m
}

// top returns the stream whose current row is the least; nil at the end.
func (m merged) top() *stream {
	if len(m) == 0 {
		return nil
	}
	return m[0]
}

// next drops the least row.
func (m *merged) next() {
	if h := *m; !h[0].next() {
		h[0] = h[len(h)-1]
		*m = h[:len(h)-1]
	}
	if len(*m) > 1 {
		m.down(0)
	}
}

func (m merged) down(i int) {
	s := m[i]
	for {
		child := 2*i + 1
		if child >= len(m) {
			break
		}
		if child+1 < len(m) && m[child+1].before(m[child]) {
			child++
		}
		if !m[child].before(s) {
			break
		}
		m[i] = m[child]
		i = child
	}
	m[i] = s
}

func (s *stream) before(than *stream) bool {
	a, b := &s.current, &than.current
	if a.hi != b.hi {
		return a.hi < b.hi
	}
	if a.lo != b.lo {
		return a.lo < b.lo
	}
	if a.position != b.position {
		return a.position < b.position
	}
	return s.part < than.part
}
