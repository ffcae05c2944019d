package sshconn_test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/snapkeep/snap/internal/proxytest"
	"github.com/snapkeep/snap/internal/sshconn"
	"github.com/snapkeep/snap/internal/sshdtest"
	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"
)

// greet connects and lets the SFTP server say its version.
func greet(t *testing.T, address sshconn.Address, opts sshconn.Options) error {
	t.Helper()
	d, err := sshconn.New(address, opts)
	if err != nil {
		return err
	}
	conn, err := d.Dial(t.Context(), "sftp")
	if err != nil {
		return err
	}
	defer conn.Close()
	if _, err := conn.Write([]byte{0, 0, 0, 5, 1, 0, 0, 0, 3}); err != nil {
		return err
	}
	answer := make([]byte, 9)
	for n := 0; n < len(answer); {
		m, err := conn.Read(answer[n:])
		n += m
		if err != nil {
			return err
		}
	}
	if answer[4] != 2 || answer[8] != 3 {
		return fmt.Errorf("the server answered %x", answer)
	}
	return nil
}

func writeConfig(t *testing.T, s *sshdtest.Server, name, data string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(s.Home, ".ssh", name), []byte(data), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestDial(t *testing.T) {
	t.Parallel()
	s := sshdtest.Start(t, sshdtest.Options{})
	if err := greet(t, s.Address(), s.Client()); err != nil {
		t.Error(err)
	}
}

func TestAlias(t *testing.T) {
	t.Parallel()
	s := sshdtest.Start(t, sshdtest.Options{})
	writeConfig(t, s, "config", fmt.Sprintf("Host nas\nHostName 127.0.0.1\nPort %d\nUser %s\nIdentityFile ~/.ssh/other\n", s.Port, s.User))
	if err := os.Rename(filepath.Join(s.Home, ".ssh", "id_ed25519"), filepath.Join(s.Home, ".ssh", "other")); err != nil {
		t.Fatal(err)
	}
	if err := greet(t, sshconn.Address{Host: "nas"}, s.Client()); err != nil {
		t.Error(err)
	}
}

func TestHostKey(t *testing.T) {
	t.Parallel()
	s := sshdtest.Start(t, sshdtest.Options{})
	other := sshdtest.WriteKey(t, filepath.Join(t.TempDir(), "other"), "")
	good := s.KnownHostsLine(s.Port)
	host := strings.Fields(good)[0]
	otherText := strings.TrimSpace(string(ssh.MarshalAuthorizedKey(other)))
	// A key of another kind for the host must not keep the known one from being asked for.
	const ecdsa = "ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBEmKSENjQEezOmxkZMy7opKgwFB9nkt5YRrYMjNuG5N87uRgg6CLrbo5wAdT/y6v0mKV0U2w0WZ2YB/++Tpockg="
	tests := []struct {
		name, known string
		want        error
	}{
		{"known", good, nil},
		{"two keys", host + " " + otherText + "\n" + good, nil},
		{"two kinds", host + " " + ecdsa + "\n" + good, nil},
		{"only another kind", host + " " + ecdsa, sshconn.ErrHostKey},
		{"unknown", "", sshconn.ErrHostUnknown},
		{"other port", s.KnownHostsLine(s.Port + 1), sshconn.ErrHostUnknown},
		{"changed", host + " " + otherText, sshconn.ErrHostKey},
		{"revoked", good + "\n@revoked * " + strings.SplitN(good, " ", 2)[1], sshconn.ErrHostKey},
		{"unreadable", "nonsense", sshconn.ErrHostUnknown},
		{"a kind of later days", host + " ssh-later AAAACXNzaC1sYXRlcgAAAAEA\n" + good, nil},
		{"only a kind of later days", host + " ssh-later AAAACXNzaC1sYXRlcgAAAAEA", sshconn.ErrHostUnknown},
		{"changed beside unreadable", "nonsense\n" + host + " " + otherText, sshconn.ErrHostKey},
		{"revoked cannot be read", good + "\n@revoked * ssh-later AAAACXNzaC1sYXRlcgAAAAEA", sshconn.ErrHostKey},
		{"unknown marker", good + "\n@trusted * " + otherText, sshconn.ErrHostKey},
		{"authority", "@cert-authority * " + otherText + "\n" + good, nil},
	}
	// Which lines the errors name.
	lines := map[string]string{"changed": "1", "unreadable": "1", "only a kind of later days": "1", "changed beside unreadable": "2", "revoked cannot be read": "2", "unknown marker": "2"}
	for _, test := range tests {
		file := filepath.Join(t.TempDir(), "known_hosts")
		if err := os.WriteFile(file, []byte(test.known+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		opts := s.Client()
		opts.KnownHosts = []string{file}
		err := greet(t, s.Address(), opts)
		if line, bad := lines[test.name]; bad && (err == nil || !strings.Contains(err.Error(), file+":"+line)) {
			t.Errorf("%s: %v does not name line %s", test.name, err, line)
		}
		if !errors.Is(err, test.want) || (err == nil) != (test.want == nil) {
			t.Errorf("%s: error %v, want %v", test.name, err, test.want)
		} else if err != nil && !sshconn.IsPermanent(err) {
			t.Errorf("%s: to be tried again: %v", test.name, err)
		}
		if data, err := os.ReadFile(file); err != nil || string(data) != test.known+"\n" {
			t.Errorf("%s: known_hosts was changed: %q, %v", test.name, data, err)
		}
	}
}

func TestRefused(t *testing.T) {
	t.Parallel()
	s := sshdtest.Start(t, sshdtest.Options{})
	dir := t.TempDir()
	sshdtest.WriteKey(t, filepath.Join(dir, "stranger"), "")
	sshdtest.WriteKey(t, filepath.Join(dir, "locked"), "passphrase")
	good, err := os.ReadFile(filepath.Join(s.Home, ".ssh", "id_ed25519"))
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.WriteFile(filepath.Join(dir, "open"), good, 0o600), os.Chmod(filepath.Join(dir, "open"), 0o640)); err != nil {
		t.Fatal(err)
	}
	for name, says := range map[string]string{"stranger": "unable to authenticate", "locked": "ssh-agent", "missing": "no such file", "open": "chmod 600"} {
		opts := s.Client()
		opts.Identities = []string{filepath.Join(dir, name)}
		err := greet(t, s.Address(), opts)
		if !errors.Is(err, sshconn.ErrRefused) || !errors.Is(err, fs.ErrPermission) || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: error %v", name, err)
		}
	}
}

// serveAgent runs an agent with the key that the server accepts.
func serveAgent(t *testing.T, s *sshdtest.Server, keyFile string) string {
	t.Helper()
	return serve(t, s, keyFile, func(a agent.Agent) agent.Agent { return a })
}

func serve(t *testing.T, s *sshdtest.Server, keyFile string, as func(agent.Agent) agent.Agent) (socket string) {
	t.Helper()
	data, err := os.ReadFile(keyFile)
	if err != nil {
		t.Fatal(err)
	}
	key, err := ssh.ParseRawPrivateKey(data)
	if err != nil {
		t.Fatal(err)
	}
	ring := agent.NewKeyring()
	if err := ring.Add(agent.AddedKey{PrivateKey: key}); err != nil {
		t.Fatal(err)
	}
	socket = filepath.Join(t.TempDir(), "agent")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				_ = agent.ServeAgent(as(ring), conn)
			}()
		}
	}()
	return socket
}

func TestAgent(t *testing.T) {
	t.Parallel()
	s := sshdtest.Start(t, sshdtest.Options{})
	key := filepath.Join(s.Home, ".ssh", "id_ed25519")
	opts := s.Client()
	opts.Agent = serveAgent(t, s, key)
	if err := os.Remove(key); err != nil {
		t.Fatal(err)
	}
	if err := greet(t, s.Address(), opts); err != nil {
		t.Errorf("with a key from the agent: %v", err)
	}
	writeConfig(t, s, "config", "IdentitiesOnly yes\nIdentityFile ~/.ssh/id_ed25519\n")
	if err := greet(t, s.Address(), opts); err != nil {
		t.Errorf("with a key of which only the public part is in a file: %v", err)
	}
	writeConfig(t, s, "config", "IdentitiesOnly yes\nIdentityFile ~/.ssh/none\n")
	if err := greet(t, s.Address(), opts); !errors.Is(err, sshconn.ErrRefused) {
		t.Errorf("with a key of the agent that is not wanted: %v", err)
	}
	writeConfig(t, s, "config", "IdentityAgent none\n")
	if err := greet(t, s.Address(), opts); !errors.Is(err, sshconn.ErrRefused) {
		t.Errorf("without the agent: %v", err)
	}
}

// TestAgentThatHangs: one that takes connections and says nothing keeps nobody from a key in a file, nor does one that signs nothing from an end.
func TestAgentThatHangs(t *testing.T) {
	t.Parallel()
	s := sshdtest.Start(t, sshdtest.Options{})
	opts := s.Client()
	opts.Agent = filepath.Join(s.Home, "hangs")
	l, err := net.Listen("unix", opts.Agent)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if err := greet(t, s.Address(), opts); err != nil {
		t.Errorf("with a key in a file: %v", err)
	}
	opts.Identities = []string{filepath.Join(s.Home, "none")}
	if err := greet(t, s.Address(), opts); !errors.Is(err, sshconn.ErrRefused) || !strings.Contains(err.Error(), "agent: no answer after 5s") {
		t.Errorf("without one: %v", err)
	}
	key := filepath.Join(s.Home, ".ssh", "id_ed25519")
	opts.Agent = serve(t, s, key, func(a agent.Agent) agent.Agent { return mute{a, t.Context().Done()} })
	opts.Timeout = 3 * time.Second
	if err := greet(t, s.Address(), opts); err == nil || !strings.Contains(err.Error(), "no connection after 3s") {
		t.Errorf("with an agent that signs nothing: %v", err)
	}
}

// mute is an agent that does not answer when it is asked to sign.
type mute struct {
	agent.Agent
	end <-chan struct{}
}

func (m mute) Sign(ssh.PublicKey, []byte) (*ssh.Signature, error) {
	<-m.end
	return nil, errors.ErrUnsupported
}

// TestCertificate: a key that the server knows by a certificate only, which lies beside the key, or is named; the key may be in an agent.
func TestCertificate(t *testing.T) {
	t.Parallel()
	s := sshdtest.Start(t, sshdtest.Options{})
	dir := t.TempDir()
	sshdtest.WriteKey(t, filepath.Join(dir, "authority"), "")
	authority := parseKey(t, filepath.Join(dir, "authority"))
	if err := os.WriteFile(filepath.Join(s.Home, "etc", "authorized_keys"), append([]byte("cert-authority "), ssh.MarshalAuthorizedKey(authority.PublicKey())...), 0o600); err != nil {
		t.Fatal(err)
	}
	key := filepath.Join(dir, "key")
	certificate := &ssh.Certificate{Key: sshdtest.WriteKey(t, key, ""), CertType: ssh.UserCert, ValidPrincipals: []string{s.User}, ValidBefore: ssh.CertTimeInfinity}
	if err := certificate.SignCert(rand.Reader, authority); err != nil {
		t.Fatal(err)
	}
	opts := s.Client()
	opts.Identities = []string{key}
	if err := greet(t, s.Address(), opts); !errors.Is(err, sshconn.ErrRefused) {
		t.Errorf("without the certificate: %v", err)
	}
	write := func(name string) {
		t.Helper()
		if err := os.WriteFile(name, ssh.MarshalAuthorizedKey(certificate), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(filepath.Join(dir, "named"))
	writeConfig(t, s, "config", "CertificateFile "+filepath.Join(dir, "named")+"\n")
	if err := greet(t, s.Address(), opts); err != nil {
		t.Errorf("with a certificate that is named: %v", err)
	}
	writeConfig(t, s, "config", "IdentitiesOnly yes\n")
	write(key + "-cert.pub")
	if err := greet(t, s.Address(), opts); err != nil {
		t.Errorf("with a certificate beside the key: %v", err)
	}
	opts.Agent = serveAgent(t, s, key)
	if err := os.Remove(key); err != nil {
		t.Fatal(err)
	}
	if err := greet(t, s.Address(), opts); err != nil {
		t.Errorf("with the key in an agent: %v", err)
	}
}

func parseKey(t *testing.T, name string) ssh.Signer {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	key, err := ssh.ParsePrivateKey(data)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// TestJump goes through two servers to a third.
func TestJump(t *testing.T) {
	t.Parallel()
	s := sshdtest.Start(t, sshdtest.Options{})
	config := fmt.Sprintf(`Host gate second nas
HostName 127.0.0.1
Port %d
User %s
Host nas
ProxyJump gate,second
Host unknown
ProxyJump nowhere@127.0.0.1:1
Host loop
ProxyJump loop
`, s.Port, s.User)
	writeConfig(t, s, "config", config)
	if err := greet(t, sshconn.Address{Host: "nas"}, s.Client()); err != nil {
		t.Error(err)
	}
	if n := s.Connections(); n != 3 {
		t.Errorf("%d connections, want 3", n)
	}
	if err := greet(t, sshconn.Address{Host: "unknown"}, s.Client()); err == nil || !strings.Contains(err.Error(), "by way of nowhere") {
		t.Errorf("by way of a host that is not there: %v", err)
	}
	if err := greet(t, sshconn.Address{Host: "loop"}, s.Client()); !errors.Is(err, sshconn.ErrConfig) {
		t.Errorf("by way of itself: %v", err)
	}
}

func TestSilentServer(t *testing.T) {
	t.Parallel()
	s := sshdtest.Start(t, sshdtest.Options{})
	for _, after := range []int64{1, 700, 2500} {
		proxy := proxytest.Start(t, s.Addr(), func(int) proxytest.Fault { return proxytest.Fault{StallAfter: after} })
		s.AddKnownPort(proxy.Port())
		address := s.Address()
		address.Port = proxy.Port()
		opts := s.Client()
		opts.Timeout = 300 * time.Millisecond
		d, err := sshconn.New(address, opts)
		if err != nil {
			t.Fatal(err)
		}
		if conn, err := d.Dial(t.Context(), "sftp"); err == nil || !strings.Contains(err.Error(), "no connection after") {
			t.Errorf("silent after %d bytes: connection %v, error %v", after, conn, err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := d.Dial(ctx, "sftp"); !errors.Is(err, context.Canceled) {
			t.Errorf("cancelled: %v", err)
		}
	}
}

func TestCommand(t *testing.T) {
	t.Parallel()
	program, err := exec.LookPath("ssh")
	if err != nil {
		t.Skip("ssh is not installed: needs openssh-client")
	}
	s := sshdtest.Start(t, sshdtest.Options{})
	file := func(name string) string { return filepath.Join(s.Home, ".ssh", name) }
	base := []string{program, "-F", "none", "-o", "BatchMode=yes", "-o", "IdentityAgent=none", "-o", "IdentitiesOnly=yes"}
	with := func(known, key string) sshconn.Options {
		return sshconn.Options{Command: append(base[:len(base):len(base)], "-o", "UserKnownHostsFile="+known, "-i", key)}
	}
	if err := greet(t, s.Address(), with(file("known_hosts"), file("id_ed25519"))); err != nil {
		t.Errorf("through ssh: %v", err)
	}
	given := sshconn.Options{Command: base, KnownHosts: []string{file("known_hosts")}, Identities: []string{file("id_ed25519")}}
	if err := greet(t, s.Address(), given); err != nil {
		t.Errorf("with files that are given beside the command: %v", err)
	}
	given.KnownHosts = []string{file("none")}
	if err := greet(t, s.Address(), given); !errors.Is(err, sshconn.ErrHostKey) {
		t.Errorf("with an unknown host, with files that are given: %v", err)
	}
	if err := greet(t, s.Address(), with(file("none"), file("id_ed25519"))); !errors.Is(err, sshconn.ErrHostKey) {
		t.Errorf("with an unknown host: %v", err)
	}
	sshdtest.WriteKey(t, file("stranger"), "")
	if err := greet(t, s.Address(), with(file("known_hosts"), file("stranger"))); !errors.Is(err, sshconn.ErrRefused) {
		t.Errorf("with a key that is not accepted: %v", err)
	}
	if err := greet(t, s.Address(), sshconn.Options{Command: []string{filepath.Join(s.Home, "no-such-program")}}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("with a command that is not there: %v", err)
	}
}

// TestCommandLine checks that an external command gets each argument as it is.
func TestCommandLine(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "arguments")
	script := filepath.Join(t.TempDir(), "my ssh")
	text := "#!/bin/sh\nfor a in \"$@\"; do echo \"$a\"; done >" + strconv.Quote(file) + "\n"
	if err := os.WriteFile(script, []byte(text), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		opts sshconn.Options
		want string
	}{
		{sshconn.Options{}, "-i\n$(a b)\n-s\n-p\n7\n-l\nu\n--\nh\nsftp\n"},
		{sshconn.Options{Identities: []string{"/a b", "/c"}, KnownHosts: []string{"/d e", "/f"}},
			"-i\n$(a b)\n-s\n-i\n/a b\n-i\n/c\n-o\nUserKnownHostsFile=\"/d e\" \"/f\"\n-o\nGlobalKnownHostsFile=none\n-p\n7\n-l\nu\n--\nh\nsftp\n"},
	} {
		test.opts.Command = []string{script, "-i", "$(a b)"}
		if err := greet(t, sshconn.Address{User: "u", Host: "h", Port: 7}, test.opts); err == nil {
			t.Error("a command that ends at once was taken for a server")
		}
		if got, err := os.ReadFile(file); err != nil || string(got) != test.want {
			t.Errorf("arguments %q, error %v, want %q", got, err, test.want)
		}
	}
}

// TestCommandStatus: an external command ends as the remote one did.
func TestCommandStatus(t *testing.T) {
	t.Parallel()
	for status, notRun := range map[int]bool{1: false, 60: true, 124: false, 126: true, 127: true, 143: false, 255: false} {
		err := greet(t, sshconn.Address{Host: "h"}, sshconn.Options{Command: []string{"sh", "-c", fmt.Sprintf("head -c 9 >/dev/null; echo no way >&2; exit %d", status)}})
		if errors.Is(err, sshconn.ErrNotRun) != notRun || !strings.Contains(fmt.Sprint(err), "no way") {
			t.Errorf("status %d: %v", status, err)
		}
	}
}

// TestNoSubsystem: a server that has no SFTP refuses, and trying again is of no use.
func TestNoSubsystem(t *testing.T) {
	t.Parallel()
	s := sshdtest.Start(t, sshdtest.Options{})
	d, err := sshconn.New(s.Address(), s.Client())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.Dial(t.Context(), "nonesuch"); !errors.Is(err, sshconn.ErrNotRun) || !sshconn.IsPermanent(err) {
		t.Error(err)
	}
}
