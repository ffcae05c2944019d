package sftp_test

import (
	"path/filepath"
	"testing"

	"github.com/snapkeep/snap/internal/sshdtest"
	"github.com/snapkeep/snap/internal/store/sftp"
	"github.com/snapkeep/snap/repo/storetest"
)

// onlyAdds are arguments of an SFTP server that removes and replaces nothing.
// It can be made to rename, which is how files get their names where links are
// forbidden, or to link, which leaves temporary names behind.
const (
	onlyLinks   = "-P remove,rmdir,rename,posix-rename,setstat,fsetstat,symlink"
	onlyRenames = "-P remove,rmdir,hardlink,posix-rename,setstat,fsetstat,symlink"
	noLinks     = "-P hardlink"
)

func location(s *sshdtest.Server, folder string) sftp.Location {
	return sftp.Location{Address: s.Address(), Path: folder}
}

func create(t *testing.T, s *sshdtest.Server, folder string, opts sftp.Options) *sftp.Store {
	t.Helper()
	opts.SSH = s.Client()
	st, err := sftp.Create(t.Context(), location(s, folder), opts)
	if err != nil {
		t.Fatal(err)
	}
	return st
}

func TestConformance(t *testing.T) {
	t.Parallel()
	for name, opts := range map[string]sshdtest.Options{"Default": {}, "NoLinks": {SFTP: noLinks}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := sshdtest.Start(t, opts)
			storetest.Test(t, func(t *testing.T) storetest.Store {
				return create(t, server, filepath.Join(t.TempDir(), "new", "store"), sftp.Options{})
			})
			t.Run("Reopen", func(t *testing.T) {
				storetest.TestReopen(t, func(t *testing.T) func() (storetest.Store, error) {
					dir := t.TempDir()
					return func() (storetest.Store, error) {
						return sftp.Open(t.Context(), location(server, dir), sftp.Options{SSH: server.Client()})
					}
				})
			})
		})
	}
}
