package repo_test

import (
	"bytes"
	"errors"
	"io/fs"
	"maps"
	"math/rand/v2"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/snapkeep/snap/internal/s3test"
	"github.com/snapkeep/snap/internal/sshdtest"
	"github.com/snapkeep/snap/repo"
)

// writeTree writes files of several sizes to a folder and returns them.
func writeTree(t *testing.T, dir string) map[string][]byte {
	t.Helper()
	random := rand.NewChaCha8([32]byte{1})
	files := make(map[string][]byte)
	for i, size := range []int{0, 1, 1000, 70_000, 600_000, 5 << 20} {
		data := make([]byte, size)
		random.Read(data)
		files[filepath.Join("d"+strconv.Itoa(i%3), "f"+strconv.Itoa(i))] = data
	}
	for name, data := range files {
		if err := os.MkdirAll(filepath.Join(dir, filepath.Dir(name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return files
}

func readTree(t *testing.T, dir string) map[string][]byte {
	t.Helper()
	files := make(map[string][]byte)
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		name, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		files[name], err = os.ReadFile(path)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// useStore makes a repository at a location, backs up into it twice, checks it and
// restores from it, each time with the store opened anew.
func useStore(t *testing.T, location string, opts repo.StoreOptions) {
	t.Helper()
	source := t.TempDir()
	files := writeTree(t, source)
	to, credential := weak(t)
	store, err := opts.Create(t.Context(), location)
	if err != nil {
		t.Fatal(err)
	}
	r, err := repo.Create(t.Context(), store, to, repo.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	closeAll := func() {
		t.Helper()
		if err := errors.Join(r.Close(), store.Close()); err != nil {
			t.Error(err)
		}
	}
	closeAll()
	if _, err := opts.Create(t.Context(), location); !errors.Is(err, fs.ErrExist) {
		t.Errorf("create a second time: %v", err)
	}
	open := func() {
		t.Helper()
		if store, err = opts.Open(t.Context(), location); err != nil {
			t.Fatal(err)
		}
		if r, err = repo.Open(t.Context(), store, credential, repo.Options{}); err != nil {
			t.Fatal(err)
		}
	}
	var latest *repo.Snapshot
	for range 2 {
		open()
		result, err := r.Backup(t.Context(), repo.BackupOptions{Source: repo.FromFS(os.DirFS(source)), SourceName: "here"})
		if err != nil {
			t.Fatalf("backup: %v", err)
		}
		latest = result.Snapshot
		closeAll()
	}
	open()
	defer closeAll()
	if _, err := r.Check(t.Context(), repo.CheckOptions{ReadData: true}); err != nil {
		t.Errorf("check: %v", err)
	}
	target := filepath.Join(t.TempDir(), "restored")
	if _, err := r.Restore(t.Context(), latest, repo.RestoreOptions{Target: target, NoOwner: true}); err != nil {
		t.Errorf("restore: %v", err)
	}
	if got := readTree(t, target); !maps.EqualFunc(got, files, bytes.Equal) {
		t.Errorf("%d files are restored of %d, or others", len(got), len(files))
	}
}

func TestSFTPStore(t *testing.T) {
	t.Parallel()
	server := sshdtest.Start(t, sshdtest.Options{})
	ssh := filepath.Join(server.Home, ".ssh")
	location := (&url.URL{Scheme: "sftp", User: url.User(server.User), Host: server.Addr(), Path: filepath.Join(t.TempDir(), "repository")}).String()
	useStore(t, location, repo.StoreOptions{SSHCommand: "ssh -F none -o BatchMode=yes -o IdentityAgent=none -i '" + ssh + "/id_ed25519' -o 'UserKnownHostsFile=" + ssh + "/known_hosts'"})
}

// TestSFTPStoreFromHome uses the client that is built in, with the keys of a home folder.
func TestSFTPStoreFromHome(t *testing.T) {
	server := sshdtest.Start(t, sshdtest.Options{})
	t.Setenv("HOME", server.Home)
	t.Setenv("SSH_AUTH_SOCK", "")
	location := "sftp://" + server.Address().String() + filepath.Join(t.TempDir(), "repository")
	useStore(t, location, repo.StoreOptions{})
	missing := "sftp://" + server.Address().String() + filepath.Join(t.TempDir(), "missing")
	if store, err := repo.OpenStore(t.Context(), missing); !errors.Is(err, fs.ErrNotExist) || store != nil {
		t.Errorf("open a folder that is not there: store %v, error %v", store, err)
	}
}

func TestS3Store(t *testing.T) {
	server := s3test.Start(t)
	t.Setenv("AWS_ACCESS_KEY_ID", s3test.AccessKey)
	t.Setenv("AWS_SECRET_ACCESS_KEY", s3test.SecretKey)
	useStore(t, "s3:http://"+server.Proxy.Addr()+"/backups/of/a-host", repo.StoreOptions{})
}

func TestStoreLocations(t *testing.T) {
	t.Parallel()
	for _, location := range []string{
		"", "gopher://host/x", "http://user:secret@host/x", "file://host/x", "file://user:secret@host/x", "file://user:secret@h ost/x", "sftp:user@host:/x", "sftp://user:secret@host/x", "s3:https://key:secret@host/bucket",
		"s3://bucket/x", "s3:https://host",
	} {
		for what, start := range map[string]func() (repo.Store, error){
			"open":   func() (repo.Store, error) { return repo.OpenStore(t.Context(), location) },
			"create": func() (repo.Store, error) { return repo.CreateStore(t.Context(), location) },
		} {
			if store, err := start(); err == nil || store != nil {
				t.Errorf("%s %q: store %v, error %v", what, location, store, err)
			} else if strings.Contains(err.Error(), "secret") {
				t.Errorf("%s %q: the error shows a secret: %v", what, location, err)
			}
		}
	}
}
