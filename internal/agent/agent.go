package agent

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"sync"
	"time"

	"github.com/snapkeep/snap/chunker"
	"github.com/snapkeep/snap/internal/protocol"
	"github.com/snapkeep/snap/internal/source"
	"github.com/snapkeep/snap/internal/tree"
	"golang.org/x/sync/errgroup"
)

const (
	maxRequests = 512 // questions that may wait or be worked on
	maxStreams  = 16  // that run at once
)

var errNotThere = fs.ErrNotExist

// Options say whom an agent serves.
type Options struct {
	Policy   *Policy
	Place    string   // of the policy, for the server's information
	Program  string   // name and version
	Enforced []string // what Restrict has achieved
	Keeper   *Keeper  // makes the policy's snapshots; nil makes none
	// Workers is how many questions are worked on at once; 0 means 3.
	Workers int
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

// session serves one server.
type session struct {
	o      Options
	ctx    context.Context
	writes sync.Mutex // guards out
	out    *protocol.Writer
	jobs   chan job

	files, database *chunker.Cutter
	dirs            *dirs // nil before begin
	top             source.Dir
	rate            *limiter

	mu      sync.Mutex // guards what follows
	waiting int        // questions that are not answered yet
	streams map[uint64]*running
	handle  uint64
}

// job is a question that a worker answers.
type job struct {
	id uint32
	do func(ctx context.Context, a *answer) error
}

// Serve answers what comes from in on out until in ends, which is no error, or ctx. Everything that it started has
// ended when it returns.
func Serve(ctx context.Context, in io.Reader, out io.Writer, o Options) error {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Workers == 0 {
		o.Workers = 3
	}
	if o.Keeper != nil {
		if err := o.Keeper.share(false); err != nil {
			return err
		}
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	group, ctx := errgroup.WithContext(ctx)
	s := &session{o: o, ctx: ctx, out: protocol.NewWriter(out), jobs: make(chan job, maxRequests), streams: map[uint64]*running{}, rate: newLimiter(o.Policy.RateLimit)}
	for range o.Workers {
		group.Go(func() error { return s.work(ctx) })
	}
	group.Go(func() error {
		defer close(s.jobs)
		defer cancel() // what is under way is of no use without somebody to read it
		return s.read(in, group)
	})
	err := group.Wait()
	s.stopStreams()
	if s.dirs != nil {
		s.dirs.close()
	}
	if errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

func (s *session) work(ctx context.Context) error {
	for j := range s.jobs {
		if ctx.Err() != nil {
			return nil
		}
		if err := s.answer(ctx, j); err != nil {
			return err
		}
	}
	return nil
}

// answer answers a question, with what do gives or with its error. The error is one of the connection.
func (s *session) answer(ctx context.Context, j job) error {
	a := &answer{s: s, id: j.id}
	err := j.do(ctx, a)
	s.mu.Lock()
	s.waiting--
	s.mu.Unlock()
	if a.broken != nil {
		return a.broken
	}
	if err != nil {
		return s.fail(j.id, err)
	}
	return a.end()
}

func (s *session) fail(id uint32, err error) error {
	return s.write(protocol.Frame{ID: id, Type: protocol.Failed, Payload: protocol.ErrorOf(err).Append(nil)})
}

func (s *session) write(f protocol.Frame) error {
	if err := s.rate.wait(s.ctx, len(f.Payload)); err != nil {
		return err
	}
	s.writes.Lock()
	defer s.writes.Unlock()
	return s.out.Write(f)
}

// answer is the answer to one question on its way.
type answer struct {
	s      *session
	id     uint32
	kind   protocol.Type
	buf    []byte
	broken error // of the connection
}

// flush sends what has come together as a part of the answer.
func (a *answer) flush() error {
	a.broken = a.s.write(protocol.Frame{ID: a.id, Type: a.kind | protocol.Answer, More: true, Payload: a.buf})
	a.buf = a.buf[:0]
	return a.broken
}

// grown sends a part of the answer if enough has come together.
func (a *answer) grown() error {
	if len(a.buf) < protocol.AnswerTarget {
		return nil
	}
	return a.flush()
}

func (a *answer) end() error {
	return a.s.write(protocol.Frame{ID: a.id, Type: a.kind | protocol.Answer, Payload: a.buf})
}

// read reads questions until there are no more.
func (s *session) read(in io.Reader, group *errgroup.Group) error {
	frames := protocol.NewReader(bufio.NewReaderSize(in, 64<<10))
	first := true
	for {
		f, err := frames.Read()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		if first != (f.Type == protocol.Hello) {
			return s.fail(f.ID, fmt.Errorf("%w: the talk begins with one hello", protocol.ErrMalformed))
		}
		first = false
		do, err := s.question(f)
		if err != nil {
			if err := s.fail(f.ID, err); err != nil {
				return err
			}
			continue
		}
		if err := s.dispatch(job{f.ID, do}, f.Type, group); err != nil {
			return err
		}
	}
}

// dispatch has a question answered: at once, by a worker, or beside them.
func (s *session) dispatch(j job, t protocol.Type, group *errgroup.Group) error {
	s.mu.Lock()
	s.waiting++
	crowded := s.waiting > maxRequests
	s.mu.Unlock()
	if crowded {
		j.do = func(context.Context, *answer) error {
			return &protocol.Error{Code: protocol.CodeLimit, Text: fmt.Sprintf("more than %d questions at once", maxRequests)}
		}
		return s.answer(s.ctx, j)
	}
	switch t {
	case protocol.Hello, protocol.Begin, protocol.Ping:
		return s.answer(s.ctx, j)
	case protocol.StreamStart, protocol.StreamNext, protocol.StreamStop, protocol.Inventory:
		// A command may think for long: it must not keep a worker.
		group.Go(func() error { return s.answer(s.ctx, j) })
		return nil
	}
	select {
	case s.jobs <- j:
		return nil
	case <-s.ctx.Done():
		return nil
	}
}

type doing = func(ctx context.Context, a *answer) error

// question parses a question and returns what answers it.
func (s *session) question(f protocol.Frame) (doing, error) {
	if f.More {
		return nil, fmt.Errorf("%w: a question of several frames", protocol.ErrMalformed)
	}
	if s.dirs == nil {
		switch f.Type {
		case protocol.List, protocol.Read, protocol.Fetch, protocol.Hash:
			return nil, fmt.Errorf("%w: nothing was begun", protocol.ErrMalformed)
		}
	}
	do, err := s.parse(f)
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context, a *answer) error {
		a.kind = f.Type
		return do(ctx, a)
	}, nil
}

func (s *session) parse(f protocol.Frame) (doing, error) {
	switch f.Type {
	case protocol.Hello:
		return with(protocol.ParseHelloRequest, s.hello)(f.Payload)
	case protocol.Begin:
		return with(protocol.ParseBeginRequest, s.begin)(f.Payload)
	case protocol.List:
		return with(protocol.ParseListRequest, s.list)(f.Payload)
	case protocol.Read:
		return with(protocol.ParseReadRequest, s.readFiles)(f.Payload)
	case protocol.Fetch:
		return with(protocol.ParseFetchRequest, s.fetch)(f.Payload)
	case protocol.Hash:
		return with(protocol.ParseHashRequest, s.hash)(f.Payload)
	case protocol.StreamStart:
		return with(protocol.ParseStreamStartRequest, s.startStream)(f.Payload)
	case protocol.StreamNext:
		return with(protocol.ParseStreamNextRequest, s.nextOfStream)(f.Payload)
	case protocol.StreamStop:
		return with(protocol.ParseStreamHandle, s.stopStream)(f.Payload)
	case protocol.Inventory:
		return func(_ context.Context, a *answer) error {
			a.buf = inventory().Append(a.buf)
			return nil
		}, nil
	case protocol.Ping:
		return func(context.Context, *answer) error { return nil }, nil
	}
	return nil, fmt.Errorf("%w: a question of type %d", protocol.ErrMalformed, f.Type)
}

// with joins a parser and what answers its message.
func with[M any](parse func([]byte) (*M, error), do func(context.Context, *M, *answer) error) func([]byte) (doing, error) {
	return func(payload []byte) (doing, error) {
		m, err := parse(payload)
		if err != nil {
			return nil, err
		}
		return func(ctx context.Context, a *answer) error { return do(ctx, m, a) }, nil
	}
}

func (s *session) clock() tree.Time { return tree.TimeOf(s.o.Now()) }
