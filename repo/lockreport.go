package repo

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/snapkeep/snap/internal/sealed"
	"golang.org/x/sync/errgroup"
)

// SnapshotLock says until when a snapshot is protected.
type SnapshotLock struct {
	Snapshot *Snapshot
	// Until is when the first lock of what it needs is over; zero if something is not locked now.
	Until time.Time
	// Unlocked are files that it needs and that are not locked, or of which there is no version.
	Unlocked []string
	// Err, if not nil, says why it cannot be told what it needs. Then Until is zero.
	Err error
}

// LockReport tells until when each snapshot is protected, oldest first. It asks the storage for each file that a snapshot needs.
func (r *Repo) LockReport(ctx context.Context) ([]SnapshotLock, error) {
	defer r.use()()
	s, lock, err := r.locked(ctx)
	if err != nil {
		return nil, err
	}
	plan, err := r.planLocks(ctx, lock, r.now(), nil)
	if err != nil {
		return nil, fmt.Errorf("report on locks: %w", err)
	}
	files, err := listVersions(ctx, s)
	if err != nil {
		return nil, fmt.Errorf("report on locks: %w", err)
	}
	locks, err := askAll(ctx, s, plan, files)
	if err != nil {
		return nil, fmt.Errorf("report on locks: %w", err)
	}
	var common []string // what every snapshot needs
	for name := range plan.until {
		switch kind, _ := classify(name); kind {
		case fileConfig, fileSlot, fileContent, fileIndex:
			common = append(common, name)
		}
	}
	var out []SnapshotLock
	for _, snapshot := range plan.live {
		packs, err := newNeeds(r).of(ctx, snapshot)
		if err != nil && !IsDamage(err) {
			return nil, fmt.Errorf("report on locks: snapshot %s: %w", short(snapshot.ID), err)
		}
		for _, name := range append([]string{sealed.Snapshot.Prefix + snapshot.ID.String()}, common...) {
			packs[name] = true
		}
		report := lockOf(snapshot, packs, locks, r.now())
		if report.Err = err; err != nil {
			report.Until = time.Time{}
		}
		out = append(out, report)
	}
	return out, nil
}

// lockOf tells of one snapshot, by the locks of the files that it needs.
func lockOf(snapshot *Snapshot, files map[string]bool, locks map[string]time.Time, now time.Time) SnapshotLock {
	report := SnapshotLock{Snapshot: snapshot}
	for name := range files {
		until := locks[name]
		if !until.After(now) {
			report.Unlocked = append(report.Unlocked, name)
		}
		if report.Until.IsZero() || until.Before(report.Until) {
			report.Until = until
		}
	}
	if slices.Sort(report.Unlocked); len(report.Unlocked) > 0 {
		report.Until = time.Time{}
	}
	return report
}

// askAll asks until when the first version of each file of the plan is locked.
func askAll(ctx context.Context, s lockStore, plan *lockPlan, files map[string]*versioned) (map[string]time.Time, error) {
	var mu sync.Mutex // guards out
	out := map[string]time.Time{}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(locksAtOnce)
	for name := range plan.until {
		f := files[name]
		if f == nil || len(f.versions) == 0 {
			continue
		}
		group.Go(func() error {
			until, _, err := s.LockedUntil(ctx, name, f.essential()[0].ID)
			mu.Lock()
			defer mu.Unlock()
			out[name] = until
			return err
		})
	}
	return out, group.Wait()
}
