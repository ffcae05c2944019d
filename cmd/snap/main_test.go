package main

import (
	"os"
	"runtime"
	"runtime/debug"
	"testing"
	"time"

	"github.com/snapkeep/snap/internal/nss"
)

// TestHomeIsFound: a service that is started without HOME has the home of its user.
func TestHomeIsFound(t *testing.T) {
	t.Setenv("HOME", "") // puts back what was there
	findHome()
	if got := os.Getenv("HOME"); got != "" {
		t.Errorf("who asked for none got %q", got)
	}
	if err := os.Unsetenv("HOME"); err != nil {
		t.Fatal(err)
	}
	findHome()
	if got := os.Getenv("HOME"); got != nss.Home() {
		t.Errorf("HOME is %q, want %q", got, nss.Home())
	}
}

// TestCollectorFollowsWhatIsInUse lets the heap grow and shrink, and asks what the runtime was told.
func TestCollectorFollowsWhatIsInUse(t *testing.T) {
	for _, name := range []string{"GOGC", "GOMEMLIMIT"} {
		t.Setenv(name, "") // puts back what was there
	}
	limit, before := debug.SetMemoryLimit(-1), debug.SetGCPercent(100)
	defer debug.SetMemoryLimit(limit)
	defer debug.SetGCPercent(before)
	c := &collector{percent: 31}
	c.begin()
	defer c.end()
	if got := debug.SetMemoryLimit(-1); got != memoryTarget {
		t.Errorf("the limit is %d", got)
	}
	percent := func() int {
		runtime.GC()
		time.Sleep(time.Millisecond)
		c.mu.Lock()
		defer c.mu.Unlock()
		return c.set
	}
	if got := percent(); got < 31 || got > 100*heapFloor/leastHeap {
		t.Errorf("after a collection the percentage is %d", got)
	}
	held := make([]byte, 8*heapFloor) // far above the floor
	for end := time.Now().Add(time.Minute); percent() != 31; {
		if time.Now().After(end) {
			t.Fatalf("with %d bytes in use the percentage is %d", len(held), percent())
		}
	}
	runtime.KeepAlive(held)
	held = nil
	for end := time.Now().Add(time.Minute); percent() == 31; {
		if time.Now().After(end) {
			t.Fatalf("with little in use the percentage is %d", percent())
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if got := debug.SetGCPercent(100); got != c.set {
		t.Errorf("the runtime was told %d, want %d", got, c.set)
	}
}

// end lets c set nothing any more: it would in the tests that follow, after any collection.
func (c *collector) end() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.set = 0
}

// TestSmallHeapsGrowToTheFloor sets the collector for heaps of several sizes: the next collection comes at the floor, or at percent more than is in use.
func TestSmallHeapsGrowToTheFloor(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(100))
	for _, test := range []struct{ live, want int }{{0, 700}, {1 << 20, 700}, {4 << 20, 700}, {8 << 20, 300}, {16 << 20, 100}, {30 << 20, 25}, {1 << 30, 25}} {
		c := &collector{percent: 25}
		c.use(uint64(test.live))
		if got := debug.SetGCPercent(100); got != test.want {
			t.Errorf("%d bytes in use: %d percent, want %d", test.live, got, test.want)
		}
	}
}

// TestCollectorOfTheEnvironment leaves alone what the user has set.
func TestCollectorOfTheEnvironment(t *testing.T) {
	t.Setenv("GOGC", "77")
	t.Setenv("GOMEMLIMIT", "1TiB")
	limit, before := debug.SetMemoryLimit(-1), debug.SetGCPercent(77)
	defer debug.SetGCPercent(before)
	c := &collector{percent: 31}
	c.begin()
	for range 10 {
		runtime.GC()
	}
	if got := debug.SetGCPercent(77); got != 77 || debug.SetMemoryLimit(-1) != limit {
		t.Errorf("the percentage became %d, the limit %d", got, debug.SetMemoryLimit(-1))
	}
}
