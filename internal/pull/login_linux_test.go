package pull_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/snapkeep/snap/internal/config"
	"github.com/snapkeep/snap/internal/guard"
	"github.com/snapkeep/snap/internal/proxytest"
	"github.com/snapkeep/snap/internal/pull"
	"github.com/snapkeep/snap/internal/source/agent"
	"github.com/snapkeep/snap/internal/sshconn"
	"github.com/snapkeep/snap/internal/sshdtest"
	"github.com/snapkeep/snap/repo"
)

// machine is a site with several sources: two of files, one over SFTP, and one of a command's output.
func (s *site) machine(t *testing.T) (map[string]config.Source, []string) {
	t.Helper()
	return map[string]config.Source{
		"files":  s.source(t, "paths: [ROOT]"),
		"more":   s.source(t, "paths: [ROOT]\nexclude: [nothing]"),
		"sftp":   s.source(t, "paths: [ROOT]\ntransport: sftp"),
		"stream": s.source(t, "paths: [ROOT]\nstreams: [{name: dump}]"),
	}, []string{"files", "more", "sftp", "stream"}
}

const machinePolicy = "roots: [ROOT]\nstreams: {dump: {command: [echo, dumped]}}"

// allGood reports each source that has no good snapshot.
func allGood(t *testing.T, results []*pull.Result) {
	t.Helper()
	for _, r := range results {
		if r.Err != nil || r.Snapshot == nil || r.Partial || r.Guard != guard.None {
			t.Errorf("%s: %v %v %s", r.Source, r.Err, r.Problems, r.Why)
		}
	}
}

// TestSourcesOfAMachineLogInOnce counts logins by the log of sshd.
func TestSourcesOfAMachineLogInOnce(t *testing.T) {
	t.Parallel()
	s := newSite(t, machinePolicy)
	r := vault(t, repo.CreateOptions{})
	sources, names := s.machine(t)
	for _, parallel := range []int{1, 4} {
		before := s.ssh.Logins()
		p := puller(t, r, sources)
		p.Config.Parallel = parallel
		allGood(t, p.Run(t.Context(), names, nil))
		if n := s.ssh.Logins() - before; n != 1 {
			t.Errorf("%d at a time: %d logins for %d sources", parallel, n, len(names))
		}
		p.Logins.Close()
	}
	before := s.ssh.Logins()
	p := puller(t, r, sources)
	for _, name := range names {
		if _, err := p.Verify(t.Context(), name, 1); err != nil {
			t.Error(err)
		}
	}
	if n := s.ssh.Logins() - before; n != 1 {
		t.Errorf("%d logins to verify %d sources", n, len(names))
	}
}

// TestMachineThatTakesFewSessions: sources at a server of few sessions a connection log in more often, and none fails.
func TestMachineThatTakesFewSessions(t *testing.T) {
	t.Parallel()
	for _, most := range []int{1, 2} {
		s := newSiteOf(t, machinePolicy, sshdtest.Options{MaxSessions: most})
		sources, names := s.machine(t)
		p := puller(t, vault(t, repo.CreateOptions{}), sources)
		allGood(t, p.Run(t.Context(), names, nil))
		if n := s.ssh.Logins(); n > len(names) {
			t.Errorf("at most %d sessions: %d logins for %d sources", most, n, len(names))
		}
	}
}

// TestSourcesOfOtherCredentialsAreApart: each of two sources of a machine that differ in one thing logs in by itself.
func TestSourcesOfOtherCredentialsAreApart(t *testing.T) {
	t.Parallel()
	s := newSite(t, "roots: [ROOT]")
	file := func(name string) string { return filepath.Join(s.ssh.Home, ".ssh", name) }
	copyFile := func(from, to string) {
		data, err := os.ReadFile(file(from))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file(to), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	copyFile("id_ed25519", "second")
	copyFile("known_hosts", "known_second")
	first := s.source(t, "paths: [ROOT]")
	key, known, address := first, first, first
	key.SSH.Identity, known.SSH.KnownHosts = file("second"), file("known_second")
	data, err := os.ReadFile(file("known_hosts"))
	if err != nil {
		t.Fatal(err)
	}
	address.Address = fmt.Sprintf("%s@localhost:%d", s.ssh.User, s.ssh.Port)
	write(t, file("known_hosts"), string(data)+strings.Replace(string(data), "127.0.0.1", "localhost", 1))
	for what, other := range map[string]config.Source{"key": key, "known hosts": known, "address": address} {
		before := s.ssh.Logins()
		allGood(t, puller(t, vault(t, repo.CreateOptions{}), map[string]config.Source{"one": first, "other": other}).Run(t.Context(), []string{"one", "other"}, nil))
		if n := s.ssh.Logins() - before; n != 2 {
			t.Errorf("with another %s: %d logins, want 2", what, n)
		}
	}
	// Where one is refused, the other is not helped by it, and not harmed.
	sshdtest.WriteKey(t, file("stranger"), "")
	stranger := first
	stranger.SSH.Identity = file("stranger")
	res := puller(t, vault(t, repo.CreateOptions{}), map[string]config.Source{"one": first, "other": stranger}).Run(t.Context(), []string{"one", "other"}, nil)
	allGood(t, res[:1])
	if err := res[1].Err; err == nil || !sshconn.IsPermanent(err) {
		t.Errorf("a stranger: %v", err)
	}
}

// TestCutInTheMiddleOfTwo cuts the connection that two sources share while both send. Both go on where they were, over one other connection.
func TestCutInTheMiddleOfTwo(t *testing.T) {
	t.Parallel()
	s := newSite(t, "roots: [ROOT]")
	total := s.fill(t, 40, 2)
	fields, proxy := s.behind(t, "paths: [ROOT]", func(n int) proxytest.Fault {
		if n > 0 {
			return proxytest.Fault{}
		}
		return proxytest.Fault{CutAfter: total} // of twice as much, for both
	})
	c := parse(t, fields)
	logins := newLogins()
	defer logins.Close()
	type end struct {
		repo *repo.Repo
		res  *repo.BackupResult
		in   int64
		err  error
	}
	ends := make(chan end, 2)
	for range 2 {
		r := vault(t, repo.CreateOptions{})
		go func() {
			res, in, err := fetchOver(t.Context(), r, &c, agent.Options{Redials: 20}, logins)
			ends <- end{r, res, in, err}
		}()
	}
	for range 2 {
		e := <-ends
		if e.err != nil {
			t.Fatal(e.err)
		}
		s.sameFiles(t, e.repo, e.res.Snapshot)
		if more := e.in - total; more > 2*packBytes {
			t.Errorf("%d bytes came again", more)
		}
	}
	if n := proxy.Connections(); n != 2 {
		t.Errorf("%d connections, want 2", n)
	}
}

// TestOneStallsWhileTheOtherGoesOn: an agent that says nothing, and one that reads nothing, on the connection of a source that is well.
func TestOneStallsWhileTheOtherGoesOn(t *testing.T) {
	t.Parallel()
	s := newSite(t, "roots: [ROOT]")
	s.fill(t, 30, 2)
	sources, names := map[string]config.Source{}, []string{}
	for name, command := range map[string]string{"silent": "exec cat >/dev/null", "deaf": "exec sleep 1000", "endless": "exec cat /dev/zero"} {
		c := s.source(t, "paths: [ROOT]\nlimits: {idle: 3s}")
		c.SSH.Agent = command
		sources[name], names = c, append(names, name)
	}
	sources["good"], names = s.source(t, "paths: [ROOT]"), append(names, "good")
	p := puller(t, vault(t, repo.CreateOptions{}), sources)
	for _, r := range p.Run(t.Context(), names, nil) {
		if r.Source == "good" {
			allGood(t, []*pull.Result{r})
		} else if r.Err == nil {
			t.Errorf("%s: no error", r.Source)
		}
	}
	if n := s.ssh.Logins(); n != 1 {
		t.Errorf("%d logins", n)
	}
}

// TestExternalCommandsLogInEach: --ssh-command is the system's ssh, whose connections are its own.
func TestExternalCommandsLogInEach(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("ssh"); err != nil {
		t.Skip("ssh is not installed: needs openssh-client")
	}
	s := newSite(t, "roots: [ROOT]")
	c := s.source(t, "paths: [ROOT]")
	c.SSH.Command = fmt.Sprintf("ssh -F none -i %s/.ssh/id_ed25519 -o UserKnownHostsFile=%[1]s/.ssh/known_hosts -o BatchMode=yes", s.ssh.Home)
	allGood(t, puller(t, vault(t, repo.CreateOptions{}), map[string]config.Source{"a": c, "b": c}).Run(t.Context(), []string{"a", "b"}, nil))
	if n := s.ssh.Logins(); n != 2 {
		t.Errorf("%d logins, want 2", n)
	}
}
