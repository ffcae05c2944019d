package enrol

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/snapkeep/snap/internal/sshconn"
	"github.com/snapkeep/snap/internal/sshdtest"
)

// TestRunEndsWithTheFirstFailure: no step goes on behind what failed: a file that was not checked is put nowhere.
func TestRunEndsWithTheFirstFailure(t *testing.T) {
	t.Parallel()
	s := sshdtest.Start(t, sshdtest.Options{})
	d, err := sshconn.New(s.Address(), s.Client())
	if err != nil {
		t.Fatal(err)
	}
	h := &Host{Dialer: d}
	made := filepath.Join(t.TempDir(), "made")
	for script, says := range map[string]string{
		"echo 'it''s'; cat":                                   "",
		"echo before; false; touch " + made:                   "before",
		"set -eu\necho before\nfalse\ntouch " + made:          "before",
		"echo no way >&2; exit 3; touch " + made:              "no way",
		"set -eu\necho $not_set_at_all\ntouch " + made:        "not_set_at_all",
		"test -e /nonesuch || no-such-program\ntouch " + made: "not found",
	} {
		out, err := h.Run(t.Context(), script, strings.NewReader("what was sent"))
		if says == "" {
			if err != nil || out != "its\nwhat was sent" {
				t.Errorf("%q: %q, %v", script, out, err)
			}
			continue
		}
		if err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%q: %q, %v", script, out, err)
		}
		if _, err := os.Stat(made); err == nil {
			t.Fatalf("%q: it went on", script)
		}
	}
}
