package repo_test

import (
	"errors"
	"io/fs"
	"testing"
	"testing/fstest"
	"time"

	"github.com/snapkeep/snap/internal/store/mem"
	"github.com/snapkeep/snap/repo"
)

// TestOptionsThatThereAreNot checks that neither a repository is made nor one opened.
func TestOptionsThatThereAreNot(t *testing.T) {
	t.Parallel()
	to, cred := weak(t)
	good := mem.New(nil)
	made, err := repo.Create(t.Context(), good, to, repo.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	made.Close()
	for _, o := range []repo.Options{{Compression: "none"}, {PackSize: -1}, {PackSize: 1<<20 - 1}, {PackSize: 128<<20 + 1}, {Parity: "yes"}} {
		store := mem.New(nil)
		if r, err := repo.Create(t.Context(), store, to, repo.CreateOptions{Options: o}); err == nil || r != nil {
			t.Errorf("create with %+v: %v, %v", o, r, err)
		}
		err := store.List(t.Context(), "", func(name string, _ int64, _ time.Time) error {
			t.Errorf("create with %+v leaves %s", o, name)
			return nil
		})
		if err != nil {
			t.Error(err)
		}
		if r, err := repo.Open(t.Context(), good, cred, o); err == nil || r != nil {
			t.Errorf("open with %+v: %v, %v", o, r, err)
		}
	}
	for _, to := range []*repo.Recipient{nil, {}} {
		if r, err := repo.Create(t.Context(), mem.New(nil), to, repo.CreateOptions{}); err == nil || r != nil {
			t.Errorf("create without a recipient: %v, %v", r, err)
		}
	}
	for _, cred := range []*repo.Credential{nil, {}} {
		if r, err := repo.Open(t.Context(), good, cred, repo.Options{}); err == nil || r != nil {
			t.Errorf("open without a credential: %v, %v", r, err)
		}
	}
}

// TestArgumentsThatAreMissing checks that what a caller forgot, or computed wrongly, is an error and neither ends the program nor waits for ever.
func TestArgumentsThatAreMissing(t *testing.T) {
	t.Parallel()
	r := inMemory(t)
	files := repo.FromFS(fstest.MapFS{"a": {Data: make([]byte, 9<<20)}})
	for name, o := range map[string]repo.BackupOptions{
		"no source name":           {Source: files},
		"no source":                {SourceName: "x"},
		"no file system":           {SourceName: "x", Source: repo.FromFS(nil)},
		"a source of none and one": {SourceName: "x", Source: repo.Merge(nil, files)},
		"a year too late":          {SourceName: "x", Source: files, Time: time.Date(10_000, 1, 1, 0, 0, 0, 0, time.UTC)},
	} {
		if res, err := r.Backup(t.Context(), o); err == nil {
			t.Errorf("%s: %+v", name, res)
		}
	}
	none, err := repo.FromStreams(repo.FromReader("x", nil))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Backup(t.Context(), repo.BackupOptions{Source: none, SourceName: "x"}); !errors.Is(err, repo.ErrStream) {
		t.Errorf("a stream without a reader: %v", err)
	}
	for _, readers := range []int{-5, 1 << 30} {
		if _, err := r.Backup(t.Context(), repo.BackupOptions{SourceName: "x", Source: files, Readers: readers}); err != nil {
			t.Errorf("%d readers: %v", readers, err)
		}
	}
	if _, err := r.Restore(t.Context(), nil, repo.RestoreOptions{Target: t.TempDir()}); err == nil {
		t.Error("no snapshot was restored")
	}
	if _, err := fs.ReadFile(r.FS(t.Context(), nil), "a"); err == nil {
		t.Error("a file of no snapshot was read")
	}
}
