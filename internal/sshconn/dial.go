package sshconn

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/snapkeep/snap/internal/nss"
	"golang.org/x/crypto/ssh"
)

// Options are choices for New. The zero value is the default.
type Options struct {
	// Command is an external command in place of the client of this package,
	// such as "ssh" with options. It is run without a shell, with "-s", port,
	// user, host and subsystem appended. Default none.
	Command []string
	// Home is the user's home folder. Default that of the process.
	Home string
	// ConfigFiles are read one after another. Default ~/.ssh/config and
	// /etc/ssh/ssh_config.
	ConfigFiles []string
	// KnownHosts are the files with keys of hosts. Default as configured.
	KnownHosts []string
	// Identities are files with private keys. Default as configured, or
	// ~/.ssh/id_ed25519, id_ecdsa and id_rsa.
	Identities []string
	// Agent is the socket of ssh-agent. Default SSH_AUTH_SOCK.
	Agent string
	// Timeout bounds the making of a connection. Default 30 s.
	Timeout time.Duration
}

// Dialer connects to one host. It is safe for concurrent use.
type Dialer struct {
	opts    Options
	address Address
}

// New returns a dialer for a host.
func New(address Address, opts Options) (*Dialer, error) {
	if err := address.check(); err != nil {
		return nil, err
	}
	if opts.Home == "" {
		home, err := os.UserHomeDir()
		if err != nil {
			home = "/"
		}
		opts.Home = home
	}
	if opts.ConfigFiles == nil {
		opts.ConfigFiles = []string{filepath.Join(opts.Home, ".ssh", "config"), "/etc/ssh/ssh_config"}
	}
	if opts.Agent == "" {
		opts.Agent = os.Getenv("SSH_AUTH_SOCK")
	}
	if opts.Timeout <= 0 {
		opts.Timeout = 30 * time.Second
	}
	return &Dialer{opts: opts, address: address}, nil
}

// Conn is a running subsystem or command of a server: what is written goes to it, what is
// read comes from it.
type Conn struct {
	io.Reader
	io.WriteCloser
	end func() error
}

// Close ends the connection at once, whatever is under way on it.
func (c *Conn) Close() error { return c.end() }

// Dial connects and starts a subsystem. Errors are ErrHostKey, ErrRefused and
// ErrConfig, and others for which trying again may help.
func (d *Dialer) Dial(ctx context.Context, subsystem string) (*Conn, error) {
	if len(d.opts.Command) > 0 {
		return d.command("-s", subsystem)
	}
	conn, err := d.dial(ctx, func(s *ssh.Session) (io.Writer, error) { return nil, s.RequestSubsystem(subsystem) })
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", subsystem, err)
	}
	return conn, nil
}

// Exec connects and runs a command, which the server's shell sees. Errors are those of Dial; that the command
// could not be run, or ended without a word, shows when its output is read: then it is ErrNotRun.
func (d *Dialer) Exec(ctx context.Context, command string) (*Conn, error) {
	if len(d.opts.Command) > 0 {
		return d.command("-T", command)
	}
	said := &tail{}
	var session *ssh.Session
	conn, err := d.dial(ctx, func(s *ssh.Session) (io.Writer, error) {
		session = s
		return said, s.Start(command)
	})
	if err != nil {
		return nil, fmt.Errorf("run %s: %w", brief(command), err)
	}
	conn.Reader = &remoteOutput{r: conn.Reader, session: session, said: said}
	return conn, nil
}

// Client connects and returns the connection itself, for what is neither a command nor a subsystem. end closes it. Errors are
// those of Dial; an external command has no such connection, which is ErrConfig.
func (d *Dialer) Client(ctx context.Context) (c *ssh.Client, end func() error, err error) {
	if len(d.opts.Command) > 0 {
		return nil, nil, fmt.Errorf("%w: an external ssh command cannot be used for this", ErrConfig)
	}
	ctx, cancel := context.WithTimeoutCause(ctx, d.opts.Timeout, fmt.Errorf("no connection after %v", d.opts.Timeout))
	defer cancel()
	own, err := d.chain(ctx, d.address, 0)
	if err != nil {
		return nil, nil, err
	}
	return own.Client, own.close, nil
}

// dial connects and starts what begin says, which returns where standard error goes, nil for nowhere.
func (d *Dialer) dial(ctx context.Context, begin func(*ssh.Session) (io.Writer, error)) (*Conn, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, d.opts.Timeout, fmt.Errorf("no connection after %v", d.opts.Timeout))
	defer cancel()
	c, err := d.chain(ctx, d.address, 0)
	if err != nil {
		return nil, err
	}
	conn, err := c.start(ctx, begin)
	if err != nil {
		return nil, errors.Join(err, c.close())
	}
	return conn, nil
}

// client is a connection to a host, with the one it goes through.
type client struct {
	*ssh.Client
	via *client
}

// close ends the connection and those it goes through. An error has nothing to
// say: all that was to be known was answered.
func (c *client) close() error {
	_ = c.Client.Close()
	if c.via != nil {
		return c.via.close()
	}
	return nil
}

// chain connects to a host through those that its configuration names.
func (d *Dialer) chain(ctx context.Context, address Address, depth int) (*client, error) {
	if depth > maxJumps {
		return nil, fmt.Errorf("%w: more than %d hosts on the way", ErrConfig, maxJumps)
	}
	t, err := d.resolve(address)
	if err != nil {
		return nil, err
	}
	var via *client
	for i, jump := range t.jumps {
		var next *client
		if i == 0 {
			next, err = d.chain(ctx, jump, depth+1)
		} else {
			next, err = d.jump(ctx, jump, via)
		}
		if err != nil {
			if via != nil {
				err = errors.Join(err, via.close())
			}
			return nil, fmt.Errorf("by way of %s: %w", jump, err)
		}
		via = next
	}
	c, err := d.connect(ctx, t, via)
	if err != nil && via != nil {
		err = errors.Join(err, via.close())
	}
	return c, err
}

func (d *Dialer) jump(ctx context.Context, jump Address, via *client) (*client, error) {
	t, err := d.resolve(jump)
	if err != nil {
		return nil, err
	}
	return d.connect(ctx, t, via)
}

// connect makes one connection, through another if via is not nil.
func (d *Dialer) connect(ctx context.Context, t *target, via *client) (*client, error) {
	keys, err := loadKeys(t)
	if err != nil {
		return nil, err
	}
	defer keys.Close()
	host, err := newHostKeys(t)
	if err != nil {
		return nil, err
	}
	var conn net.Conn
	if via != nil {
		conn, err = via.DialContext(ctx, "tcp", t.address())
	} else {
		conn, err = nss.Dial(ctx, new(net.Dialer), "tcp", t.address())
	}
	if err != nil {
		return nil, causeOr(ctx, err)
	}
	c, err := handshake(ctx, conn, t, keys, host)
	if err != nil {
		return nil, err
	}
	return &client{Client: c, via: via}, nil
}

func handshake(ctx context.Context, conn net.Conn, t *target, keys *keys, host *hostKeys) (*ssh.Client, error) {
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	var badKey error
	c, channels, requests, err := ssh.NewClientConn(conn, t.address(), &ssh.ClientConfig{
		User: t.user,
		Auth: []ssh.AuthMethod{ssh.PublicKeys(keys.signers...)},
		HostKeyCallback: func(name string, remote net.Addr, key ssh.PublicKey) error {
			badKey = host.verify(name, remote, key)
			return badKey
		},
		HostKeyAlgorithms: host.algorithms(),
	})
	switch {
	case err == nil:
		return ssh.NewClient(c, channels, requests), nil
	case badKey != nil:
		err = badKey
	case strings.Contains(err.Error(), "unable to authenticate"):
		err = fmt.Errorf("%w: user %s: %s", ErrRefused, t.user, keys.reason(err.Error()))
	case strings.Contains(err.Error(), "no common algorithm for host key"):
		err = fmt.Errorf("%w: %s has no key of a kind that is known: %v", ErrHostKey, t.host, err)
	default:
		err = causeOr(ctx, err)
	}
	conn.Close()
	return nil, err
}

// start starts a session.
func (c *client) start(ctx context.Context, begin func(*ssh.Session) (io.Writer, error)) (*Conn, error) {
	stop := context.AfterFunc(ctx, func() { _ = c.close() })
	defer stop()
	session, err := c.NewSession()
	if err != nil {
		return nil, causeOr(ctx, err)
	}
	w, err := session.StdinPipe()
	if err != nil {
		return nil, err
	}
	r, err := session.StdoutPipe()
	if err != nil {
		return nil, err
	}
	said := &laterWriter{}
	session.Stderr = said
	stderr, err := begin(session)
	if err != nil {
		return nil, causeOr(ctx, err)
	}
	said.to(stderr)
	return &Conn{Reader: r, WriteCloser: w, end: c.close}, nil
}

// causeOr returns why the context ended if it did, and else err.
func causeOr(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

// laterWriter is a writer that is known only after something may have been written to it already.
type laterWriter struct {
	mu   sync.Mutex // guards what follows
	next io.Writer
	data []byte
}

func (w *laterWriter) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.next != nil {
		return w.next.Write(p)
	}
	w.data = append(w.data, p[:min(len(p), max(0, maxStderrBytes-len(w.data)))]...)
	return len(p), nil
}

// to hands on what was written, and what will be; nil drops it.
func (w *laterWriter) to(next io.Writer) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.next = next; next == nil {
		w.next = io.Discard
	}
	_, _ = w.next.Write(w.data) // it keeps the end of what it is told, or nothing
	w.data = nil
}

// brief is a command as errors name it: a script is cut off behind its beginning.
func brief(command string) string {
	const most = 40
	if first, _, cut := strings.Cut(command, "\n"); cut || len(first) > most {
		return strconv.Quote(first[:min(len(first), most)]) + "…"
	}
	return strconv.Quote(command)
}

// remoteOutput explains the end of a remote command's output by how it ended and what it said.
type remoteOutput struct {
	r       io.Reader
	session *ssh.Session
	said    *tail
	any     bool
}

func (o *remoteOutput) Read(p []byte) (int, error) {
	n, err := o.r.Read(p)
	if err == nil || o.any || n > 0 {
		o.any = o.any || n > 0
		return n, err
	}
	ended := make(chan error, 1)
	go func() { ended <- o.session.Wait() }()
	var exit *ssh.ExitError
	select {
	case waitErr := <-ended:
		if errors.As(waitErr, &exit) || (waitErr == nil && err == io.EOF) {
			return n, fmt.Errorf("%w: %w", ErrNotRun, o.said.tell("remote command", cmp.Or(waitErr, err)))
		}
	case <-time.After(exitGrace):
	}
	return n, o.said.explain("remote command", err)
}
