package agent

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/signal"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/snapkeep/snap/chunker"
	"github.com/snapkeep/snap/internal/protocol"
	"github.com/snapkeep/snap/internal/tree"
	"golang.org/x/sync/errgroup"
)

// Bounds of what a server can make an agent hold.
const (
	maxRequests = 512     // questions that may wait or be worked on
	maxWaiting  = 8 << 20 // bytes of questions that wait; the next one is read when there is room
	maxStreams  = 8       // that run at once; each holds protocol.MaxStreamPiece at most
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

	greeted, begun  bool
	files, database *chunker.Cutter
	dirs            *dirs         // nil before begin
	large           chan struct{} // has room for the worker that holds a large block

	mu      sync.Mutex // guards what follows
	room    sync.Cond  // bytes became fewer
	waiting int        // questions that are not answered yet
	bytes   int        // of them, as they came
	streams map[uint64]*running
	handle  uint64
}

// job is a question that a worker answers.
type job struct {
	id    uint32
	bytes int
	do    func(ctx context.Context, a *answer) error
}

// Serve answers what comes from in on out until in ends or nobody reads out any more, which are no errors, or ctx ends. All
// that it started has ended when it returns, but for a read of in that was under way when ctx ended. Meanwhile SIGPIPE does
// not end the process, so that a server that goes away does not leave commands behind.
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
	pipes := make(chan os.Signal, 1)
	signal.Notify(pipes, syscall.SIGPIPE) // commands get the default
	defer signal.Stop(pipes)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	group, ctx := errgroup.WithContext(ctx)
	s := &session{o: o, ctx: ctx, out: protocol.NewWriter(paced(ctx, out, o.Policy.RateLimit)), jobs: make(chan job, maxRequests),
		large: make(chan struct{}, 1), streams: map[uint64]*running{}}
	s.room.L = &s.mu
	defer context.AfterFunc(ctx, s.wake)()
	for range o.Workers {
		group.Go(func() error { return s.work(ctx) })
	}
	group.Go(func() error {
		defer close(s.jobs)
		defer cancel() // what is under way is of no use without somebody to read it
		return s.read(s.frames(in), group)
	})
	err := group.Wait()
	if s.dirs != nil {
		s.dirs.close() // or a snapshot that is mounted could not be removed
	}
	s.stopStreams()
	if errors.Is(err, context.Canceled) || errors.Is(err, syscall.EPIPE) {
		return nil
	}
	return err
}

// wake lets the reader notice that the session ends.
func (s *session) wake() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.room.Broadcast()
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
	s.bytes -= j.bytes
	s.room.Signal()
	s.mu.Unlock()
	if a.broken != nil || a.ended {
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
	ended  bool  // the whole answer was sent
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

// end sends the rest of the answer.
func (a *answer) end() error {
	a.ended = true
	a.broken = a.s.write(protocol.Frame{ID: a.id, Type: a.kind | protocol.Answer, Payload: a.buf})
	return a.broken
}

// incoming is a frame, or why no more comes.
type incoming struct {
	protocol.Frame
	err error
}

// frames reads frames, one ahead of their use. The goroutine ends with in or, as far as it does not wait for that, with the
// session.
func (s *session) frames(in io.Reader) <-chan incoming {
	frames := make(chan incoming)
	go func() {
		r := protocol.NewReader(bufio.NewReaderSize(in, 64<<10), protocol.MaxQuestion)
		for {
			f, err := r.Read()
			f.Payload = slices.Clone(f.Payload)
			select {
			case frames <- incoming{f, err}:
			case <-s.ctx.Done():
				return
			}
			if err != nil {
				return
			}
		}
	}()
	return frames
}

// read answers questions until there are no more.
func (s *session) read(frames <-chan incoming, group *errgroup.Group) error {
	first := true
	for {
		var f incoming
		select {
		case f = <-frames:
		case <-s.ctx.Done():
			return nil
		}
		if f.err == io.EOF {
			return nil
		}
		if f.err != nil {
			return f.err
		}
		if first != (f.Type == protocol.Hello) {
			return s.fail(f.ID, fmt.Errorf("%w: the talk begins with one hello", protocol.ErrMalformed))
		}
		first = false
		do, err := s.question(f.Frame)
		if err != nil {
			if err := s.fail(f.ID, err); err != nil {
				return err
			}
			continue
		}
		if err := s.dispatch(job{f.ID, len(f.Payload), do}, f.Type, group); err != nil || !s.greeted {
			return err // a server that was refused has been told why
		}
	}
}

// dispatch has a question answered: at once, by a worker, or beside them.
func (s *session) dispatch(j job, t protocol.Type, group *errgroup.Group) error {
	s.mu.Lock()
	for s.waiting > 0 && s.bytes+j.bytes > maxWaiting && s.ctx.Err() == nil {
		s.room.Wait()
	}
	s.waiting++
	s.bytes += j.bytes
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

// question returns what answers a question. Those that workers answer are parsed when it is their turn.
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
	do := s.answerOf(f.Type)
	if do == nil {
		return nil, fmt.Errorf("%w: a question of type %d", protocol.ErrMalformed, f.Type)
	}
	return func(ctx context.Context, a *answer) error {
		a.kind = f.Type
		return do(ctx, f.Payload, a)
	}, nil
}

// answering parses a question and answers it.
type answering func(ctx context.Context, payload []byte, a *answer) error

// answerOf returns what answers questions of a type, nil for an unknown one.
func (s *session) answerOf(t protocol.Type) answering {
	switch t {
	case protocol.Hello:
		return with(protocol.ParseHelloRequest, s.hello)
	case protocol.Begin:
		return with(protocol.ParseBeginRequest, s.begin)
	case protocol.List:
		return with(protocol.ParseListRequest, s.list)
	case protocol.Read:
		return with(protocol.ParseReadRequest, s.readFiles)
	case protocol.Fetch:
		return with(protocol.ParseFetchRequest, s.fetch)
	case protocol.Hash:
		return with(protocol.ParseHashRequest, s.hash)
	case protocol.StreamStart:
		return with(protocol.ParseStreamStartRequest, s.startStream)
	case protocol.StreamNext:
		return with(protocol.ParseStreamNextRequest, s.nextOfStream)
	case protocol.StreamStop:
		return with(protocol.ParseStreamHandle, s.stopStream)
	case protocol.Inventory:
		return with(protocol.ParseEmpty, func(_ context.Context, _ *protocol.Empty, a *answer) error {
			a.buf = inventory().Append(a.buf)
			return nil
		})
	case protocol.Ping:
		return with(protocol.ParseEmpty, func(context.Context, *protocol.Empty, *answer) error { return nil })
	}
	return nil
}

// with joins a parser and what answers its message.
func with[M any](parse func([]byte) (*M, error), do func(context.Context, *M, *answer) error) answering {
	return func(ctx context.Context, payload []byte, a *answer) error {
		m, err := parse(payload)
		if err != nil {
			return err
		}
		return do(ctx, m, a)
	}
}

func (s *session) clock() tree.Time { return tree.TimeOf(s.o.Now()) }
