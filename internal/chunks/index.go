package chunks

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/snapkeep/snap/index"
	"github.com/snapkeep/snap/internal/sealed"
	"github.com/snapkeep/snap/pack"
)

// ErrGone says that a pack is not there any more which a run has written and not yet named in an index file: the run was asleep for so
// long that a prune took the pack for a leftover.
var ErrGone = errors.New("what this run has written was removed meanwhile")

// SaveIndex stores an index file of packs that were written lately. It makes sure that they are there when the file is: a prune that comes
// later knows them by the file. The error wraps ErrGone if they are not, and then the file is removed.
func SaveIndex(ctx context.Context, store Store, records *sealed.Records, file index.File) (pack.ID, error) {
	id, err := records.Save(ctx, sealed.Index, index.Encode(file))
	if err != nil {
		return id, err
	}
	for _, p := range file.Packs {
		_, _, err := store.Stat(ctx, pack.Name(p.Class, p.ID))
		if err == nil {
			continue
		}
		if errors.Is(err, fs.ErrNotExist) {
			err = fmt.Errorf("%w: pack %s", ErrGone, p.ID)
		}
		if r, ok := store.(remover); ok {
			err = errors.Join(err, r.Remove(context.WithoutCancel(ctx), sealed.Index.Prefix+id.String()))
		}
		return id, err
	}
	return id, nil
}

// remover is a Store that removes files.
type remover interface {
	Remove(ctx context.Context, name string) error
}
