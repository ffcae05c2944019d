package agent_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	server "github.com/snapkeep/snap/internal/agent"
	"github.com/snapkeep/snap/internal/keyring"
	"github.com/snapkeep/snap/internal/protocol"
	"github.com/snapkeep/snap/internal/source/agent"
	"github.com/snapkeep/snap/internal/store/mem"
	"github.com/snapkeep/snap/repo"
)

// recorder keeps what the server sends.
type recorder struct {
	io.ReadWriteCloser

	mu   sync.Mutex // guards sent
	sent bytes.Buffer
}

func (r *recorder) Write(p []byte) (int, error) {
	r.mu.Lock()
	r.sent.Write(p)
	r.mu.Unlock()
	return r.ReadWriteCloser.Write(p)
}

// questions returns the questions but for pings, without their numbers, in an order that does not depend on which was faster.
func (r *recorder) questions(t *testing.T) (all []string) {
	t.Helper()
	in := protocol.NewReader(&r.sent, protocol.MaxQuestion)
	for {
		f, err := in.Read()
		if err == io.EOF {
			slices.Sort(all)
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		if f.Type != protocol.Ping {
			all = append(all, fmt.Sprintf("%d %x", f.Type, f.Payload))
		}
	}
}

// TestWhatOnlyOthersHaveIsAskedForLikeUnknown pulls the same files into two copies of a repository, of which one has them from
// another source. The agent sees the same questions.
func TestWhatOnlyOthersHaveIsAskedForLikeUnknown(t *testing.T) {
	to, err := keyring.ForPassphrase("p", keyring.PassphraseOptions{Cost: 10, AllowWeak: true})
	if err != nil {
		t.Fatal(err)
	}
	store := mem.New(nil)
	r, err := repo.Create(t.Context(), store, to, repo.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	root := t.TempDir()
	policy := &server.Policy{Roots: []string{root}}
	o := agent.Options{Roots: []string{root}, Compress: agent.CompressOff}
	write(t, rand.New(rand.NewPCG(9, 9)), filepath.Join(root, "old"), 100_000)
	if _, _, err := pull(t, r, serve(t, policy), "web1", o); err != nil {
		t.Fatal(err)
	}
	without := store.Clone()
	write(t, rand.New(rand.NewPCG(10, 10)), filepath.Join(root, "large"), 5<<20)
	write(t, rand.New(rand.NewPCG(11, 11)), filepath.Join(root, "small"), 50_000)
	// The other source cuts with web1's polynomial: so that it has the very chunks.
	other := agent.Options{Roots: []string{root}}
	if other.Files, other.Database, err = r.SourceChunkers("web1"); err != nil {
		t.Fatal(err)
	}
	s := agent.New(serve(t, policy), other)
	first, err := r.Backup(t.Context(), repo.BackupOptions{Source: s, SourceName: "other"})
	s.Close()
	if err != nil || first.Summary.DataChunks < 2 {
		t.Fatalf("%+v, %v", first, err)
	}
	var transcripts [][]string
	var stored []int64
	for _, st := range []*mem.Store{store, without} {
		credential, err := repo.Passphrase("p")
		if err != nil {
			t.Fatal(err)
		}
		again, err := repo.Open(t.Context(), st, credential, repo.Options{})
		if err != nil {
			t.Fatal(err)
		}
		rec := &recorder{}
		plain := serve(t, policy)
		res, _, err := pull(t, again, func(ctx context.Context) (io.ReadWriteCloser, error) {
			var err error
			rec.ReadWriteCloser, err = plain(ctx)
			return rec, err
		}, "web1", o)
		if err != nil {
			t.Fatal(err)
		}
		transcripts = append(transcripts, rec.questions(t))
		stored = append(stored, int64(res.Summary.DataChunks))
		again.Close()
	}
	if stored[0] != 0 || stored[1] < 2 {
		t.Errorf("chunks stored: %v; the first repository has all of them, the second none", stored)
	}
	if !slices.Equal(transcripts[0], transcripts[1]) {
		t.Errorf("asked where another source has the files:\n%.500q\nand where none has:\n%.500q", transcripts[0], transcripts[1])
	}
	if len(transcripts[0]) < 5 {
		t.Errorf("only %d questions were asked", len(transcripts[0]))
	}
}
