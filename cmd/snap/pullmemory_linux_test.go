package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/snapkeep/snap/internal/keyring"
	"github.com/snapkeep/snap/internal/memorytest"
	"github.com/snapkeep/snap/repo"
)

// TestPullHoldsNoContentIdentity searches all memory of a `snap pull` that has opened a full key slot, while it pulls. The structure key is
// found: so the search works.
func TestPullHoldsNoContentIdentity(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"pass": "correct horse battery staple", "data/file": "text",
		"snap.yaml": fmt.Sprintf("repository: {location: %[1]s/repository, password_file: %[1]s/pass}\nsources:\n  x:\n    transport: local\n    paths: [%[1]s/data]\n"+
			"    hooks: {before: [[sh, -c, 'touch %[1]s/open; while [ ! -e %[1]s/go ]; do sleep 0.05; done']]}\n", dir),
	} {
		name = filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	secrets := fullSecrets(t, filepath.Join(dir, "repository"))
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := &exec.Cmd{Path: exe, Args: []string{"snap", "pull", "--config", filepath.Join(dir, "snap.yaml"), "x"}, Env: append(os.Environ(), "HOME="+dir), Stdout: os.Stderr, Stderr: os.Stderr}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	for {
		if _, err := os.Stat(filepath.Join(dir, "open")); err == nil {
			break
		}
		select {
		case err := <-ended:
			t.Fatal("the pull ended early:", err)
		case <-time.After(20 * time.Millisecond):
		}
	}
	found := memorytest.Search(t, cmd.Process.Pid, secretNeedles(t, secrets))
	if err := os.WriteFile(filepath.Join(dir, "go"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	if !found["structure key"] {
		t.Errorf("the search finds only %v", found)
	}
	for name := range found {
		if strings.HasPrefix(name, "content identity") {
			t.Errorf("the memory of a pull holds the %s", name)
		}
	}
}

// fullSecrets makes a repository with a full slot for the passphrase of the tests, and returns what is in the slot.
func fullSecrets(t *testing.T, location string) *keyring.Secrets {
	t.Helper()
	const passphrase = "correct horse battery staple"
	to, err := keyring.ForPassphrase(passphrase, keyring.PassphraseOptions{Cost: 10, AllowWeak: true})
	if err != nil {
		t.Fatal(err)
	}
	store, err := repo.CreateStore(t.Context(), location)
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	r, err := repo.Create(t.Context(), store, to, repo.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
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
	return opened.Secrets
}
