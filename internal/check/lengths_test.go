package check

import (
	"math/rand/v2"
	"testing"

	"github.com/snapkeep/snap/pack"
)

// TestLengthsAgainstAMap compares with a map what a Lengths remembers that is as full as it is made for.
func TestLengthsAgainstAMap(t *testing.T) {
	const n = 700_000
	rng := rand.New(rand.NewPCG(1, 2))
	l, want := NewLengths(n), make(map[pack.ChunkID]int64, n)
	for range n {
		var id pack.ChunkID
		for i := range id {
			id[i] = byte(rng.Uint32())
		}
		want[id] = rng.Int64N(1 << 20)
		l.Add(id, want[id])
	}
	wrong := 0
	for id, length := range want {
		if !l.May(id, length) {
			t.Fatalf("chunk %s of %d bytes is denied", id, length)
		}
		if l.May(id, length+1) {
			wrong++
		}
	}
	if wrong > n/1000 {
		t.Errorf("%d of %d wrong lengths pass", wrong, n)
	}
	few := NewLengths(1)
	id := pack.ChunkID{1, 2, 3}
	few.Add(id, 7)
	for length := range int64(1_000_000) {
		if few.May(id, length) != (length == 7) {
			t.Fatalf("a chunk of 7 bytes may have %d", length)
		}
	}
}
