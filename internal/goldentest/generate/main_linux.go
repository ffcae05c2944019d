// Command generate makes the golden repository of the format's current version in the folder
// testdata. It must run as root, and refuses if there is one already.
package main

import (
	"archive/tar"
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"filippo.io/age"
	"github.com/snapkeep/snap/internal/goldentest"
	"github.com/snapkeep/snap/internal/keyring"
	"github.com/snapkeep/snap/internal/verifier"
	"github.com/snapkeep/snap/repo"
)

const (
	name       = "golden-v2"
	passphrase = "ein goldener Schlüssel"
	work       = "/tmp/snap-golden"
)

func main() {
	if err := run(context.Background(), filepath.Join("testdata", name)); err != nil {
		fmt.Fprintln(os.Stderr, "generate:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, out string) error {
	if _, err := os.Lstat(out + ".tar"); err == nil {
		return fmt.Errorf("%s.tar exists and is never made again", out)
	}
	if err := os.RemoveAll(work); err != nil {
		return err
	}
	defer os.RemoveAll(work)
	facts, err := makeRepository(ctx, work+"/repository", work+"/tree")
	if err != nil {
		return err
	}
	manifest, err := list(work + "/repository")
	if err != nil {
		return err
	}
	data, err := json.MarshalIndent(facts, "", "  ")
	if err != nil {
		return err
	}
	if err := os.WriteFile(out+".json", append(data, '\n'), 0o644); err != nil {
		return err
	}
	if err := os.WriteFile(out+".manifest", []byte(manifest), 0o644); err != nil {
		return err
	}
	return archive(out+".tar", work+"/repository")
}

func makeRepository(ctx context.Context, dir, tree string) (*goldentest.Facts, error) {
	store, err := repo.CreateStore(ctx, dir)
	if err != nil {
		return nil, err
	}
	defer store.Close()
	to, err := keyring.ForPassphrase(passphrase, keyring.PassphraseOptions{Cost: keyring.MinCost})
	if err != nil {
		return nil, err
	}
	r, err := repo.Create(ctx, store, to, repo.CreateOptions{Options: repo.Options{PackSize: 1 << 20}, Label: "passphrase"})
	if err != nil {
		return nil, err
	}
	defer r.Close()
	facts := &goldentest.Facts{Passphrase: passphrase}
	if facts.Identity, err = addAge(ctx, r, repo.RoleFull); err != nil {
		return nil, err
	}
	if facts.Writer, err = addAge(ctx, r, repo.RoleWriter); err != nil {
		return nil, err
	}
	return facts, fill(ctx, r, tree, facts)
}

func addAge(ctx context.Context, r *repo.Repo, role repo.Role) (string, error) {
	id, err := age.GenerateX25519Identity()
	if err != nil {
		return "", err
	}
	to, err := repo.ForAge(id.Recipient().String())
	if err != nil {
		return "", err
	}
	_, err = r.AddSlot(ctx, to, role, "age "+string(role))
	return id.String(), err
}

// fill makes four snapshots, of which the first goes to the trash, and labels.
func fill(ctx context.Context, r *repo.Repo, tree string, facts *goldentest.Facts) error {
	var made []*repo.Snapshot
	for day := range 4 {
		if err := build(tree, day); err != nil {
			return err
		}
		time.Sleep(50 * time.Millisecond) // what was just changed is read again by the next backup, and marked
		s, err := backup(ctx, r, tree, day)
		if err != nil {
			return err
		}
		made = append(made, s)
	}
	facts.Trashed, facts.Tagged, facts.Pinned = made[0].ID.String(), made[1].ID.String(), made[2].ID.String()
	for _, s := range made[1:] {
		facts.Snapshots = append(facts.Snapshots, s.ID.String())
	}
	if _, err := r.Forget(ctx, []repo.SnapshotID{made[0].ID}, repo.ForgetOptions{Why: "golden"}); err != nil {
		return err
	}
	if err := r.Tag(ctx, made[1], []string{"wrong"}, nil, nil); err != nil {
		return err
	}
	if err := r.Tag(ctx, made[1], []string{"golden", "kept"}, nil, nil); err != nil {
		return err
	}
	return r.Pin(ctx, made[2], true)
}

func backup(ctx context.Context, r *repo.Repo, tree string, day int) (*repo.Snapshot, error) {
	source, err := repo.FromLocal(repo.LocalOptions{Roots: []string{tree}})
	if err != nil {
		return nil, err
	}
	streams, err := repo.FromStreams(repo.FromReader("dump.sql", strings.NewReader(fmt.Sprintf("-- day %d\n", day))))
	if err != nil {
		return nil, err
	}
	var trouble error
	res, err := r.Backup(ctx, repo.BackupOptions{Source: repo.Merge(source, streams), SourceName: "golden:/tree\xff", Host: "golden", User: "nobody", UID: 7, GID: 8,
		Paths: []string{tree}, Excludes: []string{"*.tmp"}, Tags: []string{"first"}, Program: "snap golden", Granularity: 1, Time: time.Date(2024, 2, 29+day, 12, 0, 0, 0, time.UTC),
		Problem: func(p repo.Problem) { trouble = fmt.Errorf("%q: %w", p.Path, p.Err) }})
	if err == nil {
		err = trouble
	}
	if err != nil {
		return nil, err
	}
	return res.Snapshot, nil
}

func list(dir string) (string, error) {
	c, err := verifier.Passphrase(passphrase)
	if err != nil {
		return "", err
	}
	var damage error
	r, err := verifier.Open(os.DirFS(dir), c, verifier.Options{Damage: func(what string, err error) { damage = fmt.Errorf("%s: %w", what, err) }})
	if err != nil {
		return "", err
	}
	var out strings.Builder
	if err := r.Verify(&out); err != nil {
		return "", err
	}
	return out.String(), damage
}

func archive(path, dir string) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	w := tar.NewWriter(f)
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		rest, _ := filepath.Rel(dir, path)
		if err != nil || d.IsDir() || strings.HasPrefix(rest, "tmp/") {
			return err
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if err := w.WriteHeader(&tar.Header{Name: filepath.ToSlash(rest), Mode: 0o644, Size: int64(len(data)), Format: tar.FormatUSTAR}); err != nil {
			return err
		}
		_, err = w.Write(data)
		return err
	})
	if err == nil {
		err = w.Close()
	}
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	return err
}
