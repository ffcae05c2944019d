package s3

import (
	"context"
	"errors"
	"io"
	"io/fs"

	"github.com/snapkeep/snap/internal/store/spool"
)

// Spool implements store.Spooler. The file is sent when it gets its name.
func (s *Store) Spool(ctx context.Context) (io.WriteCloser, func(context.Context, string) error, error) {
	if err := s.check(ctx); err != nil {
		return nil, nil, s.wrap("spool", "", err)
	}
	w := &spooled{store: s, data: s.spools.New()}
	return w, w.commit, nil
}

// spooled is a file being written; commit and Close end it.
type spooled struct {
	store *Store
	data  *spool.Buffer
	ended bool
}

func (w *spooled) Write(p []byte) (int, error) {
	n, err := w.data.Write(p)
	return n, w.store.wrap("spool", "", err)
}

func (w *spooled) commit(ctx context.Context, name string) error {
	if w.ended {
		return w.store.wrap("create", name, fs.ErrClosed)
	}
	w.ended = true
	err := w.store.checkName(ctx, name)
	if err == nil {
		err = w.store.put(ctx, name, w.data)
	}
	return w.store.wrap("create", name, errors.Join(err, w.data.Close()))
}

func (w *spooled) Close() error {
	w.ended = true
	return w.store.wrap("spool", "", w.data.Close())
}
