package enrol

import (
	"io"
	"os"
	"strings"
	"testing"

	"github.com/snapkeep/snap/internal/sshconn"
	"github.com/snapkeep/snap/internal/sshdtest"
)

// TestAuditSFTPTellsWhoMayWrite: a server that only reads refuses, one that writes is found out, and nothing of the attempt is left.
func TestAuditSFTPTellsWhoMayWrite(t *testing.T) {
	t.Parallel()
	for flags, want := range map[string]Verdict{"-R": Refused, "": Allowed} {
		s, dir := sshdtest.Start(t, sshdtest.Options{SFTP: flags}), t.TempDir()
		d, err := sshconn.New(s.Address(), s.Client())
		if err != nil {
			t.Fatal(err)
		}
		conn, err := d.Dial(t.Context(), "sftp")
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		all := AuditSFTP(t.Context(), conn, []string{dir, dir + "/none"})
		if len(all) != 3 || all[1].Verdict != want || all[1].What != "make a folder by SFTP in "+dir || all[2].Verdict != Refused {
			t.Errorf("%q: %+v", flags, all)
		}
		if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
			t.Errorf("%q: left %v, %v", flags, left, err)
		}
	}
}

// TestAuditSFTPOfWhatIsNone: what answers nothing, or nonsense, was not tried.
func TestAuditSFTPOfWhatIsNone(t *testing.T) {
	for name, said := range map[string]string{
		"nothing":              "",
		"a shell":              "no such command\r\n",
		"a huge answer":        "\xff\xff\xff\xff\x02",
		"an empty answer":      "\x00\x00\x00\x00\x02",
		"an answer cut off":    "\x00\x00\x00\x05\x02\x00",
		"a status cut off":     "\x00\x00\x00\x05\x02\x00\x00\x00\x03\x00\x00\x00\x05\x65\x00\x00\x00\x01",
		"a text that is short": "\x00\x00\x00\x05\x02\x00\x00\x00\x03\x00\x00\x00\x0d\x65\x00\x00\x00\x01\x00\x00\x00\x04\xff\xff\xff\xff",
	} {
		for _, a := range AuditSFTP(t.Context(), &canned{Reader: strings.NewReader(said)}, []string{"/srv"}) {
			if a.Verdict != Unknown {
				t.Errorf("%s: %+v", name, a)
			}
		}
	}
}

type canned struct{ io.Reader }

func (*canned) Write(p []byte) (int, error) { return len(p), nil }
func (*canned) Close() error                { return nil }
