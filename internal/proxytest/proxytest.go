package proxytest

import (
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"
)

// Fault is what happens to one connection. The zero value is none.
type Fault struct {
	// CutAfter cuts the connection when that many bytes have gone through it
	// in both directions together. Zero is never.
	CutAfter int64
	// Settle lets the server come to its end with what has gone through before
	// the client learns of a cut.
	Settle bool
	// StallAfter lets nothing through from that many bytes on, but leaves the
	// connection open. Zero is never.
	StallAfter int64
	// Delay is waited before each piece of up to 64 KiB.
	Delay time.Duration
	// Latency is how long each byte is on its way, in each direction. Any number
	// of bytes may be on their way.
	Latency time.Duration
	// Until lets nothing through until it is closed; nil is no channel.
	Until <-chan struct{}
	// Refuse closes the connection at once.
	Refuse bool
}

// Proxy passes connections on to a server.
type Proxy struct {
	target   string
	listener net.Listener
	ended    chan struct{} // closed at the end of the test

	mu       sync.Mutex
	fault    func(n int) Fault // of the n-th connection; guarded by mu, as is all below
	accepted int
	stalled  int
	open     map[net.Conn]bool
	closed   bool
	wg       sync.WaitGroup
}

// Start starts a proxy that ends with the test. The target is host and port, or
// the path of a socket. The function fault says what
// happens to the n-th connection, counted from 0; nil is nothing.
func Start(t testing.TB, target string, fault func(n int) Fault) *Proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &Proxy{target: target, listener: l, fault: fault, ended: make(chan struct{}), open: make(map[net.Conn]bool)}
	p.wg.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			p.wg.Go(func() { p.serve(conn) })
		}
	})
	t.Cleanup(func() {
		l.Close()
		close(p.ended)
		p.mu.Lock()
		p.closed = true
		p.mu.Unlock()
		p.CutAll()
		p.wg.Wait()
	})
	return p
}

// Addr returns host and port for net.Dial.
func (p *Proxy) Addr() string { return p.listener.Addr().String() }

// Port returns the port.
func (p *Proxy) Port() int { return p.listener.Addr().(*net.TCPAddr).Port }

// Connections returns how many connections there have been.
func (p *Proxy) Connections() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.accepted
}

// Stalled returns how many connections have come to where they let nothing through any more.
func (p *Proxy) Stalled() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.stalled
}

// SetFault changes what happens to connections from here on; they are counted
// on.
func (p *Proxy) SetFault(fault func(n int) Fault) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.fault = fault
}

// CutAll cuts all connections.
func (p *Proxy) CutAll() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for conn := range p.open {
		conn.Close()
	}
}

// track remembers a connection, or closes it if the proxy has ended.
func (p *Proxy) track(conn net.Conn) (untrack func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.open[conn] = true
	if p.closed {
		conn.Close()
	}
	return func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		delete(p.open, conn)
		conn.Close()
	}
}

func (p *Proxy) serve(client net.Conn) {
	defer p.track(client)()
	p.mu.Lock()
	var f Fault
	if p.fault != nil {
		f = p.fault(p.accepted)
	}
	p.accepted++
	p.mu.Unlock()
	if f.Refuse {
		return
	}
	network := "tcp"
	if strings.HasPrefix(p.target, "/") {
		network = "unix"
	}
	server, err := net.Dial(network, p.target)
	if err != nil {
		return
	}
	defer p.track(server)()
	l := &link{fault: f, ended: p.ended, server: server, cut: func() { client.Close(); server.Close() }, stall: sync.OnceFunc(func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.stalled++
	})}
	var wg sync.WaitGroup
	for _, way := range []struct{ to, from net.Conn }{{server, client}, {client, server}} {
		if f.Latency == 0 {
			wg.Go(func() { l.pass(way.to, way.from) })
			continue
		}
		far, near := net.Pipe()
		wg.Go(func() { l.pass(near, way.from) })
		wg.Go(func() {
			carry(way.to, far, f.Latency)
			if tcp, ok := way.to.(*net.TCPConn); ok {
				_ = tcp.CloseWrite()
			}
		})
	}
	wg.Wait()
}

// link is one connection with its fault.
type link struct {
	fault  Fault
	ended  <-chan struct{} // closed when nobody needs it any more
	server net.Conn
	cut    func()
	stall  func() // tells that nothing goes through any more

	mu   sync.Mutex
	gone int64 // bytes; guarded by mu
}

// pass copies in one direction. At the end of the data the other side is told.
func (l *link) pass(to, from net.Conn) {
	buffer := make([]byte, 64<<10)
	for {
		n, err := from.Read(buffer)
		if n > 0 {
			l.hold()
			allowed, stalled := l.count(n)
			if _, writeErr := to.Write(buffer[:allowed]); writeErr != nil {
				l.cut()
				return
			}
			if stalled {
				l.stall()
				_, _ = io.Copy(io.Discard, from) // until it is cut
				return
			}
			if allowed < n {
				if l.fault.Settle {
					l.settle(from)
				} else {
					l.cut()
				}
				return
			}
		}
		if err != nil {
			switch out := to.(type) {
			case *net.TCPConn:
				if err == io.EOF {
					_ = out.CloseWrite()
					return
				}
			default:
				out.Close()
				return
			}
			l.cut()
			return
		}
	}
}

// settle tells the server that there is no more, and cuts the connection when it has ended. Who passes on what the server sends notices that.
func (l *link) settle(from net.Conn) {
	if server, ok := l.server.(interface{ CloseWrite() error }); ok {
		_ = server.CloseWrite() // it may have ended
	}
	if from == l.server {
		_, _ = io.Copy(io.Discard, from)
		l.cut()
	}
}

// hold waits until what was read may go through.
func (l *link) hold() {
	time.Sleep(l.fault.Delay)
	if l.fault.Until == nil {
		return
	}
	select {
	case <-l.fault.Until:
	case <-l.ended:
	}
}

// carry copies data that takes its time.
func carry(to io.Writer, from net.Conn, latency time.Duration) {
	type piece struct {
		data []byte
		due  time.Time
	}
	way := make(chan piece, 4096)
	go func() {
		defer close(way)
		for {
			buffer := make([]byte, 64<<10)
			n, err := from.Read(buffer)
			if n > 0 {
				way <- piece{buffer[:n], time.Now().Add(latency)}
			}
			if err != nil {
				return
			}
		}
	}()
	defer from.Close()
	for p := range way {
		time.Sleep(time.Until(p.due))
		if _, err := to.Write(p.data); err != nil {
			from.Close()
			for range way { // until its sender has noticed
			}
			return
		}
	}
}

// count returns how many of n bytes may pass.
func (l *link) count(n int) (allowed int, stalled bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	before := l.gone
	l.gone += int64(n)
	if limit := l.fault.CutAfter; limit > 0 && l.gone > limit {
		return int(max(limit-before, 0)), false
	}
	if limit := l.fault.StallAfter; limit > 0 && l.gone > limit {
		return int(max(limit-before, 0)), true
	}
	return n, false
}
