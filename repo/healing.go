package repo

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"time"

	"github.com/snapkeep/snap/pack"
)

// remoteStore is a Store that may be slow to list thousands of files.
type remoteStore interface{ Remote() bool }

// partsLife is how long backups of one run rely on one listing of all packs.
const partsLife = 15 * time.Minute

// partsCheck is what a look at all packs told, for the backups of one run.
type partsCheck struct {
	turn chan struct{} // held while packs are looked at; guards what follows

	began   time.Time // when the listing began, zero if there was none
	lost    bool
	indexes map[pack.ID]bool // index files whose packs were looked for
	prunes  map[pack.ID]bool // prune records that were known before
}

// checkParts reports whether packs are known to be lost, so that a backup has to look for the parts of files that did not
// change. It looks for packs that are missing: an index file that was merged away meanwhile may name some. Their rows become void.
//
// It is called behind a look at index files and prune records. With OneRun all packs are listed once in partsLife, and backups that begin meanwhile wait
// for that. A prune removes no pack that was there then, as long as there is no prune record that was not known before the listing: it condemns a pack by
// a record before, and a record goes only when a later one stays that clears it. Whoever sleeps on the way, and whatever clocks say, it takes another
// listing then. Packs of index files that came since are looked for one by one, but for those that this Repo has stored, which
// were there when their index file was. What may go unnoticed is a pack that the storage has lost within that time: it may as well lose it right behind a listing, and the next one
// finds it. What a commit makes sure of when it saw others' work (11.3 in docs/format.md) is made sure of by a listing of its own.
// early is a listing of packs; nil makes one if it is needed.
func (r *Repo) checkParts(ctx context.Context, early *shown) (bool, error) {
	if !r.opts.OneRun {
		return r.findLost(ctx, early)
	}
	c := &r.parts
	select {
	case c.turn <- struct{}{}:
		defer func() { <-c.turn }()
	case <-ctx.Done():
		return false, context.Cause(ctx)
	}
	r.indexMu.Lock()
	indexes, prunes := r.indexNames, r.pruneNames
	r.indexMu.Unlock()
	if age := r.now().Sub(c.began); c.began.IsZero() || age < 0 || age >= partsLife || !within(prunes, c.prunes) {
		began := r.now()
		lost, err := r.findLost(ctx, early)
		if err != nil {
			return false, err
		}
		c.began, c.lost, c.indexes, c.prunes = began, lost, maps.Clone(indexes), prunes
		return lost, nil
	}
	lost, err := r.findLostOf(ctx, func(name pack.ID) bool { return indexes[name] && !c.indexes[name] && !r.unlisted.isOwn(name) })
	if err != nil {
		return false, err
	}
	c.lost = c.lost || lost
	maps.Copy(c.indexes, indexes)
	return c.lost, nil
}

// within reports whether all of some are among others.
func within(some, others map[pack.ID]bool) bool {
	for id := range some {
		if !others[id] {
			return false
		}
	}
	return true
}

// findLost reports whether packs are known to be lost, by a listing of all; if early is nil it makes one.
func (r *Repo) findLost(ctx context.Context, early *shown) (bool, error) {
	var from lister = early
	if early == nil {
		var err error
		if from, err = listOnce(ctx, r.store, "data/", "meta/"); err != nil {
			return false, fmt.Errorf("list packs: %w", err)
		}
	}
	packs, err := r.listPacks(ctx, from)
	if err != nil {
		return false, fmt.Errorf("list packs: %w", err)
	}
	lost, err := r.lostPacks(ctx, packs)
	if err != nil {
		return false, fmt.Errorf("look for packs: %w", err)
	}
	if len(lost) > 0 {
		r.giveUp(lost)
		return true, nil
	}
	for _, p := range r.pruneRecords() {
		if len(p.Lost) > 0 {
			return true, nil
		}
	}
	return false, nil
}

// findLostOf looks for the packs of some index files one by one, and reports whether one is lost.
func (r *Repo) findLostOf(ctx context.Context, some func(index pack.ID) bool) (bool, error) {
	named := map[pack.ID]bool{}
	for _, id := range r.cache.Listings(some) {
		named[id] = true
	}
	var lost []pack.ID
	for id := range named {
		p, ok := r.set.Pack(id)
		if !ok || p.Condemned {
			continue
		}
		_, _, err := r.store.Stat(ctx, pack.Name(p.Class, id))
		if errors.Is(err, fs.ErrNotExist) {
			lost = append(lost, id)
		} else if err != nil {
			return false, fmt.Errorf("look for packs: %w", err)
		}
	}
	if len(lost) > 0 {
		r.giveUp(lost)
	}
	return len(lost) > 0, nil
}

// giveUp makes the rows of packs void that are lost.
func (r *Repo) giveUp(lost []pack.ID) {
	r.log.Warn("packs are missing; what they held is read again where the source still has it", "packs", len(lost))
	r.set.Condemn(lost...)
}
