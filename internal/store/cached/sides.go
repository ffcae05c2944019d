package cached

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"

	"github.com/snapkeep/snap/internal/store"
	"github.com/snapkeep/snap/pack"
)

// Reader returns the side that reads from the folder where it can. What is written through it is not kept.
func (c *Cache) Reader() store.Store { return reader{c.inner, c} }

// reader is the side that reads.
type reader struct {
	store.Store
	c *Cache
}

// ReadAt implements store.Store.
func (r reader) ReadAt(ctx context.Context, name string, p []byte, off int64) (int, error) {
	return r.c.readAt(ctx, name, p, off)
}

// Unwrap implements store.Wrapper.
func (r reader) Unwrap() store.Store { return r.Store }

// Writer returns the side that keeps what is written, and else is the store. It is a store.Spooler if that is one, and then
// has SpoolMeta as well.
func (c *Cache) Writer() store.Store {
	w := writing{c.inner, c}
	if spooler, ok := c.inner.(store.Spooler); ok {
		return spooling{w, spooler}
	}
	return w
}

// writing is the side that writes.
type writing struct {
	store.Store
	c *Cache
}

// Unwrap implements store.Wrapper.
func (w writing) Unwrap() store.Store { return w.Store }

// Create implements store.Store.
func (w writing) Create(ctx context.Context, name string, data io.Reader, size int64) error {
	id, ok := w.c.opts.Named(name)
	if !ok || size < 0 || size > recordBytes {
		return w.Store.Create(ctx, name, data, size)
	}
	file := make([]byte, size)
	n, err := io.ReadFull(data, file)
	if err == nil || err == io.ErrUnexpectedEOF || err == io.EOF {
		err = w.Store.Create(ctx, name, io.MultiReader(bytes.NewReader(file[:n]), data), size)
	}
	if err == nil && pack.SumID(file) == id {
		w.c.folder.put(name, file)
	}
	return err
}

// spooling is the side that writes to a store.Spooler.
type spooling struct {
	writing
	store.Spooler
}

// SpoolMeta is Spool for a file that is to be kept if its name allows that.
func (s spooling) SpoolMeta(ctx context.Context) (io.WriteCloser, func(ctx context.Context, name string) error, error) {
	w, commit, err := s.Spool(ctx)
	if err != nil {
		return nil, nil, err
	}
	both := &twice{w, s.c.folder.begin()}
	return both, func(ctx context.Context, name string) error {
		err := commit(ctx, name)
		if _, ok := s.c.opts.Named(name); ok && (err == nil || errors.Is(err, fs.ErrExist)) {
			both.kept.keep(name) // whoever reads it first compares it with its name
		}
		return err
	}, nil
}

// twice writes to the store and to the folder.
type twice struct {
	io.WriteCloser
	kept *writer
}

func (t *twice) Write(p []byte) (int, error) {
	n, err := t.WriteCloser.Write(p)
	t.kept.write(p[:n])
	return n, err
}

func (t *twice) Close() error {
	t.kept.drop()
	return t.WriteCloser.Close()
}
