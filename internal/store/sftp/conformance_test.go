package sftp_test

import (
	"bytes"
	"errors"
	"io/fs"
	"path/filepath"
	"sync"
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
	server := sshdtest.Start(t, sshdtest.Options{})
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
}

// TestNoLinks uses a server that makes no hard links, as on file systems that
// have none.
func TestNoLinks(t *testing.T) {
	t.Parallel()
	server := sshdtest.Start(t, sshdtest.Options{SFTP: noLinks})
	st := create(t, server, filepath.Join(t.TempDir(), "store"), sftp.Options{})
	defer st.Close()
	const writers = 8
	errs := make([]error, writers)
	var wg sync.WaitGroup
	for i := range writers {
		wg.Go(func() {
			errs[i] = st.Create(t.Context(), "d/f", bytes.NewReader(randomBytes(byte(i), 1000+i)), int64(1000+i))
		})
	}
	wg.Wait()
	winners := 0
	for i, err := range errs {
		if err == nil {
			winners++
			readAll(t, st, "d/f", randomBytes(byte(i), 1000+i))
		} else if !errors.Is(err, fs.ErrExist) {
			t.Errorf("Create: %v", err)
		}
	}
	if winners != 1 {
		t.Errorf("%d of %d writers created the same name", winners, writers)
	}
	if err := st.Remove(t.Context(), "d/f"); err != nil {
		t.Errorf("Remove: %v", err)
	}
	if got := listed(t, st); len(got) > 0 {
		t.Errorf("List gives %v", got)
	}
}
