package crashtest

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// mutating are the system calls that change something, or may. What a system has not is never called.
var mutating = []string{"openat", "write", "pwrite64", "linkat", "renameat", "renameat2", "fsync", "fdatasync", "unlinkat", "mkdirat", "ftruncate",
	"sync_file_range", "utimensat"}

// faults are what happens to a call: what strace is told, and how that shows in its record.
var faults = []struct{ inject, shows string }{
	{"signal=KILL", "killed by SIGKILL"}, {"error=EIO", "(INJECTED)"}, {"error=ENOSPC", "(INJECTED)"},
}

// point is a place at which an operation is struck.
type point struct {
	operation, call string
	fault, n        int
	single          bool // one thread does all it can
}

func (p point) String() string {
	return fmt.Sprintf("%s of %s number %d in %q", faults[p.fault].inject, p.call, p.n, p.operation)
}

// TestSyscalls lets the n-th system call of a kind fail, or be the last, for all kinds and all n. strace counts for each
// thread on its own, which makes the points that are reached differ from run to run.
func TestSyscalls(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds")
	}
	if _, err := exec.LookPath("strace"); err != nil {
		t.Skip("no strace")
	}
	t.Parallel()
	w := newWorld(t, seed(2), 50)
	if out := w.start(0, "strace", "-f", "-qq", "-o", "/dev/null", w.snap, "version"); out.code != 0 {
		t.Skip("strace does not work here: " + out.stderr)
	}
	template := w.prepare()
	var all []point
	for _, name := range []string{"backup", "forget", "prune", "prune --now"} {
		for _, single := range []bool{false, true} {
			for call, most := range w.survey(template, name, single) {
				for fault := range faults {
					for n := 1; n <= most+1; n++ {
						all = append(all, point{name, call, fault, n, single})
					}
				}
			}
		}
	}
	w.rng.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	most := size(20, len(all))
	n, struck := 0, 0
	for n < len(all) && !t.Failed() && (n < most || n < 10*most && struck < most/4) { // which thread makes a call is chance, and so is what strikes
		if w.strike(template, all[n]) {
			struck++
		}
		n++
	}
	t.Logf("%d of %d points, %d of them struck", n, len(all), struck)
	if struck < min(most, n)/4 {
		t.Error("hardly any call failed")
	}
}

// survey returns how often each call is made by the thread that makes it most.
func (w *world) survey(s saved, name string, single bool) map[string]int {
	w.Helper()
	op := w.load(s, name)
	record := filepath.Join(filepath.Dir(w.state), "trace")
	args := []string{"-f", "--seccomp-bpf", "-qq", "-o", record, "-e", "trace=" + strings.Join(mutating, ","), "-e", "signal=none", "--", w.snap}
	w.single = single
	out := w.start(0, "strace", append(args, op.args...)...)
	w.single = false
	if out.code != 0 {
		w.Fatalf("%s: %s", name, out.String())
	}
	trace, err := os.ReadFile(record)
	if err != nil {
		w.Fatal(err)
	}
	counts, most := map[[2]string]int{}, map[string]int{}
	for l := range strings.Lines(string(trace)) {
		f := strings.Fields(l)
		if len(f) < 2 {
			continue
		}
		call, _, ok := strings.Cut(f[1], "(")
		if ok && slices.Contains(mutating, call) {
			key := [2]string{f[0], call}
			counts[key]++
			most[call] = max(most[call], counts[key])
		}
	}
	return most
}

// saved is the state of a world.
type saved struct {
	folder string
	known  map[string]known
}

// prepare makes a repository in which there is something to do for each operation, and keeps a copy.
func (w *world) prepare() saved {
	w.Helper()
	for range 6 {
		w.mutate()
		w.next()
	}
	all := w.withFate(live)
	w.must("forget", "--now", all[0], all[1])
	w.must("forget", all[2])
	for _, id := range all[:3] {
		delete(w.known, id)
	}
	w.age(8 * 24 * time.Hour) // the trash has had its time
	w.must("prune", "--max-unused", "0%")
	w.age(4 * 24 * time.Hour) // what was condemned now goes
	w.mutate()
	w.next()
	last := w.withFate(live)[0]
	w.must("forget", last)
	w.known[last].fate = trashed
	w.settle()
	w.mutate()
	s := saved{folder: filepath.Join(filepath.Dir(w.state), "saved"), known: map[string]known{}}
	for id, k := range w.known {
		s.known[id] = *k
	}
	copyAll(w, w.state, s.folder)
	return s
}

func copyAll(t testing.TB, from, to string) {
	t.Helper()
	if out, err := exec.Command("cp", "-a", from, to).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
}

// load puts a world into a state, and returns what is about to happen.
func (w *world) load(s saved, name string) operation {
	w.Helper()
	if err := os.RemoveAll(w.state); err != nil {
		w.Fatal(err)
	}
	copyAll(w, s.folder, w.state)
	w.known = map[string]*known{}
	for id, k := range s.known {
		w.known[id] = &k
	}
	op, ok := w.command(name)
	if !ok {
		w.Fatalf("nothing to do for %s", name)
	}
	return op
}

// strike runs an operation with a fault in it, and judges. It reports whether the fault came to pass.
func (w *world) strike(s saved, p point) bool {
	w.Helper()
	op := w.load(s, p.operation)
	record := filepath.Join(filepath.Dir(w.state), "trace")
	args := []string{"-f", "--seccomp-bpf", "-qq", "-o", record, "-e", "trace=" + p.call, "-e", "signal=none",
		"-e", "inject=" + p.call + ":" + faults[p.fault].inject + ":when=" + strconv.Itoa(p.n), "--", w.snap}
	w.single = p.single
	out := w.start(0, "strace", append(args, op.args...)...)
	w.single = false
	trace, err := os.ReadFile(record)
	if err != nil {
		w.Fatal(err)
	}
	struck := strings.Contains(string(trace), faults[p.fault].shows) || out.killed
	w.account(op, out)
	w.settle()
	w.judge()
	if !struck && out.code != 0 {
		w.Errorf("%v: not struck: %s", p, out.String())
	}
	if out.code != 0 && !w.Failed() {
		w.again(op)
	}
	if w.Failed() {
		w.Logf("%v: %s", p, out.String())
	}
	return struck
}

// again runs an operation that failed once more, with whatever is left to do for it.
func (w *world) again(op operation) {
	w.Helper()
	if op.name != "forget" {
		out := w.run(op.args...)
		if out.code != 0 {
			w.Errorf("%s again: %s", op.name, out.String())
		}
		w.account(op, out)
	}
	w.settle()
	w.next()
	w.check("--read-data")
	w.judge()
}
