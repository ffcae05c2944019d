package sshconn

import (
	"context"
	"errors"
	"time"

	"golang.org/x/crypto/ssh"
)

// errElsewhere says that a session is to be opened on another connection.
var errElsewhere = errors.New("on another connection")

// errGone says that a connection has ended before it was of any use.
var errGone = errors.New("the connection has ended")

// open opens a session on a connection that was taken, and counts the user out if there is none. served says that the connection
// was good for others before: then what fails is tried elsewhere.
func (l *Logins) open(ctx context.Context, g *login) (s *session, served bool, err error) {
	if s, served, err = l.tryOpen(ctx, g); err != nil {
		l.leave(g, false)
	}
	return s, served, err
}

func (l *Logins) tryOpen(ctx context.Context, g *login) (s *session, served bool, err error) {
	select {
	case <-g.ready:
	case <-ctx.Done():
		return nil, false, context.Cause(ctx)
	}
	if g.err != nil {
		return nil, false, g.err
	}
	select {
	case g.turn <- struct{}{}:
		defer func() { <-g.turn }()
	case <-ctx.Done():
		return nil, false, context.Cause(ctx)
	}
	l.mu.Lock()
	served, retired := g.served, g.retired
	l.mu.Unlock()
	if retired {
		return nil, served, errElsewhere
	}
	s, err = l.channel(ctx, g, served)
	if isRefusal(err) && served {
		s, err = l.channel(ctx, g, served) // a session that has just ended may have counted
	}
	return s, served, l.opened(ctx, g, served, err)
}

// opened notes what became of opening a session, and returns what to do about it.
func (l *Logins) opened(ctx context.Context, g *login, served bool, err error) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case err == nil:
		g.served = true
		g.sessions++
		return nil
	case ctx.Err() != nil || !served:
		return err
	case isRefusal(err) && g.sessions > 0:
		if w := g.way; w.most == 0 || g.sessions < w.most {
			w.most = g.sessions
		}
	default:
		l.retire(g)
	}
	return errElsewhere
}

func isRefusal(err error) bool {
	var refused *ssh.OpenChannelError
	return errors.As(err, &refused)
}

// channel opens a channel. One that comes when nobody waits for it any more is closed.
func (l *Logins) channel(ctx context.Context, g *login, served bool) (*session, error) {
	var s *session // known when there is an answer
	answer := make(chan error, 1)
	l.spawn(func() {
		var err error
		s, err = openSession(g.c.Client)
		answer <- err
	})
	answered, err := l.await(ctx, g, served, answer)
	if answered {
		return s, err
	}
	l.spawn(func() {
		if <-answer == nil {
			_ = s.Close()
		}
	})
	return nil, err
}

// run starts something in a session, which is dismissed if that fails.
func (l *Logins) run(ctx context.Context, g *login, s *session, served bool, what start) error {
	answer := make(chan error, 1)
	l.spawn(func() { answer <- s.run(what) })
	answered, err := l.await(ctx, g, served, answer)
	if err == nil {
		return nil
	}
	if served && ctx.Err() == nil && !(answered && errors.Is(err, errNotStarted)) {
		l.abandon(g)
		err = errElsewhere
	}
	l.dismiss(g, s, nil)
	return err
}

// await waits for an answer of the server and reports whether there is one. A server that answered others before is not waited
// for when nothing comes from it. Nobody waits for an answer on a connection that has ended: none may come, not even an error.
func (l *Logins) await(ctx context.Context, g *login, served bool, answer <-chan error) (answered bool, err error) {
	asked := time.Now()
	tick := time.NewTicker(l.patience / 4)
	defer tick.Stop()
	for {
		select {
		case err := <-answer:
			return true, err
		case <-ctx.Done():
			return false, context.Cause(ctx)
		case <-g.gone:
			if served {
				return false, errElsewhere
			}
			return false, errGone
		case <-tick.C:
			if served && time.Since(asked) > l.patience && g.silent() > l.patience {
				return false, errElsewhere
			}
		}
	}
}
