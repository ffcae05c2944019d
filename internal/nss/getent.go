package nss

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"strconv"
	"time"
)

// notFound is the exit code by which getent says that nobody knows a number.
const notFound = 2

// ask asks getent, and returns an empty name if it does not know. One that cannot be started, ends with another error or takes
// too long is not asked again. n.asking is held.
func (n *Names) ask(ctx context.Context, database string, id uint32) string {
	began := time.Now()
	out, err := n.m.ask(ctx, database, strconv.FormatUint(uint64(id), 10))
	if ctx.Err() != nil {
		return ""
	}
	var exit *exec.ExitError
	if err != nil && !(errors.As(err, &exit) && exit.ExitCode() == notFound) {
		n.silent = true
		return ""
	}
	if of, name, ok := parseLine(out); err == nil && ok && of == id {
		return name
	}
	n.vain++
	n.waited += time.Since(began)
	n.silent = n.vain >= maxVain || n.waited >= vainTime
	return ""
}

// ask returns the start of what getent prints. It has the rights of this process or less, nothing of its environment, and
// reads nothing.
func (m *machine) ask(ctx context.Context, args ...string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, m.patience)
	defer cancel()
	program, err := m.program()
	if err != nil {
		return nil, err
	}
	out := &head{}
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Dir, cmd.Env, cmd.Stdout = "/", []string{"PATH=/usr/bin:/bin", "LC_ALL=C"}, out
	cmd.WaitDelay = time.Second // for who holds its output
	err = cmd.Run()
	return out.kept, err
}

func (m *machine) program() (path string, err error) {
	for _, path = range m.getent {
		if _, err = os.Stat(path); err == nil {
			return path, nil
		}
	}
	return "", err
}

// head keeps the start of what is written, longLine bytes at most.
type head struct{ kept []byte }

func (h *head) Write(p []byte) (int, error) {
	h.kept = append(h.kept, p[:min(len(p), longLine-len(h.kept))]...)
	return len(p), nil
}
