package repo

import (
	"sync/atomic"

	"github.com/snapkeep/snap/index"
	"github.com/snapkeep/snap/pack"
)

// freshPacks are packs that no index file named, with whether a snapshot needs them. Nothing may be added while others note.
type freshPacks map[pack.ID]*atomic.Bool

func (f *freshPacks) add(rows []index.Pack) {
	if *f == nil {
		*f = make(freshPacks, len(rows))
	}
	for i := range rows {
		(*f)[rows[i].ID] = new(atomic.Bool)
	}
}

// note says that a snapshot needs a chunk. It counts for the packs that have it if no other pack has it.
func (f freshPacks) note(set *index.Set, id pack.ChunkID) {
	if len(f) == 0 {
		return
	}
	var only []*atomic.Bool
	for _, l := range set.Locations(id) {
		needed, ok := f[l.Pack]
		if info, known := set.Pack(l.Pack); !ok && known && !info.Condemned {
			return
		}
		if ok {
			only = append(only, needed)
		}
	}
	for _, needed := range only {
		needed.Store(true)
	}
}

// counts returns how many of the packs snapshots need, and how many not.
func (f freshPacks) counts() (needed, left int) {
	for _, n := range f {
		if n.Load() {
			needed++
		}
	}
	return needed, len(f) - needed
}
