package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

const guides = "../../docs/guides"

var (
	guideBlock = regexp.MustCompile("(?ms)^```sh\n(.*?)^```$")
	fileBlock  = regexp.MustCompile("(?ms)^```yaml\n(.*?)^```$")
	guideLine  = regexp.MustCompile(`(?m)^guide (\S+) ([0-9]+)`)
	exportLine = regexp.MustCompile(`(?m)^export .*$`)
)

// blocks returns the parts of a guide that are fenced alike: commands, or files.
func blocks(guide string, fence *regexp.Regexp) ([]string, error) {
	text, err := os.ReadFile(guide)
	if err != nil {
		return nil, err
	}
	var out []string
	for _, m := range fence.FindAllStringSubmatch(string(text), -1) {
		out = append(out, m[1])
	}
	return out, nil
}

// TestGuides follows each guide for users to the end, with the commands as they are written there. The scripts make the trouble
// that the guides are about, and look at what comes out.
func TestGuides(t *testing.T) {
	dir, err := filepath.Abs(guides)
	if err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/guides",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(e *testscript.Env) error {
			e.Setenv("HOME", filepath.Join(e.WorkDir, "home"))
			e.Setenv("TZ", "UTC")
			return nil
		},
		Condition: func(cond string) (bool, error) {
			switch cond {
			case "databases":
				return haveDatabases(), nil
			case "btrfs":
				return haveBtrfs(), nil
			}
			return false, fmt.Errorf("unknown condition %q", cond)
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"guide": func(ts *testscript.TestScript, neg bool, args []string) {
				guideCommand(ts, neg, dir, strings.NewReplacer(), args)
			},
			"guidefile": func(ts *testscript.TestScript, neg bool, args []string) { guideFileCommand(ts, dir, args) },
			"databases": databasesCommand(t),
			"btrfs":     btrfsCommand(t),
			"exit":      exitCommand,
			"machine":   machineCommand(t),
		},
	})
}

// guideCommand is `guide FILE N [CODE]`: the N-th commands of a guide, in the home folder, have to end with the exit code. What earlier ones
// exported is there. What the reader has to put in place of an example is replaced.
func guideCommand(ts *testscript.TestScript, neg bool, dir string, replace *strings.Replacer, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: guide file number [code]")
	}
	all, err := blocks(filepath.Join(dir, args[0]), guideBlock)
	ts.Check(err)
	n, err := strconv.Atoi(args[1])
	ts.Check(err)
	if n < 1 || n > len(all) {
		ts.Fatalf("%s has %d commands", args[0], len(all))
	}
	want := "0"
	if len(args) > 2 {
		want = args[2]
	}
	exports := exportLine.FindAllString(strings.Join(all[:n-1], ""), -1)
	script := replace.Replace(fmt.Sprintf("cd && %s\nset -e\n%s", strings.Join(append(exports, "true"), "\n"), all[n-1]))
	ts.Logf("%s", all[n-1])
	err = ts.Exec("sh", "-c", `want=$1; sh -c "$2"; got=$?; [ $got = $want ] || { echo "exit code $got, want $want" >&2; exit 99; }`, "sh", want, script)
	if err != nil {
		ts.Fatalf("%v\n%s%s", err, ts.ReadFile("stdout"), ts.ReadFile("stderr"))
	}
}

// guideFileCommand is `guidefile FILE N NAME`: the N-th file of a guide is written to a place.
func guideFileCommand(ts *testscript.TestScript, dir string, args []string) {
	if len(args) != 3 {
		ts.Fatalf("usage: guidefile file number name")
	}
	all, err := blocks(filepath.Join(dir, args[0]), fileBlock)
	ts.Check(err)
	n, err := strconv.Atoi(args[1])
	ts.Check(err)
	if n < 1 || n > len(all) {
		ts.Fatalf("%s has %d files", args[0], len(all))
	}
	name := ts.MkAbs(args[2])
	ts.Check(os.MkdirAll(filepath.Dir(name), 0o755))
	ts.Check(os.WriteFile(name, []byte(all[n-1]), 0o644))
}

// TestGuidesAreTried makes sure that no command of a guide is left out.
func TestGuidesAreTried(t *testing.T) {
	files, err := filepath.Glob(guides + "/*.md")
	if err != nil || len(files) == 0 {
		t.Fatalf("no guides: %v", err)
	}
	for _, file := range files {
		if filepath.Base(file) == "README.md" {
			continue
		}
		all, err := blocks(file, guideBlock)
		if err != nil || len(all) == 0 {
			t.Errorf("%s: %d commands, %v", file, len(all), err)
		}
		name := strings.TrimSuffix(filepath.Base(file), ".md")
		scripts, err := filepath.Glob("testdata/*guides/" + strings.ReplaceAll(name, "-", "_") + ".txtar")
		if err != nil || len(scripts) != 1 {
			t.Errorf("%s has no script: %q, %v", file, scripts, err)
			continue
		}
		script, err := os.ReadFile(scripts[0])
		if err != nil {
			t.Error(err)
			continue
		}
		tried := map[string]bool{}
		for _, m := range guideLine.FindAllStringSubmatch(string(script), -1) {
			tried[m[1]+" "+m[2]] = true
		}
		for n := range all {
			if !tried[fmt.Sprintf("%s.md %d", name, n+1)] {
				t.Errorf("%s: nobody tries\n%s", file, all[n])
			}
		}
	}
}

// TestFullDisk gives space back on a disk without a free block.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	disk := filepath.Join(s.dir, "disk")
	if err := os.Mkdir(disk, 0o755); err != nil {
		t.Fatal(err)
	}
	mountTemp(t, disk, "size=4m")
	place := []string{"-r", disk + "/repo", "--identity-file", s.dir + "/config/snap/key"}
	do := func(args ...string) (code int, stdout, stderr string) {
		t.Helper()
		return call(t, s.env, append(args, place...)...)
	}
	must := func(args ...string) string {
		t.Helper()
		code, stdout, stderr := do(args...)
		if code != 0 {
			t.Fatalf("%q: exit code %d: %s", args, code, stderr)
		}
		return stdout
	}
	must("init")
	for i := range 3 {
		x := uint32(i)
		noise := make([]byte, 600_000)
		for k := range noise {
			x = x*1664525 + 1013904223
			noise[k] = byte(x >> 24)
		}
		write(t, s.docs+"/noise", string(noise))
		must("backup", s.docs)
	}
	fill, err := os.Create(disk + "/fill")
	if err != nil {
		t.Fatal(err)
	}
	for err == nil {
		_, err = fill.Write(make([]byte, 4096))
	}
	fill.Close()

	code, _, stderr := do("forget", "--keep-last", "1")
	if code != exitNoSpace || !strings.Contains(stderr, "add --now --prune --max-repack-size 0") {
		t.Errorf("forget: exit code %d: %s", code, stderr)
	}
	if out := must("space"); !strings.Contains(out, "needed by 3 snapshots") {
		t.Errorf("space: %s", out)
	}
	if out := must("forget", "--keep-last", "1", "--now", "--prune", "--max-repack-size", "0"); strings.Contains(out, "freed 0 B") {
		t.Errorf("forget: %s", out)
	}
	must("prune", "--now", "--max-unused", "0%") // now there is space to rewrite in
	if out := must("space"); !strings.Contains(out, "needed by 1 snapshot\n") || strings.Contains(out, "unused") {
		t.Errorf("space: %s", out)
	}
	must("check", "--read-data")
	write(t, s.docs+"/more", strings.Repeat("more ", 1000))
	must("backup", s.docs)
}
