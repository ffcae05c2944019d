package repo

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"sync"
	"time"

	"github.com/snapkeep/snap/internal/prune"
	"github.com/snapkeep/snap/internal/sealed"
	"github.com/snapkeep/snap/internal/store"
	"github.com/snapkeep/snap/pack"
	"golang.org/x/sync/errgroup"
)

func sortExpiries(list []expiry) {
	slices.SortStableFunc(list, func(a, b expiry) int { return b.until.Compare(a.until) })
}

// needs finds the packs that trees need.
type needs struct {
	r      *Repo
	walker *prune.Walker
}

func newNeeds(r *Repo) *needs { return &needs{r, prune.NewWalker(r.load)} }

// of returns the names of the packs that a snapshot needs, but for what only trees need that were asked for before.
func (n *needs) of(ctx context.Context, s *Snapshot) (map[string]bool, error) {
	root, err := s.RootID()
	if err != nil {
		return nil, err
	}
	var mu sync.Mutex // guards packs
	packs := map[string]bool{}
	ids := map[pack.ID]bool{}
	err = n.walker.Walk(ctx, []pack.ChunkID{root}, func(chunks []pack.ChunkID) {
		mu.Lock()
		defer mu.Unlock()
		for _, id := range chunks {
			for _, l := range n.r.set.Locations(id) {
				if !ids[l.Pack] {
					ids[l.Pack] = true
					packs[pack.Name(l.Class, l.Pack)] = true
				}
			}
		}
	})
	if err == nil {
		err = n.walker.Broken()
	}
	return packs, err
}

// LockOptions say what ExtendLocks does.
type LockOptions struct {
	// DryRun locks and removes nothing.
	DryRun bool
	// Free removes the versions of files that were removed and that no snapshot needs, as far as their locks are over.
	Free bool
}

// LockResult tells what ExtendLocks did, or with DryRun would do.
type LockResult struct {
	Objects  int // that live snapshots need
	Extended int
	// Smallest is until when all that live snapshots need is locked at least, zero if something is not locked.
	Smallest time.Time
	// Hidden are files that snapshots need and that were removed, though a version of them is there. Missing are those of which there is none.
	Hidden, Missing []string

	Freed      int // versions that were removed for good, but for those of files that are never locked
	FreedBytes int64
	Held       int // versions that nobody needs, and that are locked
	HeldBytes  int64
	HeldUntil  time.Time // when the lock of the first of them is over
}

// versioned are the versions of a file, and what the store shows of it.
type versioned struct {
	versions []store.Version // without markers of removal
	markers  []string
	shown    bool
}

// essential returns the versions to protect: the first one, which was there before anybody could put another in its place, and the one that
// is shown.
func (v *versioned) essential() []store.Version {
	if len(v.versions) == 0 {
		return nil
	}
	first := slices.MinFunc(v.versions, func(a, b store.Version) int { return a.Time.Compare(b.Time) })
	out := []store.Version{first}
	for _, other := range v.versions {
		if other.Latest && other.ID != first.ID {
			out = append(out, other)
		}
	}
	return out
}

func listVersions(ctx context.Context, s lockStore) (map[string]*versioned, error) {
	out := map[string]*versioned{}
	err := s.Versions(ctx, "", func(name string, v store.Version) error {
		f := out[name]
		if f == nil {
			f = &versioned{}
			out[name] = f
		}
		switch {
		case v.Removed:
			if !slices.Contains(f.markers, v.ID) {
				f.markers = append(f.markers, v.ID)
			}
		case !slices.ContainsFunc(f.versions, func(o store.Version) bool { return o.ID == v.ID }):
			f.versions = append(f.versions, v)
			f.shown = f.shown || v.Latest
		}
		return nil
	})
	return out, err
}

// ExtendLocks makes sure that everything that live snapshots need is locked: for the minimum that the settings ask for at least, and until the last snapshot
// that needs it may be removed by the policies that are stored. It also finds what was hidden, and protects that. The error wraps ErrNotLocked if the settings
// ask for no lock, and ErrHidden beside a complete result if something was removed that is needed.
func (r *Repo) ExtendLocks(ctx context.Context, o LockOptions) (*LockResult, error) {
	s, lock, err := r.locked(ctx)
	if err != nil {
		return nil, err
	}
	now := r.now()
	plan, err := r.planLocks(ctx, lock, now)
	if err != nil {
		return nil, fmt.Errorf("extend locks: %w", err)
	}
	files, err := listVersions(ctx, s)
	if err != nil {
		return nil, fmt.Errorf("extend locks: %w", err)
	}
	e := &extender{s: s, lock: lock, now: now, o: o, result: &LockResult{}}
	if err = e.extendAll(ctx, plan, files); err == nil && o.Free {
		err = e.freeAll(ctx, plan, files)
	}
	if err != nil {
		return e.result, fmt.Errorf("extend locks: %w", err)
	}
	if len(e.result.Hidden)+len(e.result.Missing) > 0 {
		return e.result, ErrHidden
	}
	return e.result, nil
}

// extender is the state of one ExtendLocks.
type extender struct {
	s    lockStore
	lock *ObjectLock
	now  time.Time
	o    LockOptions

	mu       sync.Mutex // guards what follows
	result   *LockResult
	unlocked bool
}

func (e *extender) extendAll(ctx context.Context, plan *lockPlan, files map[string]*versioned) error {
	group, groupCtx := errgroup.WithContext(ctx)
	group.SetLimit(locksAtOnce)
	for name, until := range plan.until {
		f := files[name]
		if f == nil || len(f.versions) == 0 {
			e.result.Missing = append(e.result.Missing, name)
			continue
		}
		e.result.Objects++
		if !f.shown {
			e.result.Hidden = append(e.result.Hidden, name)
		}
		for _, v := range f.essential() {
			group.Go(func() error { return e.extend(groupCtx, name, v.ID, until) })
		}
	}
	slices.Sort(e.result.Hidden)
	slices.Sort(e.result.Missing)
	err := group.Wait()
	if e.unlocked {
		e.result.Smallest = time.Time{}
	}
	return err
}

// extend locks a version until a time, unless its lock is about as long.
func (e *extender) extend(ctx context.Context, name, version string, until time.Time) error {
	has, mode, err := e.s.LockedUntil(ctx, name, version)
	if err != nil {
		return err
	}
	short := has.Before(until.Add(-e.lock.period() / lockSlack))
	// A lock of compliance can be made no lighter, and one of governance is made one of compliance.
	stricter := e.lock.Mode == "compliance" && mode == "governance"
	if mode == "" || mode == "governance" {
		mode = e.lock.Mode
	}
	if (short || stricter) && !e.o.DryRun {
		if until.Before(has) {
			until = has
		}
		if err := e.s.Lock(ctx, name, version, mode, until); err != nil {
			return err
		}
		has = until
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if short || stricter {
		e.result.Extended++
	}
	e.unlocked = e.unlocked || !has.After(e.now)
	if e.result.Smallest.IsZero() || has.Before(e.result.Smallest) {
		e.result.Smallest = has
	}
	return nil
}

// freeAll removes the versions of files that were removed and that nobody needs.
func (e *extender) freeAll(ctx context.Context, plan *lockPlan, files map[string]*versioned) error {
	group, groupCtx := errgroup.WithContext(ctx)
	group.SetLimit(locksAtOnce)
	for name, f := range files {
		if kind, _ := classify(name); f.shown || len(f.markers) == 0 || !plan.until[name].IsZero() || !removable(kind) {
			continue
		}
		group.Go(func() error { return e.free(groupCtx, name, f) })
	}
	return group.Wait()
}

// removable reports whether files of a kind are removed by programs. What else was removed may have been by somebody who must not.
func removable(kind fileKind) bool {
	switch kind {
	case fileData, fileMeta, fileIndex, fileLabel, fileTrash, filePending, filePrune, fileSession, fileParity, fileCopy:
		return true
	}
	return false
}

func (e *extender) free(ctx context.Context, name string, f *versioned) error {
	held := false
	for _, v := range f.versions {
		until, _, err := e.s.LockedUntil(ctx, name, v.ID)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		if until.After(e.now) {
			held = true
			e.hold(v.Size, until)
			continue
		}
		if !e.o.DryRun {
			err = e.s.RemoveVersion(ctx, name, v.ID)
		}
		if errors.Is(err, fs.ErrPermission) {
			// Not every server tells of the lock of a version that is not shown. It was locked when it was stored.
			held = true
			e.hold(v.Size, v.Time.Add(e.lock.period()))
			continue
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		if !neverLocked(name) {
			e.mu.Lock()
			e.result.Freed++
			e.result.FreedBytes += v.Size
			e.mu.Unlock()
		}
	}
	if held || e.o.DryRun {
		return nil // without its marker a version shows again
	}
	for _, id := range f.markers {
		if err := e.s.RemoveVersion(ctx, name, id); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

func (e *extender) hold(size int64, until time.Time) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.result.Held++
	e.result.HeldBytes += size
	if e.result.HeldUntil.IsZero() || until.Before(e.result.HeldUntil) {
		e.result.HeldUntil = until
	}
}

// SnapshotLock says until when a snapshot is protected.
type SnapshotLock struct {
	Snapshot *Snapshot
	// Until is when the first lock of what it needs is over; zero if something is not locked now.
	Until time.Time
	// Unlocked are files that it needs and that are not locked, or of which there is no version.
	Unlocked []string
}

// LockReport tells until when each snapshot is protected, oldest first. It asks the storage for each file that a snapshot needs.
func (r *Repo) LockReport(ctx context.Context) ([]SnapshotLock, error) {
	s, lock, err := r.locked(ctx)
	if err != nil {
		return nil, err
	}
	plan, err := r.planLocks(ctx, lock, r.now())
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
		if err != nil {
			return nil, fmt.Errorf("report on locks: snapshot %s: %w", short(snapshot.ID), err)
		}
		report := SnapshotLock{Snapshot: snapshot}
		for _, name := range append([]string{sealed.Snapshot.Prefix + snapshot.ID.String()}, common...) {
			packs[name] = true
		}
		for name := range packs {
			until := locks[name]
			if !until.After(r.now()) {
				report.Unlocked = append(report.Unlocked, name)
			}
			if report.Until.IsZero() || until.Before(report.Until) {
				report.Until = until
			}
		}
		if slices.Sort(report.Unlocked); len(report.Unlocked) > 0 {
			report.Until = time.Time{}
		}
		out = append(out, report)
	}
	return out, nil
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
