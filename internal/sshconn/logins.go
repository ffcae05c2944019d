package sshconn

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"sync"
	"time"
)

// maxIdle bounds how many connections are kept for the next user at a time; the one that waits for longest goes first.
const maxIdle = 16

// times are how long things take.
type times struct {
	linger    time.Duration // that a connection without users is kept for the next one
	patience  time.Duration // that a server which was there before may not answer, and send nothing, before another connection is made instead
	remember  time.Duration // that a server which refused is not asked again: it would count the attempts
	keepalive time.Duration // that a connection may be silent before the server is asked whether it is there
	grace     time.Duration // that a session may take to end by itself, and once more when it is told to
}

var usualTimes = times{linger: 5 * time.Second, patience: 3 * time.Second, remember: 30 * time.Second, keepalive: 20 * time.Second, grace: exitGrace}

// errClosed is the error of a Logins that was closed.
var errClosed = fmt.Errorf("the connections of this run are closed: %w", fs.ErrClosed)

// Logins are connections to SSH servers that dialers share who go the same way: to the same host, port and user, through the same hosts, with
// the same keys, and trusting the same files of known hosts. Each command and subsystem has a channel of its own: one that
// stands still, or whose end is not read, keeps no other from going on.
//
// A server that takes no further session on a connection gets a further connection, and how many it takes is remembered. A
// connection ends a few seconds after the last session on it. It is safe for concurrent use.
type Logins struct {
	times
	ctx    context.Context // of the dials, ended by Close
	cancel context.CancelCauseFunc
	group  sync.WaitGroup

	mu     sync.Mutex // guards what follows, and the fields of ways and logins
	ways   map[string]*way
	all    map[*login]bool // that have not ended, or are being made
	idle   []*login        // that have no user, the one that waits for longest first
	closed bool
}

// way is all connections of one name.
type way struct {
	logins    []*login // that may take a session, or are being made
	most      int      // sessions that the server takes on a connection; 0 while that is not known
	refused   error    // why the last connection was not made, if trying again is of no use
	refusedAt time.Time
}

// login is a connection that several use.
type login struct {
	way    *way
	cancel context.CancelCauseFunc // of the dial
	ready  chan struct{}           // closed when c and round are known, or err
	turn   chan struct{}           // taken by who opens a session
	gone   chan struct{}           // closed when the connection has ended
	c      *client
	round  time.Duration // of an answer
	err    error

	// Guarded by the mutex of Logins.
	users    int           // that have a session or wait for one
	leaving  int           // sessions that nobody uses and the server has not closed
	sessions int           // that the server has opened and not closed
	served   bool          // it has opened one
	retired  bool          // it takes no more
	waits    *time.Timer   // for the next user
	silence  time.Duration // that its users can bear
}

// NewLogins returns a set without connections. Close ends them.
func NewLogins() *Logins {
	l := &Logins{times: usualTimes, ways: map[string]*way{}, all: map[*login]bool{}}
	l.ctx, l.cancel = context.WithCancelCause(context.Background())
	return l
}

// SetPatience lets connections wait as long as d for a next user, for an answer, for the end of a session, and before a server that refused is asked
// again: for a set that has to use as few logins as can be on a machine however slow. It is called before the first connection.
func (l *Logins) SetPatience(d time.Duration) {
	l.linger, l.patience, l.remember, l.grace = d, d, d, d
}

// Close ends all connections, whatever is under way on them, and waits for what belongs to them.
func (l *Logins) Close() {
	l.cancel(errClosed)
	l.mu.Lock()
	l.closed = true
	for g := range l.all {
		l.retire(g)
		l.end(g)
	}
	l.mu.Unlock()
	l.group.Wait()
}

// session starts something on a connection of the dialer's way.
func (l *Logins) session(ctx context.Context, d *Dialer, what start) (*Conn, *session, error) {
	r, err := d.route(d.address, 0)
	if err != nil {
		return nil, nil, err
	}
	name := r.way()
	for {
		g, err := l.take(name, r, d)
		if err != nil {
			return nil, nil, err
		}
		s, served, err := l.open(ctx, g)
		if err == nil {
			err = l.run(ctx, g, s, served, what)
		}
		if errors.Is(err, errElsewhere) {
			continue
		}
		if err != nil {
			return nil, nil, err
		}
		out, in := newOutlet(s), newInlet(s)
		var once sync.Once
		return &Conn{Reader: out, WriteCloser: in, round: g.round, end: func() error {
			once.Do(func() {
				out.leave()
				in.leave()
				l.dismiss(g, s, in)
			})
			return nil
		}}, s, nil
	}
}

// take counts a user in on a connection that has room, or is being made, or on another that it begins to make.
func (l *Logins) take(name string, r route, d *Dialer) (*login, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return nil, errClosed
	}
	w := l.ways[name]
	if w == nil {
		w = &way{}
		l.ways[name] = w
	}
	for _, g := range w.logins {
		if w.most == 0 || g.users+g.leaving < w.most {
			g.users++
			g.silence = max(g.silence, d.opts.Idle)
			l.busy(g)
			return g, nil
		}
	}
	if w.refused != nil && time.Since(w.refusedAt) < l.remember {
		return nil, w.refused
	}
	g := &login{way: w, ready: make(chan struct{}), turn: make(chan struct{}, 1), gone: make(chan struct{}), users: 1, silence: d.opts.Idle}
	ctx, cancel := context.WithCancelCause(l.ctx)
	g.cancel = cancel
	w.logins = append(w.logins, g)
	l.all[g] = true
	l.group.Go(func() { l.dial(ctx, g, r, d) })
	return g, nil
}

// dial makes a connection, for all who wait for it: it does not end with the context of one of them, but when none is left.
func (l *Logins) dial(ctx context.Context, g *login, r route, d *Dialer) {
	defer g.cancel(nil)
	ctx, cancel := d.timeLimit(ctx)
	defer cancel()
	c, err := r.connect(ctx)
	var round time.Duration
	if err == nil {
		round = l.roundTrip(ctx, c)
	}
	l.mu.Lock()
	g.c, g.round, g.err = c, round, err
	close(g.ready)
	if err != nil {
		l.retire(g)
		g.way.refused = nil
		if IsPermanent(err) {
			g.way.refused, g.way.refusedAt = err, time.Now()
		}
	} else if l.closed || g.users == 0 {
		l.retire(g)
		l.end(g)
	}
	l.mu.Unlock()
	if err == nil {
		l.watch(g)
	}
	l.mu.Lock()
	delete(l.all, g)
	l.mu.Unlock()
}

// retire lets nobody else use a connection. The mutex is held.
func (l *Logins) retire(g *login) {
	g.retired = true
	g.way.logins = slices.DeleteFunc(g.way.logins, func(x *login) bool { return x == g })
	l.busy(g)
}

// busy ends the time that a connection waits for its next user. The mutex is held.
func (l *Logins) busy(g *login) {
	if g.waits != nil {
		g.waits.Stop()
		g.waits = nil
	}
	l.idle = slices.DeleteFunc(l.idle, func(x *login) bool { return x == g })
}

// end closes a connection that is retired, or gives up to make it. The mutex is held.
func (l *Logins) end(g *login) {
	select {
	case <-g.ready:
		if c := g.c; c != nil {
			l.start(func() { _ = c.close() }) // it has nothing to say
		}
	default:
		g.cancel(errClosed)
	}
}

// leave counts a user out, with a session that is to end or without one.
func (l *Logins) leave(g *login, session bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if session {
		g.leaving++
	}
	if g.users--; g.users > 0 {
		return
	}
	made := false
	select {
	case <-g.ready:
		made = g.err == nil
	default:
	}
	if !made || g.retired || l.closed {
		l.retire(g)
		l.end(g)
		return
	}
	l.busy(g)
	l.idle = append(l.idle, g)
	g.waits = time.AfterFunc(l.linger, func() { l.expire(g) })
	if len(l.idle) > maxIdle {
		oldest := l.idle[0]
		l.retire(oldest)
		l.end(oldest)
	}
}

// expire ends a connection that has waited for its next user.
func (l *Logins) expire(g *login) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !g.retired && g.users == 0 {
		l.retire(g)
		l.end(g)
	}
}

// dismiss ends a session, and counts its user out at once. Its place counts as taken until the server has closed the channel.
func (l *Logins) dismiss(g *login, s *session, in *inlet) {
	l.leave(g, true)
	l.spawn(func() {
		if in == nil {
			_ = s.CloseWrite()
		} // else it ends the input itself, if it is not stuck
		if !s.over(l.grace) {
			_ = s.Close()
			if !s.over(l.grace) {
				l.abandon(g)
				<-s.ended // with the connection, at the latest
			}
		}
		l.mu.Lock()
		defer l.mu.Unlock()
		g.leaving--
		g.sessions--
	})
}

// abandon lets a connection end with those who use it.
func (l *Logins) abandon(g *login) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.retire(g); g.users == 0 {
		l.end(g)
	}
}

// spawn runs what ends with a session, or with its connection.
func (l *Logins) spawn(fn func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.start(fn)
}

// start is spawn with the mutex held. Close waits for what runs, unless it was called before: then all there is has been closed.
func (l *Logins) start(fn func()) {
	if l.closed {
		go fn()
		return
	}
	l.group.Go(fn)
}
