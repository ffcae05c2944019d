package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/snapkeep/snap/internal/dbtest"
	"github.com/snapkeep/snap/internal/looptest"
	"github.com/snapkeep/snap/internal/sshdtest"
)

// machineCommand is `machine NAME POLICY`: a machine to pull from, whose SSH server runs the agent with a policy file and nothing else. $NAME is
// its address, $NAME_PORT the port, $NAME_KEY the key that it accepts, $NAME_KNOWN a known_hosts file with its key.
func machineCommand(t *testing.T) func(*testscript.TestScript, bool, []string) {
	program, err := exec.LookPath("snap") // the test itself, under this name
	if err != nil {
		t.Fatal(err)
	}
	return func(ts *testscript.TestScript, neg bool, args []string) {
		if neg || len(args) != 2 {
			ts.Fatalf("usage: machine name policy")
		}
		s := sshdtest.Start(t, sshdtest.Options{})
		keys := filepath.Join(s.Home, "etc", "authorized_keys")
		key, err := os.ReadFile(keys)
		ts.Check(err)
		ts.Check(os.WriteFile(keys, []byte(fmt.Sprintf("restrict,command=\"%s agent --policy %s\" %s", program, ts.MkAbs(args[1]), key)), 0o600))
		for name, value := range map[string]string{"": s.Address().String(), "_PORT": strconv.Itoa(s.Port), "_KEY": filepath.Join(s.Home, ".ssh", "id_ed25519"),
			"_KNOWN": filepath.Join(s.Home, ".ssh", "known_hosts")} {
			ts.Setenv(args[0]+name, value)
		}
	}
}

// haveDatabases reports whether what scripts with databases need is installed.
func haveDatabases() bool {
	for _, program := range []string{"psql", "mariadb", "mariadbd", "sqlite3", "sshd"} {
		if _, err := exec.LookPath(program); err != nil {
			return false
		}
	}
	return os.Getuid() == 0 // to run a dump as another user
}

// haveBtrfs reports whether what scripts with file systems need is there.
func haveBtrfs() bool {
	for _, program := range []string{"mkfs.btrfs", "sshd"} {
		if _, err := exec.LookPath(program); err != nil {
			return false
		}
	}
	known, err := os.ReadFile("/proc/filesystems")
	_, loopErr := os.Stat("/dev/loop-control")
	return err == nil && loopErr == nil && strings.Contains(string(known), "\tbtrfs\n") && os.Getuid() == 0
}

// btrfsCommand is `btrfs FOLDER`: a fresh file system, mounted there until the script ends.
func btrfsCommand(t *testing.T) func(*testscript.TestScript, bool, []string) {
	return func(ts *testscript.TestScript, neg bool, args []string) {
		if neg || len(args) != 1 {
			ts.Fatalf("usage: btrfs folder")
		}
		disk := filepath.Join(t.TempDir(), "disk")
		ts.Check(os.WriteFile(disk, nil, 0o600))
		ts.Check(os.Truncate(disk, 128<<20))
		ts.Check(ts.Exec("mkfs.btrfs", "-q", disk))
		ts.Check(os.Mkdir(args[0], 0o755))
		device, detach := looptest.Attach(t, disk, false)
		t.Cleanup(detach)
		ts.Check(ts.Exec("mount", device, args[0]))
		ts.Defer(func() {
			// An agent that has answered all may take a moment to end.
			for end := time.Now().Add(10 * time.Minute); ; time.Sleep(100 * time.Millisecond) {
				err := ts.Exec("umount", args[0])
				if err == nil {
					return
				}
				if time.Now().After(end) {
					ts.Check(err)
				}
			}
		})
	}
}

// databasesCommand is `databases`: PostgreSQL and MariaDB servers, which the clients in scripts connect to by themselves.
func databasesCommand(t *testing.T) func(*testscript.TestScript, bool, []string) {
	return func(ts *testscript.TestScript, neg bool, args []string) {
		ts.Setenv("PGHOST", dbtest.PostgreSQL(t))
		ts.Setenv("PGUSER", "postgres")
		socket := dbtest.MariaDB(t)
		ts.Setenv("MYSOCKET", socket)
		ts.Check(os.MkdirAll(ts.MkAbs("home"), 0o755))
		ts.Check(os.WriteFile(ts.MkAbs("home/.my.cnf"), []byte("[client]\nuser=root\nsocket="+socket+"\n"), 0o600))
	}
}

// expandCommand is `expand FILE...`: variables in files become their values.
func expandCommand(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: expand file...")
	}
	for _, name := range args {
		text := os.Expand(ts.ReadFile(name), ts.Getenv)
		ts.Check(os.WriteFile(ts.MkAbs(name), []byte(text), 0o644))
	}
}
