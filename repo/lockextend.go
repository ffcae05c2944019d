package repo

import (
	"bytes"
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

// of returns the names of the packs that a snapshot needs, but for what only trees need that were asked for before. Beside an error that is damage the
// names are those that could be told.
func (n *needs) of(ctx context.Context, s *Snapshot) (map[string]bool, error) {
	root, err := s.RootID()
	if err != nil {
		return nil, err
	}
	var mu sync.Mutex // guards what follows
	packs := map[string]bool{}
	ids := map[pack.ID]bool{}
	missing := 0
	err = n.walker.Walk(ctx, []pack.ChunkID{root}, func(chunks []pack.ChunkID) {
		mu.Lock()
		defer mu.Unlock()
		for _, id := range chunks {
			all := n.r.set.Locations(id)
			if len(all) == 0 {
				missing++
			}
			for i, l := range all {
				if l.Condemned && i > 0 {
					break // it was copied to another pack, and this one goes
				}
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
	if err == nil && missing > 0 {
		err = fmt.Errorf("%w: no index file names %d chunks", ErrDamaged, missing)
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
	// Hidden are files that snapshots need and that were removed, though a version of them is there, and records of snapshots that
	// nobody has forgotten. Missing are files of which there is no version.
	Hidden, Missing []string
	// Broken are snapshots of which it cannot be told what they need.
	Broken []SnapshotID

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
// ask for no lock, and ErrHidden beside a complete result if something was removed that is needed; then nothing is removed.
func (r *Repo) ExtendLocks(ctx context.Context, o LockOptions) (*LockResult, error) {
	defer r.use()()
	s, lock, err := r.locked(ctx)
	if err != nil {
		return nil, err
	}
	now := r.now()
	plan, err := r.planLocks(ctx, lock, now, nil)
	if err != nil {
		return nil, fmt.Errorf("extend locks: %w", err)
	}
	files, err := listVersions(ctx, s)
	if err != nil {
		return nil, fmt.Errorf("extend locks: %w", err)
	}
	e := &extender{s: s, lock: lock, now: now, o: o, result: &LockResult{}, known: map[string]time.Time{}}
	for id := range plan.broken {
		e.result.Broken = append(e.result.Broken, id)
	}
	slices.SortFunc(e.result.Broken, func(a, b SnapshotID) int { return bytes.Compare(a[:], b[:]) })
	if !r.opts.AcceptRollback {
		e.result.Hidden = plan.hiddenSnapshots(files)
	}
	err = e.extendAll(ctx, plan, files)
	if !o.DryRun {
		r.keepKnownLocks(e.known, files)
	}
	alarm := len(e.result.Hidden)+len(e.result.Missing)+len(e.result.Broken) > 0
	if err == nil && o.Free && !alarm {
		err = e.freeAll(ctx, plan, files)
	}
	if err != nil {
		return e.result, fmt.Errorf("extend locks: %w", err)
	}
	if alarm {
		return e.result, ErrHidden
	}
	return e.result, nil
}

// hiddenSnapshots returns the records of snapshots that were removed by somebody who is no program of ours: they are not in the trash, and the log
// does not name them.
func (p *lockPlan) hiddenSnapshots(files map[string]*versioned) (hidden []string) {
	for name, f := range files {
		kind, id := classify(name)
		if kind != fileSnapshot || f.shown || len(f.versions) == 0 || p.forgotten[id.String()] {
			continue
		}
		if _, trashed := p.until[sealed.Trash.Prefix+id.String()]; !trashed {
			hidden = append(hidden, name)
		}
	}
	return hidden
}

// mayBeNeeded returns the versions of packs and index files that a snapshot may need of which cannot be told what it needs, by name.
func (p *lockPlan) mayBeNeeded(files map[string]*versioned) map[string]*versioned {
	out := map[string]*versioned{}
	if len(p.broken) == 0 {
		return out
	}
	for name, f := range files {
		switch kind, _ := classify(name); kind {
		case fileData, fileMeta, fileIndex:
			if p.until[name].IsZero() {
				out[name] = f
			}
		}
	}
	return out
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
	known    map[string]time.Time // until when versions are locked, by lockKey
	trusting bool                 // what is known is not asked for
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
	for name, f := range plan.mayBeNeeded(files) {
		for _, v := range f.essential() {
			group.Go(func() error { return e.extend(groupCtx, name, v.ID, plan.last) })
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

// extend makes sure that a version is locked until a time. Where it is not it is locked for a little longer.
func (e *extender) extend(ctx context.Context, name, version string, until time.Time) error {
	key := lockKey(name, version)
	e.mu.Lock()
	known := e.known[key]
	e.mu.Unlock()
	if e.trusting && !known.Before(until) {
		e.seen(known)
		return nil
	}
	has, mode, err := e.s.LockedUntil(ctx, name, version)
	if err != nil {
		return err
	}
	short := has.Before(until)
	// A lock of compliance can be made no lighter, and one of governance is made one of compliance.
	stricter := e.lock.Mode == "compliance" && mode == "governance"
	if mode == "" || mode == "governance" {
		mode = e.lock.Mode
	}
	if (short || stricter) && !e.o.DryRun {
		if has = later(has, until); short {
			has = until.Add(e.lock.slack())
		}
		if err := e.s.Lock(ctx, name, version, mode, has); err != nil {
			return err
		}
	}
	e.mu.Lock()
	e.known[key] = has
	if short || stricter {
		e.result.Extended++
	}
	e.mu.Unlock()
	e.seen(has)
	return nil
}

// seen takes into the result until when something is locked.
func (e *extender) seen(has time.Time) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.unlocked = e.unlocked || !has.After(e.now)
	if e.result.Smallest.IsZero() || has.Before(e.result.Smallest) {
		e.result.Smallest = has
	}
}

func later(a, b time.Time) time.Time {
	if a.Before(b) {
		return b
	}
	return a
}

// freeAll removes the versions of files that were removed and that nobody needs.
func (e *extender) freeAll(ctx context.Context, plan *lockPlan, files map[string]*versioned) error {
	group, groupCtx := errgroup.WithContext(ctx)
	group.SetLimit(locksAtOnce)
	for name, f := range files {
		if f.shown || len(f.markers) == 0 || !plan.until[name].IsZero() || !plan.removable(name) {
			continue
		}
		group.Go(func() error { return e.free(groupCtx, name, f) })
	}
	return group.Wait()
}

// removable reports whether a file is one that programs remove. What else was removed may have been by somebody who must not.
func (p *lockPlan) removable(name string) bool {
	switch kind, id := classify(name); kind {
	case fileData, fileMeta, fileIndex, fileLabel, fileTrash, filePending, filePrune, fileSession, fileParity, fileCopy:
		return true
	case fileSnapshot:
		return p.forgotten[id.String()]
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
