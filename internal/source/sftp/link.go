package sftp

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// An operation that has lost its connection patience times goes on alone, so that it is known which one ends connections;
// after maxAttempts times it is given up.
const (
	patience    = 3
	maxAttempts = 8
	maxRedials  = 10_000 // of a source, whatever comes in between
	maxSilences = 16
	maxBackoff  = 30 * time.Second
)

// link is the connection of a source, made again when it breaks.
type link struct {
	s     *Source
	dial  Dial
	turn  chan struct{} // taken by who connects
	alone chan struct{} // taken by an operation that goes alone

	mu     sync.Mutex // guards what follows
	now    *client    // nil if there is none
	dials  int
	failed int   // connections in a row on which nothing came to its end
	last   error // why the last one ended

	silences int
}

// do runs an operation on the connection, and again on another one when it is lost. again says that it was begun before.
// The operation's context ends with ctx and with the source.
func (s *Source) do(ctx context.Context, fn func(ctx context.Context, c *client, again bool) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	stop := context.AfterFunc(s.ctx, func() { cancel(context.Cause(s.ctx)) })
	defer stop()
	for attempt := 1; ; attempt++ {
		if attempt == patience+1 {
			select {
			case s.link.alone <- struct{}{}:
				defer func() { <-s.link.alone }()
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		}
		c, err := s.link.get(ctx)
		if err != nil {
			return err
		}
		err = fn(ctx, c, attempt > 1)
		switch {
		case errors.Is(err, ErrProtocol), errors.Is(err, ErrLimit):
			s.broken(err)
			return err
		case !errors.Is(err, errLost):
			c.served.Store(true)
			return err
		case ctx.Err() != nil:
			return context.Cause(ctx)
		}
		c.fail(err)
		if attempt >= maxAttempts {
			return fmt.Errorf("given up after %d times: %w", attempt, err)
		}
	}
}

// get returns the connection, made if there is none.
func (l *link) get(ctx context.Context) (*client, error) {
	if c := l.current(); c != nil {
		return c, nil
	}
	select {
	case l.turn <- struct{}{}:
		defer func() { <-l.turn }()
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	for {
		if c := l.current(); c != nil {
			return c, nil
		}
		if err := l.pause(ctx); err != nil {
			return nil, err
		}
		c, err := l.connect(ctx)
		if err == nil {
			return c, nil
		}
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		if !l.retry(err) {
			return nil, err
		}
	}
}

// current returns the connection if it is good.
func (l *link) current() *client {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.now == nil {
		return nil
	}
	select {
	case <-l.now.ended:
		return nil
	default:
		return l.now
	}
}

// pause waits before a connection is made again, or returns why it is not.
func (l *link) pause(ctx context.Context) error {
	l.mu.Lock()
	if c := l.now; c != nil {
		c.mu.Lock()
		l.last = c.err
		c.mu.Unlock()
		if l.failed++; c.served.Load() {
			l.failed = 1
		}
		if errors.Is(l.last, errSilent) { // each takes long
			l.failed += 2
			l.silences++
		}
		l.now = nil
		l.s.group.Go(c.close)
	}
	failed, last := l.failed, l.last
	enough := l.dials > maxRedials || l.silences > maxSilences
	l.mu.Unlock()
	redials := l.s.o.Redials
	if redials == 0 {
		redials = 8
	}
	switch {
	case errors.Is(last, ErrProtocol):
		return last
	case failed > max(redials, 0) || enough:
		return fmt.Errorf("%w: %w", ErrConnection, last)
	case failed == 0:
		return nil
	}
	l.s.log.Debug("connection lost", "error", last, "failed", failed)
	wait := l.s.o.Backoff
	if wait == 0 {
		wait = time.Second
	}
	select {
	case <-time.After(min(wait<<min(failed-1, 10), maxBackoff)):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// retry reports whether it is worth while to connect again after an error of connecting. The first connection is not
// tried twice, so that a machine that is off is known at once.
func (l *link) retry(err error) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.failed++
	l.last = err
	return l.dials > 0 && !errors.Is(err, ErrProtocol)
}

func (l *link) connect(ctx context.Context) (*client, error) {
	conn, err := l.dial(ctx)
	if err != nil {
		return nil, err
	}
	c, err := newClient(ctx, l.s, conn)
	if err == nil {
		if err = l.s.learn(ctx, c); err != nil {
			c.close()
		}
	}
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.s.ctx.Err() != nil {
		c.close()
		return nil, context.Cause(l.s.ctx)
	}
	l.now = c
	l.dials++
	return c, nil
}

// learn asks a server that was just greeted for what holds on the connection.
func (s *Source) learn(ctx context.Context, c *client) error {
	if err := c.readLimits(ctx); err != nil {
		return err
	}
	s.canOpen.Store(int64(c.handles))
	return s.readClock(ctx, c)
}

// cut ends the connection, so that all who wait for it go on.
func (l *link) cut() {
	if c := l.current(); c != nil {
		c.fail(context.Cause(l.s.ctx))
	}
}

func (l *link) close() {
	l.mu.Lock()
	c := l.now
	l.now = nil
	l.mu.Unlock()
	if c != nil {
		c.close()
	}
}
