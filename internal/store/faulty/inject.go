package faulty

import (
	"context"
	"io"
	"sync"
	"time"

	"github.com/snapkeep/snap/internal/store"
)

// Fault says which operations fail, and how.
type Fault struct {
	// Class are the kinds of operations that count and fail.
	Class Class
	// Name, if not nil, is asked whether operations on a file count. Spool and
	// SpoolWrite are operations on the empty name, List on its prefix.
	Name func(name string) bool
	// After is how many operations pass before the first one fails.
	After int
	// Times is how many fail: 0 stands for 1, and a negative number for all
	// that follow.
	Times int
	// Err is the error. It is required.
	Err error
	// Bytes is how much of the data of a Create, ReadAt or SpoolWrite passes
	// before the error. With 0 the operation is not begun.
	Bytes int64
	// LoseReply lets the operation take its effect before it fails, as if the
	// answer of the storage had been lost. Bytes is ignored.
	LoseReply bool
}

// Injector makes operations fail. All stores it wraps count together.
type Injector struct {
	mu     sync.Mutex
	faults []*pendingFault // guarded by mu, as is all below
	seen   int
	fired  int
}

// pendingFault is a Fault and how many operations it has seen.
type pendingFault struct {
	Fault
	seen int
}

// NewInjector returns an Injector of the given faults. If several are due, the
// first one is taken; each of them counts every operation of its class.
func NewInjector(faults ...Fault) *Injector {
	in := &Injector{}
	for _, fault := range faults {
		if fault.Err == nil {
			panic("faulty: a Fault needs an error")
		}
		in.faults = append(in.faults, &pendingFault{Fault: fault})
	}
	return in
}

// Seen returns how many operations there were, of whatever class.
func (in *Injector) Seen() int {
	in.mu.Lock()
	defer in.mu.Unlock()
	return in.seen
}

// Fired returns how many operations were made to fail. A sweep that fails the
// k-th operation for growing k ends when this is 0.
func (in *Injector) Fired() int {
	in.mu.Lock()
	defer in.mu.Unlock()
	return in.fired
}

// next returns the fault of the operation that begins, or nil.
func (in *Injector) next(class Class, name string) *Fault {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.seen++
	var due *Fault
	for _, f := range in.faults {
		if f.Class&class == 0 || f.Name != nil && !f.Name(name) {
			continue
		}
		f.seen++
		last := f.After + max(f.Times, 1)
		if f.seen > f.After && (f.Times < 0 || f.seen <= last) && due == nil {
			due = &f.Fault
		}
	}
	if due != nil {
		in.fired++
	}
	return due
}

// Wrap returns a store whose operations fail as the faults say.
func (in *Injector) Wrap(s store.Store) store.Store {
	outer := &injected{in: in, inner: s}
	return store.WithSpool(outer, s, func(inner store.Spooler) store.SpoolFunc {
		return func(ctx context.Context) (io.WriteCloser, func(context.Context, string) error, error) {
			return in.spool(ctx, inner)
		}
	})
}

// whole runs an operation that fails as a whole.
func (in *Injector) whole(class Class, name string, run func() error) error {
	fault := in.next(class, name)
	if fault == nil {
		return run()
	}
	if fault.LoseReply {
		if err := run(); err != nil {
			return err
		}
	}
	return fault.Err
}

type injected struct {
	in    *Injector
	inner store.Store
}

func (s *injected) Create(ctx context.Context, name string, data io.Reader, size int64) error {
	fault := s.in.next(Create, name)
	switch {
	case fault == nil:
		return s.inner.Create(ctx, name, data, size)
	case fault.LoseReply:
		if err := s.inner.Create(ctx, name, data, size); err != nil {
			return err
		}
	case fault.Bytes > 0:
		cut := io.MultiReader(io.LimitReader(data, min(fault.Bytes, size)), failingReader{fault.Err})
		return s.inner.Create(ctx, name, cut, size)
	}
	return fault.Err
}

// failingReader fails each Read.
type failingReader struct{ err error }

func (r failingReader) Read([]byte) (int, error) { return 0, r.err }

func (s *injected) ReadAt(ctx context.Context, name string, p []byte, off int64) (int, error) {
	fault := s.in.next(ReadAt, name)
	if fault == nil {
		return s.inner.ReadAt(ctx, name, p, off)
	}
	if fault.Bytes == 0 || fault.LoseReply {
		return 0, fault.Err
	}
	n, err := s.inner.ReadAt(ctx, name, p[:min(int64(len(p)), fault.Bytes)], off)
	if err != nil {
		return n, err
	}
	return n, fault.Err
}

func (s *injected) List(ctx context.Context, prefix string, fn func(string, int64, time.Time) error) error {
	return s.in.whole(List, prefix, func() error { return s.inner.List(ctx, prefix, fn) })
}

func (s *injected) Remove(ctx context.Context, name string) error {
	return s.in.whole(Remove, name, func() error { return s.inner.Remove(ctx, name) })
}

func (s *injected) Stat(ctx context.Context, name string) (size int64, modTime time.Time, err error) {
	err = s.in.whole(Stat, name, func() error {
		size, modTime, err = s.inner.Stat(ctx, name)
		return err
	})
	if err != nil {
		return 0, time.Time{}, err
	}
	return size, modTime, nil
}

func (s *injected) Close() error { return s.inner.Close() }

func (in *Injector) spool(ctx context.Context, inner store.Spooler) (io.WriteCloser, func(context.Context, string) error, error) {
	if fault := in.next(Spool, ""); fault != nil {
		return nil, nil, fault.Err
	}
	w, commit, err := inner.Spool(ctx)
	if err != nil {
		return nil, nil, err
	}
	failing := func(ctx context.Context, name string) error {
		return in.whole(Commit, name, func() error { return commit(ctx, name) })
	}
	return &injectedSpool{WriteCloser: w, in: in}, failing, nil
}

type injectedSpool struct {
	io.WriteCloser
	in *Injector
}

func (w *injectedSpool) Write(p []byte) (int, error) {
	fault := w.in.next(SpoolWrite, "")
	if fault == nil {
		return w.WriteCloser.Write(p)
	}
	part := min(int64(len(p)), fault.Bytes)
	if fault.LoseReply {
		part = int64(len(p))
	}
	n, err := w.WriteCloser.Write(p[:part])
	if err != nil {
		return n, err
	}
	return n, fault.Err
}
