package index

import (
	"testing"

	"github.com/snapkeep/snap/pack"
)

// TestDictionaryOutsideThePack: a damaged table may say that a dictionary stands in front of the pack. There is none then, and nothing of the pack
// before it is needed.
func TestDictionaryOutsideThePack(t *testing.T) {
	set := NewSet()
	segment := func(id byte, back uint16) pack.Segment {
		return pack.Segment{Kind: pack.KindData, Length: 100, Back: back, Chunks: []pack.Chunk{{ID: pack.ChunkID{id}, Length: 1}}}
	}
	set.Add(Pack{ID: pack.ID{1}, Class: pack.ClassData, Size: 1000, Directory: pack.Directory{segment(1, 0), segment(2, 7)}})
	set.Add(Pack{ID: pack.ID{2}, Class: pack.ClassData, Size: 1000, Directory: pack.Directory{segment(3, 1), segment(4, 2), segment(5, 2)}})
	for id, want := range map[byte]Range{1: {}, 2: {}, 3: {}, 4: {}, 5: {0, 100}} {
		if l, ok := set.Lookup(pack.ChunkID{id}); !ok || l.Dictionary != want {
			t.Errorf("chunk %d: %+v", id, l)
		}
	}
	m := set.NewMarks()
	defer m.Close()
	m.Mark([]pack.ChunkID{{2}, {3}, {4}}, nil)
	for id, want := range map[byte][]bool{1: {false, true}, 2: {true, true, false}} {
		for i, s := range m.Segments(pack.ID{id}) {
			if s.Needed() != want[i] || s.Primes {
				t.Errorf("pack %d, segment %d: %+v", id, i, s)
			}
		}
	}
	m.Mark([]pack.ChunkID{{5}}, nil)
	if s := m.Segments(pack.ID{2})[0]; !s.Primes {
		t.Errorf("%+v is a dictionary", s)
	}
}
