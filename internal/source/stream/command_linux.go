package stream

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/snapkeep/snap/internal/source"
)

// Command is a program whose standard output is saved.
type Command struct {
	// Args are the program and its arguments. No shell sees them.
	Args []string

	// Dir is the folder to run it in; empty means the current one.
	Dir string

	// Env is its environment; nil means that of this process.
	Env []string

	// Stdin is its standard input; nil means none.
	Stdin io.Reader

	// Stderr gets its standard error; nil drops it. The last of it is in the error
	// if the command fails.
	Stderr io.Writer
}

const (
	// pipeSize saves changes between writer and reader.
	pipeSize = 1 << 20

	// endDelay is how long a command may take to end after it was stopped.
	endDelay = 5 * time.Second
)

// FromCommand returns a stream of what c writes. The command starts when the file is
// opened, each time anew. If the file is closed before its end, the command and those that it
// started are killed.
func FromCommand(name string, c Command) Stream {
	return Stream{Name: name, Open: func(ctx context.Context) (io.ReadCloser, error) {
		return c.start(ctx)
	}}
}

// running is a command that was started.
type running struct {
	cmd    *exec.Cmd
	out    *os.File
	stderr *tail
	cancel context.CancelFunc
	ended  bool
}

func (c Command) start(ctx context.Context) (*running, error) {
	if len(c.Args) == 0 {
		return nil, fmt.Errorf("%w: no command", source.ErrStream)
	}
	out, in, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	if raw, err := out.SyscallConn(); err == nil {
		// If it stays smaller, that works too.
		raw.Control(func(fd uintptr) { unix.FcntlInt(fd, unix.F_SETPIPE_SZ, pipeSize) })
	}
	ctx, cancel := context.WithCancel(ctx)
	r := &running{out: out, stderr: &tail{next: c.Stderr}, cancel: cancel}
	r.cmd = exec.CommandContext(ctx, c.Args[0], c.Args[1:]...)
	r.cmd.Dir, r.cmd.Env, r.cmd.Stdin = c.Dir, c.Env, c.Stdin
	r.cmd.Stdout, r.cmd.Stderr = in, r.stderr
	r.cmd.WaitDelay = endDelay
	// A group of its own, to kill with the command what it started.
	r.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	r.cmd.Cancel = func() error {
		// Somebody who left the group may hold the pipe open for ever.
		out.SetReadDeadline(time.Now().Add(endDelay))
		if err := unix.Kill(-r.cmd.Process.Pid, unix.SIGKILL); err != unix.ESRCH {
			return err
		}
		return os.ErrProcessDone
	}
	err = r.cmd.Start()
	in.Close()
	if err != nil {
		cancel()
		out.Close()
		return nil, &CommandError{Program: c.Args[0], Err: err}
	}
	return r, nil
}

// Read reads the output. At its end it waits for the command.
func (r *running) Read(p []byte) (int, error) {
	if r.ended {
		return 0, io.EOF
	}
	n, err := r.out.Read(p)
	if err != io.EOF {
		return n, err
	}
	r.ended = true
	if err := r.verdict(r.cmd.Wait()); err != nil {
		return n, err
	}
	return n, io.EOF
}

// verdict says how the command ended, nil if well.
func (r *running) verdict(err error) error {
	if err == nil || errors.Is(err, exec.ErrWaitDelay) {
		return nil // what it left running in the background is not waited for
	}
	return &CommandError{Program: r.cmd.Args[0], Stderr: r.stderr.last(), Err: err}
}

// CommandError says how a command failed. It satisfies errors.Is(err, source.ErrStream).
type CommandError struct {
	Program string
	Stderr  string // the end of its standard error
	Err     error  // an *exec.ExitError if the command ran
}

func (e *CommandError) Error() string {
	if e.Stderr == "" {
		return fmt.Sprintf("command %q: %v", e.Program, e.Err)
	}
	return fmt.Sprintf("command %q: %v: %q", e.Program, e.Err, e.Stderr)
}

// Unwrap returns source.ErrStream and the reason.
func (e *CommandError) Unwrap() []error { return []error{source.ErrStream, e.Err} }

// Close kills the command if it still runs.
func (r *running) Close() error {
	r.cancel()
	err := r.out.Close()
	if !r.ended {
		r.ended = true
		r.cmd.Wait() // killed: how it ended says nothing
	}
	return err
}

// tail passes on what is written and remembers the end of it.
type tail struct {
	next io.Writer
	end  []byte
}

const maxTail = 512

func (t *tail) Write(p []byte) (int, error) {
	t.end = append(t.end, p[max(0, len(p)-maxTail):]...)
	t.end = bytes.Clone(t.end[max(0, len(t.end)-maxTail):])
	if t.next == nil {
		return len(p), nil
	}
	return t.next.Write(p)
}

// last returns the last lines, to be read after the command has ended.
func (t *tail) last() string { return strings.TrimSpace(string(t.end)) }
