package repo

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"time"

	"github.com/snapkeep/snap/internal/retention"
	"github.com/snapkeep/snap/internal/sealed"
	"github.com/snapkeep/snap/internal/snapshot"
	"github.com/snapkeep/snap/pack"
)

// ForgetPlan decides by a policy which of the snapshots that the filter selects stay, source by source. It
// changes nothing: see Remove and Forget. A record that cannot be read is an error, for it may be one that counts.
func (r *Repo) ForgetPlan(ctx context.Context, p Policy, f Filter, o ForgetPlanOptions) (*ForgetPlan, error) {
	defer r.use()()
	all, err := r.snapshotsOfSome(ctx, f.matchSource)
	if err != nil {
		return nil, fmt.Errorf("plan what to forget: %w", err)
	}
	r.plannedOf(all, f.matchSource)
	return r.planFor(p, matching(all, f), o)
}

// planned is what a plan was made of.
type planned struct {
	all    []*Snapshot
	counts func(s *Snapshot) bool // whether the record of one was read from the store
	at     time.Time
}

// plannedLife is how long what a plan was made of holds for those who carry it out. A plan that somebody was asked about is older.
const plannedLife = 5 * time.Second

// plannedOf keeps what a plan was made of, of which those records were read from the store of which counts is true.
func (r *Repo) plannedOf(all []*Snapshot, counts func(s *Snapshot) bool) {
	if r.opts.OneRun {
		r.planned.Store(&planned{all, counts, time.Now()})
	}
}

// serves reports whether the plan still tells which snapshots there are of the sources of some.
func (p *planned) serves(some []SnapshotID) bool {
	if p == nil || time.Since(p.at) >= plannedLife {
		return false
	}
	counted := make(map[SnapshotID]bool, len(some))
	for _, s := range p.all {
		if p.counts(s) {
			counted[s.ID] = true
		}
	}
	return !slices.ContainsFunc(some, func(id SnapshotID) bool { return !counted[id] })
}

// standingNow returns all snapshots, those of the sources of some as the store has them, or had them a moment ago.
func (r *Repo) standingNow(ctx context.Context, some []SnapshotID) ([]*Snapshot, error) {
	// Sources that are thinned out side by side make a plan each: one serves its own.
	if p := r.planned.Load(); p.serves(some) && r.planned.CompareAndSwap(p, nil) {
		return p.all, nil
	}
	return r.snapshotsBeside(ctx, some)
}

// planFor decides by a policy which of some snapshots stay.
func (r *Repo) planFor(p Policy, selected []*Snapshot, o ForgetPlanOptions) (*ForgetPlan, error) {
	records := make(map[retention.ID]*Snapshot, len(selected))
	var in []retention.Snapshot
	for _, s := range selected {
		records[retention.ID(s.ID)] = s
		in = append(in, retention.Snapshot{ID: retention.ID(s.ID), Source: s.Source.String(), Time: s.Time, Sequence: s.Sequence,
			Tags: s.Tags, Pinned: s.Pinned, Suspicious: s.HasMark(snapshot.MarkSuspicious), Partial: s.HasMark(snapshot.MarkPartial)})
	}
	decisions, err := retention.Apply(p, r.now(), in, retention.Options{ReleaseSuspicious: o.ReleaseSuspicious, Estimate: o.Estimate})
	if err != nil {
		return nil, err
	}
	plan := &ForgetPlan{Policy: p, Unmatched: retention.UnmatchedTags(p, in)}
	for _, d := range decisions {
		s := records[d.Snapshot.ID]
		if n := len(plan.Sources); n == 0 || plan.Sources[n-1].ID != d.Snapshot.Source {
			plan.Sources = append(plan.Sources, ForgetSource{ID: d.Snapshot.Source, Name: string(s.SourceName), Policy: p})
		}
		last := &plan.Sources[len(plan.Sources)-1]
		last.Decisions = append(last.Decisions, ForgetDecision{d, s})
	}
	return plan, nil
}

// Remove returns the ids of the snapshots that the plan does not keep.
func (p *ForgetPlan) Remove() []SnapshotID {
	var out []SnapshotID
	for _, s := range p.Sources {
		for _, d := range s.Decisions {
			if !d.Keep {
				out = append(out, d.Record.ID)
			}
		}
	}
	return out
}

// Forget moves snapshots to the trash, where Undelete finds them until a prune empties it. Those that are not there any more
// are left out of the result. The error wraps ErrLastOfSource if a source would lose its last snapshot: nothing was forgotten then, or, if somebody forgot
// the others at the same time, the newest was brought back. It wraps ErrMayNotRemove if the credentials of a store elsewhere do not allow it.
func (r *Repo) Forget(ctx context.Context, ids []SnapshotID, o ForgetOptions) (*ForgetResult, error) {
	defer r.use()()
	result := &ForgetResult{}
	if len(ids) == 0 {
		return result, nil
	}
	all, err := r.standingNow(ctx, ids)
	if err != nil {
		// What cannot be read can be forgotten nevertheless, and is no snapshot that is left.
		r.log.Warn("some snapshots cannot be read", "error", err)
	}
	leaving := make(map[SnapshotID]bool, len(ids))
	for _, id := range ids {
		leaving[id] = true
	}
	if err := checkLast(all, leaving); err != nil && !o.AllowAll {
		return nil, err
	}
	if err := r.mayRemove(ctx); err != nil {
		return nil, fmt.Errorf("forget: %w", err)
	}
	r.letGo(all, leaving)
	result.Forgotten, err = r.forgetAll(ctx, all, ids, o.Now)
	if !o.Now && !o.AllowAll {
		back, backErr := r.bringLastBack(ctx, all, result.Forgotten)
		result.Forgotten = slices.DeleteFunc(result.Forgotten, func(id SnapshotID) bool { return slices.Contains(back, id) })
		err = errors.Join(err, backErr)
	}
	if len(result.Forgotten) > 0 {
		entry := LogEntry{What: "forget", Why: o.Why, Final: o.Now}
		for _, id := range result.Forgotten {
			entry.Snapshots = append(entry.Snapshots, id.String())
		}
		err = errors.Join(err, r.note(context.WithoutCancel(ctx), entry))
	}
	return result, err
}

// moveBatch is how many snapshots are moved to the trash together.
const moveBatch = 500

// forgetAll moves snapshots to the trash, or removes them, and returns those that were there.
func (r *Repo) forgetAll(ctx context.Context, all []*Snapshot, ids []SnapshotID, now bool) (gone []SnapshotID, err error) {
	if now {
		if gone, ids, err = r.removeTogether(ctx, all, ids); err != nil {
			return gone, err
		}
	}
	for part := range slices.Chunk(ids, moveBatch) {
		moved := map[SnapshotID]bool{}
		if !now {
			if moved, err = r.copyToTrash(ctx, part); err != nil {
				return gone, err
			}
			// Behind the copies: a prune that removes packs by a record that comes later has them in its listing.
			if err := r.secureMoves(ctx, all, moved); err != nil {
				return gone, fmt.Errorf("forget: %w", err)
			}
		}
		for _, id := range part {
			if err := ctx.Err(); err != nil {
				return gone, context.Cause(ctx)
			}
			made, copied := moved[id]
			if !now && !copied {
				continue
			}
			was, err := r.leave(ctx, id, made)
			if was {
				gone = append(gone, id)
			}
			if err != nil {
				return gone, fmt.Errorf("forget snapshot %s: %w", short(id), err)
			}
		}
	}
	return gone, nil
}

// removeTogether removes the snapshots among ids that are in all, whose records were read a moment ago, if the store can remove many files at once. It
// returns these, and the ids of the others.
func (r *Repo) removeTogether(ctx context.Context, all []*Snapshot, ids []SnapshotID) (gone, others []SnapshotID, err error) {
	_, together := able[bulkDeleter](r.store)
	if _, protected := able[protector](r.store); !together || protected {
		return nil, ids, nil
	}
	there := make(map[SnapshotID]bool, len(all))
	for _, s := range all {
		there[s.ID] = true
	}
	for part := range slices.Chunk(ids, moveBatch) {
		var names []string
		for _, id := range part {
			if there[id] {
				names = append(names, sealed.Pending.Prefix+id.String())
				delete(there, id) // it may be named twice
			} else {
				others = append(others, id)
			}
		}
		for _, name := range names {
			names = append(names, sealed.Snapshot.Prefix+name[len(sealed.Pending.Prefix):])
		}
		removed, err := r.discardAll(ctx, names)
		if err != nil {
			removed = r.missingOf(context.WithoutCancel(ctx), names, removed)
		}
		for _, name := range removed {
			if id, ok := strings.CutPrefix(name, sealed.Snapshot.Prefix); ok {
				parsed, _ := pack.ParseID(id) // it was made of one
				gone = append(gone, parsed)
			}
		}
		if err != nil {
			return gone, others, fmt.Errorf("forget snapshots: %w", err)
		}
	}
	return gone, others, nil
}

// missingOf returns the names that are in removed, and those of snapshots that are not there any more: a request that was cut off, or whose answer did not
// come, may have removed them.
func (r *Repo) missingOf(ctx context.Context, names, removed []string) []string {
	ctx, cancel := context.WithTimeout(ctx, leaveTimeout)
	defer cancel()
	there := map[string]bool{}
	err := r.store.List(ctx, sealed.Snapshot.Prefix, func(name string, _ int64, _ time.Time) error {
		there[name] = true
		return nil
	})
	if err != nil {
		return removed
	}
	for _, name := range names {
		if !strings.HasPrefix(name, sealed.Snapshot.Prefix) || there[name] || slices.Contains(removed, name) {
			continue
		}
		if _, _, err := r.store.Stat(ctx, name); errors.Is(err, fs.ErrNotExist) { // a listing may be late
			removed = append(removed, name)
		}
	}
	return removed
}

// copyToTrash copies snapshots to the trash and returns those that are there, with whether they were not before.
func (r *Repo) copyToTrash(ctx context.Context, ids []SnapshotID) (map[SnapshotID]bool, error) {
	moved := map[SnapshotID]bool{}
	for _, id := range ids {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		made, err := r.trash(ctx, id)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("forget snapshot %s: %w", short(id), err)
		}
		moved[id] = made
	}
	return moved, nil
}

// checkLast returns ErrLastOfSource if a source would lose its last snapshot.
func checkLast(all []*Snapshot, leaving map[SnapshotID]bool) error {
	left := map[snapshot.SourceID]int{}
	for _, s := range all {
		if !leaving[s.ID] {
			left[s.Source]++
		}
	}
	for _, s := range all {
		if leaving[s.ID] && left[s.Source] == 0 {
			return fmt.Errorf("forget snapshot %s: %w: %q", short(s.ID), ErrLastOfSource, string(s.SourceName))
		}
	}
	return nil
}

// trash copies a snapshot to the trash, and reports whether it was not there before. The error wraps fs.ErrNotExist if
// there is no such snapshot.
func (r *Repo) trash(ctx context.Context, id SnapshotID) (made bool, err error) {
	name := sealed.Trash.Prefix + id.String()
	file, err := r.recordBytes(ctx, id)
	if err != nil {
		return false, err
	}
	err = r.store.Create(ctx, name, bytes.NewReader(file), int64(len(file)))
	if made = err == nil; errors.Is(err, fs.ErrExist) {
		// It was forgotten before and brought back. Its grace begins anew.
		if err = r.store.Remove(ctx, name); err == nil || errors.Is(err, fs.ErrNotExist) {
			err = r.store.Create(ctx, name, bytes.NewReader(file), int64(len(file)))
		}
	}
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return false, err
	}
	if _, _, err = r.store.Stat(ctx, sealed.Snapshot.Prefix+id.String()); errors.Is(err, fs.ErrNotExist) && made {
		// Somebody removed it for good since it was read.
		err = errors.Join(err, r.drop(context.WithoutCancel(ctx), name))
	}
	return made, err
}

// recordBytes returns the bytes of the record of a snapshot, those of its second copy if they are damaged and the copy is not.
func (r *Repo) recordBytes(ctx context.Context, id SnapshotID) ([]byte, error) {
	limit := int64(sealed.Snapshot.Limit) + 1024
	name := sealed.Snapshot.Prefix + id.String()
	file, err := sealed.ReadFile(ctx, r.store, name, limit)
	if errors.Is(err, fs.ErrNotExist) || err == nil && pack.SumID(file) == id {
		return file, err
	}
	if second, err := sealed.ReadFile(ctx, copies{r.store}, name, limit); err == nil && pack.SumID(second) == id {
		return second, nil
	}
	return file, err
}

// leave removes a snapshot, of which a copy may be in the trash, and reports whether it was there. made says that this run
// made the copy.
func (r *Repo) leave(ctx context.Context, id SnapshotID, made bool) (bool, error) {
	if err := r.discard(ctx, sealed.Pending.Prefix+id.String()); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return false, err
	}
	err := r.drop(ctx, sealed.Snapshot.Prefix+id.String())
	if !errors.Is(err, fs.ErrNotExist) {
		return err == nil, err
	}
	if made {
		// Somebody removed it for good, maybe long ago, and prunes may have had no regard to it since.
		err = r.drop(ctx, sealed.Trash.Prefix+id.String())
	}
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	return false, err
}

// secureMoves makes sure that prunes to come, which may not see a snapshot while it is moved, take nothing away that it
// needs. Only prunes that began before they knew of the snapshot can.
func (r *Repo) secureMoves(ctx context.Context, all []*Snapshot, moved map[SnapshotID]bool) error {
	r.indexMu.Lock()
	err := r.syncPruneRecords(ctx, r.store)
	r.indexMu.Unlock()
	if err != nil {
		return err
	}
	records := r.pruneRecords()
	for _, s := range all {
		if _, ok := moved[s.ID]; !ok {
			continue
		}
		for _, p := range records {
			if p.regards(s.ID) || slices.Contains(s.Prune, p.id.String()) {
				continue
			}
			w, err := r.beginWriting(ctx)
			if err != nil {
				return err
			}
			w.mustVerify = true
			if err := w.secure(ctx, s); err != nil && !errors.Is(err, ErrOvertaken) {
				return err
			}
			break // a snapshot that misses something anyway is moved as it is
		}
	}
	return nil
}
