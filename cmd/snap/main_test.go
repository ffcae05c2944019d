package main

import (
	"runtime"
	"runtime/debug"
	"testing"
	"time"
)

// TestCollectorWorksFromItsFirstCollectionOn waits for a collection, and asks what it has changed.
func TestCollectorWorksFromItsFirstCollectionOn(t *testing.T) {
	for _, name := range []string{"GOGC", "GOMEMLIMIT"} {
		t.Setenv(name, "") // puts back what was there
	}
	limit, before := debug.SetMemoryLimit(-1), debug.SetGCPercent(100)
	defer debug.SetMemoryLimit(limit)
	defer debug.SetGCPercent(before)
	c := &collector{percent: 31}
	c.begin()
	if got := debug.SetMemoryLimit(-1); got != memoryTarget {
		t.Errorf("the limit is %d", got)
	}
	worked := func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		return c.works
	}
	for end := time.Now().Add(time.Minute); !worked() && time.Now().Before(end); time.Sleep(time.Millisecond) {
		runtime.GC()
	}
	if got := debug.SetGCPercent(100); got != 31 {
		t.Errorf("after a collection the percentage is %d", got)
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
