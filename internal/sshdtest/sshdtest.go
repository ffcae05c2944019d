package sshdtest

import (
	"cmp"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/snapkeep/snap/internal/sshconn"
	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"
)

// patience is how long clients wait for the server, and the server for them: nothing in a test takes as long.
const patience = 10 * time.Minute

// Options are choices for Start. The zero value is the default.
type Options struct {
	// Config is added to sshd_config.
	Config string
	// MaxSessions is how many sessions a connection may have at a time; 0 means 100.
	MaxSessions int
	// SFTP are arguments of the SFTP server, such as "-P remove".
	SFTP string
	// Inside is what sshd is started by, such as the result of NewMachine.
	Inside []string
}

// Server is a running server. It starts one sshd for each connection, so that
// no port has to be guessed, and none is held when the server is stopped.
type Server struct {
	User string
	Port int
	// Home has .ssh with a key that is accepted and the server's key.
	Home    string
	HostKey ssh.PublicKey

	t       testing.TB
	inside  []string
	program string
	config  string

	mu       sync.Mutex
	listener net.Listener // nil while stopped; guarded by mu, as is all below
	running  map[*exec.Cmd]bool
	accepted int
	cpu      time.Duration
	wg       sync.WaitGroup
}

// Start starts a server that ends with the test, or skips the test if there is
// no sshd.
func Start(t testing.TB, opts Options) *Server {
	t.Helper()
	s := &Server{t: t, Home: t.TempDir(), program: findProgram(t), running: make(map[*exec.Cmd]bool)}
	who, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	s.User, s.inside = who.Username, opts.Inside
	s.configure(opts)
	s.listen("127.0.0.1:0")
	s.writeKnownHosts()
	t.Cleanup(s.Stop)
	return s
}

func findProgram(t testing.TB) string {
	t.Helper()
	for _, name := range []string{"sshd", "/usr/sbin/sshd", "/usr/local/sbin/sshd"} {
		if program, err := exec.LookPath(name); err == nil {
			// As root, sshd insists on this folder.
			if os.Getuid() == 0 {
				_ = os.MkdirAll("/run/sshd", 0o755)
			}
			if program, err = filepath.Abs(program); err == nil {
				return program
			}
		}
	}
	t.Skip("sshd is not installed: needs openssh-server")
	return ""
}

// configure writes keys and sshd_config. SHLVL keeps bash from reading the user's own .bashrc, as it does for what it takes
// for a login of its own: who knows what that waits for.
func (s *Server) configure(opts Options) {
	s.t.Helper()
	dir := filepath.Join(s.Home, "etc")
	for _, folder := range []string{dir, filepath.Join(s.Home, ".ssh")} {
		if err := os.Mkdir(folder, 0o700); err != nil {
			s.t.Fatal(err)
		}
	}
	s.HostKey = WriteKey(s.t, filepath.Join(dir, "host_key"), "")
	key := WriteKey(s.t, filepath.Join(s.Home, ".ssh", "id_ed25519"), "")
	s.write("etc/authorized_keys", string(ssh.MarshalAuthorizedKey(key)))
	s.config = filepath.Join(dir, "sshd_config")
	s.write("etc/sshd_config", fmt.Sprintf(`HostKey %[1]s/host_key
AuthorizedKeysFile %[1]s/authorized_keys
PidFile none
StrictModes no
UsePAM no
PermitRootLogin yes
PasswordAuthentication no
KbdInteractiveAuthentication no
MaxSessions %[4]d
LogLevel INFO
LoginGraceTime 0
Subsystem sftp internal-sftp %[2]s
SetEnv SHLVL=2
%[3]s
`, dir, opts.SFTP, opts.Config, cmp.Or(opts.MaxSessions, 100)))
}

// WriteKey makes a private key in a file, with the public one beside it.
func WriteKey(t testing.TB, name, passphrase string) ssh.PublicKey {
	t.Helper()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	var block *pem.Block
	if passphrase == "" {
		block, err = ssh.MarshalPrivateKey(private, "test")
	} else {
		block, err = ssh.MarshalPrivateKeyWithPassphrase(private, "test", []byte(passphrase))
	}
	if err != nil {
		t.Fatal(err)
	}
	public, err := ssh.NewPublicKey(private.Public())
	if err != nil {
		t.Fatal(err)
	}
	for file, data := range map[string][]byte{name: pem.EncodeToMemory(block), name + ".pub": ssh.MarshalAuthorizedKey(public)} {
		if err := os.WriteFile(file, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return public
}

func (s *Server) write(name, data string) {
	s.t.Helper()
	if err := os.WriteFile(filepath.Join(s.Home, name), []byte(data), 0o600); err != nil {
		s.t.Fatal(err)
	}
}

// writeKnownHosts lets clients with this home know the server, on any port.
func (s *Server) writeKnownHosts() {
	s.t.Helper()
	s.write(".ssh/known_hosts", s.KnownHostsLine(s.Port)+"\n")
}

// KnownHostsLine returns the line for the server behind a port of the loopback
// interface.
func (s *Server) KnownHostsLine(port int) string {
	return knownhosts.Line([]string{net.JoinHostPort("127.0.0.1", strconv.Itoa(port))}, s.HostKey)
}

// AddKnownPort lets clients with this home know the server behind another port.
func (s *Server) AddKnownPort(port int) {
	s.t.Helper()
	name := filepath.Join(s.Home, ".ssh", "known_hosts")
	data, err := os.ReadFile(name)
	if err != nil {
		s.t.Fatal(err)
	}
	s.write(".ssh/known_hosts", string(data)+s.KnownHostsLine(port)+"\n")
}

// Address returns where the server is.
func (s *Server) Address() sshconn.Address {
	return sshconn.Address{User: s.User, Host: "127.0.0.1", Port: s.Port}
}

// Client returns options with which a client is accepted, and waits as long as a slow machine takes.
func (s *Server) Client() sshconn.Options {
	return sshconn.Options{Home: s.Home, ConfigFiles: []string{filepath.Join(s.Home, ".ssh", "config")}, Agent: "/nonexistent", Timeout: patience, Idle: patience}
}

// Addr returns host and port for net.Dial.
func (s *Server) Addr() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(s.Port)) }

// Connections returns how many connections there have been.
func (s *Server) Connections() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.accepted
}

// Open returns how many connections there are.
func (s *Server) Open() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.running)
}

// CPU returns what the connections that have ended took, with the programs that they started.
func (s *Server) CPU() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.cpu
}

// Logins returns how often a key was accepted.
func (s *Server) Logins() int { return s.Logged("Accepted publickey") }

// Logged returns how often a text stands in what sshd has logged so far. It logs into files, so that nothing is on its way.
func (s *Server) Logged(text string) (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range s.accepted {
		n += strings.Count(s.said(i), text)
	}
	return n
}

// logFile is where the sshd of the n-th connection logs.
func (s *Server) logFile(n int) string { return filepath.Join(s.Home, "etc", fmt.Sprint("log", n)) }

// said returns what the sshd of the n-th connection has logged so far.
func (s *Server) said(n int) string {
	text, err := os.ReadFile(s.logFile(n))
	if err != nil {
		s.t.Error(err)
	}
	return string(text)
}

func (s *Server) listen(address string) {
	s.t.Helper()
	l, err := net.Listen("tcp", address)
	for end := time.Now().Add(patience); errors.Is(err, syscall.EADDRINUSE) && time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		l, err = net.Listen("tcp", address) // a connection of others has the port for a while
	}
	if err != nil {
		s.t.Fatal(err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.listener = l
	s.Port = l.Addr().(*net.TCPAddr).Port
	s.wg.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			s.serve(l, conn.(*net.TCPConn))
		}
	})
}

// serve gives a connection to a process.
func (s *Server) serve(l net.Listener, conn *net.TCPConn) {
	defer conn.Close()
	f, err := conn.File()
	if err != nil {
		return
	}
	defer f.Close()
	argv := append(s.inside[:len(s.inside):len(s.inside)], s.program, "-i", "-e", "-f", s.config)
	cmd := exec.Command(argv[0], argv[1:]...)
	ownGroup(cmd)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.listener != l {
		return // stopped meanwhile
	}
	n := s.accepted
	log, err := os.OpenFile(s.logFile(n), os.O_CREATE|os.O_EXCL|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		s.t.Error(err)
		return
	}
	defer log.Close()
	cmd.Stdin, cmd.Stdout, cmd.Stderr = f, f, log
	if err := cmd.Start(); err != nil {
		s.t.Errorf("start sshd: %v", err)
		return
	}
	s.accepted++
	s.running[cmd] = true
	s.wg.Go(func() {
		_ = cmd.Wait() // ends with an error whenever the client does not say goodbye
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.running, cmd)
		s.cpu += cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
		if text := strings.TrimSpace(s.said(n)); strings.Contains(text, "sshd_config") {
			s.t.Errorf("sshd: %s", text)
		}
	})
}

// Stop ends the server and all its connections.
func (s *Server) Stop() {
	s.mu.Lock()
	if s.listener != nil {
		s.listener.Close()
		s.listener = nil
	}
	for cmd := range s.running {
		killGroup(cmd)
	}
	s.mu.Unlock()
	s.wg.Wait()
}

// Restart starts the server again on its port.
func (s *Server) Restart() {
	s.t.Helper()
	s.Stop()
	s.listen(s.Addr())
}
