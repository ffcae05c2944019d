package index

import (
	"iter"
	"slices"
	"sync"

	"github.com/snapkeep/snap/pack"
)

// Set is the index that a run uses: the rows of the repository's index files, which a Cache
// brings in, and those of the packs that the run wrote. It is safe for concurrent use;
// iterations see the rows that were there when they began.
type Set struct {
	dir       string // for temporary files; may be empty
	spillRows int    // rows that are added on the heap before they become a table

	shape sync.Mutex // held while tables are made or replaced; taken before mu

	mu        sync.RWMutex // guards what follows
	base      []*part      // rows of index files; no two hold the same pack
	own       []*part      // rows that were added: tables, and what is to become one
	active    *part        // takes new rows
	condemned map[pack.ID]struct{}
}

// NewSet returns an empty Set without a Cache.
func NewSet() *Set { return newSet("") }

func newSet(dir string) *Set {
	return &Set{dir: dir, spillRows: spillRows, active: newMemPart(), condemned: make(map[pack.ID]struct{})}
}

// Close releases what the Set holds. It must not be used any more; iterations and Marks that
// are under way may end.
func (s *Set) Close() error {
	s.shape.Lock()
	defer s.shape.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range s.all() {
		p.drop()
	}
	s.base, s.own, s.active = nil, nil, newMemPart()
	return nil
}

// all yields the parts, the most likely to be asked first. The lock is held.
func (s *Set) all() iter.Seq2[int, *part] {
	return func(yield func(int, *part) bool) {
		if !yield(0, s.active) {
			return
		}
		for _, parts := range [2][]*part{s.own, s.base} {
			for i, p := range parts {
				if !yield(i, p) {
					return
				}
			}
		}
	}
}

// Add adds the rows of a pack that this run wrote. They serve lookups when Add returns. A pack that
// is there already is left as it is. p is not kept.
func (s *Set) Add(p Pack) {
	if s.add(p) {
		s.spill()
	}
}

// add reports whether the rows on the heap have become many.
func (s *Set) add(p Pack) (full bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, _, ok := s.findPack(p.ID); ok {
		return false
	}
	s.active.mem.add(p)
	if _, ok := s.condemned[p.ID]; ok {
		s.active.condemn(p.ID)
	}
	if s.active.chunks() < s.spillRows {
		return false
	}
	s.freeze()
	return true
}

// freeze puts the active part aside. The lock is held.
func (s *Set) freeze() {
	if s.active.packCount() > 0 {
		s.own = append(s.own, s.active)
		s.active = newMemPart()
	}
}

// Condemn makes the rows of packs void, also of those that are added later.
func (s *Set) Condemn(ids ...pack.ID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, id := range ids {
		if _, ok := s.condemned[id]; ok {
			continue
		}
		s.condemned[id] = struct{}{}
		for _, p := range s.all() {
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
	if l, ok := s.active.lookup(id); ok {
		return l, true
	}
	for _, p := range s.own {
		if l, ok := p.lookup(id); ok {
			return l, true
		}
	}
	for _, p := range s.base {
		if l, ok := p.lookup(id); ok {
			return l, true
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
	for _, p := range s.all() {
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

// findPack returns the part that holds a pack, and its number there. The lock is held.
func (s *Set) findPack(id pack.ID) (*part, int, bool) {
	for _, p := range s.all() {
		if i, ok := p.find(id); ok {
			return p, i, true
		}
	}
	return nil, 0, false
}

// Packs yields all packs, also condemned ones, in no order.
func (s *Set) Packs() iter.Seq[PackInfo] {
	return func(yield func(PackInfo) bool) {
		parts := s.snapshot()
		defer dropAll(parts)
		for _, p := range parts {
			for i := range p.packCount() {
				if p.holds(i) && !yield(p.info(i)) {
					return
				}
			}
		}
	}
}

// Len returns the number of rows, without those of condemned packs. A chunk in several packs has
// several rows. It looks at every pack.
func (s *Set) Len() int {
	s.mu.RLock()
	defer s.mu.RUnlock()
	n := 0
	for _, p := range s.all() {
		n += p.chunks()
		for i := range p.packCount() {
			if p.dead.has(i) || p.condemned.has(i) {
				n -= p.info(i).Chunks
			}
		}
	}
	return n
}

// Rows yields all rows in the order of chunk ids, also those of condemned packs.
func (s *Set) Rows() iter.Seq2[pack.ChunkID, Location] {
	return func(yield func(pack.ChunkID, Location) bool) {
		parts := s.snapshot()
		defer dropAll(parts)
		streams := make([]*stream, len(parts))
		for i, p := range parts {
			streams[i] = p.stream(i)
		}
		for m := mergeStreams(streams); m.top() != nil; m.next() {
			top := m.top()
			if l, ok := parts[top.part].location(top.current.position); ok && !yield(top.current.id(), l) {
				return
			}
		}
	}
}

// PackRows yields all rows, also those of condemned packs, pack by pack and within a pack in
// the order of its directory.
func (s *Set) PackRows() iter.Seq2[pack.ChunkID, Location] {
	return func(yield func(pack.ChunkID, Location) bool) {
		parts := s.snapshot()
		defer dropAll(parts)
		for _, p := range parts {
			for position, id := range p.byPosition() {
				if l, ok := p.location(position); ok && !yield(id, l) {
					return
				}
			}
		}
	}
}

// snapshot returns the parts as they are, for the use without the lock. They must be dropped.
// Those on the heap serve no lookups.
func (s *Set) snapshot() []*part {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return append(s.views(), s.active.view())
}

// frozen is snapshot with parts that serve lookups.
func (s *Set) frozen() []*part {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.freeze()
	return s.views()
}

func (s *Set) views() []*part {
	var views []*part
	for _, p := range s.own {
		views = append(views, p.view())
	}
	for _, p := range s.base {
		views = append(views, p.view())
	}
	return views
}

func dropAll(parts []*part) {
	for _, p := range parts {
		p.drop()
	}
}
