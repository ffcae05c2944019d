package sftp_test

import (
	"cmp"
	"context"
	"fmt"
	"hash/fnv"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/snapkeep/snap/internal/filter"
	"github.com/snapkeep/snap/internal/keyring"
	"github.com/snapkeep/snap/internal/proxytest"
	"github.com/snapkeep/snap/internal/sftptest"
	"github.com/snapkeep/snap/internal/source/sftp"
	"github.com/snapkeep/snap/internal/sshdtest"
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

// patient lets a slow machine take its time, where a test does not say how long a server may be silent.
func patient(l *sftp.Limits) {
	l.Idle, l.Stall = cmp.Or(l.Idle, time.Hour), cmp.Or(l.Stall, time.Hour)
}

// pull backs the roots up.
func pull(t testing.TB, r *repo.Repo, dial sftp.Dial, o sftp.Options) (*repo.BackupResult, *sftp.Source, error) {
	t.Helper()
	patient(&o.Limits)
	s, err := sftp.New(dial, o)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	res, err := r.Backup(t.Context(), repo.BackupOptions{Source: s, SourceName: "web1"})
	return res, s, err
}

const unproven = 4 // the mark of what may change within the second of its time

// describe tells of an entry what SFTP can carry.
func describe(x *repo.Entry) string {
	user, group := x.User, x.Group
	return fmt.Sprint(x.Kind, x.Mode, x.UID, x.GID, user, group, x.Target, x.ModTime.Sec, x.Marks&^unproven, x.Problem)
}

// restored returns the content of a snapshot below root as paths with what SFTP can carry.
func restored(t testing.TB, r *repo.Repo, s *repo.Snapshot, root string) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := r.Walk(t.Context(), s, strings.TrimPrefix(root, "/"), func(dir string, entries []repo.Entry) error {
		for i := range entries {
			x := &entries[i]
			text := describe(x)
			if x.Kind == repo.Regular {
				f, err := r.OpenEntry(t.Context(), x)
				if err != nil {
					return err
				}
				h := fnv.New64a()
				n, err := io.Copy(h, io.NewSectionReader(f, 0, x.Size))
				if err != nil {
					return err
				}
				text += fmt.Sprintf(" %d bytes, %x", n, h.Sum64())
			}
			all[strings.TrimPrefix(dir+"/"+x.Name, "/")] = text
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

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

// local backs the root up without SFTP.
func local(t testing.TB, r *repo.Repo, o repo.LocalOptions) *repo.Snapshot {
	t.Helper()
	src, err := repo.FromLocal(o)
	if err != nil {
		t.Fatal(err)
	}
	res, err := r.Backup(t.Context(), repo.BackupOptions{Source: src, SourceName: "local", Force: true})
	if err != nil {
		t.Fatal(err)
	}
	return res.Snapshot
}

var old = time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)

// write makes a file of random bytes that is not of today.
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
	age(t, name)
}

func age(t testing.TB, name string) {
	t.Helper()
	if err := os.Chtimes(name, old, old); err != nil {
		t.Fatal(err)
	}
}

// site makes a tree of all that SFTP can carry.
func site(t testing.TB, rng *rand.Rand) string {
	t.Helper()
	root := t.TempDir()
	for i := range 200 {
		write(t, rng, filepath.Join(root, fmt.Sprintf("d%d/e%d/f%d", i%7, i%3, i)), rng.IntN(10_000))
	}
	for i := range 2 {
		write(t, rng, filepath.Join(root, fmt.Sprintf("large/%d.bin", i)), 2<<20+rng.IntN(2<<20))
	}
	write(t, rng, filepath.Join(root, "middle"), 300_000)
	if err := os.Mkdir(filepath.Join(root, "many"), 0o755); err != nil {
		t.Fatal(err)
	}
	for i := range 250 {
		if err := os.Symlink(fmt.Sprintf("target %d", i), filepath.Join(root, "many", fmt.Sprint(i))); err != nil {
			t.Fatal(err)
		}
	}
	if err := syscall.Mkfifo(filepath.Join(root, "fifo"), 0o600); err != nil {
		t.Fatal(err)
	}
	sparse, err := os.Create(filepath.Join(root, "large/sparse"))
	if err == nil {
		_, err = sparse.WriteAt([]byte("middle"), 5<<20+5)
	}
	if err == nil {
		err = sparse.Truncate(8<<20 + 77)
	}
	if err == nil {
		err = sparse.Close()
	}
	if err == nil {
		err = os.Link(filepath.Join(root, "middle"), filepath.Join(root, "same as middle"))
	}
	if err == nil {
		err = os.Chmod(filepath.Join(root, "middle"), 0o4711)
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"large/sparse", "fifo", "many", "large", "."} {
		age(t, filepath.Join(root, name))
	}
	return root
}

// tapped counts requests on all connections of a dial.
type tapped struct {
	mu   sync.Mutex // guards taps
	taps []*sftptest.Tap
}

func (c *tapped) dial(dial sftp.Dial) sftp.Dial {
	return func(ctx context.Context) (io.ReadWriteCloser, error) {
		conn, err := dial(ctx)
		if err != nil {
			return nil, err
		}
		t := sftptest.NewTap(conn)
		c.mu.Lock()
		defer c.mu.Unlock()
		c.taps = append(c.taps, t)
		return t, nil
	}
}

func (c *tapped) asked(kind byte) (n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, t := range c.taps {
		n += t.Asked(kind)
	}
	return n
}

func TestPulledTreeIsTheLocalOne(t *testing.T) {
	server := sshdtest.Start(t, sshdtest.Options{SFTP: "-R"})
	rng := rand.New(rand.NewPCG(1, 1))
	root := site(t, rng)
	r := vault(t)
	dial := dialer(t, server, server.Port)
	o := sftp.Options{Roots: []string{root}}
	var taps tapped
	first, s, err := pull(t, r, taps.dial(dial), o)
	if err != nil {
		t.Fatal(err)
	}
	want := restored(t, r, local(t, r, repo.LocalOptions{Roots: []string{root}}), root)
	sameAs(t, restored(t, r, first.Snapshot, root), want)
	if taps.asked(sftptest.Read) == 0 || s.Linked() != 2 {
		t.Errorf("%d reads, %d files with other links", taps.asked(sftptest.Read), s.Linked())
	}
	holes := 0
	x, err := r.Lookup(t.Context(), first.Snapshot, strings.TrimPrefix(root, "/")+"/large/sparse")
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range x.Parts {
		if p.ID.IsZero() {
			holes++
		}
	}
	if holes != 2 {
		t.Errorf("%d holes", holes)
	}

	// What is old and has not changed is not read, nor opened.
	var again tapped
	second, _, err := pull(t, r, again.dial(dial), o)
	if err != nil {
		t.Fatal(err)
	}
	if n := again.asked(sftptest.Read) + again.asked(sftptest.Open); n != 0 {
		t.Errorf("%d files were opened or read again", n)
	}
	if second.Summary.FilesUnmodified != first.Summary.Files {
		t.Errorf("unchanged: %+v", second.Summary)
	}
	sameAs(t, restored(t, r, second.Snapshot, root), want)

	// One file has another size, one another time, one another mode, one is of this moment.
	write(t, rng, filepath.Join(root, "d1/new"), 1000)
	if err := os.WriteFile(filepath.Join(root, "middle"), []byte("short"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(filepath.Join(root, "d0/e0/f0"), 0o600); err != nil {
		t.Fatal(err)
	}
	third, _, err := pull(t, r, dial, o)
	if err != nil {
		t.Fatal(err)
	}
	sameAs(t, restored(t, r, third.Snapshot, root), restored(t, r, local(t, r, repo.LocalOptions{Roots: []string{root}}), root))
	if third.Summary.FilesChanged != 3 || third.Summary.FilesNew != 1 { // two names of one file
		t.Errorf("changed: %+v", third.Summary)
	}
	// An edit within the same second, of the same size, is found all the same.
	for try := 0; ; try++ {
		ended := time.Now()
		now, err := os.Stat(filepath.Join(root, "middle"))
		if err != nil {
			t.Fatal(err)
		}
		x, err := r.Lookup(t.Context(), third.Snapshot, strings.TrimPrefix(root, "/")+"/middle")
		if err != nil {
			t.Fatal(err)
		}
		late := ended.Sub(now.ModTime()) >= time.Second && x.Marks&unproven == 0 // it may have begun when that second was over
		if late && try == 100 {
			t.Fatal("no pull begins soon enough")
		}
		text := "trick"
		if late {
			text = "short"
		}
		if err := os.WriteFile(filepath.Join(root, "middle"), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if !late {
			if err := os.Chtimes(filepath.Join(root, "middle"), now.ModTime(), now.ModTime()); err != nil {
				t.Fatal(err)
			}
			break
		}
		if third, _, err = pull(t, r, dial, o); err != nil {
			t.Fatal(err)
		}
	}
	fourth, _, err := pull(t, r, dial, o)
	if err != nil {
		t.Fatal(err)
	}
	sameAs(t, restored(t, r, fourth.Snapshot, root), restored(t, r, local(t, r, repo.LocalOptions{Roots: []string{root}}), root))
}

func TestWhatIsLeftOut(t *testing.T) {
	server := sshdtest.Start(t, sshdtest.Options{})
	rng := rand.New(rand.NewPCG(2, 2))
	root := t.TempDir()
	for _, name := range []string{"a/keep", "a/x.tmp", "cache/CACHEDIR.TAG", "cache/junk", "tagged/.nobackup", "tagged/junk", "nocache/CACHEDIR.TAG", "nocache/keep", "deep/er/x.tmp", "deep/er/keep"} {
		write(t, rng, filepath.Join(root, name), 100)
	}
	write(t, rng, filepath.Join(root, "huge"), 5000)
	if err := os.WriteFile(filepath.Join(root, "cache/CACHEDIR.TAG"), []byte("Signature: 8a477f597d28d172789f06886806bc55 and more"), 0o644); err != nil {
		t.Fatal(err)
	}
	list, err := filter.Compile([]string{"*.tmp", ".nobackup"}, filter.Options{})
	if err != nil {
		t.Fatal(err)
	}
	lists := []*filter.List{list}
	r := vault(t)
	res, _, err := pull(t, r, dialer(t, server, server.Port), sftp.Options{Roots: []string{root, root + "/a", root + "/none"}, Exclude: lists, ExcludeCaches: true,
		ExcludeIfPresent: []string{".nobackup"}, ExcludeLargerThan: 4000, OneFileSystem: true, AllowMissing: true})
	if err != nil {
		t.Fatal(err)
	}
	want := restored(t, r, local(t, r, repo.LocalOptions{Roots: []string{root}, Exclude: lists, ExcludeCaches: true, ExcludeIfPresent: []string{".nobackup"}, ExcludeLargerThan: 4000}), root)
	sameAs(t, restored(t, r, res.Snapshot, root), want)
	if len(want) != 11 {
		t.Errorf("%d entries", len(want))
	}
}

func TestCutConnectionIsMadeAgain(t *testing.T) {
	server := sshdtest.Start(t, sshdtest.Options{})
	rng := rand.New(rand.NewPCG(3, 3))
	root := site(t, rng)
	r := vault(t)
	whole, s, err := pull(t, r, dialer(t, server, server.Port), sftp.Options{Roots: []string{root}})
	if err != nil {
		t.Fatal(err)
	}
	want := restored(t, r, whole.Snapshot, root)
	total, _ := s.Received()
	rounds := 2
	if os.Getenv("SNAP_LONG_TESTS") != "" {
		rounds = 25
	}
	for round := range rounds {
		var mu sync.Mutex
		proxy := proxytest.Start(t, server.Addr(), func(n int) proxytest.Fault {
			mu.Lock()
			defer mu.Unlock()
			if n >= 8 {
				return proxytest.Fault{}
			}
			return proxytest.Fault{CutAfter: 4000 + rng.Int64N(total/2)}
		})
		server.AddKnownPort(proxy.Port())
		src, err := sftp.New(dialer(t, server, proxy.Port()), sftp.Options{Roots: []string{root}, Backoff: time.Millisecond})
		if err != nil {
			t.Fatal(err)
		}
		if err := src.Connect(t.Context()); err != nil {
			src.Close()
			continue // a connection that never was is not made again
		}
		res, err := r.Backup(t.Context(), repo.BackupOptions{Source: src, SourceName: fmt.Sprint("web", round), Force: true})
		src.Close()
		if err != nil {
			t.Fatal(err)
		}
		sameAs(t, restored(t, r, res.Snapshot, root), want)
		if proxy.Connections() < 2 {
			t.Errorf("round %d: %d connections", round, proxy.Connections())
		}
	}
}

func TestDelayedConnection(t *testing.T) {
	server := sshdtest.Start(t, sshdtest.Options{})
	root := site(t, rand.New(rand.NewPCG(4, 4)))
	proxy := proxytest.Start(t, server.Addr(), func(int) proxytest.Fault { return proxytest.Fault{Latency: 25 * time.Millisecond} })
	server.AddKnownPort(proxy.Port())
	r := vault(t)
	dial := dialer(t, server, proxy.Port())
	first, _, err := pull(t, r, dial, sftp.Options{Roots: []string{root}})
	if err != nil {
		t.Fatal(err)
	}
	sameAs(t, restored(t, r, first.Snapshot, root), restored(t, r, local(t, r, repo.LocalOptions{Roots: []string{root}}), root))
	begin := time.Now()
	if _, _, err := pull(t, r, dial, sftp.Options{Roots: []string{root}}); err != nil {
		t.Fatal(err)
	}
	t.Logf("unchanged, with 25 ms each way: %v", time.Since(begin))
}

// A server that stands still is noticed, and the pull ends.
func TestStalledConnection(t *testing.T) {
	server := sshdtest.Start(t, sshdtest.Options{})
	root := site(t, rand.New(rand.NewPCG(5, 5)))
	proxy := proxytest.Start(t, server.Addr(), func(n int) proxytest.Fault {
		if n > 0 {
			return proxytest.Fault{}
		}
		return proxytest.Fault{StallAfter: 100_000}
	})
	server.AddKnownPort(proxy.Port())
	r := vault(t)
	res, _, err := pull(t, r, dialer(t, server, proxy.Port()), sftp.Options{Roots: []string{root}, Backoff: time.Millisecond, Limits: sftp.Limits{Idle: 10 * time.Second}})
	if err != nil {
		t.Fatal(err)
	}
	if res.Summary.Unreadable != 0 || proxy.Connections() < 2 {
		t.Errorf("%d connections, %+v", proxy.Connections(), res.Summary)
	}
}
