package mem

import (
	"context"
	"io"
	"io/fs"
)

// Spool implements store.Spooler.
func (s *Store) Spool(ctx context.Context) (io.WriteCloser, func(context.Context, string) error, error) {
	if ctx.Err() != nil {
		return nil, nil, &fs.PathError{Op: "spool", Path: "", Err: context.Cause(ctx)}
	}
	w := &spool{store: s}
	return w, w.commit, nil
}

// spool is a file being written; commit and Close end it.
type spool struct {
	store *Store
	data  []byte
	ended bool
}

func (w *spool) Write(p []byte) (int, error) {
	if w.ended {
		return 0, fs.ErrClosed
	}
	w.data = append(w.data, p...)
	return len(p), nil
}

func (w *spool) commit(ctx context.Context, name string) error {
	if w.ended {
		return &fs.PathError{Op: "create", Path: name, Err: fs.ErrClosed}
	}
	data := w.data
	w.data, w.ended = nil, true
	if err := check(ctx, "create", name); err != nil {
		return err
	}
	return w.store.put(name, data)
}

func (w *spool) Close() error {
	w.data, w.ended = nil, true
	return nil
}
