package repo_test

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/snapkeep/snap/internal/keyring"
	"github.com/snapkeep/snap/internal/source/local"
	"github.com/snapkeep/snap/internal/store/mem"
	"github.com/snapkeep/snap/repo"
)

// weak returns the recipient and credential of a passphrase that opens fast.
func weak(t *testing.T) (*repo.Recipient, *repo.Credential) {
	t.Helper()
	to, err := keyring.ForPassphrase("correct horse", keyring.PassphraseOptions{Cost: 10, AllowWeak: true})
	if err != nil {
		t.Fatal(err)
	}
	c, err := repo.Passphrase("correct horse")
	if err != nil {
		t.Fatal(err)
	}
	return to, c
}

// inMemory makes a repository in memory.
func inMemory(t *testing.T) *repo.Repo {
	t.Helper()
	to, _ := weak(t)
	r, err := repo.Create(t.Context(), mem.New(nil), to, repo.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	})
	return r
}

func TestSecondBackupReusesTheFirst(t *testing.T) {
	dir := t.TempDir()
	for name, data := range map[string][]byte{"a": []byte("alpha"), "sub/b": bytes.Repeat([]byte("beta"), 1000), "sub/deep/c": make([]byte, 3<<20)} {
		p := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p, data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	store := mem.New(nil)
	to, cred := weak(t)
	r, err := repo.Create(t.Context(), store, to, repo.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	backup := func(r *repo.Repo) *repo.BackupResult {
		src, err := local.New(local.Options{Roots: []string{dir}})
		if err != nil {
			t.Fatal(err)
		}
		res, err := r.Backup(t.Context(), repo.BackupOptions{Source: src, SourceName: "here", Granularity: 1})
		if err != nil {
			t.Fatal(err)
		}
		return res
	}
	first := backup(r)
	if first.Summary.FilesNew != 3 {
		t.Errorf("first: %+v", first.Summary)
	}
	r, err = repo.Open(t.Context(), store, cred, repo.Options{})
	if err != nil {
		t.Fatal(err)
	}
	second := backup(r)
	if second.Summary.FilesUnmodified != 3 || second.Summary.DataChunks != 0 || second.Snapshot.Sequence != 2 {
		t.Errorf("second: %+v", second.Summary)
	}
}
