package main

import (
	"context"
	"os"
	"runtime"
	"runtime/debug"
	"sync"
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

// collector is how hard the collector of this process works.
type collector struct {
	mu      sync.Mutex // guards what follows
	percent int
	works   bool // it has collected before
}

var garbage = &collector{percent: gcPercent}

// begin lets the collector work hard from its first collection on, which comes at 4 MiB. With gcPercent from the start it would
// come at 1 MiB, when most of what the program is started with is made, and take a quarter of the time of a short run.
func (c *collector) begin() {
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(memoryTarget)
	}
	if os.Getenv("GOGC") == "" {
		runtime.SetFinalizer(&collector{}, func(*collector) { c.work() })
	}
}

func (c *collector) work() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.works = true
	debug.SetGCPercent(c.percent)
}

// forPull lets the collector take it easier, unless the environment says otherwise.
func forPull() {
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(pullMemory)
	}
	garbage.mu.Lock()
	defer garbage.mu.Unlock()
	if garbage.percent = pullGCPercent; garbage.works {
		debug.SetGCPercent(pullGCPercent)
	}
}

func main() {
	garbage.begin()
	ctx, stop := untilSignal(context.Background())
	code := run(ctx, system{args: os.Args[1:], stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr, getenv: os.Getenv})
	stop()
	os.Exit(code)
}
