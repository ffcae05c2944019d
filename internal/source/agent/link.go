package agent

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/snapkeep/snap/internal/protocol"
	"github.com/snapkeep/snap/internal/source"
)

// call is a question that is under way.
type call interface {
	// question returns the question for what is not answered so far. It is called again after each redial; an error
	// ends the call.
	question() (protocol.Type, []byte, error)
	// answer takes a frame of the answer. It must not block, nor keep the payload. An error that is no
	// source.ErrBroken becomes one that the protocol was broken.
	answer(f *protocol.Frame) error
	// end is told that the answer is complete, or why none will come: a *protocol.Error that the agent sent, or why the
	// source broke off.
	end(err error)
}

// thinker is a call whose answer may take any time.
type thinker interface{ thinks() }

// pending is a call with its place on the wire.
type pending struct {
	call call
	turn sync.Mutex // held while the call is asked for its question or is told something: the two are of different goroutines

	progress time.Time // the last frame of its answer
	in       int64     // bytes that had come by then
}

func (p *pending) question() (protocol.Type, []byte, error) {
	p.turn.Lock()
	defer p.turn.Unlock()
	return p.call.question()
}

func (p *pending) answer(f *protocol.Frame) error {
	p.turn.Lock()
	defer p.turn.Unlock()
	return p.call.answer(f)
}

func (p *pending) end(err error) {
	p.turn.Lock()
	defer p.turn.Unlock()
	p.call.end(err)
}

// link is the connection to the agent, made again when it is cut.
type link struct {
	s       *Source
	in, out atomic.Int64
	redials int // since an answer came; of the goroutine that runs the link

	openOnce sync.Mutex    // held while the connection is made
	wake     chan struct{} // there is something to be written; of the goroutine that writes

	mu     sync.Mutex // guards what follows
	conn   io.ReadWriteCloser
	w      *protocol.Writer
	number uint32
	calls  map[uint32]*pending
	queue  []uint32  // calls that are to be asked, in this order
	begun  bool      // begin was sent on some connection
	slow   bool      // the round trip takes more than a millisecond
	seen   time.Time // the last bytes that came
	heard  int64     // bytes that had come when the link was last checked
	pinged time.Time
	closed bool
}

// slowRate in bytes a second is the least that an agent that gets on sends.
const slowRate = 16 << 10

func newLink(s *Source) *link {
	return &link{s: s, calls: map[uint32]*pending{}, wake: make(chan struct{}, 1)}
}

// open connects if that was not done.
func (l *link) open(ctx context.Context) error {
	l.openOnce.Lock()
	defer l.openOnce.Unlock()
	if err := l.s.err(); err != nil {
		return err
	}
	l.mu.Lock()
	there := l.conn != nil
	l.mu.Unlock()
	if there {
		return nil
	}
	conn, frames, w, err := l.greet(ctx, nil)
	if err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		conn.Close()
		return errClosed
	}
	l.conn, l.w, l.seen = conn, w, time.Now()
	l.s.group.Go(func() { l.run(frames) })
	l.s.group.Go(l.askAll)
	l.s.group.Go(l.watch)
	return nil
}

// greet dials and says hello. before is what the agent said the first time, nil if this is it.
func (l *link) greet(ctx context.Context, before *protocol.HelloAnswer) (io.ReadWriteCloser, *protocol.Reader, *protocol.Writer, error) {
	conn, err := l.s.dial(ctx)
	if err != nil {
		return nil, nil, nil, err
	}
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	timer := time.AfterFunc(l.s.limits.Idle, func() { conn.Close() })
	buffer := bufio.NewReaderSize(counted{conn, &l.in}, 128<<10)
	frames := protocol.NewReader(buffer, protocol.MaxPayload)
	w := protocol.NewWriter(countedWriter{conn, &l.out})
	h, err := l.hello(buffer, frames, w, roundTrip(conn))
	if !timer.Stop() && err != nil {
		err = fmt.Errorf("no agent answers: nothing came for %v", l.s.limits.Idle)
	}
	if stop(); err == nil && ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	if err == nil && before != nil && h.Machine != before.Machine {
		err = fmt.Errorf("%w: another machine answers than before the cut", ErrProtocol)
	}
	if err != nil {
		return nil, nil, nil, errors.Join(err, closeQuietly(conn))
	}
	return conn, frames, w, nil
}

// closeQuietly closes a connection whose error is known already: what the remote command said is in the error of close.
func closeQuietly(c io.Closer) error {
	return c.Close()
}

// firstWords in bytes is how much an error tells of what is no agent's answer.
const firstWords = 40

// hello greets the agent, whose frames are read from buffer. round is the time of a round trip, 0 if it is not known.
func (l *link) hello(buffer *bufio.Reader, frames *protocol.Reader, w *protocol.Writer, round time.Duration) (*protocol.HelloAnswer, error) {
	sent := time.Now()
	q := protocol.HelloRequest{Version: protocol.Version}
	if err := w.Write(protocol.Frame{Type: protocol.Hello, Payload: q.Append(nil)}); err != nil {
		if _, why := frames.Read(); why != nil {
			err = why // a command that has ended already said so
		}
		return nil, fmt.Errorf("no agent answers: %w", err)
	}
	_, _ = buffer.Peek(1) // what is wrong shows when it is read
	words, _ := buffer.Peek(min(buffer.Buffered(), firstWords))
	said := string(words)
	f, err := frames.Read()
	if errors.Is(err, protocol.ErrMalformed) {
		return nil, fmt.Errorf("%w: what answers is no agent, or something speaks before it, as the start of a shell may: %q", ErrProtocol, said)
	}
	if err != nil {
		return nil, fmt.Errorf("no agent answers: %w", err)
	}
	if f.Type == protocol.Failed {
		return nil, final(refusal(f.Payload))
	}
	if f.Type != protocol.Hello|protocol.Answer || f.ID != 0 || f.More {
		return nil, fmt.Errorf("%w: no answer to hello", ErrProtocol)
	}
	h, err := protocol.ParseHelloAnswer(f.Payload)
	if errors.Is(err, protocol.ErrVersion) {
		return nil, final(err)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrProtocol, err)
	}
	l.mu.Lock()
	l.slow = time.Since(sent) > 3*time.Millisecond // the agent's first answer waits for its program to start
	if round > 0 {
		l.slow = slowLine([]time.Duration{round})
	}
	l.mu.Unlock()
	l.s.mu.Lock()
	l.s.greeted, l.s.skew = h, skewOf(h.Clock)
	l.s.mu.Unlock()
	return h, nil
}

// final makes an error about versions one for which dialling again is of no use.
func final(err error) error {
	if errors.Is(err, protocol.ErrVersion) {
		return fmt.Errorf("%w: %w", source.ErrBroken, err)
	}
	return err
}

func refusal(payload []byte) error {
	e, err := protocol.ParseError(payload)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrProtocol, err)
	}
	return e
}

// begin tells the agent what will be asked about.
func (l *link) begin(ctx context.Context) error {
	l.mu.Lock()
	done := l.begun
	l.mu.Unlock()
	if done {
		return nil
	}
	if err := l.measure(ctx); err != nil {
		return err
	}
	c := &beginCall{l: l, done: make(chan struct{})}
	l.send(c)
	if err := l.s.wait(ctx, c.done); err != nil {
		return err
	}
	if c.err != nil {
		return c.err
	}
	l.mu.Lock()
	l.begun = true
	l.mu.Unlock()
	return nil
}

// roundTrip returns the time of a round trip as the connection knows it, 0 if it does not.
func roundTrip(conn io.ReadWriteCloser) time.Duration {
	if c, ok := conn.(interface{ RoundTrip() time.Duration }); ok {
		return c.RoundTrip()
	}
	return 0
}

// measure takes the time of round trips, unless the connection knows it.
func (l *link) measure(ctx context.Context) error {
	l.mu.Lock()
	known := roundTrip(l.conn)
	l.mu.Unlock()
	if known > 0 {
		return nil
	}
	var rounds [3]time.Duration
	for i := range rounds {
		c := &ping{done: make(chan struct{})}
		sent := time.Now()
		l.send(c)
		if err := l.s.wait(ctx, c.done); err != nil {
			return err
		}
		rounds[i] = time.Since(sent)
	}
	l.mu.Lock()
	l.slow = slowLine(rounds[:])
	l.mu.Unlock()
	return nil
}

// slowLine tells a slow line from a machine that is busy: there the quickest of some round trips is quick.
func slowLine(rounds []time.Duration) bool { return slices.Min(rounds) > time.Millisecond }

// compresses reports whether the agent is asked to compress: over a slow line, and where a past makes it little, so that each byte counts
// for more than the time that it takes.
func (l *link) compresses() bool {
	switch l.s.o.Compress {
	case CompressOn:
		return true
	case CompressOff:
		return false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.slow || (l.s.past != nil && !l.s.past.Empty())
}

// beginning returns the begin message.
func (l *link) beginning() *protocol.BeginRequest {
	o := &l.s.o
	m := &protocol.BeginRequest{Roots: o.Roots, Devices: o.Devices, Excludes: o.Excludes, ExcludesFold: o.ExcludesFold,
		ExcludeIfPresent: o.ExcludeIfPresent, LargerThan: o.LargerThan, Files: o.Files, Database: o.Database}
	for _, opt := range []struct {
		set bool
		bit uint64
	}{{o.OneFileSystem, protocol.OneFileSystem}, {o.ExcludeCaches, protocol.ExcludeCaches}, {o.NoXattrs, protocol.NoXattrs}, {o.WithAtime, protocol.WithAtime},
		{l.compresses(), protocol.CompressAnswers}} {
		if opt.set {
			m.Options |= opt.bit
		}
	}
	return m
}

// beginCall is the begin of a first connection.
type beginCall struct {
	l    *link
	done chan struct{}
	err  error
}

func (c *beginCall) question() (protocol.Type, []byte, error) {
	b := c.l.beginning().Append(nil)
	if len(b) > protocol.MaxQuestion {
		return 0, nil, fmt.Errorf("%w: roots and patterns of %d bytes, more than the protocol has room for", ErrLimit, len(b))
	}
	return protocol.Begin, b, nil
}

func (c *beginCall) answer(f *protocol.Frame) error {
	if err := only(f, protocol.Begin); err != nil {
		return err
	}
	m, err := protocol.ParseBeginAnswer(f.Payload)
	if err != nil {
		return err
	}
	var errs []error
	for _, p := range m.Problems {
		if c.l.s.missed(p.Root, p.Err) {
			continue
		}
		errs = append(errs, fmt.Errorf("root %q: %w", p.Root, p.Err))
	}
	c.err = errors.Join(errs...)
	return nil
}

func (c *beginCall) end(err error) {
	if err != nil {
		c.err = err
	}
	close(c.done)
}

// ping is a question that has an empty answer.
type ping struct{ done chan struct{} }

func (p *ping) question() (protocol.Type, []byte, error) { return protocol.Ping, nil, nil }
func (p *ping) end(error)                                { close(p.done) }

func (p *ping) answer(f *protocol.Frame) error {
	if err := only(f, protocol.Ping); err != nil {
		return err
	}
	_, err := protocol.ParseEmpty(f.Payload)
	return err
}

// only refuses what is not the one frame of an answer to a question of the type.
func only(f *protocol.Frame, kind protocol.Type) error {
	switch {
	case f.Type != kind|protocol.Answer:
		return errors.New("an answer of another type")
	case f.More:
		return errors.New("an answer in more than one frame")
	}
	return nil
}

// send asks a question, without waiting until it is written: who reads answers may not wait for an agent that reads no
// questions. The call is told of everything that becomes of it. It must not be called from a call's methods with locks held
// that these take.
func (l *link) send(c call) {
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		c.end(l.s.err())
		return
	}
	l.number++
	id := l.number
	l.calls[id] = &pending{call: c, progress: time.Now(), in: l.in.Load()}
	if len(l.calls) == 1 {
		l.seen = time.Now()
	}
	l.queue = append(l.queue, id)
	l.mu.Unlock()
	l.nudge()
}

// nudge lets questions be written.
func (l *link) nudge() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// askAll writes the questions that are to be asked, until the source ends.
func (l *link) askAll() {
	for {
		select {
		case <-l.wake:
		case <-l.s.ctx.Done():
			return
		}
		for {
			w, id, p := l.nextQuestion()
			if p == nil {
				break
			}
			l.ask(w, id, p)
		}
	}
}

// nextQuestion takes a question from the queue, nil if there is none or no connection: then the redial asks.
func (l *link) nextQuestion() (*protocol.Writer, uint32, *pending) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for l.w != nil && len(l.queue) > 0 {
		id := l.queue[0]
		l.queue = l.queue[1:]
		if p := l.calls[id]; p != nil {
			return l.w, id, p
		}
	}
	return nil, 0, nil
}

// ask writes a question on the connection of w. If that fails, the reader notices and dials again.
func (l *link) ask(w *protocol.Writer, id uint32, p *pending) {
	err := l.write(w, id, p)
	if err == nil {
		return
	}
	l.mu.Lock()
	there := l.calls[id] == p
	delete(l.calls, id)
	l.mu.Unlock()
	if there {
		p.end(err)
	}
}

// write writes a question and returns the error of making it.
func (l *link) write(w *protocol.Writer, id uint32, p *pending) error {
	l.mu.Lock()
	stale, conn := l.w != w, l.conn
	l.mu.Unlock()
	if stale {
		return nil // it was dialled again meanwhile, and the question is asked there
	}
	t, payload, err := p.question()
	if err != nil {
		return err
	}
	if err := w.Write(protocol.Frame{ID: id, Type: t, Payload: payload}); err != nil {
		conn.Close()
	}
	return nil
}

// run reads answers, and dials again after a cut, until the source ends.
func (l *link) run(frames *protocol.Reader) {
	for {
		err := l.receive(frames)
		if l.s.err() != nil {
			l.endAll()
			return
		}
		if errors.Is(err, source.ErrBroken) {
			l.s.broken(err)
			l.endAll()
			return
		}
		if frames, err = l.redial(err); err != nil {
			l.s.broken(err)
			l.endAll()
			return
		}
	}
}

// receive hands answers to their calls until the connection fails.
func (l *link) receive(frames *protocol.Reader) error {
	for {
		f, err := frames.Read()
		if errors.Is(err, protocol.ErrMalformed) {
			return fmt.Errorf("%w: %w", ErrProtocol, err)
		}
		if err != nil {
			return err
		}
		if err := l.deliver(&f); err != nil {
			return err
		}
	}
}

func (l *link) deliver(f *protocol.Frame) error {
	l.mu.Lock()
	p := l.calls[f.ID]
	l.seen = time.Now()
	if p != nil {
		p.progress, p.in = l.seen, l.in.Load()
		if !f.More {
			delete(l.calls, f.ID)
		}
	}
	l.mu.Unlock()
	if p == nil {
		return fmt.Errorf("%w: an answer to a question that was not asked", ErrProtocol)
	}
	if f.Type == protocol.Failed {
		err := refusal(f.Payload)
		if errors.Is(err, source.ErrBroken) || f.More {
			if !f.More {
				p.end(fmt.Errorf("%w: malformed error", ErrProtocol))
			}
			return fmt.Errorf("%w: malformed error", ErrProtocol)
		}
		p.end(err)
		return nil
	}
	err := p.answer(f)
	if err == nil && f.More && len(f.Payload) == 0 {
		err = errors.New("a frame of nothing, and more to come")
	}
	if err != nil {
		if !errors.Is(err, source.ErrBroken) {
			err = fmt.Errorf("%w: %w", ErrProtocol, err)
		}
		l.mu.Lock()
		delete(l.calls, f.ID) // it ends once
		l.mu.Unlock()
		p.end(err) // who waits must not take it for the error of a file
		return err
	}
	if !f.More {
		l.redials = 0 // it gets on
		p.end(nil)
	}
	return nil
}

// redial makes the connection again and asks anew for what was not answered.
func (l *link) redial(cause error) (*protocol.Reader, error) {
	l.mu.Lock()
	l.w = nil
	l.conn.Close()
	begun := l.begun
	l.mu.Unlock()
	l.s.mu.Lock()
	before := l.s.greeted
	l.s.mu.Unlock()
	limit, wait := l.s.o.Redials, l.s.o.Backoff
	if limit == 0 {
		limit = 8
	}
	set(&wait, time.Second)
	for l.redials < limit {
		l.redials++
		l.s.log.Warn("the connection to the agent was lost: dialling again", "error", cause, "try", l.redials)
		select {
		case <-time.After(wait):
		case <-l.s.ctx.Done():
			return nil, l.s.err()
		}
		wait = min(2*wait, time.Minute)
		conn, frames, w, err := l.greet(l.s.ctx, before)
		if err == nil && begun {
			err = l.beginAgain(conn, frames, w)
		}
		if err == nil {
			return frames, l.resume(conn, w)
		}
		if conn != nil {
			conn.Close()
		}
		if errors.Is(err, source.ErrBroken) {
			return nil, err
		}
		cause = err
	}
	return nil, fmt.Errorf("%w, after %d tries to make it again: %w", ErrConnection, l.redials, cause)
}

// beginAgain begins on a new connection as on the first one.
func (l *link) beginAgain(conn io.ReadWriteCloser, frames *protocol.Reader, w *protocol.Writer) error {
	timer := time.AfterFunc(l.s.limits.Idle, func() { conn.Close() })
	defer timer.Stop()
	if err := w.Write(protocol.Frame{Type: protocol.Begin, Payload: l.beginning().Append(nil)}); err != nil {
		return err
	}
	f, err := frames.Read()
	if err != nil {
		return err
	}
	if f.Type == protocol.Failed {
		return refusal(f.Payload)
	}
	m, err := protocol.ParseBeginAnswer(f.Payload)
	if err != nil || f.Type != protocol.Begin|protocol.Answer || f.More {
		return fmt.Errorf("%w: begin: %w", ErrProtocol, err)
	}
	for _, p := range m.Problems {
		if !l.s.missed(p.Root, p.Err) {
			return fmt.Errorf("%w: root %q: %w", source.ErrBroken, p.Root, p.Err)
		}
	}
	return nil
}

// resume makes a connection the one in use.
func (l *link) resume(conn io.ReadWriteCloser, w *protocol.Writer) error {
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		conn.Close()
		return l.s.err()
	}
	l.conn, l.w, l.seen = conn, w, time.Now()
	ids := make([]uint32, 0, len(l.calls))
	for id, p := range l.calls {
		p.progress, p.in = l.seen, l.in.Load()
		ids = append(ids, id)
	}
	slices.Sort(ids)
	l.queue = ids
	l.mu.Unlock()
	l.nudge()
	return nil
}

// watch sees to it that an agent that is silent, or does not get on, is noticed.
func (l *link) watch() {
	idle, stall := l.s.limits.Idle, l.s.limits.Stall
	every := max(idle/6, time.Millisecond)
	tick := time.NewTicker(every)
	defer tick.Stop()
	for last := time.Now(); ; {
		select {
		case <-l.s.ctx.Done():
			return
		case <-tick.C:
			now := time.Now()
			if lost := now.Sub(last) - 2*every; lost > 0 {
				l.excuse(lost)
			}
			last = now
			if what := l.check(now, idle, stall); what != nil {
				l.s.broken(what)
				return
			}
		}
	}
}

// excuse leaves out time in which this process did not run: nothing was asked, and what came has not been read.
func (l *link) excuse(lost time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.seen, l.pinged = l.seen.Add(lost), l.pinged.Add(lost)
	for _, p := range l.calls {
		p.progress = p.progress.Add(lost)
	}
}

// check pings a silent agent, cuts the connection of a dead one, and returns an error for one that stalls. A slow line, or an
// agent with a rate limit, may take long for a frame: as long as bytes come it is not silent, and as long as they come at
// slowRate what is asked behind them does not stall.
func (l *link) check(now time.Time, idle, stall time.Duration) error {
	in := l.in.Load()
	l.mu.Lock()
	if in != l.heard {
		l.heard, l.seen = in, now
	}
	silent := len(l.calls) > 0 && l.w != nil && now.Sub(l.seen) > idle
	quiet := len(l.calls) > 0 && l.w != nil && now.Sub(l.seen) > idle/3 && now.Sub(l.pinged) > idle/3
	for _, p := range l.calls {
		if _, thinks := p.call.(thinker); !thinks && l.w != nil && now.Sub(p.progress) > stall && float64(in-p.in) < slowRate*now.Sub(p.progress).Seconds() {
			l.mu.Unlock()
			return fmt.Errorf("%w: a question was not answered for %v", ErrLimit, stall)
		}
	}
	if silent {
		l.conn.Close()
	}
	if quiet {
		l.pinged = now
	}
	l.mu.Unlock()
	if quiet && !silent {
		l.send(&ping{make(chan struct{})})
	}
	return nil
}

// close ends the connection for good.
func (l *link) close() {
	l.mu.Lock()
	conn, there := l.conn, l.closed
	l.closed = true
	l.mu.Unlock()
	if conn != nil && !there {
		conn.Close()
	}
}

// endAll tells all calls that no answer will come.
func (l *link) endAll() {
	l.mu.Lock()
	left := l.calls
	l.calls = map[uint32]*pending{}
	l.closed = true
	l.mu.Unlock()
	for _, p := range left {
		p.end(l.s.err())
	}
}

// counted counts what is read.
type counted struct {
	io.Reader
	n *atomic.Int64
}

func (c counted) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	c.n.Add(int64(n))
	return n, err
}

// countedWriter counts what is written.
type countedWriter struct {
	io.Writer
	n *atomic.Int64
}

func (c countedWriter) Write(p []byte) (int, error) {
	n, err := c.Writer.Write(p)
	c.n.Add(int64(n))
	return n, err
}
