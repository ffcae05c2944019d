package main

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/snapkeep/snap/internal/protocol"
	"github.com/snapkeep/snap/internal/pull"
	"github.com/snapkeep/snap/internal/source/agent"
	"github.com/snapkeep/snap/internal/source/sftp"
	"github.com/snapkeep/snap/internal/sshconn"
	"github.com/snapkeep/snap/repo"
)

// TestPullHints makes mistakes of people, and looks whether they are told what to do next.
func TestPullHints(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		err  error
		code int
		hint string
	}{
		{"nobody answers", fmt.Errorf("%w: connection refused", pull.ErrUnreachable), exitNoSource, "snap source test web1"},
		{"host not known", fmt.Errorf("run: %w: web1 shows a key", sshconn.ErrHostUnknown), exitHostKey, "log in once with ssh"},
		{"host with another key", fmt.Errorf("run: %w: web1 shows another", sshconn.ErrHostKey), exitHostKey, "somebody is in between"},
		{"key not accepted", fmt.Errorf("run: %w: there is none", sshconn.ErrRefused), exitRefused, "snap source install web1"},
		{"no policy there", fmt.Errorf("%w: snap: policy: no such file", sshconn.ErrNotRun), exitRefused, "mend there what it says"},
		{"path outside of the policy", fmt.Errorf("backup: %w", &protocol.Error{Code: protocol.CodeRefused, Text: "no"}), exitRefused, "/etc/snap/agent.yaml"},
		{"root missing", fmt.Errorf("backup: %w", repo.ErrRootMissing), exitRootMissing, "is the disk mounted?"},
		{"more than allowed", fmt.Errorf("backup: %w: 101 entries", agent.ErrLimit), exitFatal, "raise the limits"},
		{"more than allowed by SFTP", fmt.Errorf("backup: %w: 101 entries", sftp.ErrLimit), exitFatal, "raise the limits"},
		{"dump that fails", fmt.Errorf("backup: %w", repo.ErrStream), exitFatal, "by itself on the source"},
		{"too slow", fmt.Errorf("backup: %w: more than 8s", pull.ErrTimeout), exitFatal, "raise the limit of time"},
		{"wrong passphrase", fmt.Errorf("open: %w", repo.ErrWrongPassphrase), exitWrongKey, "check which passphrase"},
	} {
		code, _ := pullCode(&pull.Result{Err: c.err})
		if hint := pullHint("web1", code, c.err); code != c.code || !strings.Contains(hint, c.hint) {
			t.Errorf("%s: exit code %d, hint %q, want %d and %q", c.name, code, hint, c.code, c.hint)
		}
	}
	if hint := pullHint("web1", exitFatal, errors.New("something else")); hint != "" {
		t.Errorf("a hint without a reason: %q", hint)
	}
}
