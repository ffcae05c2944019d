package index

import (
	"iter"
	"slices"
	"sync"

	"github.com/snapkeep/snap/pack"
)

// Set is the index that a run uses: the rows of the repository's index files, which a Cache brings in,
// and those of the packs that the run wrote. It is safe for concurrent use; iterations see
// the rows that were there when they began.
type Set struct {
	mu        sync.RWMutex // guards what follows
	parts     []*part      // the last one takes new rows
	condemned map[pack.ID]struct{}
}

// NewSet returns an empty Set.
func NewSet() *Set {
	return &Set{parts: []*part{newMemPart()}, condemned: make(map[pack.ID]struct{})}
}

// Close releases what the Set holds. It must not be used any more.
func (s *Set) Close() error { return nil }

// Add adds the rows of a pack that this run wrote. They serve lookups when Add returns. A pack that
// is there already is left as it is. p is not kept.
func (s *Set) Add(p Pack) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, _, ok := s.findPack(p.ID); ok {
		return
	}
	last := s.parts[len(s.parts)-1]
	last.mem.add(p)
	if _, ok := s.condemned[p.ID]; ok {
		last.condemn(p.ID)
	}
}

// Condemn makes the rows of packs void, also of those that are added later.
func (s *Set) Condemn(ids ...pack.ID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, id := range ids {
		s.condemned[id] = struct{}{}
		for _, p := range s.parts {
			p.condemn(id)
		}
	}
}

// Has reports whether a pack that is not condemned holds the chunk.
func (s *Set) Has(id pack.ChunkID) bool {
	_, ok := s.Lookup(id)
	return ok
}

// Lookup returns where the chunk is in a pack that is not condemned.
func (s *Set) Lookup(id pack.ChunkID) (Location, bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	var buffer [4]uint32
	for _, p := range s.parts {
		for _, position := range p.positions(id, buffer[:0]) {
			if l, ok := p.location(position); ok && !l.Condemned {
				return l, true
			}
		}
	}
	return Location{}, false
}

// Locations returns all places of the chunk, those in condemned packs last.
func (s *Set) Locations(id pack.ChunkID) []Location {
	s.mu.RLock()
	defer s.mu.RUnlock()
	var all []Location
	var buffer [4]uint32
	for _, p := range s.parts {
		for _, position := range p.positions(id, buffer[:0]) {
			if l, ok := p.location(position); ok {
				all = append(all, l)
			}
		}
	}
	slices.SortStableFunc(all, func(a, b Location) int {
		switch {
		case a.Condemned == b.Condemned:
			return 0
		case b.Condemned:
			return -1
		}
		return 1
	})
	return all
}

// Pack returns what is known about a pack.
func (s *Set) Pack(id pack.ID) (PackInfo, bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	p, i, ok := s.findPack(id)
	if !ok {
		return PackInfo{}, false
	}
	return p.info(i), true
}

func (s *Set) findPack(id pack.ID) (*part, int, bool) {
	for _, p := range s.parts {
		if i, ok := p.find(id); ok {
			return p, i, true
		}
	}
	return nil, 0, false
}

// Packs yields all packs, also condemned ones, in no order.
func (s *Set) Packs() iter.Seq[PackInfo] {
	return func(yield func(PackInfo) bool) {
		for _, p := range s.snapshot() {
			for i := range p.packCount() {
				if p.holds(i) && !yield(p.info(i)) {
					return
				}
			}
		}
	}
}

// Len returns the number of rows, without those of condemned packs. A chunk in several packs has
// several rows.
func (s *Set) Len() int {
	n := 0
	for info := range s.Packs() {
		if !info.Condemned {
			n += info.Chunks
		}
	}
	return n
}

// Rows yields all rows in the order of chunk ids, also those of condemned packs.
func (s *Set) Rows() iter.Seq2[pack.ChunkID, Location] {
	return func(yield func(pack.ChunkID, Location) bool) {
		type row struct {
			id       pack.ChunkID
			location Location
		}
		var all []row
		for id, l := range s.PackRows() {
			all = append(all, row{id, l})
		}
		slices.SortStableFunc(all, func(a, b row) int { return slices.Compare(a.id[:], b.id[:]) })
		for _, r := range all {
			if !yield(r.id, r.location) {
				return
			}
		}
	}
}

// PackRows yields all rows, also those of condemned packs, pack by pack and within a pack in the order
// of its directory.
func (s *Set) PackRows() iter.Seq2[pack.ChunkID, Location] {
	return func(yield func(pack.ChunkID, Location) bool) {
		for _, p := range s.snapshot() {
			for position, id := range p.mem.ids {
				if l, ok := p.location(uint32(position)); ok && !yield(id, l) {
					return
				}
			}
		}
	}
}

// snapshot returns the parts as they are, for an iteration without the lock.
func (s *Set) snapshot() []*part {
	s.mu.Lock()
	defer s.mu.Unlock()
	if last := s.parts[len(s.parts)-1]; last.chunks() > 0 {
		s.parts = append(s.parts, newMemPart())
	}
	views := make([]*part, 0, len(s.parts))
	for _, p := range s.parts[:len(s.parts)-1] {
		view := *p
		view.condemned = slices.Clone(p.condemned)
		views = append(views, &view)
	}
	return views
}
