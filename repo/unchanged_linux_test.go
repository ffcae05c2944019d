package repo_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/snapkeep/snap/internal/store/mem"
	"github.com/snapkeep/snap/repo"
)

// TestSkipIfUnchangedLooksBelowTheRoots changes a folder above the root, which makes another
// tree and no other backup.
func TestSkipIfUnchangedLooksBelowTheRoots(t *testing.T) {
	above := t.TempDir()
	root := filepath.Join(above, "root")
	if err := os.MkdirAll(filepath.Join(root, "sub"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(root, "a"), []byte("a"), 0o644); err != nil {
		t.Fatal(err)
	}
	to, _ := weak(t)
	r, err := repo.Create(t.Context(), mem.New(nil), to, repo.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	backup := func() *repo.Snapshot {
		src, err := repo.FromLocal(repo.LocalOptions{Roots: []string{root}})
		if err != nil {
			t.Fatal(err)
		}
		res, err := r.Backup(t.Context(), repo.BackupOptions{Source: src, SourceName: "x", Paths: []string{root}, SkipIfUnchanged: true, Granularity: 1})
		if err != nil {
			t.Fatal(err)
		}
		return res.Snapshot
	}
	if backup() == nil {
		t.Fatal("first backup was skipped")
	}
	past := time.Now().Add(-time.Hour)
	if err := os.Chtimes(above, past, past); err != nil {
		t.Fatal(err)
	}
	if backup() != nil {
		t.Error("nothing below the root changed, and a snapshot was made")
	}
	if err := os.Chtimes(filepath.Join(root, "a"), past, past); err != nil {
		t.Fatal(err)
	}
	if backup() == nil {
		t.Error("a changed file was skipped")
	}
}
