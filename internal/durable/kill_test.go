package durable

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// killDirVariable tells a child process in which folder to write.
const killDirVariable = "SNAP_DURABLE_KILL_DIR"

func TestMain(m *testing.M) {
	if dir := os.Getenv(killDirVariable); dir != "" {
		writeUntilKilled(dir)
	}
	os.Exit(m.Run())
}

// writeUntilKilled writes files whose names are the hashes of their contents,
// from several goroutines, and prints each name when it is durable.
func writeUntilKilled(dir string) {
	d, err := Open(dir, Options{NamedTemp: strings.HasSuffix(dir, "named")})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	for range 4 {
		go func() {
			for {
				data := make([]byte, 32+rand.IntN(300_000)) // so many that no two are alike
				for i := range data {
					data[i] = byte(rand.Uint32())
				}
				name := nameOf(data)
				if err := writeFile(d, name, data); err != nil {
					fmt.Fprintln(os.Stderr, err)
					os.Exit(1)
				}
				fmt.Println(name)
			}
		}()
	}
	select {}
}

func nameOf(data []byte) string {
	sum := sha256.Sum256(data)
	text := hex.EncodeToString(sum[:])
	return "data/" + text[:2] + "/" + text
}

// TestKill kills a process that writes, at random moments, and looks at every
// file there is then: all are whole, none that was reported is missing, and a
// process that starts in their place goes on without help.
func TestKill(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"default", "named"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			dir := filepath.Join(t.TempDir(), kind)
			if err := os.Mkdir(dir, 0o700); err != nil {
				t.Fatal(err)
			}
			reported := make(map[string]bool)
			for round := range 12 {
				before := len(reported)
				for _, name := range runAndKill(t, dir, round%2 == 0, time.Duration(rand.IntN(130))*time.Millisecond) {
					reported[name] = true
				}
				checkWhole(t, dir, reported)
				if round%2 == 0 && len(reported) == before {
					t.Error("the process wrote nothing")
				}
			}
		})
	}
}

// firstWrite is a buffer that closes a channel when something is written to it.
type firstWrite struct {
	text bytes.Buffer
	once sync.Once
	seen chan struct{}
}

func (w *firstWrite) Write(p []byte) (int, error) {
	w.once.Do(func() { close(w.seen) })
	return w.text.Write(p)
}

// runAndKill kills a process some time after its start, or after it has reported its first name: a slow machine takes long for that. It
// returns the names that the process reported before its end.
func runAndKill(t *testing.T, dir string, writing bool, after time.Duration) []string {
	t.Helper()
	child := exec.Command(os.Args[0])
	child.Env = append(os.Environ(), killDirVariable+"="+dir)
	stdout, stderr := firstWrite{seen: make(chan struct{})}, bytes.Buffer{}
	child.Stdout, child.Stderr = &stdout, &stderr
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = child.Wait() // it is killed, or says why it ended
	}()
	if writing {
		select {
		case <-stdout.seen:
		case <-ended:
		}
	}
	time.Sleep(after)
	_ = child.Process.Kill() // it may have ended
	<-ended
	if stderr.Len() > 0 {
		t.Fatalf("the process failed: %s", stderr.String())
	}
	complete := stdout.text.String()
	complete = complete[:strings.LastIndexByte(complete, '\n')+1]
	return strings.Fields(complete)
}

func checkWhole(t *testing.T, dir string, reported map[string]bool) {
	t.Helper()
	found := files(t, dir)
	for name, data := range found {
		if !strings.HasPrefix(name, TempName+"/") && nameOf([]byte(data)) != name {
			t.Errorf("%s is visible with %d bytes that are not its own", name, len(data))
		}
	}
	for name := range reported {
		if _, ok := found[name]; !ok {
			t.Errorf("%s was reported as durable and is missing", name)
		}
	}
}
