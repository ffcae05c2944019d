package index

import (
	"math/rand/v2"
	"testing"
)

func TestFuseNeverDeniesAKey(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(1, 1))
	var b fuseBuilder
	for _, n := range []int{1, 2, 3, 5, 10, 100, 1000, 30_000} {
		keys := make([]uint64, n)
		for i := range keys {
			keys[i] = rng.Uint64()
		}
		f, slots := b.build(nil, append([]uint64(nil), keys...))
		if f.segments == 0 {
			t.Fatalf("%d keys: no filter", n)
		}
		for _, key := range keys {
			if !f.mayHave(slots, key) {
				t.Fatalf("%d keys: denies %x", n, key)
			}
		}
		wrong := 0
		for range 50_000 {
			if f.mayHave(slots, rng.Uint64()) {
				wrong++
			}
		}
		if wrong > 400 { // 195 are expected
			t.Errorf("%d keys: %d wrong of 50,000", n, wrong)
		}
		if n >= 30_000 && len(slots)*8 > n*11 {
			t.Errorf("%d keys: %d bytes", n, len(slots))
		}
	}
}

func TestFuseTakesEqualKeys(t *testing.T) {
	t.Parallel()
	var b fuseBuilder
	keys := make([]uint64, 100_000)
	for i := range keys {
		keys[i] = uint64(i % 10)
	}
	f, slots := b.build(nil, keys)
	if f.segments == 0 {
		t.Fatal("no filter")
	}
	for key := range uint64(10) {
		if !f.mayHave(slots, key) {
			t.Errorf("denies %d", key)
		}
	}
}
