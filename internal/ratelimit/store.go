package ratelimit

import (
	"context"
	"io"
	"time"

	"github.com/snapkeep/snap/internal/store"
)

// Wrap returns a store that writes to s no faster than upload allows and reads
// from it no faster than download does. Either may be nil. The store is a
// store.Spooler if s is one.
//
// Only the contents of files count. Data that can seek still can as seen by s,
// since some stores then send it in parts that they can repeat; what is sent
// again counts again.
func Wrap(s store.Store, upload, download *Limiter) store.Store {
	if upload == nil && download == nil {
		return s
	}
	outer := &limited{inner: s, upload: upload, download: download}
	return store.WithSpool(outer, s, func(inner store.Spooler) store.SpoolFunc {
		return func(ctx context.Context) (io.WriteCloser, func(context.Context, string) error, error) {
			w, commit, err := inner.Spool(ctx)
			if err != nil {
				return nil, nil, err
			}
			return &spool{WriteCloser: w, ctx: ctx, upload: upload}, commit, nil
		}
	})
}

type limited struct {
	inner            store.Store
	upload, download *Limiter
}

func (s *limited) Create(ctx context.Context, name string, data io.Reader, size int64) error {
	r := &reader{ctx: ctx, data: data, upload: s.upload}
	if seeker, ok := data.(io.Seeker); ok {
		return s.inner.Create(ctx, name, readSeeker{r, seeker}, size)
	}
	return s.inner.Create(ctx, name, r, size)
}

// ReadAt reads p in parts and waits after each until it may pass.
func (s *limited) ReadAt(ctx context.Context, name string, p []byte, off int64) (int, error) {
	total := 0
	for {
		part := p[total:]
		part = part[:s.download.part(len(part))]
		n, err := s.inner.ReadAt(ctx, name, part, off+int64(total))
		if err := s.download.Wait(ctx, n); err != nil {
			return total, err
		}
		total += n
		if err == io.EOF && n == len(part) && total < len(p) {
			err = nil // the next part, of which there is nothing, gives the error
		}
		if err != nil || total == len(p) {
			return total, err
		}
	}
}

func (s *limited) List(ctx context.Context, prefix string, fn func(name string, size int64, modTime time.Time) error) error {
	return s.inner.List(ctx, prefix, fn)
}

func (s *limited) Remove(ctx context.Context, name string) error { return s.inner.Remove(ctx, name) }

func (s *limited) Stat(ctx context.Context, name string) (int64, time.Time, error) {
	return s.inner.Stat(ctx, name)
}

func (s *limited) Close() error { return s.inner.Close() }

// Unwrap implements store.Wrapper.
func (s *limited) Unwrap() store.Store { return s.inner }

// reader is the data of a Create. It keeps a context because it lives only
// within the call whose context that is.
type reader struct {
	ctx    context.Context
	data   io.Reader
	upload *Limiter
}

// Read reads and then waits until what it has may pass.
func (r *reader) Read(p []byte) (int, error) {
	n, err := r.data.Read(p[:r.upload.part(len(p))])
	if n > 0 {
		if err := r.upload.Wait(r.ctx, n); err != nil {
			return 0, err
		}
	}
	return n, err
}

type readSeeker struct {
	*reader
	io.Seeker
}

// spool is a file without a name. It keeps the context of Spool because Write
// has none.
type spool struct {
	io.WriteCloser
	ctx    context.Context
	upload *Limiter
}

func (w *spool) Write(p []byte) (int, error) {
	total := 0
	for total < len(p) {
		part := p[total:]
		part = part[:w.upload.part(len(part))]
		if err := w.upload.Wait(w.ctx, len(part)); err != nil {
			return total, err
		}
		n, err := w.WriteCloser.Write(part)
		total += n
		if err != nil {
			return total, err
		}
	}
	return total, nil
}
