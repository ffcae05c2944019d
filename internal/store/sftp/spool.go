package sftp

import (
	"context"
	"io"

	"github.com/snapkeep/snap/internal/store/spool"
)

// Spool implements store.Spooler. The file is sent when it gets its name.
func (s *Store) Spool(ctx context.Context) (io.WriteCloser, func(context.Context, string) error, error) {
	if ctx.Err() != nil {
		return nil, nil, s.wrap("spool", "", context.Cause(ctx))
	}
	w, commit := s.spools.Unnamed(spool.Sender{Put: s.storeNamed, Wrap: s.wrap})
	return w, commit, nil
}

func (s *Store) storeNamed(ctx context.Context, name string, data *spool.Buffer) error {
	if err := s.checkName(ctx, name); err != nil {
		return err
	}
	return s.store(ctx, name, data)
}
