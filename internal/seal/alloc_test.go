//go:build !race

package seal

import "testing"

func TestSealAndOpenDoNotAllocate(t *testing.T) {
	k, plain := NewKey(&testSecret, testRepo, nil), make([]byte, 100)
	dst, out := make([]byte, 0, 200), make([]byte, 0, 100)
	box := mustSeal(t, k, 1, plain)
	n := testing.AllocsPerRun(1000, func() {
		k.Seal(dst, 1, plain)
		k.Open(out, 1, box)
	})
	if n >= 1 { // a collection may empty the pool now and then
		t.Errorf("%v allocations a call", n)
	}
}
