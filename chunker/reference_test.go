package chunker

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// referenceFingerprint divides the polynomial whose coefficients are the bits
// of data, first bit first, by p, one bit at a time.
func referenceFingerprint(data []byte, p Polynomial) uint64 {
	remainder := uint64(0)
	for _, b := range data {
		for bit := 7; bit >= 0; bit-- {
			remainder = remainder<<1 | uint64(b>>bit&1)
			if remainder>>degree == 1 {
				remainder ^= uint64(p)
			}
		}
	}
	return remainder
}

// referenceCuts is the rule as the package comment states it.
func referenceCuts(p Params, data []byte) []int {
	var cuts []int
	for len(data) > 0 {
		n := min(p.MinSize, len(data))
		for n < len(data) && n < p.MaxSize &&
			referenceFingerprint(data[n-windowSize:n], p.Polynomial)%(1<<p.AverageBits) != 0 {
			n++
		}
		cuts = append(cuts, n)
		data = data[n:]
	}
	return cuts
}

func TestTableEqualsDivision(t *testing.T) {
	t.Parallel()
	for seed := range uint64(4) {
		p := polynomial(t, seed)
		table := newTable(p)
		data := randomBytes(seed, 2000)
		state := uint64(0)
		for _, b := range data[:windowSize+1] {
			state = table.append(state, b)
		}
		for i := 0; ; i++ {
			window, next := data[i:i+windowSize], data[i+windowSize]
			if got, want := state>>nextBits, referenceFingerprint(window, p); got != want {
				t.Fatalf("fingerprint at %d = %#x, want %#x", i, got, want)
			}
			if got := byte(state); got != next {
				t.Fatalf("byte that waits at %d = %d, want %d", i, got, next)
			}
			if i+windowSize+1 == len(data) {
				break
			}
			state = table.slide(state, data[i], data[i+windowSize+1])
		}
	}
}

func TestCutsEqualReference(t *testing.T) {
	t.Parallel()
	for kind, generate := range testData {
		for seed := range uint64(2) {
			p := Params{Rabin, polynomial(t, seed), MinSizeLimit, 24 << 10, MinBits + int(seed)*3}
			data := generate(seed, 40_000)
			sameCutsOfBoth(t, kind, p, data, referenceCuts(p, data))
		}
	}
}

func TestFirstCandidateEqualsSingleLane(t *testing.T) {
	t.Parallel()
	table := newTable(testPolynomial)
	const mask = (1<<12 - 1) << nextBits
	for seed := range uint64(200) {
		rng := rand.New(rand.NewPCG(seed, 0))
		p := (*[blockSize]byte)(randomBytes(seed, blockSize))
		// Candidates on purpose: runs of zeros, some long, in any lane.
		for range rng.IntN(4) {
			at := rng.IntN(blockLength)
			clear(p[at:min(blockSize, at+64+rng.IntN(1<<rng.IntN(13)))])
		}
		if got, want := table.firstCandidate(p, mask), slowFirst(p, mask); got != want {
			t.Fatalf("seed %d: first candidate %d, want %d", seed, got, want)
		}
	}
}

// slowFirst is firstCandidate with one lane, whose steps are tested against the
// division above.
func slowFirst(p *[blockSize]byte, mask uint64) int {
	table := newTable(testPolynomial)
	state := uint64(0)
	for _, b := range p[:windowSize+1] {
		state = table.append(state, b)
	}
	for i := range blockLength - 1 {
		if state&mask == 0 {
			return i
		}
		state = table.slide(state, p[i], p[i+windowSize+1])
	}
	if state&mask == 0 {
		return blockLength - 1
	}
	return blockLength
}

func TestLanesCoverBlock(t *testing.T) {
	t.Parallel()
	// A candidate at each end of each lane, and nowhere before it.
	table := newTable(testPolynomial)
	const mask = (1<<MaxBits - 1) << nextBits
	for k := range lanes {
		for _, at := range []int{k * laneLength, k*laneLength + 1, (k+1)*laneLength - 1} {
			p := new([blockSize]byte)
			copy(p[:], slices.Repeat([]byte{1}, blockSize))
			clear(p[at : at+windowSize])
			if got := table.firstCandidate(p, mask); got != at {
				t.Errorf("first candidate = %d, want %d", got, at)
			}
		}
	}
}
