package repo

import (
	"context"

	"github.com/snapkeep/snap/pack"
	"golang.org/x/sync/errgroup"
)

// recordsAtOnce is how many small records are loaded at once. Each is a request to the storage: one after the other, thousands would take
// minutes where the storage is far away.
const recordsAtOnce = 16

// loadEach calls load for each of the ids, from several goroutines, and returns what it returned in the order of the ids. It ends at the first
// error.
func loadEach[T any](ctx context.Context, ids []pack.ID, load func(ctx context.Context, id pack.ID) (T, error)) ([]T, error) {
	out := make([]T, len(ids))
	group, groupCtx := errgroup.WithContext(ctx)
	group.SetLimit(recordsAtOnce)
	for i, id := range ids {
		if groupCtx.Err() != nil {
			break
		}
		group.Go(func() (err error) {
			out[i], err = load(groupCtx, id)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	if ctx.Err() != nil { // some may not have been begun
		return nil, context.Cause(ctx)
	}
	return out, nil
}
