package sshconn

import (
	"context"
	"sync/atomic"
	"time"
)

// askWhether is a request to which any answer is one.
const askWhether = "keepalive@openssh.com"

// rounds is how often a round trip is measured: a machine that is busy answers quickly once in a while.
const rounds = 5

// roundTrip returns the shortest time of some answers on a connection that nobody uses, 0 if none comes soon: there may be servers
// that do not know the request and say nothing.
func (l *Logins) roundTrip(ctx context.Context, c *client) time.Duration {
	answer := make(chan time.Duration, 1)
	l.spawn(func() {
		var shortest time.Duration
		for range rounds {
			asked := time.Now()
			if _, _, err := c.SendRequest(askWhether, true, nil); err != nil {
				break // the connection is lost, which shows elsewhere
			}
			if took := time.Since(asked); shortest == 0 || took < shortest {
				shortest = took
			}
		}
		answer <- shortest
	})
	timer := time.NewTimer(l.patience)
	defer timer.Stop()
	select {
	case d := <-answer:
		return d
	case <-timer.C:
	case <-ctx.Done():
	}
	return 0
}

// silent returns for how long nothing has come.
func (g *login) silent() time.Duration { return time.Since(time.Unix(0, g.c.heard.Load())) }

// watch waits for the end of a connection, whose users then notice it themselves. It asks a server that is silent whether it is
// there, once for all who share the connection, and ends it if it answers nothing for as long as they can bear.
func (l *Logins) watch(g *login) {
	l.group.Go(func() {
		defer close(g.gone)
		_ = g.c.Wait() // for whatever reason
	})
	every := l.keepalive / 4
	tick := time.NewTicker(every)
	defer tick.Stop()
	var asked atomic.Bool // and not answered
	last, heard, silent := time.Now(), g.c.heard.Load(), time.Duration(0)
	for {
		select {
		case <-g.gone:
			l.mu.Lock()
			l.retire(g)
			l.end(g)
			l.mu.Unlock()
			return
		case <-tick.C:
		}
		// Time in which this process did not run is nobody's silence: what came meanwhile has not been read.
		silent += min(time.Since(last), every)
		last = time.Now()
		if h := g.c.heard.Load(); h != heard {
			heard, silent = h, 0
		}
		l.mu.Lock()
		enough := silent > g.silence
		l.mu.Unlock()
		switch {
		case asked.Load() && enough:
			_ = g.c.close() // who uses it notices
		case silent > l.keepalive && asked.CompareAndSwap(false, true):
			l.group.Go(func() {
				_, _, _ = g.c.SendRequest(askWhether, true, nil)
				asked.Store(false)
			})
		}
	}
}
