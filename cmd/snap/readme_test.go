package main

import (
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
)

const (
	readme = "../../README.md"
	demo   = "../../docs/demo.sh"
)

// asked is what the demo adds to a command of the README that asks a person.
const asked = " --yes"

// TestReadmeIsWhatTheDemoTypes makes sure that what the README tells to type on the backup server is typed in the demo, word by
// word and in that order, and that the configuration is the same.
func TestReadmeIsWhatTheDemoTypes(t *testing.T) {
	text, err := os.ReadFile(demo)
	if err != nil {
		t.Fatal(err)
	}
	rest := string(text)
	next := func(part string) {
		t.Helper()
		_, after, ok := strings.Cut(rest, part)
		if !ok {
			t.Errorf("the demo does not have, or not in this order:\n%s", part)
			return
		}
		rest = after
	}
	files, err := blocks(readme, fileBlock)
	if err != nil || len(files) != 1 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	commands, err := blocks(readme, guideBlock)
	if err != nil || len(commands) != 5 {
		t.Fatalf("%d blocks of commands, %v", len(commands), err)
	}
	for i, block := range commands {
		for line := range strings.Lines(block) {
			line = strings.TrimSuffix(line, "\n")
			if strings.HasPrefix(line, "snap source install") {
				line += asked
			}
			next("\nbackup '" + line + "'")
		}
		if i == 0 {
			next("<<'YAML'\n" + files[0] + "YAML\n")
		}
	}
}

// TestReadmeLinksLeadSomewhere looks for what the README and the list of guides refer to.
func TestReadmeLinksLeadSomewhere(t *testing.T) {
	link := regexp.MustCompile(`\]\(([^)#:]+)\)`)
	for file, dir := range map[string]string{readme: "../../", guides + "/README.md": guides + "/"} {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range link.FindAllStringSubmatch(string(text), -1) {
			if _, err := os.Stat(dir + m[1]); err != nil {
				t.Errorf("%s: %v", file, err)
			}
		}
	}
}

// TestDemo runs the demo, with two machines and real database servers.
func TestDemo(t *testing.T) {
	if testing.Short() || !haveDatabases() {
		t.Skip("needs root, PostgreSQL, MariaDB and sshd")
	}
	for _, tool := range []string{"sudo", "ip", "unshare", "nsenter", "setpriv"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skip(err)
		}
	}
	if out, err := exec.Command("unshare", "--net", "--uts", "--ipc", "--mount", "--pid", "--fork", "--mount-proc", "mount", "-t", "tmpfs", "tmpfs", "/srv").CombinedOutput(); err != nil {
		t.Skipf("no machine can be made here: %v: %s", err, out)
	}
	t.Parallel()
	dir := t.TempDir()
	cmd := exec.CommandContext(t.Context(), "bash", demo)
	cmd.Env = append(os.Environ(), "TMPDIR="+dir)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, want := range []string{"customers:      20001 of 20001\n", "orders:         5000 of 5000\n", " % of the files changed at once, and the new data does not compress", "drift since: 0 new, 0 changed, 0 gone\n"} {
		if !strings.Contains(string(out), want) {
			t.Errorf("it does not say %q", want)
		}
	}
	for _, bad := range []string{"not covered  database", "ALLOWED", "MISSING", "SILENT"} {
		if strings.Contains(string(out), bad) {
			t.Errorf("it says %q", bad)
		}
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("it left %v, %v", left, err)
	}
	if t.Failed() {
		t.Logf("%s", out)
	}
}
