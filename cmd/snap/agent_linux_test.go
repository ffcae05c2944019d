package main

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"unsafe"

	"filippo.io/age"
	"github.com/snapkeep/snap/internal/keyring"
	"github.com/snapkeep/snap/internal/memorytest"
	"github.com/snapkeep/snap/internal/source/agent"
	"github.com/snapkeep/snap/internal/store/mem"
	"github.com/snapkeep/snap/repo"
)

// agentProcess is `snap agent` in a process of its own, as a connection.
type agentProcess struct {
	io.ReadCloser
	in  io.WriteCloser
	cmd *exec.Cmd
}

func (p *agentProcess) Write(b []byte) (int, error) { return p.in.Write(b) }

func (p *agentProcess) Close() error {
	p.in.Close()
	p.ReadCloser.Close()
	return p.cmd.Wait()
}

// dialAgent starts this test program as the command. The process that was started last is in *last.
func dialAgent(t testing.TB, last **agentProcess, args ...string) agent.Dial {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return func(context.Context) (io.ReadWriteCloser, error) {
		cmd := &exec.Cmd{Path: exe, Args: append([]string{"snap", "agent"}, args...), Stderr: os.Stderr}
		p := &agentProcess{cmd: cmd}
		var err error
		if p.in, err = cmd.StdinPipe(); err != nil {
			return nil, err
		}
		if p.ReadCloser, err = cmd.StdoutPipe(); err != nil {
			return nil, err
		}
		*last = p
		return p, cmd.Start()
	}
}

// agentVault is a repository in memory whose secrets the test knows.
func agentVault(t testing.TB) (*repo.Repo, *keyring.Secrets) {
	t.Helper()
	const passphrase = "correct horse battery staple"
	to, err := keyring.ForPassphrase(passphrase, keyring.PassphraseOptions{Cost: 10, AllowWeak: true})
	if err != nil {
		t.Fatal(err)
	}
	store := mem.New(nil)
	r, err := repo.Create(t.Context(), store, to, repo.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	config, err := keyring.LoadConfig(t.Context(), store)
	if err != nil {
		t.Fatal(err)
	}
	credential, err := keyring.Passphrase(passphrase)
	if err != nil {
		t.Fatal(err)
	}
	opened, err := keyring.OpenStore(t.Context(), store, config, credential)
	if err != nil {
		t.Fatal(err)
	}
	return r, opened.Secrets
}

// pullWith pulls root through the agent of dial and calls look while the agent lives.
func pullWith(t testing.TB, r *repo.Repo, dial agent.Dial, root string, look func()) *repo.BackupResult {
	t.Helper()
	o := agent.Options{Roots: []string{root}}
	var err error
	if o.Files, o.Database, err = r.SourceChunkers("web1"); err != nil {
		t.Fatal(err)
	}
	s := agent.New(dial, o)
	defer s.Close()
	res, err := r.Backup(t.Context(), repo.BackupOptions{Source: s, SourceName: "web1"})
	if err != nil {
		t.Fatal(err)
	}
	look()
	return res
}

// agentTree makes files of random bytes: large ones of so many MiB, and some small ones.
func agentTree(t testing.TB, large, size int) string {
	t.Helper()
	root, random := t.TempDir(), rand.NewChaCha8([32]byte{5})
	for i := range 2000 {
		data := make([]byte, 3000+i)
		random.Read(data)
		name := filepath.Join(root, fmt.Sprintf("d%d/f%d", i%50, i))
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	block := make([]byte, 1<<20)
	for i := range large {
		f, err := os.Create(filepath.Join(root, fmt.Sprintf("large%d", i)))
		if err != nil {
			t.Fatal(err)
		}
		for range size {
			random.Read(block)
			if _, err := f.Write(block); err != nil {
				t.Fatal(err)
			}
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

// TestAgentMemory measures the peak of an agent's process that sends large files, and one that tells their hashes.
func TestAgentMemory(t *testing.T) {
	const most = 64 << 20
	size := 40
	if os.Getenv("SNAP_LONG_TESTS") != "" {
		size = 1000
	}
	root := agentTree(t, 4, size)
	r, _ := agentVault(t)
	for _, what := range []string{"first", "changed", "unchanged"} {
		var p *agentProcess
		res := pullWith(t, r, dialAgent(t, &p, "--root", root), root, func() {
			peak := memorytest.Peak(t, p.cmd.Process.Pid)
			t.Logf("%s pull: %.1f MiB", what, float64(peak)/(1<<20))
			if peak > most {
				t.Errorf("%s pull: the agent took %d bytes, more than %d", what, peak, most)
			}
		})
		if want := int64(4*size) << 20; what == "first" && res.Summary.Bytes < want {
			t.Errorf("%d bytes were pulled, want %d", res.Summary.Bytes, want)
		}
		for i := range 4 {
			f, err := os.OpenFile(filepath.Join(root, fmt.Sprintf("large%d", i)), os.O_WRONLY, 0)
			if err == nil && what == "first" {
				_, err = f.WriteAt([]byte("changed"), int64(size)<<19)
			}
			if err == nil {
				err = f.Close()
			}
			if err != nil {
				t.Fatal(err)
			}
		}
	}
}

// TestAgentHoldsNoSecret searches all memory of an agent's process that took part in a first pull and in one that asks for
// known chunks. What the agent has to know, the polynomial of its own, is found: so the search works.
func TestAgentHoldsNoSecret(t *testing.T) {
	root := agentTree(t, 1, 12)
	r, secrets := agentVault(t)
	needles := secretNeedles(t, secrets)
	own, _, err := r.SourceChunkers("web1")
	if err != nil {
		t.Fatal(err)
	}
	const polynomial = "polynomial of the source"
	needles[polynomial] = binary.LittleEndian.AppendUint64(nil, uint64(own.Polynomial))
	for round := range 2 {
		var p *agentProcess
		pullWith(t, r, dialAgent(t, &p, "--root", root), root, func() {
			found := memorytest.Search(t, p.cmd.Process.Pid, needles)
			if !found[polynomial] {
				t.Errorf("round %d: the search does not find what is there", round)
			}
			delete(found, polynomial)
			if len(found) > 0 {
				t.Errorf("round %d: the agent's memory holds %v", round, found)
			}
		})
		if err := os.WriteFile(filepath.Join(root, "new"), []byte(strings.Repeat("new ", 10_000)), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// secretNeedles returns the secrets of a repository in the forms that they have in memory.
func secretNeedles(t testing.TB, s *keyring.Secrets) map[string][]byte {
	t.Helper()
	v := reflect.ValueOf(s).Elem()
	structure := make([]byte, 32)
	field := v.FieldByName("structure")
	for i := range structure {
		structure[i] = byte(field.Index(i).Uint())
	}
	identity := (*(**age.HybridIdentity)(unsafe.Pointer(v.FieldByName("identity").UnsafeAddr()))).String()
	key := s.IDKey()
	return map[string][]byte{
		"structure key":            structure,
		"structure key, half":      structure[:16],
		"structure key in hex":     []byte(hex.EncodeToString(structure)),
		"id key":                   key[:],
		"id key, half":             key[16:],
		"repository's polynomial":  binary.LittleEndian.AppendUint64(nil, s.Polynomial()),
		"content identity":         []byte(identity),
		"content identity, half":   []byte(identity[len(identity)/2:]),
		"content identity, lower":  []byte(strings.ToLower(identity)),
		"recipient of content key": []byte(s.Recipient()),
	}
}
