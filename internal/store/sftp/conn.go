package sftp

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pkg/sftp"
	"github.com/snapkeep/snap/internal/sshconn"
)

const (
	// requestsInFlight is how many requests of one transfer wait for answers
	// at a time, of 32 KiB each: as much as the window of an SSH channel.
	requestsInFlight = 64
	// cancelGrace is how long an operation whose context has ended may take
	// before its connection is given up.
	cancelGrace = time.Second
)

var (
	errLost   = errors.New("connection lost")
	errSilent = errors.New("the server is silent")
)

// conn is one connection with an SFTP server.
type conn struct {
	sftp     *sftp.Client
	remote   *sshconn.Conn
	received atomic.Int64 // bytes
	handles  *handles
	canLink  bool
	canSync  bool

	ended chan struct{} // closed when the connection is of no more use
	wg    sync.WaitGroup

	mu      sync.Mutex
	why     error // the connection was cut from this side; guarded by mu
	closing bool  // no goroutine may be started; guarded by mu

	users int // sum of weights; guarded by the pool's mutex
}

func dial(ctx context.Context, dialer *sshconn.Dialer, timeout time.Duration) (*conn, error) {
	remote, err := dialer.Dial(ctx, "sftp")
	if err != nil {
		return nil, err
	}
	c := &conn{remote: remote, ended: make(chan struct{}), handles: newHandles(maxHandles)}
	// The greeting has to come in time, too.
	greeting, cancel := context.WithTimeoutCause(ctx, timeout, errSilent)
	defer cancel()
	stop := context.AfterFunc(greeting, func() { remote.Close() })
	c.sftp, err = sftp.NewClientPipe((*receiver)(c), (*sender)(c), sftp.UseConcurrentWrites(true), sftp.MaxConcurrentRequestsPerFile(requestsInFlight))
	if !stop() && err == nil {
		c.sftp.Close()
		err = errLost
	}
	if err != nil {
		remote.Close()
		if greeting.Err() != nil {
			err = context.Cause(greeting)
		}
		return nil, err
	}
	c.canLink = c.has("hardlink@openssh.com")
	c.canSync = c.has("fsync@openssh.com")
	c.wg.Go(func() {
		_ = c.sftp.Wait() // the operations have the error
		close(c.ended)
	})
	c.wg.Go(func() { c.watch(timeout) })
	return c, nil
}

func (c *conn) has(extension string) bool {
	version, ok := c.sftp.HasExtension(extension)
	return ok && version == "1"
}

// receiver reads from the server and counts.
type receiver conn

func (r *receiver) Read(p []byte) (int, error) {
	n, err := r.remote.Read(p)
	r.received.Add(int64(n))
	return n, err
}

// sender writes to the server. It never gives io.EOF, which would be taken for
// the end of a file.
type sender conn

func (w *sender) Write(p []byte) (int, error) {
	n, err := w.remote.Write(p)
	if err != nil {
		err = fmt.Errorf("%w: %v", errLost, err)
	}
	return n, err
}

func (w *sender) Close() error { return w.remote.WriteCloser.Close() }

// watch ends the connection when nothing was heard for the timeout. Nobody has
// to wait for an answer for that: a server that says nothing is asked.
func (c *conn) watch(timeout time.Duration) {
	ticker := time.NewTicker(timeout / 4)
	defer ticker.Stop()
	heard, silent := int64(-1), 0
	var asking atomic.Bool
	for {
		select {
		case <-c.ended:
			return
		case <-ticker.C:
		}
		if n := c.received.Load(); n != heard {
			heard, silent = n, 0
			continue
		}
		if silent++; silent > 4 {
			c.cut(errSilent)
			return
		}
		if asking.CompareAndSwap(false, true) {
			c.spawn(func() {
				defer asking.Store(false)
				_, _ = c.sftp.RealPath(".") // any answer will do
			})
		}
	}
}

// cut ends the connection. All that is under way on it fails.
func (c *conn) cut(why error) {
	c.mu.Lock()
	first := c.why == nil
	if first {
		c.why = why
	}
	c.mu.Unlock()
	if first {
		c.remote.Close()
	}
}

// reason returns why the connection was cut, or err if nothing better is known.
func (c *conn) reason(err error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.why != nil {
		return c.why
	}
	return err
}

// spawn runs fn in a goroutine that close waits for.
func (c *conn) spawn(fn func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.closing {
		c.wg.Go(fn)
	}
}

// close ends the connection and waits for what belongs to it.
func (c *conn) close() {
	c.cut(errLost)
	c.mu.Lock()
	c.closing = true
	c.mu.Unlock()
	c.sftp.Close()
	c.wg.Wait()
}

func (c *conn) isEnded() bool {
	select {
	case <-c.ended:
		return true
	default:
		return false
	}
}

// isLost reports whether an operation with the result err has to be done again
// since the connection broke. A connection that has ended makes any result
// doubtful.
func (c *conn) isLost(err error) bool {
	return errors.Is(err, sftp.ErrSSHFxConnectionLost) || errors.Is(err, errLost) || err != nil && c.isEnded()
}

// run calls fn, and ends the connection if fn is not done soon after the end of
// the context.
func (c *conn) run(ctx context.Context, fn func() error) error {
	done := make(chan struct{})
	defer close(done)
	stop := context.AfterFunc(ctx, func() {
		select {
		case <-done:
		case <-time.After(cancelGrace):
			c.cut(context.Cause(ctx))
		}
	})
	defer stop()
	return fn()
}

// status returns the code of an answer of the server, if err is one.
func status(err error) (sftp.StatusError, bool) {
	var s *sftp.StatusError
	if errors.As(err, &s) {
		return *s, true
	}
	return sftp.StatusError{}, false
}

// isFailure reports whether the server said no more than that it failed. The
// protocol has no codes for names that are taken, full disks and much else.
func isFailure(err error) bool {
	s, ok := status(err)
	return ok && s.FxCode() == sftp.ErrSSHFxFailure
}

// isUnsupported reports whether the server does not know a request.
func isUnsupported(err error) bool {
	s, ok := status(err)
	return ok && s.FxCode() == sftp.ErrSSHFxOpUnsupported
}

var _ io.WriteCloser = (*sender)(nil)
