package chunks

import (
	"context"
	"io"

	"github.com/snapkeep/snap/pack"
)

// NewSpool starts a pack of a class in store whose name is not yet known. commit makes it durable under one; Close of w without
// commit drops it. A store that cannot do that itself is helped with memory.
func NewSpool(ctx context.Context, store Store, class pack.Class) (w io.WriteCloser, commit func(ctx context.Context, name string) error, err error) {
	s, err := newSpool(ctx, store, class)
	return s.w, s.commit, err
}
