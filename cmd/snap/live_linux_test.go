package main

import (
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/snapkeep/snap/internal/sshdtest"
)

// buildProgram returns the command that builds the program as users build it.
func buildProgram(name string) *exec.Cmd {
	c := exec.Command("go", "build", "-trimpath", "-o", name, ".")
	c.Env = append(c.Environ(), "CGO_ENABLED=0")
	return c
}

// liveCommand is `live NAME`: a machine that nothing of snap is on yet. $NAME is the address of its administrator, $NAME_PORT the port, $NAME_KEY
// the administrator's key, $NAME_KNOWN a known_hosts file, and $SNAP_PROGRAM the program as it is installed on other machines.
func liveCommand(t *testing.T) func(*testscript.TestScript, bool, []string) {
	build := sync.OnceValues(func() (string, error) {
		name := filepath.Join(t.TempDir(), "snap")
		return name, buildProgram(name).Run()
	})
	return func(ts *testscript.TestScript, neg bool, args []string) {
		if neg || len(args) != 1 {
			ts.Fatalf("usage: live name")
		}
		program, err := build()
		ts.Check(err)
		s := sshdtest.Start(t, sshdtest.Options{Inside: sshdtest.NewMachine(t, args[0]), Config: "Match User snap-pull\nAuthorizedKeysFile .ssh/authorized_keys\n"})
		for name, value := range map[string]string{args[0]: s.Address().String(), args[0] + "_PORT": strconv.Itoa(s.Port), args[0] + "_KEY": filepath.Join(s.Home, ".ssh", "id_ed25519"),
			args[0] + "_KNOWN": filepath.Join(s.Home, ".ssh", "known_hosts"), "SNAP_PROGRAM": program} {
			ts.Setenv(name, value)
		}
	}
}
