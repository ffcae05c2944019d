package main

import (
	"context"
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"sync"

	"github.com/snapkeep/snap/internal/nss"
)

// gcPercent keeps the heap close to what is in use: peak memory counts more on a backup
// server than the few percent of time.
const gcPercent = 25

// memoryTarget in bytes is where the collector begins to work harder. What is in use
// at a time is about 60 MB; the rest is waiting to be collected.
const memoryTarget = 96 << 20

// A pull holds what several sources have sent: with the target of other commands the collector would take half of its time.
const (
	pullMemory    = 384 << 20 // bytes
	pullGCPercent = 100
)

// heapFloor in bytes is what the heap may grow to before anything is collected. What is in use in a short run is a few MiB: with gcPercent alone it
// would be collected dozens of times, which is a fifth of what the run takes.
const heapFloor = 32 << 20

// leastHeap in bytes is where a collector at 100 percent collects first.
const leastHeap = 4 << 20

// collector is how hard the collector of this process works.
type collector struct {
	mu      sync.Mutex // guards what follows
	percent int        // of what is in use, above heapFloor
	set     int        // what the runtime was told last; 0 if the environment says how hard
}

var garbage = &collector{percent: gcPercent}

// begin sets the limits, unless the environment says otherwise, and looks at what is in use after each collection.
func (c *collector) begin() {
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(memoryTarget)
	}
	if os.Getenv("GOGC") == "" {
		c.set = 100 * heapFloor / leastHeap
		debug.SetGCPercent(c.set)
		c.atNext()
	}
}

// atNext lets the collector be set anew after its next collection, for as long as it is this one who sets it.
func (c *collector) atNext() {
	runtime.SetFinalizer(&struct{ c *collector }{c}, func(*struct{ c *collector }) {
		if c.work() {
			c.atNext()
		}
	})
}

// work sets the percentage for what is in use, and reports false if that is not for c to say.
func (c *collector) work() bool {
	live := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	metrics.Read(live)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.set == 0 {
		return false
	}
	c.use(live[0].Value.Uint64())
	return true
}

// use sets the percentage for a heap of which live bytes are in use. It is called with mu held.
func (c *collector) use(live uint64) {
	percent := max(c.percent, 100*heapFloor/int(max(live, leastHeap))-100)
	if percent != c.set {
		c.set = percent
		debug.SetGCPercent(percent)
	}
}

// forPull lets the collector take it easier, unless the environment says otherwise.
func forPull() {
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(pullMemory)
	}
	garbage.mu.Lock()
	defer garbage.mu.Unlock()
	if garbage.percent = pullGCPercent; 0 < garbage.set && garbage.set < pullGCPercent {
		garbage.set = pullGCPercent
		debug.SetGCPercent(pullGCPercent)
	}
}

// findHome sets HOME where nobody has: without it nothing is remembered of what this machine has seen of a repository, and nobody kept from pulling a
// source twice at a time. Who sets it to nothing gets nothing.
func findHome() {
	if _, set := os.LookupEnv("HOME"); set {
		return
	}
	if home := nss.Home(); home != "" {
		_ = os.Setenv("HOME", home) // it fails for no name and value such as these
	}
}

func main() {
	findHome()
	garbage.begin()
	outlivePipes(os.Args[1:])
	ctx, stop := untilSignal(context.Background())
	code := run(ctx, system{args: os.Args[1:], stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr, getenv: os.Getenv})
	stop()
	os.Exit(code)
}
