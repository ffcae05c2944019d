package prune

import (
	"testing"

	"github.com/snapkeep/snap/index"
	"github.com/snapkeep/snap/pack"
)

func TestLivesOfSegments(t *testing.T) {
	set := index.NewSet()
	p := index.Pack{ID: pack.ID{1}, Class: pack.ClassData, Size: 10_000}
	for i := range uint32(5) { // two chunks each
		p.Directory = append(p.Directory, pack.Segment{Kind: pack.KindData, Offset: i * 100, Length: 100,
			Chunks: []pack.Chunk{{ID: pack.ChunkID{byte(2*i + 1)}, Length: 50}, {ID: pack.ChunkID{byte(2*i + 2)}, Length: 50}}})
	}
	set.Add(p)
	mark := func(ids ...byte) *index.Marks {
		m := set.NewMarks()
		for _, id := range ids {
			if missing := m.Mark([]pack.ChunkID{{id}}, nil); len(missing) > 0 {
				t.Fatal(missing)
			}
		}
		return m
	}
	live := mark(1, 3, 4, 6, 7) // not the fifth segment
	defer live.Close()
	lives := NewLives(live)
	defer lives.Close()
	check := func(want [5]Stream, stay float64) {
		t.Helper()
		stream := lives.Streams(p.ID)
		for i, to := range want {
			if got := stream(uint32(i) * 100); got != to {
				t.Errorf("segment %d goes to %d, want %d", i, got, to)
			}
		}
		if got := lives.Stays(p.ID); got != stay {
			t.Errorf("stays %v, want %v", got, stay)
		}
	}
	check([5]Stream{Short, Short, Short, Short, Leave}, 1)
	lives.By(Current, mark(1, 3, 9)) // what is not live stays so
	lives.By(Long, mark(4, 6))
	check([5]Stream{Current, Current, Long, Short, Leave}, (8+8+8+1)/4.0)
	if got := lives.Streams(pack.ID{9})(0); got != Leave || lives.Stays(pack.ID{9}) != 0 {
		t.Errorf("an unknown pack: %d", got)
	}
}
