package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"

	"github.com/snapkeep/snap/internal/term"
	"github.com/snapkeep/snap/repo"
)

// warmUp returns what makes packs readable that an archive keeps; nil for nothing.
func (a *app) warmUp(at string) repo.WarmUpFunc {
	command := a.global.remote.warmUp
	if command == "" {
		command = a.getenv("SNAP_WARM_UP")
	}
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
			return fmt.Errorf("warm-up command: %w", err)
		}
		return nil
	}
}
