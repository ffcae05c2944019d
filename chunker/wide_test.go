package chunker

import (
	"bytes"
	"math/rand/v2"
	"testing"
)

// newTestWide returns the wide lanes of a processor that has them.
func newTestWide(t testing.TB, seed uint64, average int) (*table, *wide) {
	t.Helper()
	table := newTable(polynomial(t, seed))
	w := newWide(table, average)
	if w == nil {
		t.Skip("this processor has no wide lanes")
	}
	return table, w
}

// slowFirstWide is firstCandidate of wide lanes with one lane, whose steps are tested against the division.
func slowFirstWide(t *table, average, block int, p []byte) int {
	state := uint64(0)
	for _, b := range p[:windowSize] {
		state = t.append(state, b)
	}
	state = t.append(state, 0) // nothing waits
	for i := range block {
		if state>>nextBits&(1<<average-1) == 0 {
			return i
		}
		state = t.slide(state^uint64(p[i+windowSize]), p[i], 0)
	}
	return block
}

func TestWideEqualsSingleLane(t *testing.T) {
	t.Parallel()
	for seed := range uint64(300) {
		rng := rand.New(rand.NewPCG(seed, 0))
		average := MinBits + rng.IntN(MaxBits-MinBits+1)
		table, w := newTestWide(t, seed%5, average)
		shift := rng.IntN(64)
		p := randomBytes(seed, shift+w.block()+windowSize)[shift:]
		// Candidates on purpose: runs of zeros, some long, in any lane.
		for range rng.IntN(5) {
			at := rng.IntN(w.block())
			clear(p[at:min(len(p), at+64+rng.IntN(1<<rng.IntN(17)))])
		}
		if got, want := w.firstCandidate(p), slowFirstWide(table, average, w.block(), p); got != want {
			t.Fatalf("seed %d: first candidate of %d bits %d, want %d", seed, average, got, want)
		}
	}
}

func TestWideLanesCoverBlock(t *testing.T) {
	t.Parallel()
	for _, average := range []int{longBits - 1, MaxBits} {
		_, w := newTestWide(t, 0, average)
		ones := bytes.Repeat([]byte{1}, w.block()+windowSize) // never a candidate
		if got := w.firstCandidate(ones); got != w.block() {
			t.Errorf("first candidate of ones = %d, want %d", got, w.block())
		}
		for k := range wideLanes {
			for _, at := range []int{0, 1, 63, 64, 65, w.lane - 65, w.lane - 64, w.lane - 2, w.lane - 1} {
				at += k * w.lane
				p := bytes.Clone(ones)
				clear(p[at : at+windowSize])
				if got := w.firstCandidate(p); got != at {
					t.Errorf("first candidate = %d, want %d", got, at)
				}
			}
		}
	}
}

// TestWideTellsOfEachLane has candidates in all lanes, each at a place of its own and again behind it, the last lane's first: no lane hides another's.
func TestWideTellsOfEachLane(t *testing.T) {
	t.Parallel()
	_, w := newTestWide(t, 0, longBits)
	for lanes := 1; lanes <= wideLanes; lanes++ {
		p := bytes.Repeat([]byte{1}, w.block()+windowSize)
		for k := wideLanes - lanes; k < wideLanes; k++ {
			at := k*w.lane + (wideLanes-1-k)*3
			clear(p[at : at+windowSize])
			clear(p[at+200 : at+200+2*windowSize])
		}
		if got, want := w.firstCandidate(p), (wideLanes-lanes)*w.lane+(lanes-1)*3; got != want {
			t.Errorf("%d lanes: first candidate = %d, want %d", lanes, got, want)
		}
	}
}

func TestMatrixIsWhatItIsMadeOf(t *testing.T) {
	t.Parallel()
	table := newTable(polynomial(t, 1))
	f := func(b uint8) uint64 { return table.leave[b] >> 11 }
	m := matrix(f)
	for b := range 256 {
		product := uint8(0)
		for row := range 8 {
			for column := range 8 {
				product ^= uint8(m>>(8*(7-row)+column)&1) & uint8(b>>column&1) << row
			}
		}
		if want := uint8(f(uint8(b))); product != want {
			t.Errorf("matrix·%d = %d, want %d", b, product, want)
		}
	}
}
