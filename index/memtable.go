package index

import (
	"sort"

	"github.com/snapkeep/snap/pack"
)

// memTable holds rows on the heap, by position: chunks are numbered in the order in which their
// packs were added and in which they stand there. Packs are only ever added.
type memTable struct {
	packs    []packRow
	segments []segmentRow
	ids      []pack.ChunkID // by position
	first    map[pack.ChunkID]uint32
	more     map[pack.ChunkID][]uint32 // positions behind the first
	byPack   map[pack.ID]int
}

func newMemTable() *memTable {
	return &memTable{
		first:  make(map[pack.ChunkID]uint32),
		more:   make(map[pack.ChunkID][]uint32),
		byPack: make(map[pack.ID]int),
	}
}

func (m *memTable) add(p Pack) {
	m.byPack[p.ID] = len(m.packs)
	m.packs = append(m.packs, packRow{
		id: p.ID, size: uint32(p.Size), class: p.Class, stored: p.Stored,
		firstChunk: uint32(len(m.ids)), firstSegment: uint32(len(m.segments)),
	})
	end := uint32(0)
	for _, s := range p.Directory {
		end += s.Length
		m.segments = append(m.segments, segmentRow{firstChunk: uint32(len(m.ids)), end: end, back: s.Back})
		for _, c := range s.Chunks {
			position := uint32(len(m.ids))
			m.ids = append(m.ids, c.ID)
			if _, ok := m.first[c.ID]; ok {
				m.more[c.ID] = append(m.more[c.ID], position)
			} else {
				m.first[c.ID] = position
			}
		}
	}
}

func (m *memTable) chunks() int    { return len(m.ids) }
func (m *memTable) packCount() int { return len(m.packs) }

// pack returns row i, and behind the last one a row that ends it.
func (m *memTable) pack(i int) packRow {
	if i >= len(m.packs) {
		return packRow{firstChunk: uint32(len(m.ids)), firstSegment: uint32(len(m.segments))}
	}
	return m.packs[i]
}

func (m *memTable) segment(i int) segmentRow {
	if i >= len(m.segments) {
		return segmentRow{firstChunk: uint32(len(m.ids))}
	}
	return m.segments[i]
}

func (m *memTable) findPack(id pack.ID) (int, bool) {
	i, ok := m.byPack[id]
	return i, ok
}

// packOf returns the pack that holds position.
func (m *memTable) packOf(position uint32) int {
	return sort.Search(len(m.packs), func(i int) bool { return m.packs[i].firstChunk > position }) - 1
}

// positions appends the positions of id to dst.
func (m *memTable) positions(id pack.ChunkID, dst []uint32) []uint32 {
	position, ok := m.first[id]
	if !ok {
		return dst
	}
	dst = append(dst, position)
	if len(m.more) > 0 {
		dst = append(dst, m.more[id]...)
	}
	return dst
}
