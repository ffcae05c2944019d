package repo

import (
	"encoding/gob"
	"os"
	"testing"

	"github.com/snapkeep/snap/index"
	"github.com/snapkeep/snap/pack"
)

// yearHistory is what a repository was told in a year, to ask what other rules would have made of it.
type yearHistory struct {
	number map[pack.ChunkID]uint32
	Sizes  []uint32 // of chunks by number, as they are stored
	Events []yearEvent
	snaps  map[SnapshotID]int
}

// yearEvent is a snapshot, or a prune.
type yearEvent struct {
	Packs []yearPack // that were made for the snapshot
	Holds []uint32   // chunks that it needs
	Live  []int32    // of a prune: snapshots that there are, by number
	Prune bool
}

type yearPack struct {
	Class    pack.Class
	Segments []yearSegment
}

type yearSegment struct {
	Length uint32
	Chunks []uint32
}

func (h *yearHistory) of(id pack.ChunkID) uint32 {
	if h.number == nil {
		h.number = map[pack.ChunkID]uint32{}
		h.snaps = map[SnapshotID]int{}
	}
	n, ok := h.number[id]
	if !ok {
		n = uint32(len(h.number))
		h.number[id] = n
		h.Sizes = append(h.Sizes, 0)
	}
	return n
}

// add notes a pack of the snapshot that is to come.
func (h *yearHistory) add(p index.Pack) {
	if n := len(h.Events); n == 0 || h.Events[n-1].Holds != nil || h.Events[n-1].Prune {
		h.Events = append(h.Events, yearEvent{})
	}
	e := &h.Events[len(h.Events)-1]
	made := yearPack{Class: p.Class}
	for _, s := range p.Directory {
		total := int64(0)
		for _, c := range s.Chunks {
			total += int64(c.Length)
		}
		seg := yearSegment{Length: s.Length}
		for _, c := range s.Chunks {
			n := h.of(c.ID)
			h.Sizes[n] = uint32(int64(c.Length) * int64(s.Length) / total)
			seg.Chunks = append(seg.Chunks, n)
		}
		made.Segments = append(made.Segments, seg)
	}
	e.Packs = append(e.Packs, made)
}

func (h *yearHistory) holds(id SnapshotID, ids []pack.ChunkID) {
	if _, ok := h.snaps[id]; !ok {
		h.snaps[id] = len(h.snaps)
		if n := len(h.Events); n == 0 || h.Events[n-1].Holds != nil || h.Events[n-1].Prune {
			h.Events = append(h.Events, yearEvent{})
		}
	}
	e := &h.Events[len(h.Events)-1]
	seen := map[uint32]bool{}
	for _, n := range e.Holds {
		seen[n] = true
	}
	for _, c := range ids {
		if n := h.of(c); !seen[n] {
			seen[n] = true
			e.Holds = append(e.Holds, n)
		}
	}
}

func (h *yearHistory) pruned(live []SnapshotID) {
	e := yearEvent{Prune: true}
	for _, id := range live {
		e.Live = append(e.Live, int32(h.snaps[id]))
	}
	h.Events = append(h.Events, e)
}

func (h *yearHistory) dump(t testing.TB, path string) {
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := gob.NewEncoder(f).Encode(h); err != nil {
		t.Fatal(err)
	}
}
