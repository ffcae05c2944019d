package repo

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/snapkeep/snap/internal/sealed"
	"github.com/snapkeep/snap/pack"
)

// lookRounds bounds how often a prune without grace looks again because something changed.
const lookRounds = 5

// removeCondemned removes the packs whose grace is over. v was looked at when it was over, so that everything that live
// snapshots need is elsewhere.
func (p *pruner) removeCondemned(ctx context.Context, v *view) error {
	if p.o.Now && !p.o.DryRun {
		ok, err := p.settle(ctx, v)
		if err != nil || !ok {
			p.waiting(v, func(pack.ID) bool { return false })
			return err
		}
	}
	going := map[pack.ID]bool{}
	for id := range v.records {
		if p.expired(v, id) {
			for _, c := range p.r.pruneRecord(id).Condemned {
				going[c] = !v.keep[c]
			}
		}
	}
	if p.o.DryRun {
		for _, c := range p.record.Condemned {
			v.condemned[c], going[c] = true, p.o.Now && !v.keep[c]
		}
	}
	p.waiting(v, func(id pack.ID) bool { return going[id] })
	var names []string
	sizes := map[string]int64{}
	for i := range v.packs {
		if f := &v.packs[i]; going[f.id] {
			names = append(names, f.name())
			sizes[f.name()] = f.size
		}
	}
	gone, err := names, error(nil)
	if !p.o.DryRun {
		gone, err = p.r.discardAll(ctx, names)
		p.removed = append(p.removed, gone...)
	}
	for _, name := range gone {
		p.result.RemovedPacks++
		p.result.RemovedBytes += sizes[name]
	}
	if err != nil {
		return fmt.Errorf("remove pack: %w", err)
	}
	if !p.o.DryRun {
		v.packs.remove(going)
	}
	return nil
}

// waiting counts the condemned packs that stay for now.
func (p *pruner) waiting(v *view, goes func(pack.ID) bool) {
	p.result.WaitingPacks, p.result.WaitingBytes, p.result.WaitingUntil = 0, 0, time.Time{}
	for i := range v.packs {
		if f := &v.packs[i]; v.condemned[f.id] && !goes(f.id) {
			p.result.WaitingPacks++
			p.result.WaitingBytes += f.size
		}
	}
	if p.result.WaitingPacks == 0 {
		return
	}
	if p.o.DryRun && len(p.record.Condemned) > 0 {
		p.result.WaitingUntil = p.now.Add(p.o.GracePacks).Truncate(time.Second)
	}
	for id, at := range v.records {
		for _, c := range p.r.pruneRecord(id).Condemned {
			if until := at.Add(p.o.GracePacks); !goes(c) && v.packs.find(c) != nil {
				if p.result.WaitingUntil.IsZero() || until.Before(p.result.WaitingUntil) {
					p.result.WaitingUntil = until.Truncate(time.Second)
				}
				break
			}
		}
	}
}

// settle looks again after this run's record was stored, for snapshots and records that came meanwhile, and copies out what they
// need. It reports false if packs cannot be removed without a grace, because others came to write.
func (p *pruner) settle(ctx context.Context, v *view) (bool, error) {
	for range lookRounds {
		if p.session != nil {
			alive, err := p.others(ctx)
			if err != nil || len(alive) > 0 {
				return false, err
			}
		}
		fresh, err := p.look(ctx)
		if err != nil {
			return false, err
		}
		if !fresh.news(v) {
			return true, nil
		}
		only, err := p.walk(ctx, fresh, false, func(ids, missing []pack.ChunkID) []pack.ChunkID {
			for _, id := range ids {
				if !p.r.set.Has(id) {
					missing = append(missing, id)
				}
			}
			return missing
		})
		if IsDamage(err) {
			continue // others may have moved it meanwhile
		}
		if err != nil {
			return false, err
		}
		rescue, _, err := p.partRescuable(ctx, only)
		if err == nil {
			err = p.copyOut(ctx, v, rescue)
		}
		if err != nil {
			return false, err
		}
		v.snapshots, v.records, v.condemned = fresh.snapshots, fresh.records, fresh.condemned
	}
	return false, nil
}

// news reports whether v has a snapshot or record that before has not.
func (v *view) news(before *view) bool {
	for id := range v.snapshots {
		if before.snapshots[id] == nil {
			return true
		}
	}
	for id := range v.records {
		if _, ok := before.records[id]; !ok {
			return true
		}
	}
	return false
}

// emptyTrash removes forgotten snapshots whose grace is over, and what moves and commits have left.
func (p *pruner) emptyTrash(ctx context.Context, v *view) error {
	settled := func(id pack.ID) bool { // it shows in snapshots/ to everybody
		at, ok := v.alive[id]
		return ok && p.now.Sub(at) >= youngPack
	}
	var emptied []string
	for id := range v.trash {
		_, alive := v.alive[id]
		// It may have been brought back and forgotten again, which a listing need not show.
		_, at, err := p.r.store.Stat(ctx, sealed.Trash.Prefix+id.String())
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		switch {
		case alive && settled(id) && p.now.Sub(at) >= youngPack: // a younger one may be of a forget that goes on
		case !alive && v.snapshots[id] == nil && p.purges(id, at):
			p.purged[id] = true
			p.result.Emptied++
			emptied = append(emptied, id.String())
		default:
			if !alive {
				p.result.Trashed++
			}
			continue
		}
		if err := p.dropIfThere(ctx, sealed.Trash.Prefix+id.String()); err != nil {
			return err
		}
	}
	for id, at := range v.pending {
		if settled(id) || (v.snapshots[id] == nil && p.stale(at)) {
			if err := p.dropIfThere(ctx, sealed.Pending.Prefix+id.String()); err != nil {
				return err
			}
		}
	}
	p.looked = true
	if len(emptied) == 0 || p.o.DryRun {
		return nil
	}
	return p.r.note(ctx, LogEntry{What: "trash", Snapshots: emptied, Final: true})
}

// dropIfThere removes a file unless that is only tried.
func (p *pruner) dropIfThere(ctx context.Context, name string) error {
	if p.o.DryRun {
		return nil
	}
	if err := p.r.discard(ctx, name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
