package enrol

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/snapkeep/snap/internal/sshconn"
)

// Host runs scripts on a machine with the rights of an administrator.
type Host struct {
	// Dialer connects as somebody who may become root.
	Dialer *sshconn.Dialer
	// Sudo goes through "sudo -n".
	Sudo bool
}

const (
	maxOutput = 64 << 10 // bytes of a script's output that are read
	wellDone  = "snap-step-done"
)

// Run runs a script as root, with what upload gives on its standard input, and returns what it printed. The first command that fails ends it. It stands in no
// list with what tells that all was done: in one no command would.
func (h *Host) Run(ctx context.Context, script string, upload io.Reader) (string, error) {
	command := "sh -c " + quote("exec 2>&1; set -e\n"+script+"\necho "+wellDone)
	if h.Sudo {
		command = "sudo -n " + command
	}
	conn, err := h.Dialer.Exec(ctx, command)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	sent := make(chan error, 1)
	go func() {
		var err error
		if upload != nil {
			_, err = io.Copy(conn.WriteCloser, upload)
		}
		conn.WriteCloser.Close()
		sent <- err
	}()
	out, err := io.ReadAll(io.LimitReader(conn.Reader, maxOutput))
	if ctx.Err() != nil {
		return "", context.Cause(ctx)
	}
	text, ok := strings.CutSuffix(strings.TrimRight(string(out), "\n"), wellDone)
	if ok {
		return text, <-sent
	}
	if err == nil {
		err = fmt.Errorf("it said: %q", strings.TrimSpace(text))
	}
	return "", err
}

// quote makes one word for a shell.
func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

// Facts are what has to be known of a machine before it is set up.
type Facts struct {
	Machine string // as of uname -sm
	Root    bool   // scripts run as root
	From    string // the address that the machine sees connections of this server come from
}

// lookTime bounds the first questions to a machine.
const lookTime = 2 * time.Minute

// Look asks a machine for its facts.
func (h *Host) Look(ctx context.Context) (*Facts, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, lookTime, fmt.Errorf("%w: no answer within %v", ErrPlan, lookTime))
	defer cancel()
	out, err := h.Run(ctx, "uname -sm; id -u", nil)
	if err != nil {
		return nil, err
	}
	lines := strings.Split(out, "\n")
	if len(lines) < 2 {
		return nil, fmt.Errorf("%w: the machine answered %q", ErrPlan, out)
	}
	f := &Facts{Machine: strings.TrimSpace(lines[0]), Root: strings.TrimSpace(lines[1]) == "0"}
	// sudo does not pass this variable on.
	if out, err = (&Host{Dialer: h.Dialer}).Run(ctx, `echo "${SSH_CONNECTION:-}"`, nil); err != nil {
		return nil, err
	}
	if fields := strings.Fields(out); len(fields) > 0 {
		f.From = fields[0]
	}
	return f, nil
}
