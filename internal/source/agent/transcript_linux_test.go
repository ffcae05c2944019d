package agent_test

import (
	"bytes"
	"fmt"
	"slices"
	"testing"

	"github.com/snapkeep/snap/internal/agenttest"
	"github.com/snapkeep/snap/internal/source/agent"
)

// probes are files with chunks that the source has not sent so far: a small one that is sent at once, one of which the hash is told, and a
// large one.
func probes() agenttest.Tree {
	t := honestTree()
	for i, size := range []int{1000, 50_000, 900_000, 5 << 20} {
		t[fmt.Sprintf("data/probe%d", i)] = agenttest.File{Data: noise(uint64(50+i), size)}
	}
	return t
}

// TestTranscriptTellsNothingOfOtherSources pulls files twice: when another source has stored the same chunks, and
// under a name whose chunks nobody has. What the server asks must be the same, to the byte.
func TestTranscriptTellsNothingOfOtherSources(t *testing.T) {
	for _, before := range []agenttest.Tree{nil, honestTree()} { // a first pull, and one that has a past
		r := vault(t)
		var transcripts [2][]byte
		for i, name := range []string{"unknown", "elsewhere"} {
			if i == 1 {
				other := &agenttest.Agent{Tree: probes()}
				if out := attempt(t, r, other, "other", "", agent.Options{}); out.err != nil {
					t.Fatal(out.err)
				}
			}
			if before != nil {
				if out := attempt(t, r, &agenttest.Agent{Tree: before}, name, "", agent.Options{}); out.err != nil {
					t.Fatal(out.err)
				}
			}
			tree := probes()
			if i == 0 { // chunks that nobody will have: of the same sizes
				for path, f := range tree {
					if len(f.Data) >= 1000 {
						f.Data = noise(uint64(len(f.Data)), len(f.Data))
						tree[path] = f
					}
				}
			}
			a := &agenttest.Agent{Tree: tree}
			out := attempt(t, r, a, name, "", agent.Options{Compress: agent.CompressOff})
			if out.err != nil || len(out.problems) > 0 {
				t.Fatal(out.err, out.problems)
			}
			transcripts[i] = withoutPolynomials(t, a.Transcript())
			if i == 1 && out.res.Summary.DataAdded > 100 {
				t.Errorf("%d bytes were stored, though all are stored already", out.res.Summary.DataAdded)
			}
			if i == 0 && out.res.Summary.DataAdded < 5<<20 {
				t.Errorf("only %d bytes were stored", out.res.Summary.DataAdded)
			}
		}
		if !bytes.Equal(transcripts[0], transcripts[1]) || len(transcripts[0]) < 100 {
			t.Errorf("with a past: %v; %d bytes were asked, and %d with chunks that another source has", before != nil, len(transcripts[0]), len(transcripts[1]))
		}
	}
}

// withoutPolynomials returns the questions of a transcript without what is another for each source, the one that begins, and in an order
// of their own: those for different files are asked by different goroutines.
func withoutPolynomials(t *testing.T, talk []byte) []byte {
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
	if begins != 1 || len(frames) < 4 {
		t.Fatalf("%d begins, %d other questions", begins, len(frames))
	}
	slices.SortFunc(frames, bytes.Compare)
	return bytes.Join(frames, nil)
}
