package main

import (
	"context"
	"os"
	"os/exec"
	"strings"

	"github.com/snapkeep/snap/internal/term"
	"github.com/snapkeep/snap/repo"
)

// warmUp returns what makes packs readable that an archive keeps; nil for nothing.
func (a *app) warmUp(at string) repo.WarmUpFunc {
	command := a.orVariable(a.global.remote.warmUp, "SNAP_WARM_UP")
	if command == "" {
		return nil
	}
	return func(ctx context.Context, names []string) error {
		a.notef("the warm-up command runs for %s", term.Count(int64(len(names)), "pack"))
		c := exec.CommandContext(ctx, "/bin/sh", "-c", command)
		c.Env = append(os.Environ(), "SNAP_REPOSITORY="+at)
		c.Stdin = strings.NewReader(strings.Join(names, "\n") + "\n")
		out := &lineWriter{app: a}
		c.Stdout, c.Stderr = out, out
		if err := c.Run(); err != nil {
			return fail(exitFatal, "warm-up command: %w", err).withHint("run it by itself with the names of packs as input to see what is wrong with it, then run the same command again")
		}
		return nil
	}
}
