package repo_test

import (
	"context"
	"fmt"
	"io"
	"log"
	"os"
	"path/filepath"
	"strings"

	"github.com/snapkeep/snap/internal/keyring"
	"github.com/snapkeep/snap/internal/source/local"
	"github.com/snapkeep/snap/internal/store/mem"
	"github.com/snapkeep/snap/repo"
)

// exampleSnapshot saves a folder with one file and returns its path in the snapshot.
func exampleSnapshot(ctx context.Context) (*repo.Repo, *repo.Snapshot, string) {
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	if err := os.WriteFile(filepath.Join(dir, "motd"), []byte("Welcome back.\n"), 0o644); err != nil {
		log.Fatal(err)
	}
	to, err := keyring.ForPassphrase("for examples only", keyring.PassphraseOptions{Cost: 10, AllowWeak: true})
	if err != nil {
		log.Fatal(err)
	}
	r, err := repo.Create(ctx, mem.New(nil), to, repo.CreateOptions{})
	if err != nil {
		log.Fatal(err)
	}
	source, err := local.New(local.Options{Roots: []string{dir}})
	if err != nil {
		log.Fatal(err)
	}
	result, err := r.Backup(ctx, repo.BackupOptions{Source: source, SourceName: "example"})
	if err != nil {
		log.Fatal(err)
	}
	return r, result.Snapshot, strings.TrimPrefix(dir, "/")
}

func ExampleRepo_OpenFile() {
	ctx := context.Background()
	r, snapshot, dir := exampleSnapshot(ctx)
	defer r.Close()
	file, err := r.OpenFile(ctx, snapshot, dir+"/motd")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(file.Size(), "bytes")
	if _, err := io.Copy(os.Stdout, file); err != nil {
		log.Fatal(err)
	}
	// Output:
	// 14 bytes
	// Welcome back.
}
