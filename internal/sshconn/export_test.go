package sshconn

import "time"

// Waiting returns how many wait for connections that are being made.
func (l *Logins) Waiting() (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, w := range l.ways {
		for _, g := range w.logins {
			select {
			case <-g.ready:
			default:
				n += g.users
			}
		}
	}
	return n
}

// SetLinger changes for how long a connection is kept from here on when its last user goes.
func (l *Logins) SetLinger(d time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.linger = d
}

// SetAnswerTime changes how long a server that is silent is waited for before another connection is made. It is called before the first connection.
func (l *Logins) SetAnswerTime(d time.Duration) { l.patience = d }

// SetSilence changes how long the server of a connection that nobody else gets may be silent.
func (l *Logins) SetSilence(d time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for g := range l.all {
		if g.retired {
			g.silence = d
		}
	}
}

// SetKeepalive changes when a silent server is asked whether it is there. It is called before the first connection.
func (l *Logins) SetKeepalive(d time.Duration) { l.keepalive = d }
