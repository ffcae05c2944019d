package pull_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/snapkeep/snap/internal/config"
	"github.com/snapkeep/snap/internal/guard"
	"github.com/snapkeep/snap/internal/pull"
	"github.com/snapkeep/snap/internal/snapshot"
	"github.com/snapkeep/snap/repo"
)

// texts fills a folder with 80 files of text.
func texts(t *testing.T, dir string) {
	t.Helper()
	for i := range 80 {
		var b strings.Builder
		for line := range 60 {
			fmt.Fprintf(&b, "line %d of file %d: %d\n", line, i, i*line*7919)
		}
		write(t, filepath.Join(dir, fmt.Sprintf("%d.txt", i)), b.String())
	}
}

// encrypt puts noise in place of each file's content, and the suffix behind its name.
func encrypt(t *testing.T, dir, suffix string) {
	t.Helper()
	names, err := filepath.Glob(dir + "/*")
	if err != nil {
		t.Fatal(err)
	}
	noise := rand.NewChaCha8([32]byte{7})
	for _, name := range names {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = noise.Read(data) // never fails
		write(t, name, string(data))
		if err := os.Rename(name, name+suffix); err != nil {
			t.Fatal(err)
		}
	}
}

// TestEncryptedSourceIsHeld: files that somebody encrypts trip a guard in a real pull, with the figures that the repository counts, on that day and
// on those after it, until somebody accepts what is there.
func TestEncryptedSourceIsHeld(t *testing.T) {
	t.Parallel()
	for _, suffix := range []string{"", ".locked"} {
		dir, r := t.TempDir(), vault(t, repo.CreateOptions{})
		texts(t, dir)
		p := puller(t, r, map[string]config.Source{"x": parse(t, "transport: local\npaths: ["+dir+"]\nkeep: {last: 1}")})
		run := func(what string, want guard.Class, snapshots int) *pull.Result {
			t.Helper()
			res := p.Run(t.Context(), []string{"x"}, nil)[0]
			if res.Err != nil || res.Guard != want || count(t, r) != snapshots {
				t.Fatalf("%q, %s: guard %d, %d snapshots, %v; %q; %+v", suffix, what, res.Guard, count(t, r), res.Err, res.Why, res.Summary)
			}
			if res.Snapshot != nil && res.Snapshot.HasMark(snapshot.MarkSuspicious) != (want != guard.None) {
				t.Errorf("%q, %s: marks %q", suffix, what, res.Snapshot.Marks)
			}
			return res
		}
		run("the first", guard.None, 1)
		write(t, dir+"/0.txt", "a change")
		run("as usual", guard.None, 1)
		encrypt(t, dir, suffix)
		if res := run("encrypted", guard.Anomaly, 2); !strings.Contains(res.Why, "100 % of the files changed at once") {
			t.Errorf("%q: %s", suffix, res.Why)
		}
		run("the day after", guard.Anomaly, 3)
		p.DryRun = true
		run("a dry run", guard.Anomaly, 3)
		p.DryRun, p.Accept = false, true
		if res := run("accepted", guard.None, 3); res.Why == "" {
			t.Errorf("%q: what was accepted is not told", suffix)
		}
		p.Accept = false
		run("as usual again", guard.None, 3) // suspicious ones stay for a while
	}
}

// TestForcedPullIsNoAnomaly: if all files are read again, all count as new.
func TestForcedPullIsNoAnomaly(t *testing.T) {
	t.Parallel()
	dir, r := t.TempDir(), vault(t, repo.CreateOptions{})
	texts(t, dir)
	p := puller(t, r, map[string]config.Source{"x": parse(t, "transport: local\npaths: ["+dir+"]\nguards: {canaries: ["+dir+"/3.txt]}")})
	time.Sleep(2100 * time.Millisecond) // a file that changed later than two seconds before a snapshot is read again by the next
	for _, force := range []bool{false, true, false} {
		p.Force = force
		if res := p.Run(t.Context(), []string{"x"}, nil)[0]; res.Err != nil || res.Guard != guard.None {
			t.Errorf("force %v: %v, %q", force, res.Err, res.Why)
		}
	}
	if err := os.Remove(dir + "/3.txt"); err != nil {
		t.Fatal(err)
	}
	p.Force = true
	if res := p.Run(t.Context(), []string{"x"}, nil)[0]; res.Guard != guard.Anomaly || !strings.Contains(res.Why, "3.txt") {
		t.Errorf("a canary that is gone: %q", res.Why)
	}
}

// TestEmptyRootIsHeld: a root in which nothing is any more trips a guard beside others that are full, and after a first time in which it was empty it does not.
func TestEmptyRootIsHeld(t *testing.T) {
	t.Parallel()
	full, other, r := t.TempDir(), t.TempDir(), vault(t, repo.CreateOptions{})
	texts(t, full)
	if err := os.Mkdir(other+"/deep", 0o755); err != nil {
		t.Fatal(err)
	}
	write(t, other+"/deep/note", "a note")
	paths := "transport: local\npaths: [" + full + ", " + other + "]\n"
	p := puller(t, r, map[string]config.Source{"x": parse(t, paths)})
	run := func(what string, want guard.Class, says string) {
		t.Helper()
		if res := p.Run(t.Context(), []string{"x"}, nil)[0]; res.Err != nil || res.Guard != want || res.Why != says {
			t.Errorf("%s: guard %d, %v; %q, want %q", what, res.Guard, res.Err, res.Why, says)
		}
	}
	gone := "root empty: " + other + ", before a folder with 1 entries"
	run("the first", guard.None, "")
	run("as usual", guard.None, "")
	if err := os.RemoveAll(other + "/deep"); err != nil {
		t.Fatal(err)
	}
	run("emptied", guard.Missing, gone)
	run("the day after", guard.Missing, gone)
	p.Config.Sources["x"] = parse(t, paths+"guards: {allow_empty: true}")
	run("as is allowed", guard.None, "")
	p.Config.Sources["x"] = parse(t, paths)
	run("as it was before", guard.None, "")
}

// TestRootThatIsALink: what a link leads to does not come with it. Where a folder was before that is a reason to worry; where it never was one it
// is told, unless what it leads to is pulled as well.
func TestRootThatIsALink(t *testing.T) {
	t.Parallel()
	dir, r := t.TempDir(), vault(t, repo.CreateOptions{})
	for _, d := range []string{"a", "b", "was"} {
		if err := os.Mkdir(filepath.Join(dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(dir, d, "file"), "text of "+d)
	}
	for name, to := range map[string]string{"out": "b", "in": dir + "/a/"} {
		if err := os.Symlink(to, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	pulled := func(names ...string) *pull.Result {
		paths := make([]string, len(names))
		for i, name := range names {
			paths[i] = filepath.Join(dir, name)
		}
		return one(t, r, parse(t, "transport: local\npaths: ["+strings.Join(paths, ", ")+"]"))
	}
	if res := pulled("a", "in", "was"); res.Err != nil || res.Partial || res.Guard != guard.None {
		t.Errorf("a link to what is pulled: %+v", res)
	}
	if res := pulled("a", "was", "out"); res.Err != nil || !res.Partial || len(res.Problems) != 1 || !strings.HasPrefix(res.Problems[0], dir+"/out is a link") {
		t.Errorf("a link to elsewhere: %+v", res)
	}
	if err := os.Rename(dir+"/was", dir+"/moved"); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("moved", dir+"/was"); err != nil {
		t.Fatal(err)
	}
	if res := pulled("a", "was"); res.Err != nil || res.Guard != guard.Missing || res.Why != "root is a link: "+dir+"/was, before a folder with 1 entries" {
		t.Errorf("a link in place of a folder: %+v", res)
	}
}

// TestDumpsAreNoFiles: a dump that comes hides from nobody that all files are gone.
func TestDumpsAreNoFiles(t *testing.T) {
	t.Parallel()
	s, r := newSite(t, "roots: [ROOT]\nstreams: {dump: {command: [echo, dumped]}}"), vault(t, repo.CreateOptions{})
	c := s.source(t, "paths: [ROOT]\nstreams: [{name: dump}]")
	if res := one(t, r, c); res.Err != nil || res.Guard != guard.None {
		t.Fatalf("%v, %q", res.Err, res.Why)
	}
	if err := os.Remove(filepath.Join(s.root, "file")); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(s.root, "folder"), 0o755); err != nil {
		t.Fatal(err)
	}
	if res := one(t, r, c); res.Err != nil || res.Guard != guard.Missing || res.Why != "no file was found" {
		t.Errorf("%v, guard %d, %q", res.Err, res.Guard, res.Why)
	}
	dumps := s.source(t, "streams: [{name: dump}]")
	if res := one(t, vault(t, repo.CreateOptions{}), dumps); res.Err != nil || res.Guard != guard.None {
		t.Errorf("dumps alone: %v, %q", res.Err, res.Why)
	}
}
