package chunker

import (
	"testing"

	"golang.org/x/sys/unix"
)

// TestWideReadsNoByteTooMany searches a block that ends where memory ends, and one that begins there.
func TestWideReadsNoByteTooMany(t *testing.T) {
	page := unix.Getpagesize()
	for _, average := range []int{longBits - 1, longBits} {
		_, w := newTestWide(t, 0, average)
		size := w.block() + windowSize
		inner := (size + page - 1) / page * page
		mapped, err := unix.Mmap(-1, 0, inner+2*page, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
		if err != nil {
			t.Fatal(err)
		}
		defer unix.Munmap(mapped)
		for _, guard := range [][]byte{mapped[:page], mapped[page+inner:]} {
			if err := unix.Mprotect(guard, unix.PROT_NONE); err != nil {
				t.Fatal(err)
			}
		}
		data := mapped[page : page+inner]
		for i := range data {
			data[i] = 1
		}
		for _, p := range [][]byte{data[:size], data[inner-size:]} {
			if got := w.firstCandidate(p); got != w.block() {
				t.Errorf("first candidate of ones = %d, want %d", got, w.block())
			}
		}
	}
}
