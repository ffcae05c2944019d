package sftp

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/snapkeep/snap/internal/sshconn"
)

// Weights of operations. A further connection is made when the least busy one
// carries fullWeight: small requests share one, transfers do not.
const (
	smallWeight    = 1
	transferWeight = 8
	fullWeight     = 12
)

// pool keeps the connections of a store.
type pool struct {
	dial  func(ctx context.Context) (*conn, error)
	turns chan struct{} // taken by who makes a connection

	mu     sync.Mutex // guards what follows, and users of the connections
	max    int
	conns  []*conn
	closed bool
}

func newPool(limit int, dial func(ctx context.Context) (*conn, error)) *pool {
	return &pool{dial: dial, turns: make(chan struct{}, 1), max: limit}
}

// acquire returns a connection, which has to be given back with release. It
// makes one if there is none, or if all are busy and there may be more.
func (p *pool) acquire(ctx context.Context, weight int) (*conn, error) {
	if c, err := p.pick(weight, true); c != nil || err != nil {
		return c, err
	}
	select {
	case p.turns <- struct{}{}:
		defer func() { <-p.turns }()
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	if c, err := p.pick(weight, true); c != nil || err != nil {
		return c, err // made by another meanwhile
	}
	c, err := p.dial(ctx)
	if err != nil {
		return p.makeDo(ctx, weight, err)
	}
	return c, p.add(c, weight)
}

// makeDo returns a busy connection where a further one could not be made, and
// lets it be the last attempt.
func (p *pool) makeDo(ctx context.Context, weight int, dialErr error) (*conn, error) {
	if ctx.Err() != nil {
		return nil, dialErr
	}
	c, err := p.pick(weight, false)
	if c == nil {
		return nil, errors.Join(dialErr, err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.max = len(p.conns)
	return c, nil
}

func (p *pool) add(c *conn, weight int) error {
	p.mu.Lock()
	closed := p.closed
	if !closed {
		c.users = weight
		p.conns = append(p.conns, c)
	}
	p.mu.Unlock()
	if closed {
		c.close()
		return fs.ErrClosed
	}
	return nil
}

// pick returns the least busy connection, or nil if a further one is better.
func (p *pool) pick(weight int, choosy bool) (*conn, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil, fs.ErrClosed
	}
	var best *conn
	for _, c := range p.conns {
		if !c.isEnded() && (best == nil || c.users < best.users) {
			best = c
		}
	}
	if best == nil || choosy && best.users+weight > fullWeight && len(p.conns) < p.max {
		return nil, nil
	}
	best.users += weight
	return best, nil
}

// release gives a connection back, and lets go of it if it has ended.
func (p *pool) release(c *conn, weight int) {
	p.mu.Lock()
	c.users -= weight
	drop := c.isEnded() && c.users == 0
	if drop {
		p.conns = slices.DeleteFunc(p.conns, func(other *conn) bool { return other == c })
	}
	p.mu.Unlock()
	if drop {
		c.close()
	}
}

// reap lets go of connections that ended while nobody used them.
func (p *pool) reap() {
	p.mu.Lock()
	var gone []*conn
	p.conns = slices.DeleteFunc(p.conns, func(c *conn) bool {
		drop := c.isEnded() && c.users == 0
		if drop {
			gone = append(gone, c)
		}
		return drop
	})
	p.mu.Unlock()
	for _, c := range gone {
		c.close()
	}
}

// close ends all connections.
func (p *pool) close() {
	p.mu.Lock()
	p.closed = true
	conns := p.conns
	p.conns = nil
	p.mu.Unlock()
	for _, c := range conns {
		c.close()
	}
}

// Between tries is a wait that grows.
const (
	firstWait = 50 * time.Millisecond
	lastWait  = 10 * time.Second
)

// attempt is one try of an operation.
type attempt struct {
	*conn
	// again is whether there was a try before, of which nobody knows how far
	// it came.
	again bool
	// progress is to be set by a try that got further than those before it.
	progress bool
}

// do runs an operation, and again with another connection for as long as
// connections break, until it gets no further for too long.
func (s *Store) do(ctx context.Context, weight int, fn func(a *attempt) error) error {
	var a attempt
	lastProgress := time.Now()
	for wait := firstWait; ; wait = min(2*wait, lastWait) {
		c, err := s.pool.acquire(ctx, weight)
		if err == nil {
			a.conn, a.progress = c, false
			err = c.run(ctx, func() error { return fn(&a) })
			lost := c.isLost(err)
			if lost {
				err = c.reason(err)
			}
			s.pool.release(c, weight)
			if !lost {
				return err
			}
			a.again = true
		} else if sshconn.IsPermanent(err) || errors.Is(err, fs.ErrClosed) {
			return err
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if a.progress {
			lastProgress, wait = time.Now(), firstWait
		}
		if tried := time.Since(lastProgress); tried > s.opts.RetryFor {
			return fmt.Errorf("given up after %v: %w", tried.Round(time.Second), err)
		}
		s.pool.reap()
		select {
		case <-time.After(wait/2 + rand.N(wait/2+1)):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}
