package s3test

import (
	"bytes"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/minio/minio-go/v7/pkg/credentials"
	"github.com/snapkeep/snap/internal/proxytest"
)

// AccessKey and SecretKey are accepted by each server.
const (
	AccessKey = "test-access"
	SecretKey = "test-secret-of-a-server-for-tests"
)

// Server is a running server with no buckets.
type Server struct {
	// Proxy leads to the server.
	Proxy *proxytest.Proxy
	// Dir has a folder for each bucket.
	Dir string

	opts    Options
	t       *testing.T
	program string
	socket  string

	mu      sync.Mutex
	running *exec.Cmd // nil while stopped; guarded by mu
}

// Start starts a server without versions that ends with the test, or skips the test if versitygw
// is not installed.
func Start(t *testing.T) *Server {
	t.Helper()
	return StartWith(t, Options{})
}

// Options of a server.
type Options struct {
	Versions bool // keeps versions where a bucket asks for it, and has Object Lock
	Accounts bool // has other accounts: see AddWriter
}

// StartWith does what Start does, with options.
func StartWith(t *testing.T, opts Options) *Server {
	t.Helper()
	// The path of a socket has to be short.
	dir, err := os.MkdirTemp("", "s3-")
	if err != nil {
		t.Fatal(err)
	}
	s := &Server{opts: opts, t: t, Dir: t.TempDir(), program: findProgram(t), socket: filepath.Join(dir, "socket")}
	t.Cleanup(func() {
		s.Stop()
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	s.Restart()
	s.Proxy = proxytest.Start(t, s.socket, nil)
	return s
}

func findProgram(t *testing.T) string {
	t.Helper()
	candidates := []string{"versitygw"}
	if path := os.Getenv("GOPATH"); path != "" {
		candidates = append(candidates, filepath.Join(path, "bin", "versitygw"))
	}
	if home, err := os.UserHomeDir(); err == nil {
		candidates = append(candidates, filepath.Join(home, "go", "bin", "versitygw"))
	}
	for _, name := range candidates {
		if program, err := exec.LookPath(name); err == nil {
			return program
		}
	}
	t.Skip("versitygw is not installed: go install github.com/versity/versitygw/cmd/versitygw@latest")
	return ""
}

// Credentials returns credentials that the server accepts.
func (s *Server) Credentials() *credentials.Credentials {
	return credentials.NewStaticV4(AccessKey, SecretKey, "")
}

// Restart starts the server again on the same folder.
func (s *Server) Restart() {
	s.t.Helper()
	s.Stop()
	cmd := exec.Command(s.program, s.arguments()...)
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.mu.Lock()
	s.running = cmd
	s.mu.Unlock()
	for started := time.Now(); ; time.Sleep(20 * time.Millisecond) {
		conn, err := net.Dial("unix", s.socket)
		if err == nil {
			conn.Close()
			return
		}
		if time.Since(started) > 10*time.Minute {
			s.Stop()
			s.t.Fatalf("versitygw does not start: %v\n%s", err, said.String())
		}
	}
}

// arguments are those of the program. What is beside the buckets is in folders beside Dir.
func (s *Server) arguments() []string {
	args := []string{"--port", s.socket, "--access", AccessKey, "--secret", SecretKey, "--region", "us-east-1", "--quiet", "--keep-alive"}
	if s.opts.Accounts {
		args = append(args, "--iam-dir", s.folder("accounts"))
	}
	args = append(args, "posix")
	if s.opts.Versions {
		args = append(args, "--versioning-dir", s.folder("versions"))
	}
	return append(args, s.Dir)
}

// folder makes a folder for the server's own use.
func (s *Server) folder(name string) string {
	s.t.Helper()
	dir := filepath.Join(filepath.Dir(s.socket), name)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		s.t.Fatal(err)
	}
	return dir
}

// Stop ends the server.
func (s *Server) Stop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.running == nil {
		return
	}
	_ = s.running.Process.Kill()
	_ = s.running.Wait() // it was killed
	s.running = nil
	_ = os.Remove(s.socket) // it may be gone
}
