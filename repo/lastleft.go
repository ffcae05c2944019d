package repo

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/snapkeep/snap/internal/sealed"
	"github.com/snapkeep/snap/internal/snapshot"
)

// fewLeft is how many snapshots a source has at most, by what a run has seen before it forgot others of it, for the run to look once more. Nobody
// is taken to forget more than that of one source in the same moment, but by a rule, which leaves the newest.
const fewLeft = 8

// lastTimeout is how long a run that was cut off takes for that.
const lastTimeout = 30 * time.Second

// outlasting returns a context that ends some time after another. The caller cancels it.
func outlasting(ctx context.Context, by time.Duration) (context.Context, context.CancelFunc) {
	longer, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() {
		select {
		case <-time.After(by):
			cancel()
		case <-longer.Done():
		}
	})
	return longer, func() {
		stop()
		cancel()
	}
}

// bringLastBack looks whether the sources of the snapshots in gone, which were moved to the trash, have any left: somebody else may have forgotten
// the others in the same moment, and found these. Then it brings back the newest of the source. Of two that do so the later one sees what both
// have done. all is what there was before. It returns the snapshots that are back, with an error that wraps ErrLastOfSource.
func (r *Repo) bringLastBack(ctx context.Context, all []*Snapshot, gone []SnapshotID) (back []SnapshotID, err error) {
	doubtful := doubtfulSources(all, gone)
	if len(doubtful) == 0 {
		return nil, nil
	}
	ctx, cancel := outlasting(ctx, lastTimeout)
	defer cancel()
	stand, err := r.listTimes(ctx, r.store, sealed.Snapshot.Prefix)
	if err != nil {
		return nil, err
	}
	for _, s := range all {
		if _, ok := stand[s.ID]; ok {
			delete(doubtful, s.Source)
		}
	}
	if len(doubtful) == 0 {
		return nil, nil
	}
	w, err := r.beginWriting(ctx)
	if err != nil {
		return nil, err
	}
	var errs []error
	for _, s := range doubtful {
		if err := r.undelete(ctx, w, s.ID); err != nil {
			errs = append(errs, fmt.Errorf("bring back snapshot %s, the last of %q: %w", short(s.ID), string(s.SourceName), err))
			continue
		}
		back = append(back, s.ID)
		errs = append(errs, fmt.Errorf("snapshot %s was brought back, somebody has forgotten the others meanwhile: %w: %q", short(s.ID), ErrLastOfSource, string(s.SourceName)))
	}
	return back, errors.Join(errs...)
}

// doubtfulSources returns the newest snapshot in gone of each source that has few others.
func doubtfulSources(all []*Snapshot, gone []SnapshotID) map[snapshot.SourceID]*Snapshot {
	went := make(map[SnapshotID]bool, len(gone))
	for _, id := range gone {
		went[id] = true
	}
	newest, left := map[snapshot.SourceID]*Snapshot{}, map[snapshot.SourceID]int{}
	for _, s := range all {
		if !went[s.ID] {
			left[s.Source]++
		} else if n := newest[s.Source]; n == nil || n.Sequence < s.Sequence {
			newest[s.Source] = s
		}
	}
	for source, n := range left {
		if n > fewLeft {
			delete(newest, source)
		}
	}
	return newest
}
