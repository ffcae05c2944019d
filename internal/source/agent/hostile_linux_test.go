package agent_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/snapkeep/snap/internal/agenttest"
	"github.com/snapkeep/snap/internal/keyring"
	"github.com/snapkeep/snap/internal/memorytest"
	"github.com/snapkeep/snap/internal/source/agent"
	localstore "github.com/snapkeep/snap/internal/store/local"
	"github.com/snapkeep/snap/repo"
)

// liar returns how to reach an agent in this process.
func liar(t testing.TB, a *agenttest.Agent) agent.Dial {
	t.Helper()
	var wg sync.WaitGroup
	t.Cleanup(wg.Wait)
	return func(context.Context) (io.ReadWriteCloser, error) {
		here, there := net.Pipe()
		wg.Go(func() { a.Serve(there) })
		t.Cleanup(func() { here.Close() })
		return here, nil
	}
}

// outcome is what has come of a pull.
type outcome struct {
	res      *repo.BackupResult
	problems []string
	err      error
}

// patient lets a slow machine take its time, where a test does not say how long an agent may be silent.
func patient(l *agent.Limits) {
	l.Idle, l.Stall = cmp.Or(l.Idle, time.Hour), cmp.Or(l.Stall, time.Hour)
}

// attempt pulls /data from an agent.
func attempt(t testing.TB, r *repo.Repo, a *agenttest.Agent, name, stream string, o agent.Options) (out outcome) {
	t.Helper()
	if a.Tree == nil {
		a.Tree = honestTree()
	}
	var err error
	if o.Files, o.Database, err = r.SourceChunkers(name); err != nil {
		t.Fatal(err)
	}
	o.Roots, o.Backoff = []string{"/data"}, time.Millisecond
	patient(&o.Limits)
	s := agent.New(liar(t, a), o)
	defer s.Close()
	src := repo.Source(s)
	if stream != "" {
		streams, err := repo.FromStreams(s.Stream(stream))
		if err != nil {
			t.Fatal(err)
		}
		src = repo.Merge(s, streams)
	}
	var mu sync.Mutex
	out.res, out.err = r.Backup(t.Context(), repo.BackupOptions{Source: src, SourceName: name, AllowEmpty: true, Problem: func(p repo.Problem) {
		mu.Lock()
		defer mu.Unlock()
		out.problems = append(out.problems, p.Path+": "+p.Err.Error())
	}})
	return out
}

// yardFolder names the environment variable that makes this test program the server that is attacked: the folder in which it works.
const yardFolder = "SNAP_TEST_YARD"

// memoryLimit in bytes is what the server has.
const memoryLimit = 768 << 20

// peakLine is how the server tells what memory it took.
const (
	peakBegins = "the peak in bytes is "
	peakLine   = peakBegins + "%d"
)

// TestHostileAgents pulls from agents that lie, in a process whose memory is limited. While it does, another source is pulled into the
// same repository. The process may write in its repository, its state and its cache, and nowhere else.
func TestHostileAgents(t *testing.T) {
	if yard := os.Getenv(yardFolder); yard != "" {
		attackAll(t, vaultIn(t, yard))
		t.Logf(peakLine, memorytest.Peak(t, os.Getpid()))
		return
	}
	yard := t.TempDir()
	for _, name := range []string{"tmp", "home", "outside"} {
		if err := os.Mkdir(filepath.Join(yard, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	group := ""
	if !raceDetector {
		group = limitedGroup(t)
	}
	cmd := exec.CommandContext(t.Context(), "sh", "-c", `[ -z "$0" ] || echo $$ >"$0/cgroup.procs"; exec "$@"`, group, exe, "-test.v", "-test.timeout=25m", "-test.run=^TestHostileAgents$")
	cmd.Dir = filepath.Join(yard, "home")
	// The collector works as in `snap pull`.
	cmd.Env = append(os.Environ(), yardFolder+"="+yard, "TMPDIR="+yard+"/tmp", "HOME="+yard+"/home", "GOGC=50")
	if !raceDetector {
		cmd.Env = append(cmd.Env, "GOMEMLIMIT=80MiB")
	}
	out, err := cmd.CombinedOutput()
	for line := range strings.Lines(string(out)) {
		if line = strings.TrimRight(line, "\n"); strings.Contains(line, "---") || err != nil || strings.Contains(line, "_test.go:") {
			t.Log(line)
		}
	}
	if err != nil {
		t.Fatalf("the server: %v", err)
	}
	var peak int64 // of the process itself: what the system says of a child begins with what its parent had
	if _, said, _ := strings.Cut(string(out), peakBegins); said == "" {
		t.Fatal("the server does not say how much memory it took")
	} else if _, err := fmt.Sscan(said, &peak); err != nil {
		t.Fatal(err)
	}
	t.Logf("%d attacks, at most %d MiB of memory", strings.Count(string(out), "--- PASS: TestHostileAgents/"), peak>>20)
	if peak > memoryLimit && !raceDetector {
		t.Errorf("the server took %d MiB", peak>>20)
	}
	for _, name := range []string{"tmp", "home", "outside"} {
		if left, err := os.ReadDir(filepath.Join(yard, name)); err != nil || len(left) > 0 {
			t.Errorf("%s holds %v, %v", name, left, err)
		}
	}
	all, err := os.ReadDir(yard)
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range all {
		if !slices.Contains([]string{"repository", "state", "cache", "tmp", "home", "outside"}, x.Name()) {
			t.Errorf("%q was written", x.Name())
		}
	}
}

// limitedGroup makes a control group with the memory limit and returns its folder, or nothing where there can be none: then the peak that
// is measured has to do.
func limitedGroup(t *testing.T) string {
	t.Helper()
	for _, root := range []struct{ dir, limit string }{{"/sys/fs/cgroup/memory", "memory.limit_in_bytes"}, {"/sys/fs/cgroup", "memory.max"}} {
		dir := filepath.Join(root.dir, fmt.Sprintf("snap-test-%d", os.Getpid()))
		if os.Mkdir(dir, 0o755) != nil {
			continue
		}
		t.Cleanup(func() { os.Remove(dir) })
		if err := os.WriteFile(filepath.Join(dir, root.limit), fmt.Append(nil, memoryLimit), 0o644); err != nil {
			t.Logf("no memory limit: %v", err)
			continue
		}
		t.Logf("limited by %s", filepath.Join(root.dir, root.limit))
		return dir
	}
	return ""
}

// vaultIn is a repository on disk, with a folder for its state and one for its cache.
func vaultIn(t *testing.T, yard string) *repo.Repo {
	t.Helper()
	to, err := keyring.ForPassphrase("p", keyring.PassphraseOptions{Cost: 10, AllowWeak: true})
	if err != nil {
		t.Fatal(err)
	}
	store, err := localstore.Create(filepath.Join(yard, "repository"), localstore.Options{})
	if err != nil {
		t.Fatal(err)
	}
	r, err := repo.Create(t.Context(), store, to, repo.CreateOptions{Options: repo.Options{StateDir: filepath.Join(yard, "state"), CacheDir: filepath.Join(yard, "cache")}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return r
}

func attackAll(t *testing.T, r *repo.Repo) {
	// What the hash of "another source's data" is of.
	other := agenttest.Agent{Tree: agenttest.Tree{"data/secret": {Data: noise(99, 20_000)}}}
	if out := attempt(t, r, &other, "other", "", agent.Options{}); out.err != nil {
		t.Fatal(out.err)
	}
	for _, a := range attacks() {
		t.Run(a.name, func(t *testing.T) {
			if a.waits {
				synctest.Test(t, func(t *testing.T) { a.run(t, vault(t)) })
				return
			}
			a.run(t, r)
		})
	}
}

// run pulls from the agent that lies, and from one that does not at the same time.
func (a *attack) run(t *testing.T, r *repo.Repo) {
	t.Helper()
	if a.before != nil {
		if out := attempt(t, r, &agenttest.Agent{Tree: a.before}, a.name, "", agent.Options{}); out.err != nil {
			t.Fatal(out.err)
		}
	}
	var well outcome
	var wg sync.WaitGroup
	wg.Go(func() { well = attempt(t, r, &agenttest.Agent{}, "well", "", agent.Options{}) })
	out := attempt(t, r, a.liar, a.name, a.stream, a.o)
	wg.Wait()
	if well.err != nil || len(well.problems) > 0 {
		t.Errorf("the other source: %v, %q", well.err, well.problems)
	}
	a.judge(t, r, out)
}

func (a *attack) judge(t *testing.T, r *repo.Repo, out outcome) {
	t.Helper()
	if a.says != "" {
		if out.err == nil || (a.err != nil && !errors.Is(out.err, a.err)) || !strings.Contains(out.err.Error(), a.says) {
			t.Fatalf("error %.500v, want %v and %q", out.err, a.err, a.says)
		}
		t.Logf("%.200v", out.err)
		return
	}
	if out.err != nil {
		t.Fatal(out.err)
	}
	if (len(out.problems) > 0) != (a.problem != "") {
		t.Errorf("problems %.300q", out.problems)
	}
	for _, p := range out.problems {
		if !strings.Contains(p, a.problem) || len(p) > 80<<10 {
			t.Errorf("problem %.500q", p)
		}
	}
	got := map[string]*repo.Entry{}
	err := r.Walk(t.Context(), out.res.Snapshot, "", func(dir string, entries []repo.Entry) error {
		for i := range entries {
			got[strings.TrimPrefix(dir+"/"+entries[i].Name, "/")] = &entries[i]
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for p, x := range got {
		if p != "data" && !strings.HasPrefix(p, "data/") || strings.Contains(x.Name, "/") {
			t.Errorf("%q is in the snapshot", p)
		}
	}
	if text := contentOf(t, r, got["data/good"]); text != "good" && !a.bare {
		t.Errorf("the good file has %q", text)
	}
	if x := got["data/victim"]; a.gone && x != nil && len(x.Parts) > 0 {
		t.Errorf("the file was read: %+v", x)
	}
	if a.check != nil {
		a.check(t, r, got)
	}
}

func contentOf(t *testing.T, r *repo.Repo, x *repo.Entry) string {
	t.Helper()
	if x == nil {
		return "nothing"
	}
	f, err := r.OpenEntry(t.Context(), x)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(io.NewSectionReader(f, 0, x.Size))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
