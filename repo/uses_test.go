package repo_test

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"sync/atomic"
	"testing"
	"testing/fstest"

	"github.com/snapkeep/snap/internal/store/mem"
	"github.com/snapkeep/snap/repo"
)

// closingStore closes a Repo when a file is read for the n-th time.
type closingStore struct {
	repo.Store
	r    *repo.Repo
	left atomic.Int64 // reads until then; 0 and less closes nothing
}

func (s *closingStore) ReadAt(ctx context.Context, name string, p []byte, off int64) (int, error) {
	if s.left.Add(-1) == 0 {
		if err := s.r.Close(); err != nil {
			return 0, err
		}
	}
	return s.Store.ReadAt(ctx, name, p, off)
}

// TestCloseLetsCallsEnd closes a Repo in the middle of calls at each read that they make of the store. They see no damage in that.
func TestCloseLetsCallsEnd(t *testing.T) {
	t.Parallel()
	files := fstest.MapFS{"a": {Data: []byte("alpha")}, "d/b": {Data: make([]byte, 3<<20)}}
	store := &closingStore{Store: mem.New(nil)}
	to, cred := weak(t)
	made, err := repo.Create(t.Context(), store, to, repo.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	res, err := made.Backup(t.Context(), repo.BackupOptions{Source: repo.FromFS(files), SourceName: "here"})
	if err != nil {
		t.Fatal(err)
	}
	if err := made.Close(); err != nil {
		t.Fatal(err)
	}
	calls := map[string]func(r *repo.Repo) error{
		"check": func(r *repo.Repo) error {
			_, err := r.Check(t.Context(), repo.CheckOptions{ReadData: true})
			return err
		},
		"repair": func(r *repo.Repo) error {
			_, err := r.Repair(t.Context(), repo.RepairOptions{})
			return err
		},
		"restore": func(r *repo.Repo) error {
			got, err := r.Restore(t.Context(), res.Snapshot, repo.RestoreOptions{Target: t.TempDir(), NoOwner: true})
			if err == nil && (got.Failed > 0 || got.Files != 2) {
				t.Errorf("restored %+v", got)
			}
			return err
		},
		"backup": func(r *repo.Repo) error {
			_, err := r.Backup(t.Context(), repo.BackupOptions{Source: repo.FromFS(files), SourceName: "here", DryRun: true})
			return err
		},
	}
	for name, call := range calls {
		for reads := int64(1); reads < 100; reads++ {
			r, err := repo.Open(t.Context(), store, cred, repo.Options{})
			if err != nil {
				t.Fatal(err)
			}
			store.r = r
			store.left.Store(reads)
			if err := call(r); err != nil {
				t.Errorf("%s, closed at read %d: %v", name, reads, err)
			}
			left := store.left.Swap(0)
			if err := r.Close(); err != nil {
				t.Error(err)
			}
			if left > 0 {
				break
			}
		}
	}
}

func TestFilesCannotBeReadAfterClose(t *testing.T) {
	t.Parallel()
	to, _ := weak(t)
	r, err := repo.Create(t.Context(), mem.New(nil), to, repo.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	res, err := r.Backup(t.Context(), repo.BackupOptions{Source: repo.FromFS(fstest.MapFS{"a": {Data: []byte("alpha")}}), SourceName: "here"})
	if err != nil {
		t.Fatal(err)
	}
	f, err := r.OpenFile(t.Context(), res.Snapshot, "a")
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	if data, err := io.ReadAll(f); !errors.Is(err, fs.ErrClosed) || repo.IsDamage(err) {
		t.Errorf("read %q, %v", data, err)
	}
}
