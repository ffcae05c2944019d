package chunks

import (
	"context"
	"io"
)

// NewSpool starts a file in store whose name is not yet known. commit makes it durable under one; Close of w without
// commit drops it. A store that cannot do that itself is helped with memory.
func NewSpool(ctx context.Context, store Store) (w io.WriteCloser, commit func(ctx context.Context, name string) error, err error) {
	s, err := newSpool(ctx, store)
	return s.w, s.commit, err
}
