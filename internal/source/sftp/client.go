package sftp

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"
)

// call is a request that waits for its answer.
type call struct {
	done chan struct{} // closed when the answer is there

	kind byte
	body []byte
	into []byte // where data goes, nil for body
	n    int    // bytes of data in into
	err  error
}

// client is one connection. It is safe for concurrent use.
type client struct {
	conn       io.ReadWriteCloser
	in, out    *atomic.Int64 // bytes
	extensions map[string]string
	idle       time.Duration
	stall      time.Duration
	readLength int         // bytes of a read
	handles    int         // that may be open
	served     atomic.Bool // an operation has come to its end on it

	ended chan struct{} // closed when there is no more use in it
	group sync.WaitGroup

	mu       sync.Mutex // guards what follows
	moved    *sync.Cond // there is something to send, or err
	pending  map[uint32]*call
	next     uint32
	waiting  []byte // to be sent
	err      error
	answered time.Time // the last time that there was an answer, or nothing to wait for
}

// newClient greets the server. The error is that of the connection, or ErrProtocol.
func newClient(ctx context.Context, s *Source, conn io.ReadWriteCloser) (*client, error) {
	c := &client{conn: conn, in: &s.in, out: &s.outBytes, idle: s.limits.Idle, stall: s.limits.Stall, pending: map[uint32]*call{}, ended: make(chan struct{}), extensions: map[string]string{}}
	c.moved = sync.NewCond(&c.mu)
	greeting, cancel := context.WithTimeoutCause(ctx, s.limits.Idle, errSilent)
	defer cancel()
	stop := context.AfterFunc(greeting, func() { conn.Close() })
	r := bufio.NewReaderSize(&counted{conn, c.in}, maxPacket+16)
	err := c.greet(r)
	if !stop() && err == nil {
		err = errLost
	}
	if err != nil {
		conn.Close()
		if greeting.Err() != nil {
			err = context.Cause(greeting)
		}
		return nil, err
	}
	c.answered = time.Now()
	c.group.Go(func() { c.fail(c.receive(r)) })
	c.group.Go(c.send)
	c.group.Go(c.watch)
	return c, nil
}

type counted struct {
	r io.Reader
	n *atomic.Int64
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n.Add(int64(n))
	return n, err
}

func (c *client) greet(r *bufio.Reader) error {
	hello := []byte{0, 0, 0, 5, fxpInit, 0, 0, 0, protocolVersion}
	if _, err := c.conn.Write(hello); err != nil {
		if _, why := r.Peek(1); why != nil {
			err = why // a command that has ended already said so
		}
		return fmt.Errorf("%w: %w", errLost, err)
	}
	c.out.Add(int64(len(hello)))
	var head [9]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return fmt.Errorf("%w: %w", errLost, err)
	}
	size := binary.BigEndian.Uint32(head[:])
	if size < 5 || size > maxPacket || head[4] != fxpVersion {
		return protocolError("what came is no greeting: %q", head[:])
	}
	if v := binary.BigEndian.Uint32(head[5:]); v != protocolVersion {
		return protocolError("version %d, want %d", v, protocolVersion)
	}
	d := decoder{rest: make([]byte, size-5)}
	if _, err := io.ReadFull(r, d.rest); err != nil {
		return fmt.Errorf("%w: %w", errLost, err)
	}
	for len(d.rest) > 0 && !d.bad {
		key, value := string(d.bytes()), string(d.bytes())
		c.extensions[key] = value
	}
	if d.bad {
		return protocolError("the greeting is cut off")
	}
	return nil
}

// start sends a request; its answer is waited for with wait. into is where data is put.
func (c *client) start(r request, into []byte) *call {
	x := &call{done: make(chan struct{}), into: into}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		x.err = c.err
		close(x.done)
		return x
	}
	if len(c.pending) == 0 {
		c.answered = time.Now()
	}
	c.next++
	for c.pending[c.next] != nil {
		c.next++
	}
	c.pending[c.next] = x
	binary.BigEndian.PutUint32(r, uint32(len(r)-4))
	binary.BigEndian.PutUint32(r[5:], c.next)
	c.waiting = append(c.waiting, r...)
	c.moved.Signal()
	return x
}

// wait waits for an answer. Its error is errLost, the reason why the context ended, or a statusError.
func (x *call) wait(ctx context.Context) error {
	select {
	case <-x.done:
	default:
		select {
		case <-x.done:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	if x.err != nil || x.kind != fxpStatus {
		return x.err
	}
	d := decoder{rest: x.body}
	code := d.uint32()
	text := d.bytes()
	if len(x.body) < 4 {
		return protocolError("a status of %d bytes", len(x.body))
	}
	return &statusError{code, string(text[:min(len(text), maxMessage)])}
}

// expect waits for an answer of one kind and returns its fields.
func (x *call) expect(ctx context.Context, kind byte) (*decoder, error) {
	if err := x.wait(ctx); err != nil {
		var s *statusError
		if errors.As(err, &s) && s.code == statusOK {
			return nil, protocolError("all is well, instead of an answer of type %d", kind)
		}
		return nil, err
	}
	if x.kind != kind {
		return nil, protocolError("an answer of type %d instead of %d", x.kind, kind)
	}
	return &decoder{rest: x.body}, nil
}

func (x *call) handle(ctx context.Context) (string, error) {
	d, err := x.expect(ctx, fxpHandle)
	if err != nil {
		return "", err
	}
	h := d.bytes()
	if d.bad || len(h) > maxHandle {
		return "", protocolError("a handle of %d bytes", len(h))
	}
	return string(h), nil
}

func (x *call) attrs(ctx context.Context) (attrs, error) {
	d, err := x.expect(ctx, fxpAttrs)
	if err != nil {
		return attrs{}, err
	}
	a := d.attrs()
	if d.bad {
		return a, protocolError("attributes are cut off")
	}
	return a, nil
}

// path returns the only name of an answer.
func (x *call) path(ctx context.Context) (string, error) {
	d, err := x.expect(ctx, fxpName)
	if err != nil {
		return "", err
	}
	all, err := names(d.rest)
	if err != nil {
		return "", err
	}
	if len(all) != 1 {
		return "", protocolError("%d names instead of one", len(all))
	}
	return string(all[0].name), nil
}

// data waits for data, whose bytes are in into then. The error is io.EOF behind the end of the file.
func (x *call) data(ctx context.Context) (int, error) {
	_, err := x.expect(ctx, fxpData)
	if isEOF(err) {
		return 0, io.EOF
	}
	if err == nil && x.n == 0 {
		err = protocolError("no data, and no end of the file")
	}
	return x.n, err
}

// release closes a handle. Nobody waits for the answer.
func (c *client) release(handle string) { c.start(newRequest(fxpClose).text(handle), nil) }

// send writes what is to be sent.
func (c *client) send() {
	var buf []byte
	for {
		c.mu.Lock()
		for len(c.waiting) == 0 && c.err == nil {
			c.moved.Wait()
		}
		buf, c.waiting = c.waiting, buf[:0]
		err := c.err
		c.mu.Unlock()
		if err != nil {
			return
		}
		n, err := c.conn.Write(buf)
		c.out.Add(int64(n))
		if err != nil {
			c.fail(fmt.Errorf("%w: %w", errLost, err))
			return
		}
	}
}

// receive reads answers until the connection ends.
func (c *client) receive(r *bufio.Reader) error {
	var head [9]byte
	for {
		if _, err := io.ReadFull(r, head[:]); err != nil {
			return fmt.Errorf("%w: %w", errLost, err)
		}
		size := binary.BigEndian.Uint32(head[:])
		if size < 5 || size > maxPacket {
			return protocolError("a packet of %d bytes", size)
		}
		c.mu.Lock()
		id := binary.BigEndian.Uint32(head[5:])
		x := c.pending[id]
		delete(c.pending, id)
		c.answered = time.Now()
		c.mu.Unlock()
		if x == nil {
			return protocolError("an answer to no question")
		}
		x.kind = head[4]
		err := x.fill(r, int(size)-5)
		if err != nil {
			x.err = err
		}
		close(x.done)
		if err != nil {
			return err
		}
	}
}

// fill reads the rest of an answer.
func (x *call) fill(r *bufio.Reader, size int) error {
	if x.kind == fxpData {
		var length [4]byte
		if size < 4 {
			return protocolError("data of %d bytes", size)
		}
		if _, err := io.ReadFull(r, length[:]); err != nil {
			return fmt.Errorf("%w: %w", errLost, err)
		}
		n := binary.BigEndian.Uint32(length[:])
		if int64(n) != int64(size)-4 || int64(n) > int64(len(x.into)) {
			return protocolError("%d bytes of data in a packet of %d, where %d were asked for", n, size, len(x.into))
		}
		x.n = int(n)
		if _, err := io.ReadFull(r, x.into[:n]); err != nil {
			return fmt.Errorf("%w: %w", errLost, err)
		}
		return nil
	}
	x.body = make([]byte, size)
	if _, err := io.ReadFull(r, x.body); err != nil {
		return fmt.Errorf("%w: %w", errLost, err)
	}
	return nil
}

// watch ends a connection on which answers are due and do not come: not a byte for the idle time, or no whole answer for
// the stall time.
func (c *client) watch() {
	every := max(c.idle/8, time.Millisecond)
	tick := time.NewTicker(every)
	defer tick.Stop()
	heard, since := c.in.Load(), time.Now()
	for last := since; ; last = time.Now() {
		select {
		case <-c.ended:
			return
		case <-tick.C:
		}
		if n := c.in.Load(); n != heard {
			heard, since = n, time.Now()
		}
		if lost := time.Since(last) - 2*every; lost > 0 { // this process did not run, and has not read what came
			since = since.Add(lost)
			c.excuse(lost)
		}
		c.mu.Lock()
		asked, answered := len(c.pending) > 0, c.answered
		c.mu.Unlock()
		if !asked {
			since = time.Now()
		}
		if time.Since(since) > c.idle || asked && time.Since(answered) > c.stall {
			c.fail(errSilent)
			return
		}
	}
}

// excuse leaves out time in which nothing was read.
func (c *client) excuse(lost time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.answered = c.answered.Add(lost)
}

// fail ends the connection; all who wait get the error.
func (c *client) fail(err error) {
	c.mu.Lock()
	if c.err != nil {
		c.mu.Unlock()
		return
	}
	c.err = err
	pending := c.pending
	c.pending = nil
	c.waiting = nil
	close(c.ended)
	c.moved.Broadcast()
	c.mu.Unlock()
	c.conn.Close()
	for _, x := range pending {
		x.err = err
		close(x.done)
	}
}

// close ends the connection and waits for what belongs to it.
func (c *client) close() {
	c.fail(errLost)
	c.group.Wait()
}

func (c *client) has(extension, version string) bool { return c.extensions[extension] == version }
