package enrol

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/snapkeep/snap/internal/sshconn"
	"golang.org/x/crypto/ssh"
)

// Verdict is what came of an attempt.
type Verdict string

// The verdicts.
const (
	Refused Verdict = "refused" // as it should be
	Allowed Verdict = "allowed" // an attacker with the key of the pull could do it
	Unknown Verdict = "unknown" // it could not be tried
)

// Attempt is something that was tried with the key of the pull.
type Attempt struct {
	What    string
	Verdict Verdict
	Detail  string // what the source said, or what to do
}

// attemptTime bounds one attempt.
const attemptTime = 20 * time.Second

// proof is what a shell would answer to a question that no program repeats by chance.
const (
	question = "echo snap-audit-$((6*7))"
	proof    = "snap-audit-42"
)

// AuditLogin tries what SSH itself would let somebody do who has the key: run commands, get a shell or a terminal, forward
// ports and agents, use SFTP. The error is one of connecting; d must not use an external command.
func AuditLogin(ctx context.Context, d *sshconn.Dialer) ([]Attempt, error) {
	client, end, err := d.Client(ctx)
	if err != nil {
		return nil, err
	}
	defer end()
	stop := context.AfterFunc(ctx, func() { client.Close() })
	defer stop()
	a := &auditor{client: client}
	all := []Attempt{
		a.run("run a command", func(s *ssh.Session) error { return s.Start(question) }),
		a.run("run a command behind the agent's", func(s *ssh.Session) error { return s.Start("snap agent; " + question) }),
		a.run("get a shell", func(s *ssh.Session) error { return s.Shell() }),
		a.run("write a file", func(s *ssh.Session) error {
			return s.Start("f=$(mktemp) && " + question + " > \"$f\" && cat \"$f\" && rm -f \"$f\"")
		}),
		a.request("get a terminal", func(s *ssh.Session) error { return s.RequestPty("xterm", 24, 80, ssh.TerminalModes{}) }),
		a.request("forward an agent", channelRequest("auth-agent-req@openssh.com", nil)),
		a.request("forward a display", channelRequest("x11-req", x11())),
		a.request("change the environment of the program", func(s *ssh.Session) error { return s.Setenv("LD_PRELOAD", "/nonexistent") }),
		a.sftp(),
		a.forward("forward a port of the source", "direct-tcpip", directTCP()),
		a.sockets(),
		a.listen(),
	}
	return all, nil
}

// auditor tries things on one connection.
type auditor struct{ client *ssh.Client }

func refused(what string, err error) Attempt {
	return Attempt{What: what, Verdict: Refused, Detail: err.Error()}
}

// run starts something, asks it the question, and looks for the proof in what it says.
func (a *auditor) run(what string, start func(*ssh.Session) error) Attempt {
	s, err := a.client.NewSession()
	if err != nil {
		return Attempt{What: what, Verdict: Unknown, Detail: err.Error()}
	}
	defer s.Close()
	var said bytes.Buffer
	out := &limited{w: &said, left: maxOutput}
	s.Stdout, s.Stderr = out, out
	s.Stdin = bytes.NewReader([]byte(question + "\nexit\n"))
	if err := start(s); err != nil {
		return refused(what, err)
	}
	ended := make(chan error, 1)
	go func() { ended <- s.Wait() }()
	select {
	case err = <-ended:
	case <-time.After(attemptTime):
		s.Close()
		<-ended
		return Attempt{What: what, Verdict: Unknown, Detail: fmt.Sprintf("it did not end within %v", attemptTime)}
	}
	if bytes.Contains(said.Bytes(), []byte(proof)) {
		return Attempt{What: what, Verdict: Allowed, Detail: "a shell answered"}
	}
	if err == nil {
		err = errors.New("only the agent answered")
	}
	return refused(what, err)
}

// request asks for something that a session can have.
func (a *auditor) request(what string, ask func(*ssh.Session) error) Attempt {
	s, err := a.client.NewSession()
	if err != nil {
		return Attempt{What: what, Verdict: Unknown, Detail: err.Error()}
	}
	defer s.Close()
	if err := ask(s); err != nil {
		return refused(what, err)
	}
	return Attempt{What: what, Verdict: Allowed, Detail: "add restrict to the line of the key"}
}

func channelRequest(name string, payload []byte) func(*ssh.Session) error {
	return func(s *ssh.Session) error {
		ok, err := s.SendRequest(name, true, payload)
		if err == nil && !ok {
			err = errors.New("request was denied")
		}
		return err
	}
}

// x11 is the payload of a request for display forwarding (RFC 4254, section 6.3.1).
func x11() []byte {
	return ssh.Marshal(&struct {
		Single           bool
		Protocol, Cookie string
		Screen           uint32
	}{true, "MIT-MAGIC-COOKIE-1", "00112233445566778899aabbccddeeff", 0})
}

// sftp asks for the subsystem and says hello to it.
func (a *auditor) sftp() Attempt {
	const what = UseSFTP
	s, err := a.client.NewSession()
	if err != nil {
		return Attempt{What: what, Verdict: Unknown, Detail: err.Error()}
	}
	defer s.Close()
	in, err := s.StdinPipe()
	if err != nil {
		return Attempt{What: what, Verdict: Unknown, Detail: err.Error()}
	}
	out, err := s.StdoutPipe()
	if err != nil {
		return Attempt{What: what, Verdict: Unknown, Detail: err.Error()}
	}
	if err := s.RequestSubsystem("sftp"); err != nil {
		return refused(what, err)
	}
	timer := time.AfterFunc(attemptTime, func() { s.Close() })
	defer timer.Stop()
	if _, err := in.Write([]byte{0, 0, 0, 5, 1, 0, 0, 0, 3}); err != nil { // SSH_FXP_INIT, version 3
		return refused(what, err)
	}
	var head [5]byte
	if _, err := io.ReadFull(out, head[:]); err != nil {
		return refused(what, errors.New("only the agent answered"))
	}
	if head[4] != 2 { // SSH_FXP_VERSION
		return refused(what, errors.New("what answered is no SFTP server"))
	}
	return Attempt{What: what, Verdict: Allowed, Detail: "add command=… to the line of the key"}
}

// forward opens a channel to something on the source.
func (a *auditor) forward(what, kind string, payload []byte) Attempt {
	channel, requests, err := a.client.OpenChannel(kind, payload)
	if err != nil {
		var open *ssh.OpenChannelError
		if errors.As(err, &open) && open.Reason == ssh.ConnectionFailed {
			return Attempt{What: what, Verdict: Allowed, Detail: "the source tried to connect; add restrict to the line of the key"}
		}
		return refused(what, err)
	}
	go ssh.DiscardRequests(requests)
	channel.Close()
	return Attempt{What: what, Verdict: Allowed, Detail: "add restrict to the line of the key"}
}

// directTCP is the payload of a channel to a port of the source (RFC 4254, section 7.2): its SSH server's, which is there.
func directTCP() []byte {
	return ssh.Marshal(&struct {
		Host       string
		Port       uint32
		Origin     string
		OriginPort uint32
	}{"127.0.0.1", 22, "127.0.0.1", 40000})
}

// sockets tries to reach sockets that many machines have. A server says the same of one that it forbids and of one that is
// not there, so that only success tells.
func (a *auditor) sockets() Attempt {
	const what = "forward a socket of the source"
	for _, path := range []string{"/run/dbus/system_bus_socket", "/run/docker.sock", "/run/mysqld/mysqld.sock", "/run/postgresql/.s.PGSQL.5432"} {
		channel, requests, err := a.client.OpenChannel("direct-streamlocal@openssh.com", directSocket(path))
		if err == nil {
			go ssh.DiscardRequests(requests)
			channel.Close()
			return Attempt{What: what, Verdict: Allowed, Detail: path + "; add restrict to the line of the key"}
		}
	}
	return refused(what, errors.New("none of the usual ones could be reached"))
}

// directSocket is the payload of a channel to a socket (PROTOCOL of OpenSSH, section 2.4).
func directSocket(path string) []byte {
	return ssh.Marshal(&struct {
		Path, Reserved string
		Port           uint32
	}{path, "", 0})
}

// listen asks the source to listen for this server.
func (a *auditor) listen() Attempt {
	const what = "listen on a port of the source"
	l, err := a.client.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return refused(what, err)
	}
	l.Close()
	return Attempt{What: what, Verdict: Allowed, Detail: "add restrict to the line of the key"}
}

// limited drops what is over a number of bytes. It is safe for concurrent use.
type limited struct {
	mu   sync.Mutex // guards what follows
	w    io.Writer
	left int
}

func (l *limited) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := min(len(p), l.left)
	l.left -= n
	if _, err := l.w.Write(p[:n]); err != nil {
		return 0, err
	}
	return len(p), nil
}
