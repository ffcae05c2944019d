package repo

import (
	"context"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/snapkeep/snap/index"
	"github.com/snapkeep/snap/internal/sealed"
	"github.com/snapkeep/snap/pack"
)

// openIndex opens the local copy of the index, which syncIndex brings up to date.
func (r *Repo) openIndex() {
	dir := ""
	if r.opts.CacheDir != "" {
		dir = filepath.Join(r.opts.CacheDir, r.ID(), "index")
	}
	r.cache = index.OpenCache(dir)
	r.set = r.cache.Set()
	r.cache.SetFresh(func(name pack.ID) bool { return r.indexFresh[name] })
	r.cache.SetStored(func(name pack.ID) time.Time { return r.indexStored[name] })
}

// syncIndex brings in the index files that are in the store now, and then the prune records, whose
// packs become void. Whoever reads a snapshot has to list it before, or the packs that it needs may be
// missing.
func (r *Repo) syncIndex(ctx context.Context) error {
	r.indexMu.Lock()
	defer r.indexMu.Unlock()
	return r.syncIndexLocked(ctx)
}

func (r *Repo) syncIndexLocked(ctx context.Context) error {
	from, err := listOnce(ctx, r.store, sealed.Index.Prefix, sealed.Prune.Prefix)
	if err != nil {
		return fmt.Errorf("list index: %w", err)
	}
	return r.syncIndexFrom(ctx, from)
}

// syncIndexFrom is syncIndexLocked with a listing that was made after those of the snapshots. It wants the index files first.
func (r *Repo) syncIndexFrom(ctx context.Context, from lister) error {
	var times map[pack.ID]time.Time
	report, err := r.cache.Sync(ctx, func(ctx context.Context) (_ []pack.ID, err error) {
		if times != nil { // some were merged into others, which from does not show
			if from, err = listOnce(ctx, r.store, sealed.Index.Prefix, sealed.Prune.Prefix); err != nil {
				return nil, err
			}
		}
		times, err = r.listTimes(ctx, from, sealed.Index.Prefix)
		r.indexFresh, r.indexStored = freshIndexes(times), times
		return slices.Collect(maps.Keys(times)), err
	}, r.loadListedIndex)
	if err != nil {
		return fmt.Errorf("load index: %w", err)
	}
	r.indexNames = make(map[pack.ID]bool, len(times))
	for name := range times {
		r.indexNames[name] = true
	}
	r.unlisted.shown(times, report.Damaged)
	r.dropKept(sealed.Index.Prefix, func(id pack.ID) bool { return r.indexNames[id] })
	if err := r.syncPruneRecords(ctx, from); err != nil {
		return err
	}
	r.indexDamage = r.indexDamage[:0]
	for _, d := range report.Damaged {
		r.log.Warn("an index file is damaged and left out", "index", d.Name.String(), "error", d.Err)
		r.indexDamage = append(r.indexDamage, d)
	}
	r.indexLoaded = true
	return nil
}

func (r *Repo) loadIndexFile(ctx context.Context, id pack.ID) ([]byte, error) {
	return loadIndexFrom(ctx, r.records, id)
}

// loadListedIndex loads an index file that a listing shows.
func (r *Repo) loadListedIndex(ctx context.Context, id pack.ID) ([]byte, error) {
	return loadIndexFrom(ctx, r.nearRecords, id)
}

func loadIndexFrom(ctx context.Context, records *sealed.Records, id pack.ID) ([]byte, error) {
	body, err := records.Load(ctx, sealed.Index, id)
	if err != nil && isRecordDamage(err) {
		return nil, fmt.Errorf("%w: %w", index.ErrCorrupt, err)
	}
	return body, err
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
func (r *Repo) listIDs(ctx context.Context, from lister, k sealed.Kind) ([]pack.ID, error) {
	var ids []pack.ID
	err := from.List(ctx, k.Prefix, func(name string, _ int64, _ time.Time) error {
		if id, err := pack.ParseID(strings.TrimPrefix(name, k.Prefix)); err == nil {
			ids = append(ids, id)
		}
		return nil
	})
	return ids, err
}
