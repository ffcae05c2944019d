package inspect_test

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/snapkeep/snap/internal/chunks"
	"github.com/snapkeep/snap/internal/inspect"
	"github.com/snapkeep/snap/internal/keyring"
	"github.com/snapkeep/snap/internal/store/mem"
	"github.com/snapkeep/snap/pack"
	"github.com/snapkeep/snap/repo"
)

// made returns a repository in memory with one file in one snapshot.
func made(t *testing.T, content []byte) (*mem.Store, *inspect.Repository, *repo.Entry) {
	t.Helper()
	to, err := keyring.ForPassphrase("correct horse", keyring.PassphraseOptions{Cost: 10, AllowWeak: true})
	if err != nil {
		t.Fatal(err)
	}
	store := mem.New(nil)
	r, err := repo.Create(t.Context(), store, to, repo.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	files := fstest.MapFS{"a.txt": {Data: content}}
	done, err := r.Backup(t.Context(), repo.BackupOptions{Source: repo.FromFS(files), SourceName: "test"})
	if err != nil {
		t.Fatal(err)
	}
	x, err := r.Lookup(t.Context(), done.Snapshot, "a.txt")
	if err != nil {
		t.Fatal(err)
	}
	credential, err := repo.Passphrase("correct horse")
	if err != nil {
		t.Fatal(err)
	}
	opened, err := inspect.Open(t.Context(), store, credential)
	if err != nil {
		t.Fatal(err)
	}
	return store, opened, x
}

func namesIn(t *testing.T, store *mem.Store, prefix string) (names []string) {
	t.Helper()
	err := store.List(t.Context(), prefix, func(name string, _ int64, _ time.Time) error {
		names = append(names, strings.TrimPrefix(name, prefix))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

func TestChunkAndIndex(t *testing.T) {
	content := []byte("hello, world")
	store, r, x := made(t, content)
	got, err := r.Chunk(t.Context(), x.Parts[0].ID)
	if err != nil || !bytes.Equal(got, content) {
		t.Errorf("chunk: %q, %v", got, err)
	}
	if _, err := r.Chunk(t.Context(), pack.ChunkID{1}); !errors.Is(err, chunks.ErrMissing) {
		t.Errorf("chunk that is not there: %v", err)
	}
	found := false
	for _, name := range namesIn(t, store, "index/") {
		f, err := r.Index(t.Context(), name[:8])
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range f.Packs {
			for _, s := range p.Directory {
				for _, c := range s.Chunks {
					found = found || c.ID == x.Parts[0].ID
				}
			}
		}
	}
	if !found {
		t.Error("no index file names the chunk")
	}
}

func TestClearFiles(t *testing.T) {
	store, r, _ := made(t, []byte("x"))
	if data, err := r.Config(t.Context()); err != nil || !bytes.Contains(data, []byte(`"format"`)) {
		t.Errorf("config: %q, %v", data, err)
	}
	id := namesIn(t, store, "keys/")[0]
	if data, err := r.Slot(t.Context(), id[:6]); err != nil || !bytes.Contains(data, []byte(`"passphrase"`)) {
		t.Errorf("slot: %q, %v", data, err)
	}
	for _, bad := range []string{"", "zz", "../snap.json", strings.Repeat("0", 32)} {
		if _, err := r.Slot(t.Context(), bad); !errors.Is(err, inspect.ErrID) {
			t.Errorf("slot %q: %v", bad, err)
		}
	}
}

func TestOpenTellsWrongKey(t *testing.T) {
	store, _, _ := made(t, []byte("x"))
	credential, err := repo.Passphrase("wrong")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := inspect.Open(context.Background(), store, credential); !errors.Is(err, keyring.ErrWrongPassphrase) {
		t.Errorf("got %v", err)
	}
}
