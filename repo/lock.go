package repo

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/snapkeep/snap/internal/retention"
	"github.com/snapkeep/snap/internal/sealed"
	"github.com/snapkeep/snap/internal/store"
)

// Errors of locks.
var (
	// ErrCannotLock says that the storage has no Object Lock.
	ErrCannotLock = errors.New("the storage has no Object Lock")
	// ErrNotLocked says that the settings ask for no locks.
	ErrNotLocked = errors.New("the settings ask for no Object Lock")
	// ErrHidden says that files which snapshots need were removed, though their versions are there.
	ErrHidden = errors.New("files that snapshots need were removed")
	// ErrMayNotRemove says that the credentials may not remove files.
	ErrMayNotRemove = errors.New("these credentials may not remove files")
)

// ObjectLock says how files are locked in a store that can do so, so that nobody can remove them for a while.
type ObjectLock struct {
	Mode string `json:"mode"` // governance or compliance
	Days int    `json:"days"` // from 1 to 3,650: for how long at least; a quarter more at most
}

// Limits of locks.
const (
	maxLockDays = 3650
	// maxLockAhead bounds how far ahead a policy lets files be locked. Later runs extend.
	maxLockAhead = 800 * 24 * time.Hour
	// lockSlack is the part of the minimum for which files are locked beyond what is needed, so that not every run has to extend every lock.
	lockSlack   = 4
	locksAtOnce = 16 // requests
)

func (o *ObjectLock) validate() error {
	if o == nil {
		return nil
	}
	if o.Mode != "governance" && o.Mode != "compliance" {
		return fmt.Errorf("lock mode %q: want governance or compliance", o.Mode)
	}
	if o.Days < 1 || o.Days > maxLockDays {
		return fmt.Errorf("lock of %d days: want 1 to %d", o.Days, maxLockDays)
	}
	return nil
}

func (o *ObjectLock) period() time.Duration { return time.Duration(o.Days) * 24 * time.Hour }

func (o *ObjectLock) slack() time.Duration { return o.period() / lockSlack }

// lockStore is a Store that can lock the versions of files.
type lockStore interface {
	LockNew(mode string, period time.Duration, exempt func(name string) bool) error
	CanLock(ctx context.Context) (bool, error)
	LockedUntil(ctx context.Context, name, version string) (until time.Time, mode string, err error)
	Lock(ctx context.Context, name, version, mode string, until time.Time) error
	Versions(ctx context.Context, prefix string, fn func(name string, v store.Version) error) error
	RemoveVersion(ctx context.Context, name, version string) error
}

// neverLocked reports whether a file is not locked: no snapshot needs it, and it lives for a short time.
func neverLocked(name string) bool {
	return strings.HasPrefix(name, sessionPrefix) || strings.HasPrefix(name, sealed.Pending.Prefix)
}

// lockNew lets a lock hold for all files that are stored from now on.
func (r *Repo) lockNew(o *ObjectLock) error {
	s, ok := able[lockStore](r.store)
	if o == nil {
		if ok {
			return s.LockNew("", 0, nil)
		}
		return nil
	}
	if !ok {
		return ErrCannotLock
	}
	return s.LockNew(o.Mode, o.period()+o.slack(), neverLocked)
}

// SetObjectLock lets all files that are stored from now on be locked, or no more if o is nil; locks that are there stay. What is stored already is locked
// by ExtendLocks. The error wraps ErrCannotLock if the storage cannot.
func (r *Repo) SetObjectLock(ctx context.Context, o *ObjectLock) error {
	if err := o.validate(); err != nil {
		return err
	}
	if o != nil {
		s, ok := able[lockStore](r.store)
		if !ok {
			return ErrCannotLock
		}
		if can, err := s.CanLock(ctx); err != nil || !can {
			return errors.Join(err, ErrCannotLock)
		}
	}
	if _, err := r.UpdateSettings(ctx, func(s *Settings) error { s.ObjectLock = o; return nil }); err != nil {
		return err
	}
	r.objectLock = o
	return r.lockNew(o)
}

// locked returns the store as one that can lock, and how files are locked.
func (r *Repo) locked(ctx context.Context) (lockStore, *ObjectLock, error) {
	lock := r.objectLock
	if !r.applied || !r.opts.OneRun {
		settings, err := r.Settings(ctx)
		if err != nil {
			return nil, nil, err
		}
		lock = settings.ObjectLock
	}
	if lock == nil {
		return nil, nil, ErrNotLocked
	}
	s, ok := able[lockStore](r.store)
	if !ok {
		return nil, nil, ErrCannotLock
	}
	return s, lock, nil
}

// lockPlan is what the files are that live snapshots need, and until when they are needed at least.
type lockPlan struct {
	until map[string]time.Time // by name
	live  []*Snapshot
	last  time.Time // until when the last snapshot is needed
	// broken are snapshots of which it cannot be told what they need: any pack may be.
	broken map[SnapshotID]error
	// forgotten are snapshots that programs have removed.
	forgotten map[string]bool
}

func (p *lockPlan) need(name string, until time.Time) {
	if until.After(p.until[name]) {
		p.until[name] = until
	}
}

// planLocks finds out until when each file is needed: packs and records until the last snapshot that needs them may be removed, by the policies that
// are stored, and all that is small until the last snapshot may. Where no policy says so it is the minimum.
// With only, it is about what these snapshots need alone, and only packs and records are in the plan.
func (r *Repo) planLocks(ctx context.Context, o *ObjectLock, now time.Time, only map[SnapshotID]bool) (*lockPlan, error) {
	p := &lockPlan{until: map[string]time.Time{}, last: now.Add(o.period()), broken: map[SnapshotID]error{}}
	all, err := r.expiries(ctx, o, now, p)
	if only != nil {
		all = slices.DeleteFunc(all, func(e expiry) bool { return !only[e.snapshot.ID] })
	} else if err == nil {
		p.forgotten, err = r.forgottenByLog(ctx)
	}
	if err == nil {
		err = r.syncIndex(ctx)
	}
	if err != nil {
		return nil, err
	}
	needs := newNeeds(r)
	for _, e := range all { // those that stay longest first: what trees share is walked once
		if e.until.After(p.last) {
			p.last = e.until
		}
		p.need(e.name, e.until)
		packs, err := needs.of(ctx, e.snapshot)
		if err != nil && !IsDamage(err) {
			return nil, fmt.Errorf("snapshot %s: %w", short(e.snapshot.ID), err)
		}
		if err != nil {
			r.log.Warn("a snapshot cannot be read wholly, all packs are locked for it", "snapshot", e.snapshot.ID.String(), "error", err)
			p.broken[e.snapshot.ID] = err
		}
		for name := range packs {
			p.need(name, e.until)
		}
	}
	if only != nil {
		return p, nil
	}
	return p, p.needSmall(ctx, r.store)
}

// smallNeeded are the folders of files that all snapshots need.
var smallNeeded = []string{"snap.json", "keys/", "content/", settingsPrefix, sealed.Index.Prefix, sealed.Label.Prefix, sealed.Prune.Prefix, logPrefix, copyPrefix}

// needSmall adds the files that all snapshots need.
func (p *lockPlan) needSmall(ctx context.Context, s Store) error {
	for _, prefix := range smallNeeded {
		err := s.List(ctx, prefix, func(name string, _ int64, _ time.Time) error {
			p.need(name, p.last)
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// forgottenByLog returns the ids of the snapshots that the log says were removed, and not brought back.
func (r *Repo) forgottenByLog(ctx context.Context) (map[string]bool, error) {
	entries, err := r.Log(ctx)
	if err != nil {
		return nil, err
	}
	forgotten := map[string]bool{}
	for _, e := range entries {
		for _, id := range e.Snapshots {
			forgotten[id] = e.What != "undelete"
		}
	}
	return forgotten, nil
}

// expiry is a snapshot's record and until when it may be needed.
type expiry struct {
	name     string
	snapshot *Snapshot
	until    time.Time
}

// expiries returns all snapshots, those that stay longest first.
func (r *Repo) expiries(ctx context.Context, o *ObjectLock, now time.Time, p *lockPlan) ([]expiry, error) {
	plan, _, err := r.ForgetPlanStored(ctx, Filter{}, ForgetPlanOptions{Estimate: true})
	if err != nil {
		return nil, err
	}
	least := now.Add(o.period())
	byPolicy := map[SnapshotID]time.Time{}
	for _, s := range plan.Sources {
		for _, d := range s.Decisions {
			if d.Keep && (d.Outlook == retention.OutlookAbout || d.Outlook == retention.OutlookAtLeast) {
				byPolicy[d.Record.ID] = d.Until.Add(DefaultGraceTrash + DefaultGracePacks)
			}
		}
	}
	all, err := r.allSnapshots(ctx)
	if err != nil {
		return nil, err
	}
	trash, err := r.Trash(ctx, Filter{})
	if err != nil {
		return nil, err
	}
	p.live = all
	var out []expiry
	for _, s := range all {
		until := byPolicy[s.ID]
		if most := now.Add(maxLockAhead); until.After(most) {
			until = most
		}
		if until.Before(least) {
			until = least
		}
		out = append(out, expiry{sealed.Snapshot.Prefix + s.ID.String(), s, until})
	}
	for _, s := range trash {
		out = append(out, expiry{sealed.Trash.Prefix + s.ID.String(), s.Snapshot, least})
	}
	sortExpiries(out)
	return out, nil
}
