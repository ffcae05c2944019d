package repo_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"testing/fstest"

	"github.com/snapkeep/snap/repo"
)

// TestPatternsOfAnOutsideProgram restores with patterns, by names of package repo alone.
func TestPatternsOfAnOutsideProgram(t *testing.T) {
	t.Parallel()
	r := inMemory(t)
	var p repo.Progress
	files := fstest.MapFS{"a.txt": {Data: []byte("alpha")}, "d/b.txt": {Data: []byte("beta")}, "d/c.log": {Data: []byte("gamma")}}
	res, err := r.Backup(t.Context(), repo.BackupOptions{Source: repo.FromFS(files), SourceName: "here", Progress: &p,
		Parts: []repo.Part{{Name: repo.Bytes("all"), Kind: repo.PartTree}}})
	if err != nil {
		t.Fatal(err)
	}
	if p.Files.Load() != res.Summary.Files || p.Bytes.Load() != res.Summary.Bytes || p.Files.Load() != 3 {
		t.Errorf("progress tells of %d files and %d bytes, the summary is %+v", p.Files.Load(), p.Bytes.Load(), res.Summary)
	}
	logs, err := repo.Patterns("*.log")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if _, err := r.Restore(t.Context(), res.Snapshot, repo.RestoreOptions{Target: dir, NoOwner: true, Exclude: []*repo.PatternList{logs}}); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "d", "b.txt")); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "d", "c.log")); !os.IsNotExist(err) {
		t.Errorf("what is excluded: %v", err)
	}
	if _, err := repo.Patterns("[a"); !errors.Is(err, repo.ErrPattern) {
		t.Errorf("a malformed pattern: %v", err)
	}

	var c repo.CheckProgress
	if _, err := r.Check(t.Context(), repo.CheckOptions{ReadData: true, Progress: &c}); err != nil {
		t.Fatal(err)
	}
	if c.Bytes.Load() != c.TotalBytes.Load() || c.Packs.Load() != c.TotalPacks.Load() {
		t.Errorf("progress of a check ends at %d of %d bytes", c.Bytes.Load(), c.TotalBytes.Load())
	}
}
