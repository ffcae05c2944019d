package pull_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	server "github.com/snapkeep/snap/internal/agent"
	"github.com/snapkeep/snap/internal/config"
	"github.com/snapkeep/snap/internal/keyring"
	"github.com/snapkeep/snap/internal/pull"
	"github.com/snapkeep/snap/internal/sshconn"
	"github.com/snapkeep/snap/internal/sshdtest"
	"github.com/snapkeep/snap/internal/store/mem"
	"github.com/snapkeep/snap/repo"
)

const (
	agentPolicy  = "SNAP_TEST_AGENT"  // names the policy of this program as an agent
	keeperPolicy = "SNAP_TEST_KEEPER" // as the keeper of an agent's snapshots
)

func TestMain(m *testing.M) {
	if name := os.Getenv(keeperPolicy); name != "" {
		os.Exit(beKeeper(name))
	}
	if name := os.Getenv(agentPolicy); name != "" {
		os.Exit(beAgent(name))
	}
	if name := os.Getenv(evilAgent); name != "" {
		evil()[name].agent.Serve(standard{})
		os.Exit(0)
	}
	if folder := os.Getenv(killedRepo); folder != "" {
		os.Exit(beKilled(folder))
	}
	os.Exit(m.Run())
}

// beAgent is `snap agent` with a policy file.
func beAgent(name string) int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGHUP, syscall.SIGINT)
	defer stop()
	p, err := server.ReadPolicy(name)
	var keeper *server.Keeper
	if err == nil && len(p.Snapshots) > 0 {
		cmd := exec.Command("/proc/self/exe")
		cmd.Env = append(os.Environ(), keeperPolicy+"="+name)
		if keeper, err = server.StartKeeper(cmd); err == nil {
			defer keeper.Close()
		}
	}
	if err == nil {
		_, err = server.Restrict(p)
	}
	if err == nil {
		err = server.Serve(ctx, os.Stdin, os.Stdout, server.Options{Policy: p, Program: "test", Keeper: keeper})
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// beKeeper is `snap agent --keeper`.
func beKeeper(name string) int {
	p, err := server.ReadPolicy(name)
	if err == nil {
		err = server.Keep(p, name, os.Stdin, os.Stdout)
	}
	if err != nil {
		return 1
	}
	return 0
}

// vault is a repository in memory.
func vault(t testing.TB, o repo.CreateOptions) *repo.Repo {
	t.Helper()
	return vaultIn(t, mem.New(nil), o)
}

// vaultIn is vault for a store of the caller's.
func vaultIn(t testing.TB, store repo.Store, o repo.CreateOptions) *repo.Repo {
	t.Helper()
	to, err := keyring.ForPassphrase("p", keyring.PassphraseOptions{Cost: 10, AllowWeak: true})
	if err != nil {
		t.Fatal(err)
	}
	r, err := repo.Create(t.Context(), store, to, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return r
}

// site is a machine to pull from, and a folder on it with a file.
type site struct {
	ssh    *sshdtest.Server
	root   string
	policy string
}

func newSite(t *testing.T, policy string) *site {
	t.Helper()
	return newSiteOf(t, policy, sshdtest.Options{})
}

func newSiteOf(t *testing.T, policy string, o sshdtest.Options) *site {
	t.Helper()
	s := &site{ssh: sshdtest.Start(t, o), root: filepath.Join(t.TempDir(), "data")}
	if err := os.Mkdir(s.root, 0o755); err != nil {
		t.Fatal(err)
	}
	s.policy = filepath.Join(filepath.Dir(s.root), "agent.yaml")
	write(t, s.policy, strings.ReplaceAll(policy, "ROOT", s.root))
	write(t, filepath.Join(s.root, "file"), "some text")
	return s
}

// source returns a source that pulls from the machine, filled with what holds by itself.
func (s *site) source(t *testing.T, fields string) config.Source {
	t.Helper()
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return parse(t, fmt.Sprintf("address: %s\nssh: {identity: %s/.ssh/id_ed25519, known_hosts: %[2]s/.ssh/known_hosts, agent_command: %q}\n%s",
		s.ssh.Address(), s.ssh.Home, fmt.Sprintf("%s=%s exec %s", agentPolicy, s.policy, program), strings.ReplaceAll(fields, "ROOT", s.root)))
}

// parse returns a source by its fields.
func parse(t *testing.T, fields string) config.Source {
	t.Helper()
	c, err := config.Parse([]byte("sources:\n  x:\n    " + strings.ReplaceAll(fields, "\n", "\n    ") + "\n"))
	if err != nil {
		t.Fatal(err)
	}
	return c.Sources["x"]
}

func write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// newLogins returns a set that a slow sshd does not make log in more often. The caller closes it.
func newLogins() *sshconn.Logins {
	l := sshconn.NewLogins()
	l.SetPatience(10 * time.Minute)
	return l
}

// puller pulls sources into a repository.
func puller(t testing.TB, r *repo.Repo, sources map[string]config.Source) *pull.Puller {
	logins := newLogins()
	t.Cleanup(logins.Close)
	return &pull.Puller{Repo: r, Config: &config.Config{Parallel: 4, Sources: sources}, Program: "test", Logins: logins}
}

// one pulls one source.
func one(t *testing.T, r *repo.Repo, c config.Source) *pull.Result {
	t.Helper()
	return puller(t, r, map[string]config.Source{"x": c}).Run(t.Context(), []string{"x"}, nil)[0]
}

// count returns how many snapshots there are.
func count(t *testing.T, r *repo.Repo) int {
	t.Helper()
	all, err := r.Snapshots(t.Context(), repo.Filter{})
	if err != nil {
		t.Fatal(err)
	}
	return len(all)
}
