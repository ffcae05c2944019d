package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/snapkeep/snap/internal/proxytest"
	"github.com/snapkeep/snap/internal/sshdtest"
)

// TestPullSpeed pulls the tree SNAP_PULL_TREE through a real sshd, beside rsync in the same run, and logs a table: SNAP_PULL_RUNS times
// (default 3), medians. docs/testing.md says what has been seen.
func TestPullSpeed(t *testing.T) { measurePulls(t, (*pullBench).round) }

// TestPullSpeedOfMany pulls the files of the tree SNAP_PULL_TREE as one source, and as a hundred: on one machine, and each on a machine of its own.
// With SNAP_PULL_PROFILES, a folder, the server's CPU profiles of the last run are left there.
func TestPullSpeedOfMany(t *testing.T) { measurePulls(t, (*pullBench).roundOfMany) }

func measurePulls(t *testing.T, round func(*pullBench)) {
	tree := os.Getenv("SNAP_PULL_TREE")
	if tree == "" {
		t.Skip("measures: needs SNAP_PULL_TREE=DIR")
	}
	runs := 3
	if n, err := strconv.Atoi(os.Getenv("SNAP_PULL_RUNS")); err == nil {
		runs = n
	}
	b := newPullBench(t, tree)
	for range runs {
		round(b)
	}
	b.report()
}

// clockStep is waited behind changes: files that have just changed are in doubt, and read once more by the next pull.
const clockStep = 3 * time.Second

// pullBench is a live machine, a server's folder, and what was measured.
type pullBench struct {
	t      *testing.T
	dir    string
	live   string // the tree
	source string // the tree that live is made from
	apart  bool   // sources have files of known hosts of their own, as if each were a machine: no login is shared
	snap   string // program
	ssh    *sshdtest.Server
	slow   *proxytest.Proxy
	spent  map[string][]pullFigures
	order  []string
}

// pullFigures are those of one program's run.
type pullFigures struct {
	wall, cpu time.Duration
	far       time.Duration // CPU of sshd, and of agents that end before their connection does: not of the last ones of a run
	memory    int64         // bytes at the peak
	received  int64         // bytes, 0 if unknown
}

func newPullBench(t *testing.T, tree string) *pullBench {
	b := &pullBench{t: t, dir: t.TempDir(), source: tree, spent: map[string][]pullFigures{}}
	b.live, b.snap = filepath.Join(b.dir, "live"), filepath.Join(b.dir, "bin")
	if out, err := buildProgram(b.snap).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	b.ssh = sshdtest.Start(t, sshdtest.Options{})
	b.slow = proxytest.Start(t, b.ssh.Addr(), func(int) proxytest.Fault { return proxytest.Fault{Latency: 25 * time.Millisecond} })
	b.ssh.AddKnownPort(b.slow.Port())
	b.write("password", "measured\n")
	return b
}

func (b *pullBench) write(name, text string) {
	b.t.Helper()
	if err := os.WriteFile(filepath.Join(b.dir, name), []byte(text), 0o600); err != nil {
		b.t.Fatal(err)
	}
}

func (b *pullBench) must(program string, args ...string) {
	b.t.Helper()
	if out, err := exec.Command(program, args...).CombinedOutput(); err != nil {
		b.t.Fatalf("%s: %v\n%s", program, err, out)
	}
}

// round measures everything once, from an empty repository.
func (b *pullBench) round() {
	b.begin()
	b.configure("repository", b.ssh.Port, "agent", []string{b.live})
	b.snapRun("", "init")
	b.rsync("first")
	b.pull("agent first")
	for range 2 {
		b.rsync("unchanged")
		b.pull("agent unchanged")
	}
	b.change()
	time.Sleep(clockStep)
	b.rsync("1 % changed")
	b.pull("agent 1 % changed")
	b.configure("repository", b.slow.Port(), "agent", []string{b.live})
	b.pull("agent unchanged, 50 ms")
	b.configure("sftp", b.ssh.Port, "sftp", []string{b.live})
	b.snapRun("", "init")
	for _, what := range []string{"sftp first", "sftp unchanged", "sftp unchanged"} {
		b.pull(what)
	}
	b.configure("sftp", b.slow.Port(), "sftp", []string{b.live})
	b.pull("sftp unchanged, 50 ms")
}

// begin makes the live tree anew, and nothing else.
func (b *pullBench) begin() {
	for _, name := range []string{"live", "mirror", "repository", "sftp", "one", "shared", "apart", "parts", "cache"} {
		if err := os.RemoveAll(filepath.Join(b.dir, name)); err != nil {
			b.t.Fatal(err)
		}
	}
	b.must("cp", "-a", b.source, b.live)
	time.Sleep(clockStep)
}

// roundOfMany measures once what many sources cost, from empty repositories.
func (b *pullBench) roundOfMany() {
	b.begin()
	parts := b.parts(100)
	b.configure("one", b.ssh.Port, "agent", []string{filepath.Dir(parts[0])})
	b.snapRun("", "init")
	b.pull("their files as one source first")
	for _, kind := range []struct {
		repository, what string
		apart            bool
		logins           int
	}{{"shared", "100 sources of a machine", false, 1}, {"apart", "100 machines", true, len(parts)}} {
		b.apart = kind.apart
		b.configure(kind.repository, b.ssh.Port, "agent", parts)
		b.snapRun("", "init")
		for _, when := range []string{" first", " unchanged"} {
			before := b.ssh.Logins()
			b.pull(kind.what + when)
			if n := b.ssh.Logins() - before; n != kind.logins {
				b.t.Errorf("%s%s: %d logins, want %d", kind.what, when, n, kind.logins)
			}
		}
	}
	b.apart = false
}

// parts spreads the files of the tree over so many folders, each a source of its own.
func (b *pullBench) parts(n int) (dirs []string) {
	for i := range n {
		dirs = append(dirs, filepath.Join(b.dir, "parts", strconv.Itoa(i)))
	}
	count := 0
	err := filepath.WalkDir(b.live, func(name string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		to := filepath.Join(dirs[count%n], strconv.Itoa(count/n%16), d.Name()+"."+strconv.Itoa(count))
		count++
		if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
			return err
		}
		return os.Link(name, to)
	})
	if err != nil {
		b.t.Fatal(err)
	}
	return dirs
}

// configure writes the configuration: a source for each path.
func (b *pullBench) configure(repository string, port int, transport string, paths []string) {
	keys := filepath.Join(b.ssh.Home, ".ssh")
	var text strings.Builder
	fmt.Fprintf(&text, "repository: {location: %q, password_file: %q}\n", filepath.Join(b.dir, repository), filepath.Join(b.dir, "password"))
	fmt.Fprintf(&text, "defaults:\n  transport: %s\n  ssh: {identity: %q, known_hosts: %q, agent_command: %q}\nsources:\n", transport, keys+"/id_ed25519",
		keys+"/known_hosts", b.snap+" agent --root "+b.dir)
	for i, p := range paths {
		own := ""
		if b.apart {
			name := "known_hosts_" + strconv.Itoa(i)
			b.must("cp", keys+"/known_hosts", filepath.Join(b.dir, name))
			own = fmt.Sprintf(", ssh: {known_hosts: %q}", filepath.Join(b.dir, name))
		}
		fmt.Fprintf(&text, "  s%d: {address: %q, paths: [%q]%s}\n", i, b.ssh.User+"@"+net.JoinHostPort("127.0.0.1", strconv.Itoa(port)), p, own)
	}
	b.write("snap.yaml", text.String())
}

// change changes one file in a hundred: appends to it, as logs and sources grow.
func (b *pullBench) change() {
	n := 0
	err := filepath.WalkDir(b.live, func(name string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		if n++; n%100 != 0 {
			return nil
		}
		_ = os.Chmod(name, 0o644) // some trees are read-only
		f, err := os.OpenFile(name, os.O_WRONLY|os.O_APPEND, 0)
		if err != nil {
			return err
		}
		fmt.Fprintf(f, "changed %d\n", n)
		return f.Close()
	})
	if err != nil {
		b.t.Fatal(err)
	}
}

func (b *pullBench) pull(what string) {
	var sum struct {
		Type     string `json:"message_type"`
		Received int64  `json:"bytes_received"`
	}
	total := int64(0)
	out := b.snapRun("snap "+what, "pull", "--all", "--json")
	for line := range bytes.Lines(out) {
		if json.Unmarshal(line, &sum) == nil && sum.Type == "pulled" {
			total += sum.Received
		}
	}
	all := b.spent["snap "+what]
	all[len(all)-1].received = total
}

// snapRun runs the program, and measures it if what is not empty.
func (b *pullBench) snapRun(what string, args ...string) []byte {
	if folder := os.Getenv("SNAP_PULL_PROFILES"); folder != "" && what != "" {
		args = append(args, "--cpuprofile", filepath.Join(folder, strings.ReplaceAll(what, " ", "-")))
	}
	cmd := exec.Command(b.snap, args...)
	cmd.Env = append(os.Environ(), "SNAP_CONFIG="+filepath.Join(b.dir, "snap.yaml"), "HOME="+b.dir, "SNAP_CACHE_DIR="+filepath.Join(b.dir, "cache"))
	if args[0] == "init" {
		repository := regexp.MustCompile(`location: "([^"]+)"`)
		text, err := os.ReadFile(filepath.Join(b.dir, "snap.yaml"))
		if err != nil {
			b.t.Fatal(err)
		}
		cmd.Env = append(cmd.Env, "SNAP_REPOSITORY="+string(repository.FindSubmatch(text)[1]), "SNAP_PASSWORD_FILE="+filepath.Join(b.dir, "password"))
	}
	return b.measure(what, cmd)
}

var rsyncReceived = regexp.MustCompile(`Total bytes received: ([0-9,]+)`)

func (b *pullBench) rsync(what string) {
	keys := filepath.Join(b.ssh.Home, ".ssh")
	out := b.measure("rsync "+what, exec.Command("rsync", "-a", "--stats", "--delete", "-e", fmt.Sprintf("ssh -F none -i %s/id_ed25519 -o UserKnownHostsFile=%s/known_hosts -p %d", keys, keys, b.ssh.Port),
		b.ssh.User+"@127.0.0.1:"+b.live+"/", filepath.Join(b.dir, "mirror")))
	all := b.spent["rsync "+what]
	if m := rsyncReceived.FindSubmatch(out); m != nil {
		all[len(all)-1].received, _ = strconv.ParseInt(strings.ReplaceAll(string(m[1]), ",", ""), 10, 64)
	}
}

func (b *pullBench) measure(what string, cmd *exec.Cmd) []byte {
	b.t.Helper()
	var said bytes.Buffer
	cmd.Stderr = &said
	far, begin := b.ssh.CPU(), time.Now()
	out, err := cmd.Output()
	if err != nil {
		b.t.Fatalf("%s: %v\n%s%s", what, err, out, said.Bytes())
	}
	wall := time.Since(begin)
	for b.ssh.Open() > 0 {
		time.Sleep(10 * time.Millisecond) // until all that sshd has started was counted
	}
	if what == "" {
		return out
	}
	if _, known := b.spent[what]; !known {
		b.order = append(b.order, what)
	}
	f := pullFigures{wall: wall, far: b.ssh.CPU() - far, cpu: cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()}
	if usage, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage); ok {
		f.memory = usage.Maxrss << 10
	}
	b.spent[what] = append(b.spent[what], f)
	return out
}

// report logs the medians.
func (b *pullBench) report() {
	files, size := 0, int64(0)
	if err := filepath.WalkDir(b.live, func(_ string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			info, err := d.Info()
			if err != nil {
				return err
			}
			files, size = files+1, size+info.Size()
		}
		return err
	}); err != nil {
		b.t.Fatal(err)
	}
	b.t.Logf("%d files, %d MB; medians of %d", files, size/1e6, len(b.spent[b.order[0]]))
	for _, what := range b.order {
		all := b.spent[what]
		slices.SortFunc(all, func(x, y pullFigures) int { return int(x.wall - y.wall) })
		m := all[len(all)/2]
		b.t.Logf("%-36s %6.2f s wall %6.2f s CPU, on the source %6.2f, %4d MB memory %10.3f MB received", what, m.wall.Seconds(), m.cpu.Seconds(), m.far.Seconds(), m.memory>>20, float64(m.received)/1e6)
	}
	for what := range maps.Keys(b.spent) {
		if len(b.spent[what]) == 0 {
			b.t.Errorf("%s was not measured", what)
		}
	}
}
