package repo

import (
	"context"
	"fmt"
)

// remoteStore is a Store that may be slow to list thousands of files.
type remoteStore interface{ Remote() bool }

// checkParts reports whether packs are known to be lost, so that a backup has to look for the parts of files that did not
// change. It looks for packs that are missing: an index file that was merged away meanwhile may name some. Their rows become void.
// early is a listing of packs; nil makes one.
func (r *Repo) checkParts(ctx context.Context, early *shown) (bool, error) {
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
		r.log.Warn("packs are missing; what they held is read again where the source still has it", "packs", len(lost))
		r.set.Condemn(lost...)
		return true, nil
	}
	for _, p := range r.pruneRecords() {
		if len(p.Lost) > 0 {
			return true, nil
		}
	}
	return false, nil
}
