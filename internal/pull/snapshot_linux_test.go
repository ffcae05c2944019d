package pull_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/snapkeep/snap/internal/looptest"
	"github.com/snapkeep/snap/internal/pull"
	"github.com/snapkeep/snap/repo"
)

// btrfs mounts a fresh file system, or skips the test, and returns a subvolume of it.
func btrfs(t *testing.T) string {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("needs root")
	}
	dir := t.TempDir()
	disk, at := dir+"/disk", dir+"/mount"
	run := func(command ...string) {
		if out, err := exec.Command(command[0], command[1:]...).CombinedOutput(); err != nil {
			t.Skipf("no Btrfs: %q: %v: %s", command, err, out)
		}
	}
	run("truncate", "-s", "128M", disk)
	run("mkfs.btrfs", "-q", disk)
	run("mkdir", at)
	device, detach := looptest.Attach(t, disk, false)
	t.Cleanup(detach)
	run("mount", device, at)
	t.Cleanup(func() {
		// A command that was killed may hold it for a moment.
		for range 3000 {
			if exec.Command("umount", at).Run() == nil {
				return
			}
			time.Sleep(100 * time.Millisecond)
		}
		t.Errorf("%s is still in use", at)
	})
	if out, err := exec.Command("btrfs", "subvolume", "create", at+"/srv").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return at + "/srv"
}

// TestSnapshotOfTheFileSystem pulls the state that a snapshot froze. It goes however the pull ends.
func TestSnapshotOfTheFileSystem(t *testing.T) {
	t.Parallel()
	srv := btrfs(t)
	// What is written behind the snapshot is not in it.
	freeze := "btrfs subvolume snapshot -r SRV SRV/.snap-pull && echo later > SRV/file"
	s := newSite(t, strings.ReplaceAll(`roots: [SRV/.snap-pull]
snapshots:
  srv: {create: [sh, -c, "`+freeze+`"], remove: [btrfs, subvolume, delete, SRV/.snap-pull]}
  fails: {create: [sh, -c, "echo no space >&2; exit 5"], remove: ["false"]}
streams:
  kills.sql: {command: [sh, -c, "kill -9 $PPID; sleep 60"]}
  slow.sql: {command: [sh, -c, "echo some; exec sleep 1000"]}
  stays: {command: [ls, SRV/.snap-pull]}
`, "SRV", srv))
	gone := func(name string) {
		t.Helper()
		for end := time.Now().Add(10 * time.Minute); ; time.Sleep(50 * time.Millisecond) {
			if _, err := os.Lstat(srv + "/.snap-pull"); os.IsNotExist(err) {
				return
			}
			if time.Now().After(end) {
				t.Fatalf("%s: the snapshot of the file system is still there", name)
			}
		}
	}
	r := vault(t, repo.CreateOptions{})
	fields := "paths: [" + srv + "/.snap-pull]\nsnapshots: [srv]\n"
	for _, test := range []struct{ name, fields, says string }{
		{"the agent is killed", fields + "streams: [{name: kills.sql}]\n", ""},
		{"the pull takes too long", fields + "streams: [{name: slow.sql}]\nlimits: {time: 3s}", pull.ErrTimeout.Error()},
		{"a second snapshot fails", strings.Replace(fields, "[srv]", "[srv, fails]", 1), `exit status 5: "no space"`},
		{"not in the policy", strings.Replace(fields, "[srv]", "[srv, other]", 1), `no stream "other"`},
	} {
		for seconds := 3; ; seconds *= 3 {
			write(t, srv+"/file", "before")
			res := one(t, r, s.source(t, strings.Replace(test.fields, "time: 3s", fmt.Sprintf("time: %ds", seconds), 1)))
			if res.Err == nil || !strings.Contains(res.Err.Error(), test.says) {
				t.Errorf("%s: %v, want %q", test.name, res.Err, test.says)
			}
			gone(test.name)
			data, err := os.ReadFile(srv + "/file")
			if err == nil && string(data) == "later\n" {
				break
			}
			if !strings.Contains(test.fields, "time: 3s") || seconds > 600 { // a machine that has not begun within the time is given more
				t.Errorf("%s: no snapshot was made: %q, %v", test.name, data, err)
				break
			}
		}
	}
	if n := count(t, r); n != 0 {
		t.Errorf("%d snapshots of pulls that failed", n)
	}

	// One that a machine which lost its power has left is in the way, and goes.
	if out, err := exec.Command("btrfs", "subvolume", "snapshot", "-r", srv, srv+"/.snap-pull").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for range 2 {
		write(t, srv+"/file", "before")
		res := one(t, r, s.source(t, fields+"streams: [{name: stays}]\n"))
		if res.Err != nil || res.Partial {
			t.Fatalf("%+v", res)
		}
		gone("all is well")
		path := strings.TrimPrefix(filepath.Join(srv, ".snap-pull", "file"), "/")
		if got := content(t, r, res.Snapshot, path); got != "before" {
			t.Errorf("pulled %q", got)
		}
		if got := content(t, r, res.Snapshot, "stays"); got != "file\n" {
			t.Errorf("while it was pulled there was %q", got)
		}
	}
}

// TestSnapshotThatStays: what cannot be removed is told, and does not cost the snapshot.
func TestSnapshotThatStays(t *testing.T) {
	t.Parallel()
	s := newSite(t, "roots: [ROOT]\nsnapshots:\n  stuck: {create: [\"true\"], remove: [sh, -c, \"echo in use >&2; exit 1\"]}\n"+
		"  slow: {create: [sleep, \"1000\"], remove: [\"true\"], timeout_seconds: 1}\n")
	r := vault(t, repo.CreateOptions{})
	res := one(t, r, s.source(t, "paths: [ROOT]\nsnapshots: [stuck]"))
	if res.Err != nil || res.Snapshot == nil || !res.Partial || len(res.Problems) != 1 || !strings.Contains(res.Problems[0], `snapshot "stuck" is still there: command "sh": exit status 1: "in use"`) {
		t.Errorf("%+v", res)
	}
	res = one(t, r, s.source(t, "paths: [ROOT]\nsnapshots: [slow]"))
	if res.Err == nil || !strings.Contains(res.Err.Error(), `"sleep" took more than 1s`) {
		t.Errorf("a command that takes too long: %v", res.Err)
	}
	policy, err := os.Open(s.policy)
	if err != nil {
		t.Fatal(err)
	}
	defer policy.Close()
	if err := syscall.Flock(int(policy.Fd()), syscall.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	res = one(t, r, s.source(t, "paths: [ROOT]\nsnapshots: [stuck]"))
	if res.Err == nil || !strings.Contains(res.Err.Error(), "another pull has made snapshots here") {
		t.Errorf("while another pull has snapshots: %v", res.Err)
	}
}
