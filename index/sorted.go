package index

import (
	"cmp"
	"encoding/binary"
	"iter"
	"math/bits"
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

// sorter sorts rows whose ids are spread evenly. It keeps its memory for the next ones.
type sorter struct {
	out []sortRow
	at  []uint32
}

// deal returns the rows, in memory that is valid until the next call, in heaps by bits of their ids behind the first skip, and where the
// heaps end.
func (s *sorter) deal(rows []sortRow, skip, bits int) (dealt []sortRow, ends []uint32) {
	shift := 64 - bits
	at := zeroed(s.at, 1<<bits+1)
	for i := range rows {
		at[rows[i].hi<<skip>>shift+1]++
	}
	for i := 1; i < len(at); i++ {
		at[i] += at[i-1]
	}
	if cap(s.out) < len(rows) {
		s.out = make([]sortRow, len(rows))
	}
	dealt = s.out[:len(rows)]
	for i := range rows {
		heap := rows[i].hi << skip >> shift
		dealt[at[heap]] = rows[i]
		at[heap]++
	}
	s.at = at
	return dealt, at[:1<<bits]
}

// fewRows is how many rows are quickly sorted one by one.
const fewRows = 24

// sort returns the rows in order, in memory that is valid until the next call. The first skip bits of their ids are the same. They are dealt
// out to heaps of a few, and each heap is sorted by itself.
func (s *sorter) sort(rows []sortRow, skip int) []sortRow {
	dealt, ends := s.deal(rows, skip, min(max(bits.Len(uint(len(rows)))-3, 1), 16))
	begin := uint32(0)
	for _, end := range ends {
		if heap := dealt[begin:end]; len(heap) > fewRows {
			slices.SortFunc(heap, compareSortRows)
		} else {
			insert(heap)
		}
		begin = end
	}
	return dealt
}

// insert sorts a few rows.
func insert(rows []sortRow) {
	for i := 1; i < len(rows); i++ {
		r, k := rows[i], i
		for ; k > 0 && r.before(&rows[k-1]); k-- {
			rows[k] = rows[k-1]
		}
		rows[k] = r
	}
}

// before reports whether a row comes before another.
func (r *sortRow) before(than *sortRow) bool {
	if r.hi != than.hi {
		return r.hi < than.hi
	}
	if r.lo != than.lo {
		return r.lo < than.lo
	}
	return r.position < than.position
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
	if *a != *b {
		return a.before(b)
	}
	return s.part < than.part
}

// blocks yields the rows of several streams in order, many at a time.
func blocks(streams []*stream) iter.Seq[[]sortRow] {
	return func(yield func([]sortRow) bool) {
		block := make([]sortRow, 0, writtenRows)
		for m := mergeStreams(streams); m.top() != nil; m.next() {
			if block = append(block, m.top().current); len(block) == cap(block) {
				if !yield(block) {
					return
				}
				block = block[:0]
			}
		}
		yield(block)
	}
}
