package pull_test

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/snapkeep/snap/internal/config"
	"github.com/snapkeep/snap/internal/keyring"
	"github.com/snapkeep/snap/internal/proxytest"
	"github.com/snapkeep/snap/internal/pull"
	"github.com/snapkeep/snap/internal/source/agent"
	"github.com/snapkeep/snap/internal/sshconn"
	"github.com/snapkeep/snap/internal/tree"
	"github.com/snapkeep/snap/repo"
)

const (
	killedRepo   = "SNAP_TEST_KILLED_REPO"   // names the repository into which this program pulls until it is killed
	killedConfig = "SNAP_TEST_KILLED_CONFIG" // the fields of its source
	packBytes    = 32 << 20
	openPacks    = 3        // that a pull of random files may have begun
	unnamedBytes = 64 << 20 // of packs, behind which an index file follows at the latest
)

// behind returns a source that is reached through a proxy, and the proxy.
func (s *site) behind(t *testing.T, fields string, fault func(n int) proxytest.Fault) (string, *proxytest.Proxy) {
	t.Helper()
	proxy := proxytest.Start(t, s.ssh.Addr(), fault)
	s.ssh.AddKnownPort(proxy.Port())
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("address: %s@127.0.0.1:%d\nssh: {identity: %s/.ssh/id_ed25519, known_hosts: %[3]s/.ssh/known_hosts, agent_command: %q}\n%s",
		s.ssh.User, proxy.Port(), s.ssh.Home, fmt.Sprintf("%s=%s exec %s", agentPolicy, s.policy, program), strings.ReplaceAll(fields, "ROOT", s.root)), proxy
}

// fill makes files of random bytes: small ones, and large ones of 20 MiB.
func (s *site) fill(t *testing.T, small, large int) (total int64) {
	t.Helper()
	random := rand.NewChaCha8([32]byte{8})
	for i := range small + large {
		data := make([]byte, 100_000+1000*i)
		if i >= small {
			data = make([]byte, 20<<20)
		}
		random.Read(data)
		dir := filepath.Join(s.root, fmt.Sprintf("d%d", i%5))
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("f%d", i)), data, 0o644); err != nil {
			t.Fatal(err)
		}
		total += int64(len(data))
	}
	return total
}

// fetch pulls a source as a Puller does, but dials again without waiting. It returns what came on the wire.
func fetch(ctx context.Context, r *repo.Repo, c *config.Source, o agent.Options) (*repo.BackupResult, int64, error) {
	logins := newLogins()
	defer logins.Close()
	return fetchOver(ctx, r, c, o, logins)
}

// fetchOver is fetch with connections that others may use.
func fetchOver(ctx context.Context, r *repo.Repo, c *config.Source, o agent.Options, logins *sshconn.Logins) (*repo.BackupResult, int64, error) {
	dial, err := pull.Dial(c, logins)
	if err != nil {
		return nil, 0, err
	}
	o.Roots, o.Backoff, o.Compress = c.Paths, time.Millisecond, agent.CompressOff
	o.Limits.Idle = cmp.Or(o.Limits.Idle, time.Hour) // a slow machine takes its time
	if o.Files, o.Database, err = r.SourceChunkers("x"); err != nil {
		return nil, 0, err
	}
	s := agent.New(dial, o)
	defer s.Close()
	res, err := r.Backup(ctx, repo.BackupOptions{Source: s, SourceName: "x"})
	in, _ := s.Received()
	return res, in, err
}

// sameFiles compares the files of a snapshot with those of the site.
func (s *site) sameFiles(t *testing.T, r *repo.Repo, snapshot *repo.Snapshot) {
	t.Helper()
	files := 0
	err := r.Walk(t.Context(), snapshot, "", func(dir string, entries []repo.Entry) error {
		for i := range entries {
			x := &entries[i]
			if x.Kind != repo.Regular {
				continue
			}
			files++
			want, err := os.ReadFile("/" + dir + "/" + x.Name)
			if err != nil {
				return err
			}
			f, err := r.OpenEntry(t.Context(), x)
			if err != nil {
				return err
			}
			got, err := io.ReadAll(io.NewSectionReader(f, 0, x.Size))
			if err != nil {
				return err
			}
			if !bytes.Equal(got, want) || x.Marks&^tree.MarkUnproven != 0 {
				t.Errorf("%q differs", x.Name)
			}
		}
		return nil
	})
	if err != nil || files < 10 {
		t.Fatal(files, err)
	}
}

// TestPullsOverLinesThatAreCut cuts the connection to sshd at random offsets, several times in each pull.
func TestPullsOverLinesThatAreCut(t *testing.T) {
	t.Parallel()
	cuts, inOne := 25, 5
	if os.Getenv("SNAP_LONG_TESTS") != "" {
		cuts = 200
	}
	s := newSite(t, "roots: [ROOT]")
	total := s.fill(t, 60, 2)
	rng := rand.New(rand.NewPCG(9, 9))
	var worst, again int64
	for done := 0; done < cuts; {
		fields, proxy := s.behind(t, "paths: [ROOT]", func(n int) proxytest.Fault {
			if n >= inOne {
				return proxytest.Fault{}
			}
			return proxytest.Fault{CutAfter: 8000 + rng.Int64N(total/int64(inOne-1))}
		})
		c := parse(t, fields)
		r := vault(t, repo.CreateOptions{})
		res, in, err := fetch(t.Context(), r, &c, agent.Options{Redials: 20})
		if err != nil {
			t.Fatal(err)
		}
		s.sameFiles(t, r, res.Snapshot)
		n := int64(proxy.Connections() - 1)
		done += int(n)
		if n == 0 {
			t.Fatal("nothing was cut")
		}
		more := in - total
		worst, again = max(worst, more/n), again+more
		if more > n*2*packBytes {
			t.Errorf("%d bytes came again after %d cuts", more, n)
		}
		if count(t, r) != 1 {
			t.Errorf("%d snapshots", count(t, r))
		}
	}
	t.Logf("%d cuts of pulls of %d MB: %.1f MB a cut came again, at most %.1f on average of a pull", cuts, total/1e6, float64(again)/1e6/float64(cuts), float64(worst)/1e6)
}

// TestLinesThatAreGone: a line that stands still is noticed and made again; one that is gone for good leaves no snapshot.
func TestLinesThatAreGone(t *testing.T) {
	t.Parallel()
	s := newSite(t, "roots: [ROOT]")
	total := s.fill(t, 20, 1)
	for what, at := range map[string]int64{"early": 20_000, "in the middle": total / 2, "late": total - 1_000_000} {
		t.Run(what, func(t *testing.T) {
			t.Parallel() // with the others: each stands still for as long as a slow machine takes to answer
			fields, proxy := s.behind(t, "paths: [ROOT]", func(n int) proxytest.Fault {
				if n > 0 {
					return proxytest.Fault{}
				}
				return proxytest.Fault{StallAfter: at}
			})
			c := parse(t, fields)
			r := vault(t, repo.CreateOptions{})
			res, _, err := fetch(t.Context(), r, &c, agent.Options{Redials: 50, Limits: agent.Limits{Idle: 15 * time.Second}})
			if err != nil || proxy.Connections() < 2 {
				t.Fatalf("%v, %d connections", err, proxy.Connections())
			}
			s.sameFiles(t, r, res.Snapshot)
		})
	}
	fields, _ := s.behind(t, "paths: [ROOT]", func(n int) proxytest.Fault {
		if n > 0 {
			return proxytest.Fault{Refuse: true}
		}
		return proxytest.Fault{CutAfter: total / 2}
	})
	c := parse(t, fields)
	r := vault(t, repo.CreateOptions{})
	if _, _, err := fetch(t.Context(), r, &c, agent.Options{Redials: 3}); !errors.Is(err, agent.ErrConnection) || count(t, r) != 0 {
		t.Errorf("gone for good: %v, %d snapshots", err, count(t, r))
	}
}

// beKilled pulls into a repository on disk, until it is killed.
func beKilled(folder string) int {
	c, err := config.Parse([]byte(os.Getenv(killedConfig)))
	if err == nil {
		var r *repo.Repo
		if r, err = openKilled(context.Background(), folder); err == nil {
			source := c.Sources["x"]
			_, _, err = fetch(context.Background(), r, &source, agent.Options{})
		}
	}
	fmt.Fprintln(os.Stderr, "not killed:", err)
	return 1
}

func openKilled(ctx context.Context, folder string) (*repo.Repo, error) {
	credential, err := repo.Passphrase("p")
	if err != nil {
		return nil, err
	}
	store, err := repo.OpenStore(ctx, filepath.Join(folder, "repository"))
	if err != nil {
		return nil, err
	}
	return repo.Open(ctx, store, credential, repo.Options{StateDir: filepath.Join(folder, "state")})
}

// TestKilledPullIsNotFetchedAgain kills a pull when most of the data has come. The next one asks for the rest, and for what no
// index file named.
func TestKilledPullIsNotFetchedAgain(t *testing.T) {
	t.Parallel()
	s := newSite(t, "roots: [ROOT]")
	total := s.fill(t, 60, 13)
	folder := t.TempDir()
	to, err := keyring.ForPassphrase("p", keyring.PassphraseOptions{Cost: 10, AllowWeak: true})
	if err != nil {
		t.Fatal(err)
	}
	store, err := repo.CreateStore(t.Context(), filepath.Join(folder, "repository"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := repo.Create(t.Context(), store, to, repo.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	killAt := total * 4 / 5
	var calm atomic.Bool
	fields, proxy := s.behind(t, "paths: [ROOT]", func(n int) proxytest.Fault {
		if calm.Load() {
			return proxytest.Fault{}
		}
		return proxytest.Fault{StallAfter: killAt, Refuse: n > 0} // a pull that gives the first up does not go on over another
	})
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), program)
	cmd.Env = append(os.Environ(), killedRepo+"="+folder, killedConfig+"=sources:\n  x:\n    "+strings.ReplaceAll(fields, "\n", "\n    ")+"\n")
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	// It has stored all that came when the connection stalls, all but a few packs are there and nothing is written any more. A slow
	// machine also pauses before.
	for last, still := int64(-1), 0; still < 10; time.Sleep(200 * time.Millisecond) {
		size := sizeOf(t, filepath.Join(folder, "repository"))
		if size != last || proxy.Stalled() == 0 || size < killAt-openPacks*packBytes {
			last, still = size, -1
		}
		still++
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // it was killed
	calm.Store(true)
	r, err := openKilled(t.Context(), folder)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if count(t, r) != 0 {
		t.Fatal("a pull that was killed left a snapshot")
	}
	c := parse(t, fields)
	res, in, err := fetch(t.Context(), r, &c, agent.Options{})
	if err != nil {
		t.Fatal(err)
	}
	s.sameFiles(t, r, res.Snapshot)
	t.Logf("%d MB, killed when %d MB had come; %d MB came then, over %d connections", total/1e6, killAt/1e6, in/1e6, proxy.Connections())
	// All that was stored is used but for what the last index file does not name: how much that is depends on where packs ended. An eighth is parity.
	named := (killAt-openPacks*packBytes)*8/9 - unnamedBytes
	if in > total-named+total/100 {
		t.Errorf("%d bytes came again", in-(total-killAt))
	}
}

// sizeOf returns how many bytes lie below a folder.
func sizeOf(t *testing.T, folder string) (n int64) {
	t.Helper()
	err := filepath.WalkDir(folder, func(_ string, d os.DirEntry, err error) error {
		if err != nil {
			return nil // a temporary file went away
		}
		if info, err := d.Info(); err == nil && info.Mode().IsRegular() {
			n += info.Size()
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}
