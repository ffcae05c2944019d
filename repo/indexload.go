package repo

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/snapkeep/snap/index"
	"github.com/snapkeep/snap/internal/sealed"
	"github.com/snapkeep/snap/pack"
)

// openIndex makes the empty set that syncIndex fills.
func (r *Repo) openIndex() { r.set = index.NewSet() }

func (r *Repo) closeCache() error { return nil }

// syncIndex brings in the index files that are in the store now. Whoever reads a
// snapshot has to list it before, or the packs that it needs may be missing.
func (r *Repo) syncIndex(ctx context.Context) error {
	r.indexMu.Lock()
	defer r.indexMu.Unlock()
	ids, err := r.listIDs(ctx, sealed.Index)
	if err != nil {
		return fmt.Errorf("list index: %w", err)
	}
	for _, id := range ids {
		body, err := r.records.Load(ctx, sealed.Index, id)
		if err != nil {
			return fmt.Errorf("load index: %w", err)
		}
		f, err := index.Decode(body)
		if err != nil {
			return fmt.Errorf("load index %s: %w", id, err)
		}
		for _, p := range f.Packs {
			r.set.Add(p)
		}
	}
	r.indexLoaded = true
	return nil
}

// needIndex loads the index unless that was done.
func (r *Repo) needIndex(ctx context.Context) error {
	r.indexMu.Lock()
	loaded := r.indexLoaded
	r.indexMu.Unlock()
	if loaded {
		return nil
	}
	return r.syncIndex(ctx)
}

// listIDs returns the names of all records of a kind. Other files are ignored.
func (r *Repo) listIDs(ctx context.Context, k sealed.Kind) ([]pack.ID, error) {
	var ids []pack.ID
	err := r.store.List(ctx, k.Prefix, func(name string, _ int64, _ time.Time) error {
		if id, err := pack.ParseID(strings.TrimPrefix(name, k.Prefix)); err == nil {
			ids = append(ids, id)
		}
		return nil
	})
	return ids, err
}
