package repo

import (
	"context"
	"errors"
	"io/fs"
	"sync"
	"time"

	"github.com/snapkeep/snap/internal/chunks"
	"github.com/snapkeep/snap/internal/tree"
	"github.com/snapkeep/snap/pack"
)

// maxRenewal bounds how long ago an index was brought up to date in vain before that is tried again.
const maxRenewal = 5 * time.Minute

// renewal brings the index up to date when a pack is gone. A prune may have copied what was in it since the index was loaded: who shows
// snapshots for weeks, or restores for days, goes on with the copy.
type renewal struct {
	mu     sync.Mutex // held while the index is brought up to date; guards what follows
	at     time.Time  // when that was done last
	vain   time.Duration
	rounds int64 // how often it was done
}

// isGone reports whether an error says that something is not in the store which the index has.
func isGone(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, chunks.ErrMissing)
}

// round returns how often the index was brought up to date.
func (n *renewal) round() int64 {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.rounds
}

// renew brings the index up to date, unless that was done since the round that the caller has looked at, or lately and in vain. It reports whether to look again.
func (r *Repo) renew(ctx context.Context, round int64) bool {
	n := &r.renewal
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.rounds != round {
		return true
	}
	if !n.at.IsZero() && time.Since(n.at) < n.vain {
		return false
	}
	err := r.syncIndex(ctx)
	n.at, n.vain = time.Now(), min(max(2*n.vain, time.Second), maxRenewal)
	n.rounds++
	if err != nil {
		r.log.Warn("the index cannot be brought up to date", "error", err)
	}
	return err == nil
}

// helped notes that the index that was brought up to date has what was looked for.
func (n *renewal) helped() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.vain = 0
}

// renewing returns a function that loads what load does, with an index that is brought up to date if a pack is gone. Its errors
// do not satisfy errors.Is(err, fs.ErrNotExist), which says of a path that a snapshot does not have it.
func (r *Repo) renewing(load tree.LoadPage) tree.LoadPage {
	return func(ctx context.Context, kind pack.Kind, id pack.ChunkID) ([]byte, error) {
		round := r.renewal.round()
		data, err := load(ctx, kind, id)
		if err == nil || ctx.Err() != nil || !isGone(err) {
			return data, err
		}
		if r.renew(ctx, round) {
			if data, again := load(ctx, kind, id); again == nil {
				r.renewal.helped()
				return data, nil
			}
		}
		return nil, &lost{err}
	}
}

// read is load for those who look at a snapshot.
func (r *Repo) read(ctx context.Context, kind pack.Kind, id pack.ChunkID) ([]byte, error) {
	return r.renewing(r.load)(ctx, kind, id)
}

// lost is an error of a store that has not what it should have.
type lost struct{ err error }

func (l *lost) Error() string { return l.err.Error() }

// Is hides that a file does not exist, and nothing else.
func (l *lost) Is(target error) bool { return target != fs.ErrNotExist && errors.Is(l.err, target) }
