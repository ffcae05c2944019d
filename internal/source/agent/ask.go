package agent

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/snapkeep/snap/internal/protocol"
	"github.com/snapkeep/snap/internal/source"
	"github.com/snapkeep/snap/internal/source/stream"
)

// single is a question whose answer is waited for.
type single struct {
	kind    protocol.Type
	payload []byte
	take    func(payload []byte) error
	done    chan struct{}
	once    bool // it must not be asked again after a cut
	asked   bool
	err     error
}

func (c *single) question() (protocol.Type, []byte, error) {
	if c.once && c.asked {
		return 0, nil, fmt.Errorf("%w: the connection was cut", source.ErrStream)
	}
	c.asked = true
	return c.kind, c.payload, nil
}

func (c *single) answer(f *protocol.Frame) error {
	if err := only(f, c.kind); err != nil {
		return err
	}
	return c.take(f.Payload)
}

func (c *single) end(err error) {
	c.err = err
	close(c.done)
}

// slowSingle is one that a command may take its time for.
type slowSingle struct{ *single }

func (slowSingle) thinks() {}

// ask asks one question and waits for its answer.
func (s *Source) ask(ctx context.Context, c *single, slow bool) error {
	if _, err := s.Connect(ctx); err != nil {
		return err
	}
	c.done = make(chan struct{})
	if slow {
		s.link.send(slowSingle{c})
	} else {
		s.link.send(c)
	}
	if err := s.wait(ctx, c.done); err != nil {
		return err
	}
	return c.err
}

// Stream returns a stream of the agent's policy. Its reader ends only if its producer ended well.
func (s *Source) Stream(name string) stream.Stream {
	return stream.Stream{Name: name, Open: func(ctx context.Context) (io.ReadCloser, error) {
		var handle *protocol.StreamHandle
		err := s.ask(ctx, &single{kind: protocol.StreamStart, payload: (&protocol.StreamStartRequest{Name: name}).Append(nil), once: true,
			take: func(b []byte) (err error) {
				handle, err = protocol.ParseStreamHandle(b)
				return err
			}}, true)
		if err != nil {
			return nil, fmt.Errorf("stream %q: %w: %w", name, source.ErrStream, err)
		}
		r := &streamReader{s: s, ctx: ctx, name: name, handle: handle.Handle}
		r.askAhead()
		return r, nil
	}}
}

// Freeze makes a file-system snapshot that the agent's policy names, and returns what removes it. It is removed as well
// when the connection ends: a source that uses one must not connect again (Options.Redials).
func (s *Source) Freeze(ctx context.Context, name string) (thaw func(ctx context.Context) error, err error) {
	var handle *protocol.StreamHandle
	err = s.ask(ctx, &single{kind: protocol.StreamStart, payload: (&protocol.StreamStartRequest{Name: name}).Append(nil), once: true,
		take: func(b []byte) (err error) {
			handle, err = protocol.ParseStreamHandle(b)
			return err
		}}, true)
	if err != nil {
		return nil, fmt.Errorf("snapshot %q: %w", name, err)
	}
	return func(ctx context.Context) error {
		err := s.ask(ctx, &single{kind: protocol.StreamStop, payload: handle.Append(nil), once: true, take: func([]byte) error { return nil }}, true)
		if err != nil {
			return fmt.Errorf("snapshot %q: %w", name, err)
		}
		return nil
	}, nil
}

// streamReader reads a running stream, one answer ahead.
type streamReader struct {
	s      *Source
	ctx    context.Context
	name   string
	handle uint64
	offset int64 // of the next question
	data   []byte
	next   *streamAnswer
	ended  bool
	err    error
}

// streamAnswer is an answer that is on its way.
type streamAnswer struct {
	single
	data []byte
	last bool
}

// askAhead asks for the next bytes.
func (r *streamReader) askAhead() {
	a := &streamAnswer{}
	m := protocol.StreamNextRequest{Handle: r.handle, Offset: r.offset, Most: protocol.MaxStreamPiece}
	a.single = single{kind: protocol.StreamNext, payload: m.Append(nil), done: make(chan struct{}), take: func(b []byte) error {
		p, err := protocol.ParseStreamPiece(b)
		if err != nil {
			return err
		}
		if len(p.Data) == 0 && !p.End {
			return errors.New("a stream that gives nothing and does not end")
		}
		a.data, a.last = append([]byte(nil), p.Data...), p.End
		return r.s.count(0, int64(len(p.Data)), 0)
	}}
	r.next = a
	r.s.link.send(slowSingle{&a.single})
}

// Read reads the stream.
func (r *streamReader) Read(p []byte) (int, error) {
	for len(r.data) == 0 {
		if r.err != nil {
			return 0, r.err
		}
		if r.ended {
			return 0, io.EOF
		}
		r.take()
	}
	n := copy(p, r.data)
	r.data = r.data[n:]
	return n, nil
}

// take waits for the answer that is on its way.
func (r *streamReader) take() {
	a := r.next
	if err := r.s.wait(r.ctx, a.done); err != nil {
		r.err = fmt.Errorf("stream %q: %w: %w", r.name, source.ErrStream, err)
		return
	}
	if a.err != nil {
		r.err = fmt.Errorf("stream %q: %w: %w", r.name, source.ErrStream, a.err)
		r.ended = true
		return
	}
	r.data = a.data
	r.offset += int64(len(a.data))
	if r.ended = a.last; !r.ended {
		r.askAhead()
	}
}

// Close stops the stream if it has not ended.
func (r *streamReader) Close() error {
	if r.ended || r.s.err() != nil {
		return nil
	}
	r.ended = true
	c := &single{kind: protocol.StreamStop, payload: (&protocol.StreamHandle{Handle: r.handle}).Append(nil), done: make(chan struct{}),
		take: func([]byte) error { return nil }}
	r.s.link.send(c)
	return r.s.wait(context.WithoutCancel(r.ctx), c.done)
}

// Hashes asks for the plain BLAKE3 hashes of whole files, and calls fn with each answer in order. It may be used when
// the roots are open.
func (s *Source) Hashes(ctx context.Context, paths []string, fn func(path string, h *protocol.FileHash) error) error {
	const batch = 64
	for len(paths) > 0 {
		part := paths[:min(batch, len(paths))]
		for sum, i := 0, 0; i < len(part); i++ {
			if sum += len(part[i]); i > 0 && sum > questionPaths {
				part = part[:i]
			}
		}
		paths = paths[len(part):]
		var all []*protocol.FileHash
		err := s.askMany(ctx, protocol.Hash, (&protocol.HashRequest{Paths: part}).Append(nil), func() { all = nil }, func(b []byte) error {
			return protocol.ParseFileHashes(b, func(h *protocol.FileHash) error {
				if len(all) == len(part) {
					return fmt.Errorf("more hashes than the %d that were asked for", len(part))
				}
				all = append(all, h)
				return nil
			})
		})
		if err != nil {
			return err
		}
		if len(all) != len(part) {
			return fmt.Errorf("%w: %d hashes for %d files", ErrProtocol, len(all), len(part))
		}
		for i, p := range part {
			if err := fn(p, all[i]); err != nil {
				return err
			}
		}
	}
	return nil
}

// many is a question that is answered in several frames.
type many struct {
	single
	reset func()
}

func (c *many) question() (protocol.Type, []byte, error) {
	c.reset()
	return c.single.question()
}

func (c *many) answer(f *protocol.Frame) error {
	if f.Type != c.kind|protocol.Answer {
		return errors.New("an answer of another type")
	}
	return c.take(f.Payload)
}

func (s *Source) askMany(ctx context.Context, kind protocol.Type, payload []byte, reset func(), take func([]byte) error) error {
	c := &many{single: single{kind: kind, payload: payload, take: take, done: make(chan struct{})}, reset: reset}
	s.link.send(c)
	if err := s.wait(ctx, c.done); err != nil {
		return err
	}
	return c.err
}

// Inventory asks what there is on the machine, whether or not the policy covers it.
func (s *Source) Inventory(ctx context.Context) (inv *protocol.InventoryAnswer, err error) {
	err = s.ask(ctx, &single{kind: protocol.Inventory, take: func(b []byte) (err error) {
		inv, err = protocol.ParseInventoryAnswer(b)
		return err
	}}, true)
	return inv, err
}
