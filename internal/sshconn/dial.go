package sshconn

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/snapkeep/snap/internal/nss"
	"golang.org/x/crypto/ssh"
)

// Options are choices for New. The zero value is the default.
type Options struct {
	// Command is an external command in place of the client of this package,
	// such as "ssh" with options. It is run without a shell, with "-s", the files of KnownHosts
	// and Identities, port, user, host and subsystem appended. Default none.
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
	// Logins are connections that are shared with other dialers. Nil is a connection of its own for each command and
	// subsystem; those of an external command are never shared.
	Logins *Logins
	// Idle is how long a server that shares a connection may send nothing, and not answer whether it is there, before the
	// connection ends. Default 60 s. The longest of those who share it counts.
	Idle time.Duration
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
	if opts.Idle <= 0 {
		opts.Idle = time.Minute
	}
	return &Dialer{opts: opts, address: address}, nil
}

// Conn is a running subsystem or command of a server: what is written goes to it, what is
// read comes from it.
type Conn struct {
	io.Reader
	io.WriteCloser
	end   func() error
	round time.Duration
}

// RoundTrip returns how long an answer of the server takes when nothing else is on the way; 0 if that was not measured, as it is
// for shared connections only: what others send there is in the way of a measurement of one's own.
func (c *Conn) RoundTrip() time.Duration { return c.round }

// Close ends what runs at once, whatever is under way on it, and what reads and writes then returns. The connection ends with
// it, unless others share it.
func (c *Conn) Close() error { return c.end() }

// Dial connects and starts a subsystem. Errors are ErrHostKey, ErrRefused and
// ErrConfig, and others for which trying again may help.
func (d *Dialer) Dial(ctx context.Context, subsystem string) (*Conn, error) {
	if len(d.opts.Command) > 0 {
		return d.command("-s", subsystem)
	}
	conn, _, err := d.dial(ctx, start{"subsystem", subsystem})
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
	conn, s, err := d.dial(ctx, start{"exec", command})
	if err != nil {
		return nil, fmt.Errorf("run %s: %w", brief(command), err)
	}
	conn.Reader = &remoteOutput{r: conn.Reader, session: s}
	return conn, nil
}

// Client connects and returns the connection itself, for what is neither a command nor a subsystem. It is shared with nobody,
// and end closes it. Errors are those of Dial; an external command has no such connection, which is ErrConfig.
func (d *Dialer) Client(ctx context.Context) (c *ssh.Client, end func() error, err error) {
	if len(d.opts.Command) > 0 {
		return nil, nil, fmt.Errorf("%w: an external ssh command cannot be used for this", ErrConfig)
	}
	ctx, cancel := d.timeLimit(ctx)
	defer cancel()
	own, err := d.connectAll(ctx)
	if err != nil {
		return nil, nil, err
	}
	return own.Client, own.close, nil
}

func (d *Dialer) timeLimit(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(ctx, d.opts.Timeout, fmt.Errorf("no connection after %v", d.opts.Timeout))
}

// dial connects, or takes a connection that is there and may be shared, and starts something.
func (d *Dialer) dial(ctx context.Context, what start) (*Conn, *session, error) {
	ctx, cancel := d.timeLimit(ctx)
	defer cancel()
	if d.opts.Logins != nil {
		return d.opts.Logins.session(ctx, d, what)
	}
	c, err := d.connectAll(ctx)
	if err != nil {
		return nil, nil, err
	}
	s, err := c.alone(ctx, what)
	if err != nil {
		return nil, nil, errors.Join(err, c.close())
	}
	return &Conn{Reader: s, WriteCloser: input{s}, end: c.close}, s, nil
}

// input is the standard input of a session: it is closed and the output goes on.
type input struct{ ssh.Channel }

// Close ends the input.
func (i input) Close() error { return i.CloseWrite() }

// connectAll connects to the dialer's host.
func (d *Dialer) connectAll(ctx context.Context) (*client, error) {
	r, err := d.route(d.address, 0)
	if err != nil {
		return nil, err
	}
	return r.connect(ctx)
}

// client is a connection to a host, with the one it goes through.
type client struct {
	*ssh.Client
	via   *client
	heard *atomic.Int64 // when bytes came from it last, in nanoseconds since 1970
}

// close ends the connection and those it goes through, the first of them first: without it nothing of the others is waited
// for. An error has nothing to say: all that was to be known was answered.
func (c *client) close() error {
	if c.via != nil {
		_ = c.via.close()
	}
	_ = c.Client.Close()
	return nil
}

// connect connects to the last host of a route through those before it.
func (r route) connect(ctx context.Context) (*client, error) {
	var c *client
	for i, t := range r {
		next, err := t.connect(ctx, c)
		if err == nil {
			c = next
			continue
		}
		if i < len(r)-1 {
			err = fmt.Errorf("by way of %s: %w", t.address, err)
		}
		if c != nil {
			err = errors.Join(err, c.close())
		}
		return nil, err
	}
	return c, nil
}

// connect makes one connection, through another if via is not nil.
func (t *target) connect(ctx context.Context, via *client) (*client, error) {
	keys, err := loadKeys(ctx, t)
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
		conn, err = via.DialContext(ctx, "tcp", t.place())
	} else {
		conn, err = nss.Dial(ctx, new(net.Dialer), "tcp", t.place())
	}
	if err != nil {
		return nil, causeOr(ctx, err)
	}
	heard := &atomic.Int64{}
	c, err := handshake(ctx, &listener{conn, heard}, t, keys, host)
	if err != nil {
		return nil, err
	}
	return &client{Client: c, via: via, heard: heard}, nil
}

func handshake(ctx context.Context, conn net.Conn, t *target, keys *keys, host *hostKeys) (*ssh.Client, error) {
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	var badKey error
	c, channels, requests, err := ssh.NewClientConn(conn, t.place(), &ssh.ClientConfig{
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

// listener notes when bytes come.
type listener struct {
	net.Conn
	heard *atomic.Int64
}

// Read reads from the connection.
func (l *listener) Read(p []byte) (int, error) {
	n, err := l.Conn.Read(p)
	if n > 0 {
		l.heard.Store(time.Now().UnixNano())
	}
	return n, err
}

// causeOr returns why the context ended if it did, and else err. Who dials may notice that the time is up a moment before the context does.
func causeOr(ctx context.Context, err error) error {
	if end, ok := ctx.Deadline(); ok && !time.Now().Before(end) {
		<-ctx.Done()
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

// brief is a command as errors name it: a script is cut off behind its beginning.
func brief(command string) string {
	const most = 40
	if first, _, cut := strings.Cut(command, "\n"); cut || len(first) > most {
		return strconv.Quote(first[:min(len(first), most)]) + "…"
	}
	return strconv.Quote(command)
}
