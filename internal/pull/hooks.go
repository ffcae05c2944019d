package pull

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"github.com/snapkeep/snap/internal/config"
	"github.com/snapkeep/snap/internal/guard"
)

const (
	hookTail = 2 << 10  // bytes of a hook's output that are kept for its error
	maxWords = 16 << 10 // bytes of what a variable tells; a program with one of 128 KiB cannot be started
)

// runHooks runs commands one after another and returns the errors of those that failed. With stop the first that fails
// is the last that runs.
func runHooks(ctx context.Context, commands []config.Command, timeout time.Duration, env []string, stop bool) error {
	var errs []error
	for _, c := range commands {
		if err := runHook(ctx, c, timeout, env); err != nil {
			errs = append(errs, err)
			if stop {
				break
			}
		}
	}
	return errors.Join(errs...)
}

func runHook(ctx context.Context, c config.Command, timeout time.Duration, env []string) error {
	ctx, cancel := context.WithTimeoutCause(ctx, timeout, fmt.Errorf("it took more than %v", timeout))
	defer cancel()
	cmd := exec.CommandContext(ctx, c[0], c[1:]...)
	said := &lastBytes{}
	cmd.Stdout, cmd.Stderr, cmd.Env = said, said, append(os.Environ(), env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = 5 * time.Second
	err := cmd.Run()
	if err == nil || errors.Is(err, exec.ErrWaitDelay) {
		return nil // what it left running in the background is not waited for
	}
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	return fmt.Errorf("hook %q: %w: %q", strings.Join(c, " "), err, strings.TrimSpace(string(said.data)))
}

// lastBytes keeps the last bytes written to it.
type lastBytes struct{ data []byte }

func (l *lastBytes) Write(p []byte) (int, error) {
	l.data = append(l.data, p...)
	if over := len(l.data) - hookTail; over > 0 {
		l.data = l.data[over:]
	}
	return len(p), nil
}

// environment tells hooks what happened; nothing of it before the pull.
func (r *Result) environment() []string {
	result := "success"
	switch {
	case r.Err == nil && !r.read:
		return []string{"SNAP_SOURCE=" + r.Source}
	case r.Err != nil:
		result = "failure"
	case r.Guard != guard.None:
		result = "suspicious"
	case r.Partial:
		result = "partial"
	}
	env := []string{"SNAP_SOURCE=" + r.Source, "SNAP_RESULT=" + result}
	if r.Snapshot != nil {
		env = append(env, "SNAP_SNAPSHOT="+r.Snapshot.ID.String())
	}
	if r.Err != nil {
		env = append(env, "SNAP_ERROR="+words(r.Err.Error()))
	}
	if r.Why != "" {
		env = append(env, "SNAP_WHY="+words(r.Why))
	}
	return env
}

// words are what a variable tells: a source that says much keeps no hook from its start.
func words(s string) string {
	if len(s) > maxWords {
		s = s[:maxWords] + "…"
	}
	return strings.Map(printable, s)
}

// printable drops control characters, NUL above all, which no variable can hold.
func printable(c rune) rune {
	if c < ' ' || c == 0x7f {
		return ' '
	}
	return c
}
