package agent

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/snapkeep/snap/internal/protocol"
	"github.com/snapkeep/snap/internal/source"
	"github.com/snapkeep/snap/internal/source/dump"
	"github.com/snapkeep/snap/internal/source/stream"
)

// running is a stream that was started.
type running struct {
	mu     sync.Mutex // guards what follows, and is held while the command is waited for
	out    io.ReadCloser
	cancel context.CancelFunc
	offset int64
	buf    []byte
}

// startStream starts a command of the policy, or makes a snapshot of it.
func (s *session) startStream(_ context.Context, m *protocol.StreamStartRequest, a *answer) error {
	if _, ok := s.o.Policy.Snapshots[m.Name]; ok && s.o.Keeper != nil {
		return s.startSnapshot(m.Name, a)
	}
	of, ok := s.o.Policy.Streams[m.Name]
	if !ok {
		return &protocol.Error{Code: protocol.CodeRefused, Text: fmt.Sprintf("the policy of this source has no stream %q", m.Name)}
	}
	c, err := of.resolve()
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.streams) >= maxStreams {
		return &protocol.Error{Code: protocol.CodeLimit, Text: fmt.Sprintf("%d streams run already", maxStreams)}
	}
	ctx, cancel := context.WithCancel(s.ctx)
	out, err := stream.FromCommand(m.Name, stream.Command{Args: c.Args, Dir: "/", Env: dump.Environment(c.Env)}).Open(ctx)
	if err != nil {
		cancel()
		return err
	}
	s.handle++
	s.streams[s.handle] = &running{out: out, cancel: cancel}
	a.buf = (&protocol.StreamHandle{Handle: s.handle}).Append(a.buf)
	return nil
}

// startSnapshot makes a snapshot, which lasts until its stream is stopped or the session ends.
func (s *session) startSnapshot(name string, a *answer) error {
	ctx, cancel := context.WithCancel(s.ctx)
	out, err := s.o.Keeper.freeze(ctx, name)
	if err != nil {
		cancel()
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.handle++
	s.streams[s.handle] = &running{out: out, cancel: cancel}
	a.buf = (&protocol.StreamHandle{Handle: s.handle}).Append(a.buf)
	return nil
}

func (s *session) stream(handle uint64) (*running, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r := s.streams[handle]; r != nil {
		return r, nil
	}
	return nil, &protocol.Error{Code: protocol.CodeStream, Text: "there is no such stream: it has ended, or was started on another connection"}
}

// nextOfStream answers with the next bytes of a stream, or its end. The answer is sent before the next question about the
// stream is worked on, so that a server that asks and does not read makes the agent hold one piece.
func (s *session) nextOfStream(_ context.Context, m *protocol.StreamNextRequest, a *answer) error {
	r, err := s.stream(m.Handle)
	if err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.offset != m.Offset {
		return &protocol.Error{Code: protocol.CodeStream, Text: "what was lost on the way cannot be read again"}
	}
	if cap(r.buf) < m.Most {
		r.buf = make([]byte, m.Most)
	}
	n, err := fill(r.out, r.buf[:m.Most])
	r.offset += int64(n)
	piece := protocol.StreamPiece{Data: r.buf[:n], End: err == io.EOF}
	if err != nil {
		s.drop(m.Handle)
		if closeErr := r.out.Close(); err == io.EOF && closeErr != nil {
			err = fmt.Errorf("%w: %w", source.ErrStream, closeErr)
		}
		r.cancel()
	}
	if err != nil && err != io.EOF {
		return err
	}
	a.buf = piece.Append(a.buf)
	return a.end()
}

// fill reads until p is full or the stream ends, whose error it returns then.
func fill(in io.Reader, p []byte) (n int, err error) {
	for n < len(p) && err == nil {
		var k int
		k, err = in.Read(p[n:])
		n += k
	}
	if err != nil && err != io.EOF && !errors.Is(err, source.ErrStream) {
		err = fmt.Errorf("%w: %w", source.ErrStream, err)
	}
	return n, err
}

func (s *session) drop(handle uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.streams, handle)
}

// stopStream kills the command of a stream, or removes a snapshot.
func (s *session) stopStream(_ context.Context, m *protocol.StreamHandle, _ *answer) error {
	r, err := s.stream(m.Handle)
	if err != nil {
		return err
	}
	s.drop(m.Handle)
	r.cancel()
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, ok := r.out.(*frozen); ok {
		if s.dirs != nil {
			s.dirs.letGo()
		}
		return r.out.Close()
	}
	r.out.Close() // how a killed command ended is of no interest
	return nil
}

// stopStreams kills what still runs.
func (s *session) stopStreams() {
	s.mu.Lock()
	left := s.streams
	s.streams = map[uint64]*running{}
	s.mu.Unlock()
	for _, r := range left {
		r.cancel()
		r.mu.Lock()
		r.out.Close()
		r.mu.Unlock()
	}
}
