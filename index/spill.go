package index

import (
	"math/bits"
	"slices"

	"github.com/snapkeep/snap/pack"
)

const (
	// spillRows is how many rows a Set adds on the heap, at about 60 bytes each, before it
	// makes a table.
	spillRows = 1 << 18
	// fanIn is how many tables of about a size are merged into one.
	fanIn = 8
	// smallTable is the number of rows up to which all tables count as of one size.
	smallTable = 1 << 15
	// maxMergedRows bounds the work of one merge.
	maxMergedRows = 1 << 30
)

// tier returns a number that is the same for tables of about a size.
func tier(rows int) int { return (bits.Len(uint(rows/smallTable)) + 2) / 3 }

// mergeable returns parts of one size that should be merged into one; nil if there are none.
func mergeable(parts []*part) []*part {
	tiers := make(map[int][]*part)
	for _, p := range parts {
		t := tier(p.chunks())
		tiers[t] = append(tiers[t], p)
		if len(tiers[t]) < fanIn {
			continue
		}
		rows := 0
		for _, q := range tiers[t] {
			rows += q.chunks()
		}
		if rows <= maxMergedRows {
			return tiers[t]
		}
	}
	return nil
}

// spill turns the rows that were added to the heap into tables, and merges these. If no table
// can be made the rows stay on the heap.
func (s *Set) spill() {
	s.shape.Lock()
	defer s.shape.Unlock()
	for {
		s.mu.RLock()
		var parts []*part
		for _, p := range s.own {
			if p.mem != nil {
				parts = append(parts, p)
			}
		}
		if parts == nil {
			parts = mergeable(s.own)
		}
		s.mu.RUnlock()
		if parts == nil || !s.replace(parts) {
			return
		}
	}
}

// replace merges parts of s.own into one table that takes their place. s.shape is held, so that
// nobody else changes them.
func (s *Set) replace(parts []*part) bool {
	file := newSpool(s.dir)
	defer file.drop()
	if mergeParts(file, parts, func(pack.ID) bool { return false }) != nil {
		return false
	}
	merged, err := privateTable(file)
	if err != nil {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.own = slices.DeleteFunc(s.own, func(p *part) bool { return slices.Contains(parts, p) })
	p := newTablePart(merged)
	p.added = true
	s.condemnIn(p)
	s.own = append(s.own, p)
	dropAll(parts)
	return true
}

// condemnIn marks the condemned packs of a new part. The lock is held.
func (s *Set) condemnIn(p *part) {
	for id := range s.condemned {
		p.condemn(id)
	}
}

// setBase replaces the tables of index files; the Set takes over their users. Packs that are in
// them count no more where they were added. s.shape is held.
func (s *Set) setBase(base []*part) {
	s.mu.Lock()
	defer s.mu.Unlock()
	before := make(map[*table]*part, len(s.base))
	for _, p := range s.base {
		before[p.table] = p
	}
	for _, p := range base {
		if was := before[p.table]; was != nil {
			p.condemned = was.condemned
		} else {
			s.condemnIn(p)
		}
	}
	dropAll(s.base)
	s.base = base
	s.freeze()
	s.own = slices.DeleteFunc(s.own, func(p *part) bool {
		if s.bury(p) {
			p.drop()
			return true
		}
		return false
	})
}

// bury finds the packs of an own part that are in the base, or have been, and reports whether these are all.
func (s *Set) bury(p *part) (all bool) {
	before := p.dead
	p.dead, all = newBitset(p.packCount()), true
	for i := range p.packCount() {
		id := p.pack(i).id
		if before.has(i) || slices.ContainsFunc(s.base, func(b *part) bool { _, ok := b.find(id); return ok }) {
			p.dead.set(i)
		} else {
			all = false
		}
	}
	return all
}

// privateTable opens a table that has no name. The spool can be dropped then.
func privateTable(s *spool) (*table, error) {
	s.hide()
	data, release, err := s.bytes()
	if err != nil {
		return nil, err
	}
	t, err := openTable(data, release)
	if err != nil {
		release()
		return nil, err
	}
	return t, nil
}
