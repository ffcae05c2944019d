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

// SetKeepalive changes when a silent server is asked whether it is there. It is called before the first connection.
func (l *Logins) SetKeepalive(d time.Duration) { l.keepalive = d }
