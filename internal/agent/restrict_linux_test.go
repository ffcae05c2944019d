package agent

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/snapkeep/snap/internal/protocol"
	"golang.org/x/sys/unix"
)

// writes are ways to change a file system. dir has a file, a folder and a folder "allowed".
var writes = []struct {
	what string
	do   func(dir string) error
}{
	{"create a file", func(d string) error { return os.WriteFile(d+"/new", nil, 0o600) }},
	{"write a file", func(d string) error {
		f, err := os.OpenFile(d+"/file", os.O_WRONLY, 0)
		if err == nil {
			f.Close()
		}
		return err
	}},
	{"append to a file", func(d string) error {
		f, err := os.OpenFile(d+"/file", os.O_RDWR|os.O_APPEND, 0)
		if err == nil {
			f.Close()
		}
		return err
	}},
	{"truncate a file", func(d string) error { return os.Truncate(d+"/file", 0) }},
	{"remove a file", func(d string) error { return os.Remove(d + "/file") }},
	{"remove a folder", func(d string) error { return os.Remove(d + "/folder") }},
	{"rename a file", func(d string) error { return os.Rename(d+"/file", d+"/other") }},
	{"make a folder", func(d string) error { return os.Mkdir(d+"/newdir", 0o700) }},
	{"make a link", func(d string) error { return os.Symlink("x", d+"/newlink") }},
	{"make a hard link", func(d string) error { return os.Link(d+"/file", d+"/hard") }},
	{"make a pipe", func(d string) error { return unix.Mkfifo(d+"/pipe", 0o600) }},
	{"make a temporary file", func(string) error {
		f, err := os.CreateTemp("", "x")
		if err == nil {
			os.Remove(f.Name())
		}
		return err
	}},
	{"have a command write", func(d string) error { return exec.Command("sh", "-c", "echo x >"+d+"/by-command").Run() }},
}

// tryToWrite tells for each way whether it works, on several threads, and what the kernel says of all of them.
func tryToWrite(dir string) error {
	var mu sync.Mutex
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			runtime.LockOSThread() // and ends with it
			for _, w := range writes {
				err := w.do(dir)
				mu.Lock()
				fmt.Printf("%s: %t\n", w.what, err == nil)
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	fmt.Printf("write where it is allowed: %t\n", os.WriteFile(dir+"/allowed/new", nil, 0o600) == nil)
	fmt.Printf("write to /dev/null: %t\n", os.WriteFile("/dev/null", []byte("x"), 0) == nil)
	tasks, err := filepath.Glob("/proc/self/task/*/status")
	for _, task := range tasks {
		status, _ := os.ReadFile(task) // a thread that ended
		if _, after, ok := strings.Cut(string(status), "NoNewPrivs:\t"); ok {
			fmt.Printf("no new privileges: %t\n", after[0] == '1')
		}
	}
	return err
}

// outcomes runs a child that tries to write under a policy, and returns for each way all outcomes.
func outcomes(t *testing.T, policy string, dir string) map[string][]string {
	t.Helper()
	c := startChild(t, policy, childTries+"="+dir, "TMPDIR="+dir)
	all := map[string][]string{}
	lines := bufio.NewScanner(c.stdout)
	for lines.Scan() {
		what, outcome, _ := strings.Cut(lines.Text(), ": ")
		all[what] = append(all[what], outcome)
	}
	if err := c.wait(); err != nil {
		t.Fatalf("%v: %s", err, c.stderr)
	}
	return all
}

func needsLandlock(t *testing.T) {
	t.Helper()
	if version, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, 0, 0, unix.LANDLOCK_CREATE_RULESET_VERSION); errno != 0 || version < 3 {
		t.Skipf("this kernel has Landlock of version %d (%v), 3 is needed", int(version), errno)
	}
}

func TestAgentCannotWrite(t *testing.T) {
	needsLandlock(t)
	dir := t.TempDir()
	build(t, dir, "file=content", "folder/", "allowed/")
	got := outcomes(t, "roots: ["+dir+"]\nwritable: ["+dir+"/allowed]\n", dir)
	for _, w := range writes {
		if o := got[w.what]; len(o) != 4 || slices.Contains(o, "true") {
			t.Errorf("%s: %v", w.what, o)
		}
	}
	for what, want := range map[string]string{"write where it is allowed": "true", "write to /dev/null": "true", "no new privileges": "true"} {
		if o := got[what]; len(o) == 0 || slices.ContainsFunc(o, func(s string) bool { return s != want }) {
			t.Errorf("%s: %v, want %s", what, o, want)
		}
	}
	if content, err := os.ReadFile(dir + "/file"); string(content) != "content" {
		t.Errorf("the file holds %q, %v", content, err)
	}
}

// TestWritesWorkWithoutRestriction shows that the tries are ones that would work.
func TestWritesWorkWithoutRestriction(t *testing.T) {
	for _, w := range writes {
		dir := t.TempDir()
		t.Setenv("TMPDIR", dir)
		build(t, dir, "file=content", "folder/")
		if err := w.do(dir); err != nil {
			t.Errorf("%s: %v", w.what, err)
		}
	}
}

func TestAgentTellsWhatIsEnforced(t *testing.T) {
	needsLandlock(t)
	for policy, want := range map[string]string{"roots: [/etc]\n": "[no-new-privs landlock]", "roots: [/etc]\nnew_privileges: true\n": "[]"} {
		c := startChild(t, policy)
		if got := fmt.Sprint(c.hello().Enforced); got != want {
			t.Errorf("%q: %s, want %s", policy, got, want)
		}
		c.w.Close()
		if err := c.wait(); err != nil {
			t.Errorf("%q: %v: %s", policy, err, c.stderr)
		}
	}
}

// TestCommandsOfAStreamCannotWrite has a command of the policy write.
func TestCommandsOfAStreamCannotWrite(t *testing.T) {
	needsLandlock(t)
	dir := t.TempDir()
	build(t, dir, "allowed/")
	c := startChild(t, fmt.Sprintf("streams:\n  bad: {command: [sh, -c, 'echo x > %[1]s/new; echo y']}\n  good: {command: [sh, -c, 'echo x > %[1]s/allowed/new; echo y']}\nwritable: [%[1]s/allowed]\n", dir))
	c.hello()
	for _, name := range []string{"bad", "good"} {
		data, err := c.stream(name)
		if string(data) != "y\n" || err != nil {
			t.Errorf("%s: %q, %v", name, data, err)
		}
	}
	if _, err := os.Stat(dir + "/new"); err == nil {
		t.Error("a command wrote")
	}
	if _, err := os.Stat(dir + "/allowed/new"); err != nil {
		t.Errorf("a command could not write where it may: %v", err)
	}
}

// stream reads a stream to its end.
func (c *client) stream(name string) (all []byte, err error) {
	c.t.Helper()
	b, err := c.ask(protocol.StreamStart, &protocol.StreamStartRequest{Name: name})
	if err != nil {
		return nil, err
	}
	h, err := protocol.ParseStreamHandle(b)
	if err != nil {
		c.t.Fatal(err)
	}
	for {
		b, err := c.ask(protocol.StreamNext, &protocol.StreamNextRequest{Handle: h.Handle, Offset: int64(len(all)), Most: protocol.MaxStreamPiece})
		if err != nil {
			return all, err
		}
		p, err := protocol.ParseStreamPiece(b)
		if err != nil {
			c.t.Fatal(err)
		}
		if all = append(all, p.Data...); p.End {
			return all, nil
		}
	}
}

// state tells all of a tree that a stat shows, access times too.
func state(t testing.TB, root string) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(root, func(path string, _ os.DirEntry, err error) error {
		var st unix.Stat_t
		if err == nil {
			err = unix.Lstat(path, &st)
		}
		all[path] = fmt.Sprint(st.Ino, st.Mode, st.Nlink, st.Uid, st.Size, st.Mtim, st.Ctim)
		if st.Mode&unix.S_IFMT == unix.S_IFREG { // listing a folder for this test is an access
			all[path] += fmt.Sprint(st.Atim)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// TestAgentLeavesNothing reads all there is and compares the files before and after.
func TestAgentLeavesNothing(t *testing.T) {
	dir, temp := t.TempDir(), t.TempDir()
	build(t, dir, "file="+strings.Repeat("x", 3<<20), "folder/sub/file=y", "link->file", "empty/")
	before := state(t, dir)
	c := startChild(t, "roots: ["+dir+"]\nstreams:\n  a: {command: [echo, hello]}\n", "TMPDIR="+temp, "HOME="+temp)
	c.hello()
	if bad, err := c.begin(protocol.BeginRequest{Roots: []string{dir}}); len(bad) > 0 || err != nil {
		t.Fatal(bad, err)
	}
	for _, path := range []string{"", "folder", "folder/sub", "empty"} {
		if names, err := c.list(rel(dir, path)); err != nil || (path == "folder" && fmt.Sprint(names) != "[sub]") {
			t.Errorf("%q: %v, %v", path, names, err)
		}
	}
	for path, size := range map[string]int{"file": 3 << 20, "folder/sub/file": 1} {
		if content, err := c.read(rel(dir, path)); err != nil || len(content) != size {
			t.Errorf("%q: %d bytes, %v", path, len(content), err)
		}
	}
	if _, err := c.ask(protocol.Hash, &protocol.HashRequest{Paths: []string{rel(dir, "file")}}); err != nil {
		t.Error(err)
	}
	if data, err := c.stream("a"); string(data) != "hello\n" || err != nil {
		t.Errorf("%q, %v", data, err)
	}
	if _, err := c.ask(protocol.Inventory, raw(nil)); err != nil {
		t.Error(err)
	}
	c.w.Close()
	if err := c.wait(); err != nil {
		t.Errorf("%v: %s", err, c.stderr)
	}
	if got := state(t, dir); fmt.Sprint(got) != fmt.Sprint(before) {
		t.Errorf("before %v, after %v", before, got)
	}
	if left, err := os.ReadDir(temp); len(left) > 0 || err != nil {
		t.Errorf("left behind: %v, %v", left, err)
	}
}
