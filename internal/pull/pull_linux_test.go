package pull_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/snapkeep/snap/internal/config"
	"github.com/snapkeep/snap/internal/guard"
	"github.com/snapkeep/snap/internal/pull"
	"github.com/snapkeep/snap/internal/snapshot"
	"github.com/snapkeep/snap/internal/source/agent"
	"github.com/snapkeep/snap/internal/store/mem"
	"github.com/snapkeep/snap/repo"
)

func TestDue(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	clock := now
	r := vault(t, repo.CreateOptions{Options: repo.Options{Now: func() time.Time { return clock }}})
	root := t.TempDir()
	write(t, root+"/file", "text")
	local := func(every string) config.Source {
		return parse(t, "transport: local\npaths: ["+root+"]\nevery: "+every)
	}
	sources := map[string]config.Source{"daily": local("1d"), "often": local("10m"), "marked": local("1d"), "future": local("1d"), "never": local("1d")}
	p := puller(t, r, sources)
	p.Now = func() time.Time { return clock }
	save := func(name string, at time.Time, marks ...string) {
		t.Helper()
		src, err := repo.FromLocal(repo.LocalOptions{Roots: []string{root}})
		if err != nil {
			t.Fatal(err)
		}
		_, err = r.Backup(t.Context(), repo.BackupOptions{Source: src, SourceName: name, Time: at, Check: func(s, _ *repo.Snapshot) error {
			s.Marks = append(s.Marks, marks...)
			return nil
		}})
		if err != nil {
			t.Fatal(err)
		}
	}
	save("daily", now)
	save("often", now)
	save("marked", now.Add(-25*time.Hour))
	save("marked", now, snapshot.MarkSuspicious)
	save("future", now.Add(48*time.Hour))
	save("somebody else's", now)
	for _, test := range []struct {
		after time.Duration
		want  string
	}{
		{0, "future marked never"},
		{4 * time.Minute, "future marked never"},
		{5 * time.Minute, "future marked never often"}, // half of its ten minutes
		{23*time.Hour + 44*time.Minute, "future marked never often"},
		{23*time.Hour + 45*time.Minute, "daily future marked never often"}, // a quarter of an hour early
	} {
		clock = now.Add(test.after)
		due, err := p.Due(t.Context())
		if err != nil || strings.Join(due, " ") != test.want {
			t.Errorf("after %v: %q, %v; want %q", test.after, due, err, test.want)
		}
	}
}

func TestRunIsBounded(t *testing.T) {
	t.Parallel()
	r, dir := vault(t, repo.CreateOptions{}), t.TempDir()
	write(t, dir+"/begin.sh", "mkdir -p "+dir+"/running && touch "+dir+"/running/$SNAP_SOURCE && ls "+dir+"/running | wc -l >> "+dir+"/counts; sleep 0.05")
	write(t, dir+"/end.sh", "rm "+dir+"/running/$SNAP_SOURCE")
	sources := map[string]config.Source{}
	var names []string
	for i := range 8 {
		name := "s" + strconv.Itoa(i)
		names = append(names, name)
		sources[name] = parse(t, "transport: local\npaths: ["+dir+"/begin.sh]\nhooks: {before: [sh "+dir+"/begin.sh], finally: [sh "+dir+"/end.sh]}")
	}
	sources["s3"] = parse(t, "transport: local\npaths: ["+dir+"/nowhere]")
	p := puller(t, r, sources)
	p.Config.Parallel = 2
	told := map[string]bool{}
	results := p.Run(t.Context(), append(names, "unknown"), func(r *pull.Result) { told[r.Source] = true })
	for i, res := range results {
		if bad := res.Source == "s3" || res.Source == "unknown"; (res.Err != nil) != bad || (res.Snapshot == nil) != bad || !told[res.Source] {
			t.Errorf("%s: %+v", res.Source, res)
		}
		if i < len(names) && res.Source != names[i] {
			t.Errorf("result %d is of %s", i, res.Source)
		}
	}
	counts, err := os.ReadFile(dir + "/counts")
	if err != nil || len(strings.Fields(string(counts))) != 7 {
		t.Fatalf("%q, %v", counts, err)
	}
	for _, n := range strings.Fields(string(counts)) {
		if n != "1" && n != "2" {
			t.Errorf("%s sources at a time", n)
		}
	}
}

func TestOnePullOfASourceAtATime(t *testing.T) {
	t.Parallel()
	r, dir := vault(t, repo.CreateOptions{}), t.TempDir()
	write(t, dir+"/file", "text")
	local := "transport: local\npaths: [" + dir + "/file]\n"
	inner := make(chan []*pull.Result, 1)
	p := puller(t, r, map[string]config.Source{"x": parse(t, local), "y": parse(t, local)})
	p.StateDir = filepath.Join(dir, "state")
	// While x is under way, as its hook waits, another start of both is made.
	pipe := filepath.Join(dir, "go")
	c := p.Config.Sources["x"]
	c.Hooks.Before = []config.Command{{"sh", "-c", "touch " + dir + "/begun; while ! test -e " + pipe + "; do sleep 0.02; done"}}
	outer := puller(t, r, map[string]config.Source{"x": c})
	outer.StateDir = p.StateDir
	go func() { inner <- outer.Run(context.WithoutCancel(t.Context()), []string{"x"}, nil) }()
	for {
		if _, err := os.Stat(dir + "/begun"); err == nil {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	results := p.Run(t.Context(), []string{"x", "y"}, nil)
	// A process that is just being started has all that this one has open, and lives on.
	shared := shareLock(t, p.StateDir)
	defer syscall.Close(shared)
	write(t, pipe, "")
	if !errors.Is(results[0].Err, pull.ErrRunning) || results[1].Err != nil {
		t.Errorf("%v, %v", results[0].Err, results[1].Err)
	}
	if first := (<-inner)[0]; first.Err != nil {
		t.Error(first.Err)
	}
	if again := p.Run(t.Context(), []string{"x"}, nil)[0]; again.Err != nil {
		t.Errorf("after it ended: %v", again.Err)
	}
}

// shareLock opens the held lock of a source under the folder a second time, as a fork does.
func shareLock(t *testing.T, state string) (fd int) {
	t.Helper()
	locks, _ := filepath.Glob(state + "/pull/*/*.lock")
	open, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range open {
		for _, lock := range locks {
			want, err := os.Stat(lock)
			if err != nil {
				t.Fatal(err)
			}
			if got, err := os.Stat("/proc/self/fd/" + o.Name()); err == nil && os.SameFile(want, got) {
				n, _ := strconv.Atoi(o.Name())
				syscall.ForkLock.RLock()
				defer syscall.ForkLock.RUnlock()
				if fd, err = syscall.Dup(n); err != nil {
					t.Fatal(err)
				}
				syscall.CloseOnExec(fd)
				return fd
			}
		}
	}
	t.Fatalf("none of %q is open", locks)
	return -1
}

func TestHooks(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, dir+"/file", "text")
	hook := func(phase string) string {
		return `sh -c 'echo ` + phase + ` $SNAP_SOURCE $SNAP_RESULT ${SNAP_SNAPSHOT:+made} "$SNAP_ERROR$SNAP_WHY" >> ` + dir + `/told'`
	}
	all := func(before string) string {
		return "hooks:\n  before: [" + strconv.Quote(hook("before")) + before + "]\n  after_success: [" + strconv.Quote(hook("success")) + "]\n  after_failure: [" +
			strconv.Quote(hook("failure")) + "]\n  finally: [\"false\", " + strconv.Quote(hook("finally")) + "]\n"
	}
	good := "transport: local\npaths: [" + dir + "/file]\n"
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	for _, test := range []struct {
		name, fields string
		ctx          context.Context
		noRepo       bool
		told         []string
		err          string
	}{
		{"success", good + all(""), t.Context(), false, []string{"before x", "success x success made", "finally x success made"}, ""},
		{"failure", "transport: local\npaths: [" + dir + "/nowhere]\n" + all(""), t.Context(), false, []string{"before x", "failure x failure", "finally x failure"}, "nowhere"},
		{"suspicious", "transport: local\npaths: [" + dir + "/state]\n" + all(""), t.Context(), false, []string{"before x", "failure x suspicious made no file was found", "finally x suspicious made no file was found"}, ""},
		{"a hook fails", good + all(`, ["sh", "-c", "echo no way >&2; exit 4"], ["touch", "`+dir+`/never"]`), t.Context(), false, []string{"before x", "failure x failure", "finally x failure"}, `exit status 4: "no way"`},
		{"no such hook", good + all(`, ["/no/such"]`), t.Context(), false, []string{"before x", "failure x failure", "finally x failure"}, `/no/such`},
		{"a hook takes too long", good + all(`, ["sh", "-c", "sleep 1000 & sleep 1000"]`) + "  timeout: 10s\n", t.Context(), false, []string{"before x", "failure x failure", "finally x failure"}, "more than 10s"},
		{"a hook leaves something in the background", good + all(`, ["sh", "-c", "sleep 7 &"]`), t.Context(), false, []string{"before x", "success x success made", "finally x success made"}, ""},
		{"cancelled", good + all(""), cancelled, false, []string{"failure x failure", "finally x failure"}, "canceled"},
		{"no place for the lock", good + all(""), t.Context(), false, []string{"failure x failure", "finally x failure"}, "not a directory"},
		{"a panic", good + all(""), t.Context(), true, []string{"before x", "failure x failure", "finally x failure"}, "internal error"},
	} {
		t.Run(test.name, func(t *testing.T) {
			_ = os.Remove(dir + "/told") // of the case before
			if err := os.MkdirAll(dir+"/state", 0o755); err != nil {
				t.Fatal(err)
			}
			p := puller(t, vault(t, repo.CreateOptions{}), map[string]config.Source{"x": parse(t, test.fields)})
			if test.noRepo {
				p.Repo = nil
			}
			if test.err == "not a directory" {
				p.StateDir = dir + "/file"
			}
			res := p.Run(test.ctx, []string{"x"}, nil)[0]
			if (res.Err == nil) != (test.err == "") || (res.Err != nil && !strings.Contains(res.Err.Error(), test.err)) {
				t.Errorf("error %v, want %q", res.Err, test.err)
			}
			told, err := os.ReadFile(dir + "/told")
			if err != nil {
				t.Fatal(err)
			}
			lines := strings.Split(strings.TrimSpace(string(told)), "\n")
			if len(lines) != len(test.told) {
				t.Fatalf("told %q, want %q", lines, test.told)
			}
			for i, want := range test.told {
				if !strings.HasPrefix(strings.Join(strings.Fields(lines[i]), " "), want) {
					t.Errorf("told %q, want %q", lines[i], want)
				}
			}
			if len(res.Problems) != 1 || !strings.Contains(res.Problems[0], `hook "false": exit status 1`) {
				t.Errorf("the hook that failed at the end is not told: %q", res.Problems)
			}
		})
	}
	if _, err := os.Stat(dir + "/never"); err == nil {
		t.Error("a hook ran behind one that failed")
	}
}

func TestLimits(t *testing.T) {
	t.Parallel()
	pid := filepath.Join(t.TempDir(), "pid")
	s := newSite(t, "roots: [ROOT]\nstreams:\n  slow: {command: [sh, -c, \"echo $$ > "+pid+"; echo some; exec sleep 1000\"]}\nwritable: ["+filepath.Dir(pid)+"]\n")
	for i := range 20 {
		write(t, filepath.Join(s.root, strconv.Itoa(i)), strings.Repeat(strconv.Itoa(i*7919), 2000))
	}
	for _, test := range []struct {
		name, fields string
		is           error
	}{
		{"entries", "paths: [ROOT]\nlimits: {entries: 5}", agent.ErrLimit},
		{"bytes", "paths: [ROOT]\nlimits: {bytes: 1000}", agent.ErrLimit},
	} {
		r := vault(t, repo.CreateOptions{})
		if res := one(t, r, s.source(t, test.fields)); !errors.Is(res.Err, test.is) || count(t, r) != 0 {
			t.Errorf("%s: %v, %d snapshots", test.name, res.Err, count(t, r))
		}
	}
	// A machine that has not begun within the time is given more.
	for seconds := 2; ; seconds *= 3 {
		r := vault(t, repo.CreateOptions{})
		if res := one(t, r, s.source(t, fmt.Sprintf("paths: [ROOT]\nstreams: [{name: slow}]\nlimits: {time: %ds}", seconds))); !errors.Is(res.Err, pull.ErrTimeout) || count(t, r) != 0 {
			t.Errorf("time: %v, %d snapshots", res.Err, count(t, r))
		}
		if _, err := os.Stat(pid); err == nil || seconds > 600 {
			break
		}
	}
	waitEnded(t, pid)
	silent := s.source(t, "paths: [ROOT]\nlimits: {idle: 1s}")
	silent.SSH.Agent = "sleep 1000"
	if res := one(t, vault(t, repo.CreateOptions{}), silent); !errors.Is(res.Err, pull.ErrUnreachable) {
		t.Errorf("a source that says nothing: %v", res.Err)
	}
}

// waitEnded waits until the process whose id stands in a file has ended.
func waitEnded(t *testing.T, name string) {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(10 * time.Minute); ; time.Sleep(50 * time.Millisecond) {
		state, err := os.ReadFile("/proc/" + strings.TrimSpace(string(data)) + "/stat")
		if err != nil || strings.Contains(string(state), ") Z ") {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("process %s still runs: %s", data, state)
		}
	}
}

// TestDumpThatWentWrongIsNoSnapshot tries the ways in which a dump goes wrong, each beside a folder that is well.
func TestDumpThatWentWrongIsNoSnapshot(t *testing.T) {
	t.Parallel()
	s := newSite(t, `roots: [ROOT]
streams:
  fails: {command: [sh, -c, "echo some; echo the disk is full >&2; exit 3"]}
  killed: {command: [sh, -c, "echo some; kill -9 $$"]}
  pipe: {command: [sh, -c, "echo some; kill -PIPE $$"]}
  truncated: {command: [sh, -c, "echo '-- PostgreSQL database dump'; seq 10000"]}
  empty: {command: ["true"]}
  slow: {command: [sh, -c, "echo some; exec sleep 1000"]}
  missing: {command: [/no/such/program]}
  good: {command: [sh, -c, "echo '-- PostgreSQL database dump'; seq 10000; echo '-- PostgreSQL database dump complete'"]}
`)
	r := vault(t, repo.CreateOptions{})
	for name, says := range map[string]string{"fails": `exit status 3: "the disk is full"`, "killed": "signal: killed", "pipe": "signal: broken pipe", "truncated": "end mark",
		"empty": "end mark", "slow": "took more than 2s", "missing": "no such file", "not in the policy": `has no stream "not in the policy"`} {
		res := one(t, r, s.source(t, "paths: [ROOT]\nlimits: {time: "+map[bool]string{true: "2s", false: "5m"}[name == "slow"]+"}\nstreams: [{name: good}, {name: "+name+", kind: postgresql}]"))
		if res.Err == nil || !strings.Contains(res.Err.Error(), says) || res.Snapshot != nil {
			t.Errorf("%s: %v, want an error that says %q", name, res.Err, says)
		}
	}
	if n := count(t, r); n != 0 {
		t.Errorf("%d snapshots", n)
	}
	res := one(t, r, s.source(t, "paths: [ROOT]\nstreams: [{name: good, kind: postgresql}]"))
	if res.Err != nil || res.Guard != guard.None {
		t.Fatalf("%+v", res)
	}
	var parts []string
	for _, p := range res.Snapshot.Parts {
		parts = append(parts, string(p.Name)+" "+string(p.Kind))
	}
	if want := []string{"files tree", "good stream"}; !reflect.DeepEqual(parts, want) {
		t.Errorf("parts %q, want %q", parts, want)
	}
	if got := content(t, r, res.Snapshot, "good"); !strings.HasSuffix(got, "\n10000\n-- PostgreSQL database dump complete\n") || len(got) != 48894+28+37 {
		t.Errorf("%d bytes: %q", len(got), got[max(0, len(got)-100):])
	}
}

// content returns a file of a snapshot.
func content(t *testing.T, r *repo.Repo, s *repo.Snapshot, path string) string {
	t.Helper()
	f, err := r.OpenFile(t.Context(), s, path)
	if err != nil {
		t.Fatal(err)
	}
	data := make([]byte, f.Size())
	if _, err := f.ReadAt(data, 0); err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// TestServerStamps: what a source says of itself is kept as a claim, and time, name and labels are the server's.
func TestServerStamps(t *testing.T) {
	t.Parallel()
	s := newSite(t, "roots: [ROOT]\n")
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	r := vault(t, repo.CreateOptions{Options: repo.Options{Now: func() time.Time { return at }}})
	res := one(t, r, s.source(t, "paths: [ROOT]\nhost: web1.example.org\ntags: [nightly]"))
	if res.Err != nil {
		t.Fatal(res.Err)
	}
	x := res.Snapshot
	if !x.Time.Equal(at) || string(x.SourceName) != "x" || string(x.Host) != "web1.example.org" || len(x.Tags) != 1 || x.Origin == nil || x.Origin.Transport != "agent" || string(x.Origin.Program) != "test" {
		t.Errorf("%+v, origin %+v", x, x.Origin)
	}
}

// TestSQLiteInWALMode dumps a database that keeps a log beside it: while a program has it open, and when none has.
func TestSQLiteInWALMode(t *testing.T) {
	t.Parallel()
	program, err := exec.LookPath("sqlite3")
	if err != nil {
		t.Skip("sqlite3 is not installed")
	}
	s := newSite(t, "roots: [ROOT]\nwritable: [ROOT]\nstreams:\n  app.sql: {kind: sqlite, settings: {file: ROOT/app.db}}\n")
	cmd := exec.Command(program, s.root+"/app.db")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(in, "PRAGMA journal_mode=WAL; CREATE TABLE t (v); INSERT INTO t VALUES ('first'); SELECT 'ready';\n"); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	for lines.Scan() && lines.Text() != "ready" {
	}
	r := vault(t, repo.CreateOptions{})
	dumped := func(state string) {
		t.Helper()
		res := one(t, r, s.source(t, "streams: [{name: app.sql}]"))
		if res.Err != nil {
			t.Fatalf("%s: %v", state, res.Err)
		}
		if text := content(t, r, res.Snapshot, "app.sql"); !strings.Contains(text, "INSERT INTO t VALUES('first');") || !strings.HasSuffix(text, "COMMIT;\n") {
			t.Errorf("%s: %q", state, text)
		}
	}
	dumped("open")
	if err := in.Close(); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	dumped("closed")
	// Where nothing may be written it cannot be read, for which sqlite3 has no exit code: only the end mark tells.
	write(t, s.policy, "roots: ["+s.root+"]\nstreams:\n  app.sql: {kind: sqlite, settings: {file: "+s.root+"/app.db}}\n")
	if res := one(t, r, s.source(t, "streams: [{name: app.sql}]")); res.Snapshot != nil {
		if text := content(t, r, res.Snapshot, "app.sql"); !strings.Contains(text, "INSERT INTO t VALUES('first');") {
			t.Errorf("without a writable folder: %q", text)
		}
	}
}

// TestDamagedRecordKeepsNobodyFromPulling damages the record of a snapshot, of which there is no second copy: sources are pulled all the same, and it
// is said.
func TestDamagedRecordKeepsNobodyFromPulling(t *testing.T) {
	t.Parallel()
	store := mem.New(nil)
	r := vaultIn(t, store, repo.CreateOptions{})
	root := t.TempDir()
	write(t, root+"/file", "text")
	sources := map[string]config.Source{}
	for _, name := range []string{"a", "b"} {
		sources[name] = parse(t, "transport: local\npaths: ["+root+"]\nkeep: {last: 1}")
	}
	p := puller(t, r, sources)
	first := p.Run(t.Context(), []string{"a"}, nil)[0]
	if first.Err != nil {
		t.Fatal(first.Err)
	}
	name := "snapshots/" + first.Snapshot.ID.String()
	size, _, err := store.Stat(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	if err := store.Remove(t.Context(), name); err != nil {
		t.Fatal(err)
	}
	if err := store.Create(t.Context(), name, bytes.NewReader(make([]byte, size)), size); err != nil {
		t.Fatal(err)
	}
	due, err := p.Due(t.Context())
	if err != nil || strings.Join(due, " ") != "a b" {
		t.Errorf("due: %q, %v", due, err)
	}
	for _, res := range p.Run(t.Context(), due, nil) {
		if res.Err != nil || res.Snapshot == nil || !res.Partial || !strings.Contains(strings.Join(res.Problems, "\n"), first.Snapshot.ID.String()[:8]) {
			t.Errorf("%s: %+v", res.Source, res)
		}
		if res.Forgot != 0 {
			t.Errorf("%s: %d snapshots were forgotten beside one that cannot be read", res.Source, res.Forgot)
		}
	}
}
