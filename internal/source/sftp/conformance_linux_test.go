package sftp_test

import (
	"context"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/snapkeep/snap/internal/source/sftp"
	"github.com/snapkeep/snap/internal/sshconn"
	"github.com/snapkeep/snap/internal/sshdtest"
	"github.com/snapkeep/snap/repo/sourcetest"
)

// dialer returns how to reach the SFTP server of an sshd behind a port.
func dialer(t testing.TB, server *sshdtest.Server, port int) sftp.Dial {
	t.Helper()
	address := server.Address()
	address.Port = port
	d, err := sshconn.New(address, server.Client())
	if err != nil {
		t.Fatal(err)
	}
	return func(ctx context.Context) (io.ReadWriteCloser, error) {
		conn, err := d.Dial(ctx, "sftp")
		if err != nil {
			return nil, err
		}
		return conn, nil
	}
}

// open returns a source that ends with the test.
func open(t testing.TB, dial sftp.Dial, o sftp.Options) *sftp.Source {
	t.Helper()
	s, err := sftp.New(dial, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// build makes files below root.
func build(t testing.TB, root string, files map[string]sourcetest.File) {
	t.Helper()
	for _, name := range slices.Sorted(maps.Keys(files)) {
		f, p := files[name], filepath.Join(root, name)
		var err error
		switch f.Mode.Type() {
		case fs.ModeDir:
			err = os.Mkdir(p, f.Mode.Perm())
		case fs.ModeSymlink:
			err = os.Symlink(f.Content, p)
		default:
			err = os.WriteFile(p, []byte(f.Content), f.Mode.Perm())
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

func TestConformance(t *testing.T) {
	server := sshdtest.Start(t, sshdtest.Options{})
	sourcetest.Test(t, func(t *testing.T, files map[string]sourcetest.File) sourcetest.Built {
		root := t.TempDir()
		build(t, root, files)
		return sourcetest.Built{Source: open(t, dialer(t, server, server.Port), sftp.Options{Roots: []string{root}}), Top: root}
	})
}
