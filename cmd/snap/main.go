package main

import (
	"context"
	"os"
	"runtime/debug"
)

// gcPercent keeps the heap close to what is in use: peak memory counts more on a backup
// server than the few percent of time.
const gcPercent = 50

func main() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	ctx, stop := untilSignal(context.Background())
	code := run(ctx, system{args: os.Args[1:], stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr, getenv: os.Getenv})
	stop()
	os.Exit(code)
}
