package agent_test

import (
	"context"
	"io"
	"io/fs"
	"maps"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/snapkeep/snap/chunker"
	server "github.com/snapkeep/snap/internal/agent"
	"github.com/snapkeep/snap/internal/source/agent"
	"github.com/snapkeep/snap/repo/sourcetest"
)

// params are the cuts of tests.
func params(t testing.TB) (files, database chunker.Params) {
	t.Helper()
	p, err := chunker.RandomPolynomial(rand.NewChaCha8([32]byte{1}))
	if err != nil {
		t.Fatal(err)
	}
	return chunker.Files(p), chunker.Database(p)
}

// ahead is a clock by which everything that tests write was written long ago, so that nothing of it is in doubt.
func ahead() time.Time { return time.Now().Add(time.Hour) }

// serve returns a dial that starts an agent with the policy, in this process, for each connection. Its clock is ahead.
func serve(t testing.TB, p *server.Policy) agent.Dial {
	return serveAt(t, p, ahead)
}

// serveAt is serve with a clock.
func serveAt(t testing.TB, p *server.Policy, clock func() time.Time) agent.Dial {
	t.Helper()
	if err := p.Check(); err != nil {
		t.Fatal(err)
	}
	return func(context.Context) (io.ReadWriteCloser, error) {
		here, there := net.Pipe()
		done := make(chan struct{})
		go func() {
			defer close(done)
			defer there.Close()
			server.Serve(context.Background(), there, there, server.Options{Policy: p, Program: "test", Now: clock}) // fails when the connection is cut
		}()
		t.Cleanup(func() {
			here.Close()
			<-done
		})
		return here, nil
	}
}

// open returns a source that reads the roots through an agent.
func open(t testing.TB, o agent.Options) *agent.Source {
	t.Helper()
	o.Files, o.Database = params(t)
	s := agent.New(serve(t, &server.Policy{Roots: o.Roots}), o)
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
	sourcetest.Test(t, func(t *testing.T, files map[string]sourcetest.File) sourcetest.Built {
		root := t.TempDir()
		build(t, root, files)
		return sourcetest.Built{Source: open(t, agent.Options{Roots: []string{root}}), Top: root}
	})
}
