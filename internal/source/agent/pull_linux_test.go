package agent_test

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	server "github.com/snapkeep/snap/internal/agent"
	"github.com/snapkeep/snap/internal/keyring"
	"github.com/snapkeep/snap/internal/source/agent"
	"github.com/snapkeep/snap/internal/store/mem"
	"github.com/snapkeep/snap/internal/torturetest"
	"github.com/snapkeep/snap/internal/tree"
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

// pull backs the roots up through an agent.
func pull(t testing.TB, r *repo.Repo, dial agent.Dial, name string, o agent.Options) (*repo.BackupResult, *agent.Source, error) {
	t.Helper()
	var err error
	if o.Files, o.Database, err = r.SourceChunkers(name); err != nil {
		t.Fatal(err)
	}
	patient(&o.Limits)
	s := agent.New(dial, o)
	defer s.Close()
	res, err := r.Backup(t.Context(), repo.BackupOptions{Source: s, SourceName: name})
	return res, s, err
}

// restored returns what a snapshot holds, by path. Of folders that lead to a root it tells nothing but that they are there:
// they change meanwhile.
func restored(t testing.TB, r *repo.Repo, s *repo.Snapshot, roots ...string) map[string]string {
	t.Helper()
	all := map[string]string{}
	leads := func(path string) bool {
		return slices.ContainsFunc(roots, func(root string) bool { return strings.HasPrefix(root, "/"+path+"/") })
	}
	one := func(path string, x *repo.Entry) error {
		if all[path] = "leads to a root"; leads(path) {
			return nil
		}
		all[path] = fmt.Sprint(x.Kind, x.Mode, x.UID, x.GID, x.User, x.Group, x.Target, x.Xattrs, x.Flags, x.ModTime, x.ChangeTime, x.Links, x.Inode, x.Rdev, x.Marks, x.Problem)
		if x.Kind == repo.Regular {
			f, err := r.OpenEntry(t.Context(), x)
			if err != nil {
				return err
			}
			h := fnv.New64a()
			n, err := io.Copy(h, io.NewSectionReader(f, 0, min(x.Size, 64<<20))) // one file has a terabyte of holes
			if err != nil {
				return err
			}
			all[path] += fmt.Sprintf(" %d bytes, %x", n, h.Sum64())
		}
		return nil
	}
	err := r.Walk(t.Context(), s, "", func(dir string, entries []repo.Entry) error {
		for i := range entries {
			if err := one(strings.TrimPrefix(dir+"/"+entries[i].Name, "/"), &entries[i]); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// sameAs compares two snapshots.
func sameAs(t testing.TB, got, want map[string]string) {
	t.Helper()
	for path, w := range want {
		if g, ok := got[path]; !ok {
			t.Errorf("%q is missing", path)
		} else if g != w {
			t.Errorf("%q is %.200q, want %.200q", path, g, w)
		}
	}
	for path := range got {
		if _, ok := want[path]; !ok {
			t.Errorf("%q is too much", path)
		}
	}
}

// local backs the roots up without an agent.
func local(t testing.TB, r *repo.Repo, roots ...string) *repo.Snapshot {
	t.Helper()
	src, err := repo.FromLocal(repo.LocalOptions{Roots: roots})
	if err != nil {
		t.Fatal(err)
	}
	res, err := r.Backup(t.Context(), repo.BackupOptions{Source: src, SourceName: "local", Force: true, Granularity: 1})
	if err != nil {
		t.Fatal(err)
	}
	return res.Snapshot
}

// write makes a file of random bytes.
func write(t testing.TB, rng *rand.Rand, name string, size int) {
	t.Helper()
	data := make([]byte, size)
	for i := range data {
		data[i] = byte(rng.Uint32())
	}
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, data, 0o644); err != nil {
		t.Fatal(err)
	}
}

// site makes a tree of small and large files.
func site(t testing.TB, rng *rand.Rand) string {
	t.Helper()
	root := t.TempDir()
	for i := range 300 {
		write(t, rng, filepath.Join(root, fmt.Sprintf("d%d/e%d/f%d", i%7, i%3, i)), rng.IntN(20_000))
	}
	for i := range 3 {
		write(t, rng, filepath.Join(root, fmt.Sprintf("large/%d.bin", i)), 3<<20+rng.IntN(6<<20))
	}
	write(t, rng, filepath.Join(root, "large/app.db"), 3<<20)
	sparse, err := os.Create(filepath.Join(root, "large/sparse"))
	if err == nil {
		_, err = sparse.WriteAt([]byte("end"), 40<<20)
	}
	if err == nil {
		err = sparse.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	return root
}

func TestPulledTreeIsTheLocalOne(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	root := site(t, rng)
	r := vault(t)
	dial := serve(t, &server.Policy{Roots: []string{root}})
	o := agent.Options{Roots: []string{root}}
	first, _, err := pull(t, r, dial, "web1", o)
	if err != nil {
		t.Fatal(err)
	}
	sameAs(t, restored(t, r, first.Snapshot, root), restored(t, r, local(t, r, root), root))

	again, s, err := pull(t, r, dial, "web1", o)
	if err != nil {
		t.Fatal(err)
	}
	if again.Summary.FilesUnmodified != first.Summary.Files || again.Summary.DataChunks != 0 {
		t.Errorf("unchanged: %+v", again.Summary)
	}
	if in, out := s.Received(); in > 2_000 || out > 4_000 {
		t.Errorf("an unchanged tree of 25 directories took %d bytes in, %d out", in, out)
	}

	// A large file changes in its middle, a small one is new, one has moved.
	f, err := os.OpenFile(filepath.Join(root, "large/0.bin"), os.O_RDWR, 0)
	if err == nil {
		_, err = f.WriteAt([]byte("changed"), 2<<20)
	}
	if err == nil {
		err = f.Close()
	}
	if err == nil {
		err = os.Rename(filepath.Join(root, "large/1.bin"), filepath.Join(root, "large/moved.bin"))
	}
	if err != nil {
		t.Fatal(err)
	}
	write(t, rng, filepath.Join(root, "new"), 1000)
	third, s, err := pull(t, r, dial, "web1", o)
	if err != nil {
		t.Fatal(err)
	}
	sameAs(t, restored(t, r, third.Snapshot, root), restored(t, r, local(t, r, root), root))
	if in, _ := s.Received(); in > 12<<20 {
		t.Errorf("%d bytes came for a change of some bytes", in)
	}
}

// TestFilesInDoubtAreReadAgain pulls from a machine whose clock is behind: by it all files changed too late to be told
// from files that change once more.
func TestFilesInDoubtAreReadAgain(t *testing.T) {
	root := t.TempDir()
	write(t, rand.New(rand.NewPCG(6, 6)), filepath.Join(root, "file"), 100_000)
	r := vault(t)
	dial := serveAt(t, &server.Policy{Roots: []string{root}}, func() time.Time { return time.Now().Add(-time.Hour) })
	o := agent.Options{Roots: []string{root}}
	var err error
	if o.Files, o.Database, err = r.SourceChunkers("web1"); err != nil {
		t.Fatal(err)
	}
	for round, want := range []repo.ItemAction{repo.ItemNew, repo.ItemReread, repo.ItemReread} {
		var action repo.ItemAction
		s := agent.New(dial, o)
		res, err := r.Backup(t.Context(), repo.BackupOptions{Source: s, SourceName: "web1", Item: func(i repo.Item) {
			if i.Kind == tree.Regular {
				action = i.Action
			}
		}})
		if err := errors.Join(err, s.Close()); err != nil {
			t.Fatal(err)
		}
		if action != want {
			t.Errorf("round %d: a file in doubt is %q, want %q", round, action, want)
		}
		if round > 0 && res.Summary.DataChunks != 0 {
			t.Errorf("round %d: %d chunks of it were stored again", round, res.Summary.DataChunks)
		}
		for path, x := range restored(t, r, res.Snapshot, root) {
			if strings.HasSuffix(path, "/file") && !strings.Contains(x, fmt.Sprint(" ", tree.MarkUnproven, " ")) {
				t.Errorf("round %d: %q is %q, without the mark", round, path, x)
			}
		}
	}
}

func TestPulledTortureTree(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root")
	}
	root := t.TempDir()
	t.Cleanup(func() { torturetest.Clear(root) })
	if err := torturetest.Build(root); err != nil {
		t.Log(err)
	}
	r := vault(t)
	res, _, err := pull(t, r, serve(t, &server.Policy{Roots: []string{root}}), "web1", agent.Options{Roots: []string{root}})
	if err != nil {
		t.Fatal(err)
	}
	sameAs(t, restored(t, r, res.Snapshot, root), restored(t, r, local(t, r, root), root))
}

// cutter cuts connections after a number of bytes.
type cutter struct {
	io.ReadWriteCloser
	left atomic.Int64
}

func (c *cutter) Read(p []byte) (int, error) {
	if c.left.Load() <= 0 {
		c.Close()
		return 0, io.ErrUnexpectedEOF
	}
	n, err := c.ReadWriteCloser.Read(p[:min(int64(len(p)), c.left.Load())])
	c.left.Add(int64(-n))
	return n, err
}

func TestCutConnectionIsMadeAgain(t *testing.T) {
	rng := rand.New(rand.NewPCG(2, 2))
	root := site(t, rng)
	cuts := 200
	if os.Getenv("SNAP_LONG_TESTS") == "" {
		cuts = 40
	}
	r := vault(t)
	plain := serve(t, &server.Policy{Roots: []string{root}})
	whole, s, err := pull(t, r, plain, "whole", agent.Options{Roots: []string{root}})
	if err != nil {
		t.Fatal(err)
	}
	total, _ := s.Received()
	want := restored(t, r, whole.Snapshot, root)
	done := 0
	for round := 0; done < cuts; round++ {
		dials := 0
		dial := func(ctx context.Context) (io.ReadWriteCloser, error) {
			conn, err := plain(ctx)
			if err != nil {
				return nil, err
			}
			dials++
			c := &cutter{ReadWriteCloser: conn}
			if c.left.Store(2000 + rng.Int64N(total)); done >= cuts || dials > 8 {
				c.left.Store(1 << 60)
			} else {
				done++
			}
			return c, nil
		}
		name := fmt.Sprintf("web%d", round)
		res, s, err := pull(t, r, dial, name, agent.Options{Roots: []string{root}, Backoff: time.Millisecond, Redials: 50})
		if err != nil {
			t.Fatal(err)
		}
		sameAs(t, restored(t, r, res.Snapshot, root), want)
		if in, _ := s.Received(); in > total+int64(dials)*(64<<20) {
			t.Errorf("%d bytes after %d cuts, %d without", in, dials-1, total)
		}
	}
}

func TestStreamsArePartOfASnapshot(t *testing.T) {
	root := t.TempDir()
	write(t, rand.New(rand.NewPCG(3, 3)), filepath.Join(root, "file"), 1000)
	policy := &server.Policy{Roots: []string{root}, Streams: map[string]server.Stream{
		"good.sql":  {Command: []string{"sh", "-c", "head -c 9000000 /dev/zero | tr '\\0' x"}},
		"fails.sql": {Command: []string{"sh", "-c", "echo some; echo it is broken >&2; exit 3"}},
		"dies.sql":  {Command: []string{"sh", "-c", "echo some; kill -9 $$"}},
		"empty.sql": {Command: []string{"true"}},
	}}
	r := vault(t)
	dial := serve(t, policy)
	run := func(stream string) (*repo.BackupResult, error) {
		files, database := params(t)
		s := agent.New(dial, agent.Options{Roots: []string{root}, Files: files, Database: database})
		defer s.Close()
		streams, err := repo.FromStreams(s.Stream(stream))
		if err != nil {
			t.Fatal(err)
		}
		return r.Backup(t.Context(), repo.BackupOptions{Source: repo.Merge(s, streams), SourceName: "web1"})
	}
	res, err := run("good.sql")
	if err != nil {
		t.Fatal(err)
	}
	got := restored(t, r, res.Snapshot, root)
	h := fnv.New64a()
	h.Write([]byte(strings.Repeat("x", 9_000_000)))
	if want := fmt.Sprintf(" 9000000 bytes, %x", h.Sum64()); !strings.HasSuffix(got["good.sql"], want) {
		t.Errorf("the stream came as %q", got["good.sql"])
	}
	if _, ok := got[strings.TrimPrefix(filepath.Join(root, "file"), "/")]; !ok {
		t.Errorf("the files are not beside the stream")
	}
	for _, name := range []string{"fails.sql", "dies.sql", "empty.sql", "unknown.sql"} {
		if res, err := run(name); err == nil {
			t.Errorf("%s: a snapshot was made: %v", name, res.Snapshot.ID)
		} else if name == "fails.sql" && !strings.Contains(err.Error(), "it is broken") {
			t.Errorf("%s: %v does not tell what the command said", name, err)
		}
	}
}

func TestAgentStaysBelowItsRoots(t *testing.T) {
	root, outside := t.TempDir(), t.TempDir()
	write(t, rand.New(rand.NewPCG(4, 4)), filepath.Join(outside, "secret"), 100)
	write(t, rand.New(rand.NewPCG(4, 4)), filepath.Join(root, "mine"), 100)
	if err := os.Symlink(outside, filepath.Join(root, "link")); err != nil {
		t.Fatal(err)
	}
	r := vault(t)
	dial := serve(t, &server.Policy{Roots: []string{root}, Exclude: []string{"hidden"}})
	for _, asked := range []string{outside, "/", filepath.Dir(root), root + "/../" + filepath.Base(outside), root + "x"} {
		if _, _, err := pull(t, r, dial, "web1", agent.Options{Roots: []string{asked}}); err == nil {
			t.Errorf("root %q was read", asked)
		}
	}
	write(t, rand.New(rand.NewPCG(5, 5)), filepath.Join(root, "hidden"), 100)
	res, _, err := pull(t, r, dial, "web1", agent.Options{Roots: []string{root}})
	if err != nil {
		t.Fatal(err)
	}
	for path := range restored(t, r, res.Snapshot, root) {
		if strings.Contains(path, "secret") || strings.Contains(path, "hidden") {
			t.Errorf("%q was read", path)
		}
	}
}

// TestSilenceIsTold: who says nothing at all has said nothing, and did not close what this end closed.
func TestSilenceIsTold(t *testing.T) {
	t.Parallel()
	dial := func(context.Context) (io.ReadWriteCloser, error) {
		here, there := net.Pipe()
		go func() { _, _ = io.Copy(io.Discard, there) }()
		return here, nil
	}
	s := agent.New(dial, agent.Options{Roots: []string{"/srv"}, Redials: -1, Limits: agent.Limits{Idle: 100 * time.Millisecond}})
	defer s.Close()
	if _, err := s.Connect(t.Context()); err == nil || !strings.Contains(err.Error(), "no agent answers: nothing came for 100ms") {
		t.Error(err)
	}
}
