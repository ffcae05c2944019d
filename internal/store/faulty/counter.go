package faulty

import (
	"context"
	"io"
	"sync/atomic"
	"time"

	"github.com/snapkeep/snap/internal/store"
)

// Counts is how often each kind of operation was asked for, whether or not it
// succeeded, and how much passed.
type Counts struct {
	Create, ReadAt, List, Remove, Stat, Spool, Commit int64

	// Listed is how many files the listings gave.
	Listed int64
	// BytesRead is what ReadAt gave.
	BytesRead int64
	// BytesWritten is what was taken from the data of Create, and what was
	// written to files without a name.
	BytesWritten int64
}

// Counter counts what is asked of the stores it wraps. The zero value is ready
// for use.
type Counter struct {
	create, readAt, list, remove, stat, spool, commit atomic.Int64
	listed, bytesRead, bytesWritten                   atomic.Int64
}

// Counts returns the counts so far.
func (c *Counter) Counts() Counts {
	return Counts{
		Create:       c.create.Load(),
		ReadAt:       c.readAt.Load(),
		List:         c.list.Load(),
		Remove:       c.remove.Load(),
		Stat:         c.stat.Load(),
		Spool:        c.spool.Load(),
		Commit:       c.commit.Load(),
		Listed:       c.listed.Load(),
		BytesRead:    c.bytesRead.Load(),
		BytesWritten: c.bytesWritten.Load(),
	}
}

// Since returns the difference to earlier counts.
func (c Counts) Since(earlier Counts) Counts {
	return Counts{
		Create:       c.Create - earlier.Create,
		ReadAt:       c.ReadAt - earlier.ReadAt,
		List:         c.List - earlier.List,
		Remove:       c.Remove - earlier.Remove,
		Stat:         c.Stat - earlier.Stat,
		Spool:        c.Spool - earlier.Spool,
		Commit:       c.Commit - earlier.Commit,
		Listed:       c.Listed - earlier.Listed,
		BytesRead:    c.BytesRead - earlier.BytesRead,
		BytesWritten: c.BytesWritten - earlier.BytesWritten,
	}
}

// Wrap returns a store whose operations are counted.
func (c *Counter) Wrap(s store.Store) store.Store {
	return store.WithSpool(&counted{inner: s, counter: c}, s, func(inner store.Spooler) store.SpoolFunc {
		return func(ctx context.Context) (io.WriteCloser, func(context.Context, string) error, error) {
			c.spool.Add(1)
			w, commit, err := inner.Spool(ctx)
			if err != nil {
				return nil, nil, err
			}
			return &countedSpool{w, c}, func(ctx context.Context, name string) error {
				c.commit.Add(1)
				return commit(ctx, name)
			}, nil
		}
	})
}

type counted struct {
	inner   store.Store
	counter *Counter
}

func (s *counted) Create(ctx context.Context, name string, data io.Reader, size int64) error {
	s.counter.create.Add(1)
	return s.inner.Create(ctx, name, &countedReader{data, s.counter}, size)
}

type countedReader struct {
	data    io.Reader
	counter *Counter
}

func (r *countedReader) Read(p []byte) (int, error) {
	n, err := r.data.Read(p)
	r.counter.bytesWritten.Add(int64(n))
	return n, err
}

func (s *counted) ReadAt(ctx context.Context, name string, p []byte, off int64) (int, error) {
	s.counter.readAt.Add(1)
	n, err := s.inner.ReadAt(ctx, name, p, off)
	s.counter.bytesRead.Add(int64(n))
	return n, err
}

func (s *counted) List(ctx context.Context, prefix string, fn func(string, int64, time.Time) error) error {
	s.counter.list.Add(1)
	return s.inner.List(ctx, prefix, func(name string, size int64, modTime time.Time) error {
		s.counter.listed.Add(1)
		return fn(name, size, modTime)
	})
}

func (s *counted) Remove(ctx context.Context, name string) error {
	s.counter.remove.Add(1)
	return s.inner.Remove(ctx, name)
}

func (s *counted) Stat(ctx context.Context, name string) (int64, time.Time, error) {
	s.counter.stat.Add(1)
	return s.inner.Stat(ctx, name)
}

func (s *counted) Close() error { return s.inner.Close() }

type countedSpool struct {
	io.WriteCloser
	counter *Counter
}

func (w *countedSpool) Write(p []byte) (int, error) {
	n, err := w.WriteCloser.Write(p)
	w.counter.bytesWritten.Add(int64(n))
	return n, err
}
