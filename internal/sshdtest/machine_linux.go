package sshdtest

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// machineFolders are those that are a machine's own: what is changed in them stays in it.
var machineFolders = []string{"/etc", "/usr/local", "/var/lib", "/root", "/home"}

// NewMachine makes a machine of a kind: its /etc, /usr/local, /var/lib, /root and /home begin as those of this one, and
// what is changed in them is seen in it only. It has a host name of its own. A server whose Options.Inside is the result runs
// in it. The machine ends with the test, which is skipped where it cannot be made.
func NewMachine(t testing.TB, name string) (inside []string) {
	t.Helper()
	for _, program := range []string{"unshare", "nsenter"} {
		if _, err := exec.LookPath(program); err != nil || os.Getuid() != 0 {
			t.Skipf("needs root and %s: %v", program, err)
		}
	}
	dir := t.TempDir()
	var script strings.Builder
	script.WriteString("set -e\n")
	for i, folder := range machineFolders {
		upper, work := filepath.Join(dir, "upper"+strconv.Itoa(i)), filepath.Join(dir, "work"+strconv.Itoa(i))
		fmt.Fprintf(&script, "mkdir -p %s %s\nmount -t overlay overlay -o lowerdir=%s,upperdir=%s,workdir=%s %s\n", upper, work, folder, upper, work, folder)
	}
	fmt.Fprintf(&script, "hostname %s\necho ready\nexec sleep 100000\n", name)
	cmd := exec.Command("unshare", "--mount", "--uts", "--propagation", "private", "sh", "-c", script.String())
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	said := &strings.Builder{}
	cmd.Stderr = said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait() // it was killed
	})
	if line, _ := bufio.NewReader(out).ReadString('\n'); line != "ready\n" {
		t.Skipf("a machine cannot be made here: %s", said)
	}
	return []string{"nsenter", "--target", strconv.Itoa(cmd.Process.Pid), "--mount", "--uts", "--"}
}
