package repo_test

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"log"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing/fstest"
	"time"

	"github.com/snapkeep/snap/repo"
)

// mustCreate makes a repository in a store.
func mustCreate(ctx context.Context, store repo.Store) *repo.Repo {
	to, err := repo.ForPassphrase("correct horse battery staple")
	if err != nil {
		log.Fatal(err)
	}
	r, err := repo.Create(ctx, store, to, repo.CreateOptions{})
	if err != nil {
		log.Fatal(err)
	}
	return r
}

// A program that makes a repository in a folder and backs a file system up into it.
func Example() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	store, err := repo.CreateStore(ctx, filepath.Join(dir, "repository"))
	if err != nil {
		log.Fatal(err)
	}
	defer store.Close()
	r := mustCreate(ctx, store)
	defer r.Close()

	files := fstest.MapFS{"etc/hostname": {Data: []byte("web1\n")}, "etc/motd": {Data: []byte("welcome\n")}}
	result, err := r.Backup(ctx, repo.BackupOptions{Source: repo.FromFS(files), SourceName: "web1", Tags: []string{"nightly"}})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(result.Summary.FilesNew, "files saved")

	latest, err := r.Find(ctx, "latest", repo.Filter{Sources: []string{"web1"}})
	if err != nil {
		log.Fatal(err)
	}
	data, err := fs.ReadFile(r.FS(ctx, latest), "etc/hostname")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s", data)
	// Output:
	// 2 files saved
	// web1
}

// A stream, such as a dump, becomes a file at the top of the snapshot.
func ExampleFromReader() {
	ctx := context.Background()
	r := mustCreate(ctx, newMapStore())
	defer r.Close()

	src, err := repo.FromStreams(repo.FromReader("crm.sql", strings.NewReader("CREATE TABLE t (n int);\n")))
	if err != nil {
		log.Fatal(err)
	}
	result, err := r.Backup(ctx, repo.BackupOptions{Source: src, SourceName: "crm"})
	if err != nil {
		log.Fatal(err)
	}
	data, err := fs.ReadFile(r.FS(ctx, result.Snapshot), "crm.sql")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s", data)
	// Output: CREATE TABLE t (n int);
}

// mapStore is a Store of one's own: here a map. Package storetest tests such a thing.
type mapStore struct {
	mu    sync.Mutex // guards files
	files map[string]mapFile
}

type mapFile struct {
	data string
	made time.Time
}

func newMapStore() *mapStore { return &mapStore{files: map[string]mapFile{}} }

func (m *mapStore) Create(_ context.Context, name string, data io.Reader, size int64) error {
	b, err := io.ReadAll(data)
	if err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, ok := m.files[name]; ok {
		return &fs.PathError{Op: "create", Path: name, Err: fs.ErrExist}
	}
	m.files[name] = mapFile{string(b), time.Now()}
	return nil
}

func (m *mapStore) get(op, name string) (mapFile, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	f, ok := m.files[name]
	if !ok {
		return f, &fs.PathError{Op: op, Path: name, Err: fs.ErrNotExist}
	}
	return f, nil
}

func (m *mapStore) ReadAt(_ context.Context, name string, p []byte, off int64) (int, error) {
	f, err := m.get("read", name)
	if err != nil {
		return 0, err
	}
	return strings.NewReader(f.data).ReadAt(p, off)
}

func (m *mapStore) List(_ context.Context, prefix string, fn func(string, int64, time.Time) error) error {
	m.mu.Lock()
	files := map[string]mapFile{}
	for name, f := range m.files {
		files[name] = f
	}
	m.mu.Unlock()
	for name, f := range files {
		if !strings.HasPrefix(name, prefix) {
			continue
		}
		if err := fn(name, int64(len(f.data)), f.made); err != nil {
			return err
		}
	}
	return nil
}

func (m *mapStore) Remove(_ context.Context, name string) error {
	if _, err := m.get("remove", name); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.files, name)
	return nil
}

func (m *mapStore) Stat(_ context.Context, name string) (int64, time.Time, error) {
	f, err := m.get("stat", name)
	return int64(len(f.data)), f.made, err
}

func (m *mapStore) Close() error { return nil }

// A store of one's own: anything that keeps whole files by name.
func ExampleStore() {
	ctx := context.Background()
	store := newMapStore()
	r := mustCreate(ctx, store)
	if _, err := r.Backup(ctx, repo.BackupOptions{Source: repo.FromFS(fstest.MapFS{"a": {Data: []byte("alpha")}}), SourceName: "here"}); err != nil {
		log.Fatal(err)
	}
	r.Close()

	key, err := repo.Passphrase("correct horse battery staple")
	if err != nil {
		log.Fatal(err)
	}
	r, err = repo.Open(ctx, store, key, repo.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer r.Close()
	snapshots, err := r.Snapshots(ctx, repo.Filter{})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(len(snapshots), "snapshot of", snapshots[0].SourceName)
	// Output: 1 snapshot of here
}
