package crashtest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"filippo.io/age"
	"github.com/snapkeep/snap/internal/verifier"
)

// programs is where the binary of the program is built to.
var programs string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "crashtest")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	programs = dir
	code := m.Run()
	os.RemoveAll(dir)
	os.Exit(code)
}

// build builds the program once.
var build = sync.OnceValues(func() (string, error) {
	path := filepath.Join(programs, "snap")
	cmd := exec.Command("go", "build", "-o", path, "github.com/snapkeep/snap/cmd/snap")
	cmd.Env = append(cmd.Environ(), "CGO_ENABLED=0") // as users build it
	out, err := cmd.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("build: %w: %s", err, out)
	}
	return path, nil
})

// world is a source, a repository, and what is known about its snapshots.
type world struct {
	testing.TB
	snap     string // the program
	source   string
	state    string // repository, cache and the like, in a folder
	identity string
	secret   *age.X25519Identity
	rng      *rand.Rand
	rows     [dumpRows]uint64 // of the dump
	serial   int              // of the next file
	single   bool             // the program may use one processor

	known   map[string]*known
	attempt manifest // what a backup that was cut off would have saved
}

// known is a snapshot that the program has told of.
type known struct {
	want manifest // nil if unknown
	fate fate
}

// fate says where a snapshot has to be.
type fate int

const (
	live    fate = iota // among the snapshots
	moving              // among the snapshots or in the trash
	trashed             // in the trash
	doomed              // anywhere, or gone
)

// folder returns a folder for the time of the test. It is in memory where that is possible: what becomes of a process does
// not depend on disks.
func folder(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "crashtest")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// newWorld makes a source and an empty repository.
func newWorld(t testing.TB, seed uint64, files int) *world {
	t.Helper()
	snap, err := build()
	if err != nil {
		t.Fatal(err)
	}
	secret, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	dir := folder(t)
	w := &world{TB: t, snap: snap, source: filepath.Join(dir, "source"), state: filepath.Join(dir, "state"), identity: filepath.Join(dir, "identity"),
		secret: secret, rng: rand.New(rand.NewPCG(seed, 0)), known: map[string]*known{}}
	if err := errors.Join(os.Mkdir(w.source, 0o755), os.Mkdir(w.state, 0o755), os.WriteFile(w.identity, []byte(secret.String()+"\n"), 0o600)); err != nil {
		t.Fatal(err)
	}
	for range files {
		w.addFile(40_000)
	}
	w.addFile(3_000_000)
	w.dump()
	if err := os.Symlink("nowhere", filepath.Join(w.source, "link")); err != nil {
		t.Fatal(err)
	}
	w.must("init")
	return w
}

// hasDictionaries reports whether a pack of the repository has segments with a dictionary: the version in its footer says so.
func (w *world) hasDictionaries() bool {
	w.Helper()
	paths, err := filepath.Glob(filepath.Join(w.repo(), "data", "*", "*"))
	if err != nil {
		w.Fatal(err)
	}
	for _, path := range paths {
		if data, err := os.ReadFile(path); err == nil && len(data) > 64 && data[len(data)-56] == 2 {
			return true
		}
	}
	return false
}

func (w *world) repo() string { return filepath.Join(w.state, "repo") }

// addFile makes a file of a random size in a random folder.
func (w *world) addFile(most int) {
	w.Helper()
	w.serial++
	path := filepath.Join(w.source, fmt.Sprintf("d%d", w.rng.IntN(5)), fmt.Sprintf("f%04d", w.serial))
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		w.Fatal(err)
	}
	w.fill(path, w.rng.IntN(most))
}

func (w *world) fill(path string, n int) {
	w.Helper()
	data := make([]byte, n)
	for i := range data {
		data[i] = byte(w.rng.Uint32())
		if w.rng.IntN(3) == 0 {
			data[i] = 'a'
		}
	}
	if err := os.WriteFile(path, data, 0o644); err != nil {
		w.Fatal(err)
	}
}

// dumpRows is how many rows the dump of a database has, of some 70 bytes each.
const dumpRows = 20_000

// dump makes the dump of a database, or changes a few rows of it. Its pieces are alike, so that they have dictionaries.
func (w *world) dump() {
	w.Helper()
	for range 10 + w.rng.IntN(20) {
		w.rows[w.rng.IntN(dumpRows)] = w.rng.Uint64()
	}
	var b bytes.Buffer
	for i := range dumpRows {
		fmt.Fprintf(&b, "INSERT INTO orders VALUES (%d, 'customer %x', 'paid', '2026-11-%02d');\n", i, (w.rows[i]+uint64(i)*7919)%1500*0x9e3779b97f4a7c15, 1+i%28)
	}
	path := filepath.Join(w.source, "d0", "shop.sql")
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, b.Bytes(), 0o644)); err != nil {
		w.Fatal(err)
	}
}

// mutate changes a few files of the source.
func (w *world) mutate() {
	w.Helper()
	if w.rng.IntN(2) == 0 {
		w.dump()
	}
	all, err := filepath.Glob(filepath.Join(w.source, "d*", "f*"))
	if err != nil || len(all) == 0 {
		w.Fatal(err, len(all))
	}
	for range 1 + w.rng.IntN(4) {
		i := w.rng.IntN(len(all))
		path := all[i]
		switch w.rng.IntN(4) {
		case 0:
			w.addFile(60_000)
		case 1:
			if len(all) > 20 {
				if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
					w.Fatal(err)
				}
				all = append(all[:i:i], all[i+1:]...)
			}
		default:
			w.fill(path, w.rng.IntN(60_000))
		}
	}
}

// outcome is how a call of the program ended.
type outcome struct {
	code           int
	killed         bool
	stdout, stderr string
	took           time.Duration
}

func (o *outcome) String() string {
	return fmt.Sprintf("code %d, killed %v, stderr %q, stdout %q", o.code, o.killed, o.stderr, o.stdout)
}

// environment is that of the program.
func (w *world) environment() []string {
	env := []string{"PATH=" + os.Getenv("PATH"), "HOME=" + w.state, "SNAP_REPOSITORY=" + w.repo(), "SNAP_IDENTITY_FILE=" + w.identity,
		"XDG_CACHE_HOME=" + filepath.Join(w.state, "cache"), "XDG_STATE_HOME=" + filepath.Join(w.state, "remember"), "SNAP_HOST=host"}
	if w.single {
		env = append(env, "GOMAXPROCS=1")
	}
	return env
}

// run calls the program.
func (w *world) run(args ...string) outcome { return w.start(0, w.snap, args...) }

// start runs a program, and kills it after a time unless that is 0.
func (w *world) start(kill time.Duration, program string, args ...string) outcome {
	w.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), deadline)
	defer cancel()
	c := exec.CommandContext(ctx, program, args...)
	c.Env = w.environment()
	var stdout, stderr bytes.Buffer
	c.Stdout, c.Stderr = &stdout, &stderr
	begin := time.Now()
	if err := c.Start(); err != nil {
		w.Fatal(err)
	}
	if kill > 0 {
		timer := time.AfterFunc(kill, func() { _ = c.Process.Kill() }) // it may have ended
		defer timer.Stop()
	}
	err := c.Wait()
	out := outcome{stdout: stdout.String(), stderr: stderr.String(), took: time.Since(begin)}
	if ctx.Err() != nil {
		w.Fatalf("%q hangs: %s", args, out.stderr)
	}
	status, ok := c.ProcessState.Sys().(syscall.WaitStatus)
	if !ok {
		w.Fatal(err)
	}
	out.code, out.killed = status.ExitStatus(), status.Signaled() && status.Signal() == syscall.SIGKILL
	if strings.Contains(out.stderr, "panic:") || strings.Contains(out.stderr, "fatal error: all goroutines") {
		w.Errorf("%q: %s", args, out.stderr)
	}
	return out
}

// must calls the program and expects success.
func (w *world) must(args ...string) outcome {
	w.Helper()
	out := w.run(args...)
	if out.code != 0 || out.killed {
		w.Fatalf("%q: %s", args, out.String())
	}
	return out
}

// saved returns the id of the snapshot that a backup reported, and empty if it did not.
func (o *outcome) saved() string {
	for l := range strings.Lines(o.stdout) {
		var m struct {
			Type string `json:"message_type"`
			ID   string `json:"snapshot_id"`
		}
		if strings.HasSuffix(l, "\n") && json.Unmarshal([]byte(l), &m) == nil && m.Type == "summary" {
			return m.ID
		}
	}
	return ""
}

// age makes all files of the repository older, as if time had passed.
func (w *world) age(by time.Duration) {
	w.Helper()
	err := filepath.WalkDir(w.repo(), func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		return os.Chtimes(path, time.Time{}, info.ModTime().Add(-by))
	})
	if err != nil {
		w.Fatal(err)
	}
}

// verify has the verifier read the repository, and returns what each snapshot holds.
func (w *world) verify(useIndex bool) map[string]manifest {
	w.Helper()
	credential, err := verifier.Identities(strings.NewReader(w.secret.String()))
	if err != nil {
		w.Fatal(err)
	}
	r, err := verifier.Open(os.DirFS(w.repo()), credential, verifier.Options{UseIndex: useIndex, Damage: func(what string, err error) {
		w.Errorf("the verifier found damage: %s: %v", what, err)
	}})
	if err != nil {
		w.Fatal(err)
	}
	var text bytes.Buffer
	if err := r.Verify(&text); err != nil {
		w.Fatal(err)
	}
	found, err := fromVerifier(text.String(), w.source)
	if err != nil {
		w.Fatal(err)
	}
	return found
}
