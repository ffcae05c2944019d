package sshconn_test

import (
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/snapkeep/snap/internal/sshconn"
	"github.com/snapkeep/snap/internal/sshdtest"
)

func TestExec(t *testing.T) {
	s := sshdtest.Start(t, sshdtest.Options{})
	external := s.Client()
	external.Command = []string{"ssh", "-F", "none", "-i", s.Home + "/.ssh/id_ed25519", "-o", "UserKnownHostsFile=" + s.Home + "/.ssh/known_hosts", "-o", "BatchMode=yes"}
	for name, opts := range map[string]sshconn.Options{"own": s.Client(), "external": external} {
		t.Run(name, func(t *testing.T) {
			d, err := sshconn.New(s.Address(), opts)
			if err != nil {
				t.Fatal(err)
			}
			conn, err := d.Exec(t.Context(), "tr a-z A-Z")
			if err != nil {
				t.Fatal(err)
			}
			if _, err := io.WriteString(conn, "hello\n"); err != nil {
				t.Fatal(err)
			}
			line := make([]byte, 6)
			// tr writes when its input ends.
			if err := conn.WriteCloser.Close(); err != nil {
				t.Fatal(err)
			}
			if _, err := io.ReadFull(conn, line); err != nil || string(line) != "HELLO\n" {
				t.Errorf("%q, %v", line, err)
			}
			conn.Close()

			for command, said := range map[string]string{"no-such-command-here": "not found", "echo refused >&2; exit 1": "refused"} {
				conn, err := d.Exec(t.Context(), command)
				if err != nil {
					t.Fatal(err)
				}
				_, err = conn.Read(line)
				if err == nil || !strings.Contains(err.Error(), said) {
					t.Errorf("%s: %v", command, err)
				}
				if name == "own" && !errors.Is(err, sshconn.ErrNotRun) {
					t.Errorf("%s: %v is no ErrNotRun", command, err)
				}
				conn.Close()
			}
		})
	}
}
