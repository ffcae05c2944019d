package dbtest

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

const patience = 10 * time.Minute // that a server may take to start on a busy machine

// PostgreSQL starts a server that ends with the test, or skips the test if there is none to start. It returns the folder
// of its socket, as of PGHOST. Everybody on this machine may connect as any user; postgres may do everything.
func PostgreSQL(t *testing.T) (host string) {
	t.Helper()
	bin := newest(t, "/usr/lib/postgresql/*/bin/postgres", "postgres")
	s := newServer(t, "postgres")
	s.run(filepath.Join(filepath.Dir(bin), "initdb"), "-D", s.dir+"/data", "-A", "trust", "-U", "postgres", "-E", "UTF8", "--no-sync")
	s.start(syscall.SIGINT, bin, "-D", s.dir+"/data", "-k", s.dir, "-c", "listen_addresses=", "-c", "fsync=off", "-c", "shared_buffers=16MB")
	s.wait("psql", "-h", s.dir, "-U", "postgres", "-c", "SELECT 1")
	return s.dir
}

// MariaDB starts a server that ends with the test, or skips the test if there is none to start. It returns its socket.
// Its user root may do everything and has no password.
func MariaDB(t *testing.T) (socket string) {
	t.Helper()
	bin := newest(t, "/usr/sbin/mariadbd", "mariadbd")
	s := newServer(t, "mysql")
	s.run("mariadb-install-db", "--no-defaults", "--datadir="+s.dir+"/data", "--auth-root-authentication-method=normal", "--skip-test-db", "--innodb-flush-method=nosync")
	socket = s.dir + "/socket"
	s.start(syscall.SIGTERM, bin, "--no-defaults", "--datadir="+s.dir+"/data", "--socket="+socket, "--pid-file="+s.dir+"/pid", "--skip-networking", "--innodb-buffer-pool-size=16M",
		"--innodb-flush-method=nosync", "--aria-pagecache-buffer-size=8M", "--key-buffer-size=1M")
	s.wait("mariadb", "--no-defaults", "--socket="+socket, "--user=root", "-e", "SELECT 1")
	return socket
}

// newest returns the last program that fits the pattern, or that of the name.
func newest(t *testing.T, pattern, name string) string {
	t.Helper()
	if found, err := filepath.Glob(pattern); err == nil && len(found) > 0 {
		return found[len(found)-1]
	}
	program, err := exec.LookPath(name)
	if err != nil {
		t.Skipf("%s is not installed", name)
	}
	return program
}

// server is a server in a folder, as a user who is not root: none of them runs as root.
type server struct {
	t   *testing.T
	dir string
	as  *syscall.Credential // nil is the user of the test

	answered bool
}

func newServer(t *testing.T, name string) *server {
	t.Helper()
	// The path of a socket is short, and its folder can be reached by others.
	dir, err := os.MkdirTemp("", "db")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	s := &server{t: t, dir: dir}
	if os.Getuid() == 0 {
		s.as = credential(t, name)
		if err := os.Chown(dir, int(s.as.Uid), int(s.as.Gid)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return s
}

func credential(t *testing.T, name string) *syscall.Credential {
	t.Helper()
	who, err := user.Lookup(name)
	if err != nil {
		t.Skipf("no user to run a server as: %v", err)
	}
	uid, err1 := strconv.ParseUint(who.Uid, 10, 32)
	gid, err2 := strconv.ParseUint(who.Gid, 10, 32)
	if err1 != nil || err2 != nil {
		t.Fatalf("user %s: %v, %v", name, err1, err2)
	}
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
}

func (s *server) command(program string, args ...string) (*exec.Cmd, *bytes.Buffer) {
	cmd, said := exec.Command(program, args...), &bytes.Buffer{}
	cmd.Dir, cmd.Stdout, cmd.Stderr = s.dir, said, said
	cmd.Env = []string{"PATH=" + os.Getenv("PATH") + ":/usr/sbin:/usr/bin", "LC_ALL=C", "HOME=" + s.dir}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: s.as, Setpgid: true}
	return cmd, said
}

func (s *server) run(program string, args ...string) {
	s.t.Helper()
	cmd, said := s.command(program, args...)
	if err := cmd.Run(); err != nil {
		s.t.Fatalf("%s: %v\n%s", program, err, said)
	}
}

// start starts the server, and ends it with the test by the signal that lets it not wait for its clients.
func (s *server) start(end syscall.Signal, program string, args ...string) {
	s.t.Helper()
	cmd, said := s.command(program, args...)
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() {
		_ = syscall.Kill(cmd.Process.Pid, end)
		kill := time.AfterFunc(10*time.Second, func() { _ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) })
		defer kill.Stop()
		_ = cmd.Wait() // ended by a signal
		if !s.answered {
			s.t.Logf("%s said:\n%s", program, strings.TrimSpace(said.String()))
		}
	})
}

// wait waits until the server answers a client.
func (s *server) wait(client string, args ...string) {
	s.t.Helper()
	var last error
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		cmd, said := s.command(client, args...)
		err := cmd.Run()
		if s.answered = err == nil; s.answered {
			return
		}
		last = fmt.Errorf("%w: %s", err, said)
	}
	s.t.Fatalf("the server does not answer: %v", last)
}
