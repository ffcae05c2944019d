package sftp_test

import (
	"testing"

	"github.com/snapkeep/snap/internal/keyring"
	"github.com/snapkeep/snap/internal/source/sftp"
	"github.com/snapkeep/snap/internal/store/mem"
	"github.com/snapkeep/snap/repo"
)

// vault is a repository in memory.
func vault(t testing.TB) *repo.Repo {
	t.Helper()
	to, err := keyring.ForPassphrase("p", keyring.PassphraseOptions{Cost: 10, AllowWeak: true})
	if err != nil {
		t.Fatal(err)
	}
	r, err := repo.Create(t.Context(), mem.New(nil), to, repo.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return r
}

// pull backs the roots up.
func pull(t testing.TB, r *repo.Repo, dial sftp.Dial, o sftp.Options) (*repo.BackupResult, *sftp.Source, error) {
	t.Helper()
	s, err := sftp.New(dial, o)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	res, err := r.Backup(t.Context(), repo.BackupOptions{Source: s, SourceName: "web1"})
	return res, s, err
}
