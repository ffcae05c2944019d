package agent_test

import (
	"bytes"
	"slices"
	"testing"

	"github.com/snapkeep/snap/internal/agenttest"
	"github.com/snapkeep/snap/internal/source/agent"
)

// TestTranscriptTellsNothingOfOtherSources pulls a file that the source has not sent before twice: when nobody has stored its chunks, and
// when another source has. What the server asks must be the same, to the byte. There is one file at a time: which of several share a
// question depends on who is faster.
func TestTranscriptTellsNothingOfOtherSources(t *testing.T) {
	one := func(seed uint64, size int, time int64) agenttest.Tree {
		return agenttest.Tree{"data/probe": {Data: noise(seed, size), Inode: 9, Time: time}}
	}
	for _, size := range []int{1000, 50_000, 900_000, 3 << 20} { // sent at once; a hash first; with several chunks; a large file
		for _, past := range []bool{false, true} {
			r := vault(t)
			if out := attempt(t, r, &agenttest.Agent{Tree: one(1, size, 100)}, "other", "", agent.Options{}); out.err != nil {
				t.Fatal(out.err)
			}
			// The other source has what grows from the seed 1, nobody has what grows from 2.
			var talks [2][]byte
			for i, seed := range []uint64{1, 2} {
				name := []string{"known elsewhere", "known to nobody"}[i]
				if past {
					if out := attempt(t, r, &agenttest.Agent{Tree: one(3, size, 50)}, name, "", agent.Options{}); out.err != nil {
						t.Fatal(out.err)
					}
				}
				a := &agenttest.Agent{Tree: one(seed, size, 100)}
				out := attempt(t, r, a, name, "", agent.Options{Compress: agent.CompressOff})
				if out.err != nil || len(out.problems) > 0 {
					t.Fatal(out.err, out.problems)
				}
				talks[i] = withoutBegin(t, a.Transcript())
				if stored := out.res.Summary.DataAdded; (stored > 0) != (seed == 2) {
					t.Errorf("%d bytes, seed %d: %d bytes were stored", size, seed, stored)
				}
			}
			if !bytes.Equal(talks[0], talks[1]) {
				t.Errorf("%d bytes, with a past: %v: %d bytes were asked of what another source has, %d of what nobody has", size, past, len(talks[0]), len(talks[1]))
			}
		}
	}
}

// withoutBegin returns the questions of a transcript without what is another for each source, its polynomial in the one that begins, and
// in an order of their own.
func withoutBegin(t *testing.T, talk []byte) []byte {
	t.Helper()
	begins := 0
	var frames [][]byte
	for len(talk) > 0 {
		n := 10 + int(talk[0]) + int(talk[1])<<8 + int(talk[2])<<16
		if talk[8] == agenttest.Begin {
			begins++
		} else {
			frames = append(frames, talk[:n])
		}
		talk = talk[n:]
	}
	if begins != 1 || len(frames) < 3 {
		t.Fatalf("%d begins, %d other questions", begins, len(frames))
	}
	slices.SortFunc(frames, bytes.Compare)
	return bytes.Join(frames, nil)
}
