package main

import (
	"context"
	"os"
	"runtime/debug"
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

// forPull lets the collector take it easier.
func forPull() { setCollector(pullGCPercent, pullMemory) }

// setCollector says how hard the collector works, unless the environment says otherwise.
func setCollector(percent int, memory int64) {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(percent)
	}
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(memory)
	}
}

func main() {
	setCollector(gcPercent, memoryTarget)
	ctx, stop := untilSignal(context.Background())
	code := run(ctx, system{args: os.Args[1:], stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr, getenv: os.Getenv})
	stop()
	os.Exit(code)
}
