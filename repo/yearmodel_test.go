package repo

import (
	"cmp"
	"slices"

	"github.com/snapkeep/snap/index"
	"github.com/snapkeep/snap/pack"
)

// yearHistory is what a repository was told in a year, to see what another rule would have made of it. Chunks and snapshots are
// numbered.
type yearHistory struct {
	numbers   map[pack.ChunkID]int32
	sizes     []int64 // of chunks, as they are stored
	snapshots map[SnapshotID]int
	needs     [][]int32 // chunks of each snapshot
	packs     []modelPack
	packSize  int64
	copied    int64
	unused    []float64
}

// modelPack is a pack of the other rule.
type modelPack struct {
	class  pack.Class
	chunks []int32
}

func newYearHistory(packSize int) *yearHistory {
	return &yearHistory{numbers: map[pack.ChunkID]int32{}, snapshots: map[SnapshotID]int{}, packSize: int64(packSize)}
}

func (h *yearHistory) number(id pack.ChunkID) int32 {
	n, ok := h.numbers[id]
	if !ok {
		n = int32(len(h.numbers))
		h.numbers[id], h.sizes = n, append(h.sizes, 0)
	}
	return n
}

// wrote notes a pack that a backup has written. A chunk has its part of the segment.
func (h *yearHistory) wrote(p index.Pack) {
	made := modelPack{class: p.Class}
	for _, s := range p.Directory {
		whole := int64(0)
		for _, c := range s.Chunks {
			whole += int64(c.Length)
		}
		for _, c := range s.Chunks {
			n := h.number(c.ID)
			h.sizes[n] = int64(c.Length) * int64(s.Length) / whole
			made.chunks = append(made.chunks, n)
		}
	}
	h.packs = append(h.packs, made)
}

// holds notes chunks that a snapshot needs.
func (h *yearHistory) holds(id SnapshotID, ids []pack.ChunkID) {
	at, ok := h.snapshots[id]
	if !ok {
		at = len(h.needs)
		h.snapshots[id], h.needs = at, append(h.needs, nil)
	}
	for _, c := range ids {
		h.needs[at] = append(h.needs[at], h.number(c))
	}
}

// resticUnused is what restic leaves unused by default, as a share of all.
const resticUnused = 0.05

// prune prunes as restic does, which knows no segments: packs that nobody needs go; of the others those with a dead chunk are copied, the
// highest dead share first, and all of metadata, until what is unused is below the share.
func (h *yearHistory) prune(live []SnapshotID) {
	needed := make([]bool, len(h.sizes))
	for _, id := range live {
		for _, c := range h.needs[h.snapshots[id]] {
			needed[c] = true
		}
	}
	type candidate struct {
		modelPack
		used, dead int64
	}
	var stay []modelPack
	var some []candidate
	used, dead := int64(0), int64(0)
	for _, p := range h.packs {
		c := candidate{modelPack: p}
		for _, n := range p.chunks {
			if needed[n] {
				c.used += h.sizes[n]
			} else {
				c.dead += h.sizes[n]
			}
		}
		switch {
		case c.used == 0:
			continue
		case c.dead == 0:
			stay = append(stay, p)
		default:
			some = append(some, c)
		}
		used, dead = used+c.used, dead+c.dead
	}
	slices.SortStableFunc(some, func(a, b candidate) int {
		return cmp.Compare(float64(b.dead)/float64(b.used), float64(a.dead)/float64(a.used))
	})
	var open [pack.ClassMeta + 1]modelPack
	var filled [pack.ClassMeta + 1]int64
	for _, c := range some {
		if c.class == pack.ClassData && float64(dead) < resticUnused/(1-resticUnused)*float64(used) {
			stay = append(stay, c.modelPack)
			continue
		}
		h.copied, dead = h.copied+c.used, dead-c.dead
		to := &open[c.class]
		for _, n := range c.chunks {
			if !needed[n] {
				continue
			}
			to.class, to.chunks = c.class, append(to.chunks, n)
			if filled[c.class] += h.sizes[n]; filled[c.class] >= h.packSize {
				stay, *to, filled[c.class] = append(stay, *to), modelPack{}, 0
			}
		}
	}
	for _, p := range open {
		if len(p.chunks) > 0 {
			stay = append(stay, p)
		}
	}
	h.packs = stay
	h.unused = append(h.unused, float64(dead)/float64(used))
}
