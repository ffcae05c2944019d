package sshconn

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"time"

	"golang.org/x/crypto/ssh"
)

// start says what is started in a session.
type start struct {
	request string // "exec" or "subsystem"
	what    string
}

// session is a command or subsystem of a server: a channel of a connection. Reading gives its standard output. Its standard error
// and what the server tells about it are always taken, also if nobody reads, so that other channels get on.
type session struct {
	ssh.Channel
	said  tail          // the end of its standard error
	ended chan struct{} // closed when the server has closed the channel, or the connection is lost

	// Known when ended is closed.
	told bool  // the server has said how it ended
	exit error // nil: well, or it is not known
}

// exitError is how a command ended.
type exitError struct {
	status uint32
	signal string
}

func (e *exitError) Error() string {
	if e.signal != "" {
		return "it was ended by signal " + e.signal
	}
	return fmt.Sprintf("it ended with status %d", e.status)
}

// openSession opens a channel on which nothing runs so far. An *ssh.OpenChannelError says that the server does not want to.
func openSession(c *ssh.Client) (*session, error) {
	channel, requests, err := c.OpenChannel("session", nil)
	if err != nil {
		return nil, err
	}
	s := &session{Channel: channel, ended: make(chan struct{})}
	copied := make(chan struct{})
	go func() {
		defer close(copied)
		_, _ = io.Copy(&s.said, channel.Stderr()) // to its end, whatever that is
	}()
	go func() {
		defer close(s.ended)
		for r := range requests {
			s.attend(r)
		}
		<-copied
	}()
	return s, nil
}

// attend takes what a server tells.
func (s *session) attend(r *ssh.Request) {
	var status struct{ Status uint32 }
	var signal struct {
		Name           string
		Core           bool
		Text, Language string
	}
	switch {
	case r.Type == "exit-status" && ssh.Unmarshal(r.Payload, &status) == nil:
		if s.told = true; status.Status != 0 {
			s.exit = &exitError{status: status.Status}
		}
	case r.Type == "exit-signal" && ssh.Unmarshal(r.Payload, &signal) == nil:
		s.told, s.exit = true, &exitError{signal: signal.Name}
	}
	if r.WantReply {
		_ = r.Reply(false, nil) // a connection that is lost shows elsewhere
	}
}

// errNotStarted says that a server does not run what it is asked for.
var errNotStarted = fmt.Errorf("the server refuses: %w", ErrNotRun)

// run starts what is to run. The error is errNotStarted, or that of the connection.
func (s *session) run(what start) error {
	ok, err := s.SendRequest(what.request, true, ssh.Marshal(struct{ What string }{what.what}))
	if err == nil && !ok {
		err = fmt.Errorf("%s: %w", what.request, errNotStarted)
	}
	return err
}

// over waits for the end of the session, for some time, and reports whether it has come.
func (s *session) over(within time.Duration) bool {
	timer := time.NewTimer(within)
	defer timer.Stop()
	select {
	case <-s.ended:
		return true
	case <-timer.C:
		return false
	}
}

// alone starts a session on a connection that nobody else uses: it is closed when the context ends.
func (c *client) alone(ctx context.Context, what start) (*session, error) {
	stop := context.AfterFunc(ctx, func() { _ = c.close() })
	defer stop()
	s, err := openSession(c.Client)
	if err == nil {
		err = s.run(what)
	}
	if err != nil {
		return nil, causeOr(ctx, err)
	}
	return s, nil
}

// remoteOutput explains the end of a remote command's output by how it ended and what it said.
type remoteOutput struct {
	r       io.Reader
	session *session
	any     bool
}

// Read reads output.
func (o *remoteOutput) Read(p []byte) (int, error) {
	n, err := o.r.Read(p)
	if err == nil || o.any || n > 0 {
		o.any = o.any || n > 0
		return n, err
	}
	if err == errLeft {
		return n, err
	}
	s := o.session
	if s.over(explainGrace) && s.told && (s.exit != nil || err == io.EOF) {
		return n, fmt.Errorf("%w: %w", ErrNotRun, s.said.tell("remote command", cmp.Or(s.exit, err)))
	}
	return n, s.said.explain("remote command", err)
}
