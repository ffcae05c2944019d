package sshconn

import (
	"sync/atomic"
	"time"
)

// silent returns for how long nothing has come.
func (g *login) silent() time.Duration { return time.Since(time.Unix(0, g.c.heard.Load())) }

// watch waits for the end of a connection, whose users then notice it themselves. It asks a server that is silent whether it is
// there, once for all who share the connection, and ends it if it answers nothing for as long as they can bear.
func (l *Logins) watch(g *login) {
	ended := make(chan struct{})
	l.group.Go(func() {
		defer close(ended)
		_ = g.c.Wait() // for whatever reason
	})
	tick := time.NewTicker(l.keepalive / 4)
	defer tick.Stop()
	var asked atomic.Bool // and not answered
	for {
		select {
		case <-ended:
			l.mu.Lock()
			l.retire(g)
			l.end(g)
			l.mu.Unlock()
			return
		case <-tick.C:
		}
		silent := g.silent()
		l.mu.Lock()
		enough := silent > g.silence
		l.mu.Unlock()
		switch {
		case asked.Load() && enough:
			_ = g.c.close() // who uses it notices
		case silent > l.keepalive && asked.CompareAndSwap(false, true):
			l.group.Go(func() {
				_, _, _ = g.c.SendRequest("keepalive@openssh.com", true, nil) // any answer is one
				asked.Store(false)
			})
		}
	}
}
