package sftp_test

import (
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/snapkeep/snap/internal/source/sftp"
	"github.com/snapkeep/snap/internal/sshdtest"
	"github.com/snapkeep/snap/repo"
)

// Somebody swaps a file for a link to a secret one all the time. The server follows it whenever it lies there at the right
// moment; since the secret file has another mode, nothing of it is ever kept. (With the same owner, group, mode, size and
// time it could be: package doc.)
func TestSwappedLinksGiveNothingAway(t *testing.T) {
	server := sshdtest.Start(t, sshdtest.Options{})
	root, outside := t.TempDir(), t.TempDir()
	secret := filepath.Join(outside, "secret")
	if err := os.WriteFile(secret, []byte("SECRET"), 0o600); err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, name := range []string{"a", "b", "c", "d"} {
		file, link := filepath.Join(root, name), filepath.Join(outside, "link to "+name)
		if err := os.WriteFile(file, []byte("public"), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(secret, link); err != nil {
			t.Fatal(err)
		}
		names = append(names, name)
	}
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for _, name := range names {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if err := unix.Renameat2(unix.AT_FDCWD, filepath.Join(root, name), unix.AT_FDCWD, filepath.Join(outside, "link to "+name), unix.RENAME_EXCHANGE); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	defer wg.Wait()
	defer close(stop)
	r := vault(t)
	read, refused := 0, 0
	for range 15 {
		s, err := sftp.New(dialer(t, server, server.Port), sftp.Options{Roots: []string{root}})
		if err != nil {
			t.Fatal(err)
		}
		res, err := r.Backup(t.Context(), repo.BackupOptions{Source: s, SourceName: "web1", Force: true, AllowEmpty: true})
		s.Close()
		if err != nil {
			t.Fatal(err)
		}
		refused += int(res.Summary.Unreadable)
		entries, err := r.ReadDir(t.Context(), res.Snapshot, strings.TrimPrefix(root, "/"))
		if err != nil {
			t.Fatal(err)
		}
		for i := range entries {
			x := &entries[i]
			if x.Kind != repo.Regular || x.Marks != 0 && len(x.Parts) == 0 {
				continue
			}
			if text := content(t, r, x); text != "public" {
				t.Fatalf("%q was read as %q", x.Name, text)
			}
			read++
		}
	}
	t.Logf("%d times the file was read, %d times something else was refused", read, refused)
}
