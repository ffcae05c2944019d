package repo

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"time"

	"github.com/snapkeep/snap/index"
	"github.com/snapkeep/snap/internal/prune"
	"github.com/snapkeep/snap/internal/sealed"
	"github.com/snapkeep/snap/pack"
)

// view is what a prune sees of the repository at one time.
type view struct {
	snapshots map[pack.ID]*Snapshot // all that are live: in pending/, snapshots/ and trash/
	alive     map[pack.ID]time.Time // in snapshots/
	trash     map[pack.ID]time.Time
	pending   map[pack.ID]time.Time
	records   map[pack.ID]time.Time // prune records
	condemned map[pack.ID]bool      // packs
	packs     packFiles
	indexes   map[pack.ID]bool // index files
	lost      []pack.ID        // packs of the index that are missing and not condemned
	keep      map[pack.ID]bool // packs that must not be removed, though they are condemned
	before    time.Time        // packs that were stored after it are young
}

// young reports whether a pack may belong to a backup that runs.
func (v *view) young(id pack.ID) bool { return v.storedSince(id, v.before) }

// storedSince reports whether a pack is there that was stored after a time.
func (v *view) storedSince(id pack.ID, since time.Time) bool {
	f := v.packs.find(id)
	return f != nil && f.time > since.Unix()
}

// standing are the folders where records of snapshots stand, in the order in which one goes through them.
var standing = []string{sealed.Pending.Prefix, sealed.Snapshot.Prefix, sealed.Trash.Prefix}

// look lists everything anew. A snapshot that is moved meanwhile is seen at least once: those that come go through
// pending/ to snapshots/, those that go from snapshots/ to trash/.
func (p *pruner) look(ctx context.Context) (*view, error) {
	v := &view{snapshots: map[pack.ID]*Snapshot{}, condemned: map[pack.ID]bool{}, keep: map[pack.ID]bool{}, before: p.now.Add(-youngPack)}
	if p.o.Now {
		v.before = p.now.Add(100 * 365 * 24 * time.Hour) // nobody else writes
	} else if err := p.spareRuns(ctx, v); err != nil {
		return nil, err
	}
	from, err := p.listing, error(nil)
	if p.listing = nil; from == nil {
		if from, err = listOnce(ctx, p.r.store, standing...); err != nil {
			return nil, err
		}
	}
	for _, part := range []struct {
		prefix string
		times  *map[pack.ID]time.Time
	}{{sealed.Pending.Prefix, &v.pending}, {sealed.Snapshot.Prefix, &v.alive}, {sealed.Trash.Prefix, &v.trash}} {
		var err error
		if *part.times, err = p.r.listTimes(ctx, from, part.prefix); err != nil {
			return nil, err
		}
	}
	if err := p.r.expectSnapshots(ctx, v.alive); err != nil {
		return nil, err
	}
	ids := slices.Collect(maps.Keys(v.alive))
	for id, at := range v.pending {
		if !p.stale(at) {
			ids = append(ids, id)
		}
	}
	for id, at := range v.trash {
		if !p.purges(id, at) {
			ids = append(ids, id)
		}
	}
	if err := p.listed(ctx, v, ids); err != nil {
		return nil, err
	}
	// The index is listed behind the last snapshot that comes to light, or what that one needs may be missing.
	for known := -1; known < len(v.snapshots); {
		known = len(v.snapshots)
		from, err := listOnce(ctx, p.r.store, sealed.Index.Prefix, sealed.Prune.Prefix)
		if err != nil {
			return nil, err
		}
		p.r.indexMu.Lock()
		err = p.r.syncIndexFrom(ctx, from)
		p.r.indexMu.Unlock()
		if err != nil {
			return nil, err
		}
		if err := p.lookAtPacks(ctx, from, v); err != nil {
			return nil, err
		}
		if err := p.lookForNamed(ctx, v); err != nil {
			return nil, err
		}
	}
	return v, nil
}

// spareRuns makes packs young that runs may have stored which still go on, however long. It spares them work: a writer whose packs are condemned
// copies them.
func (p *pruner) spareRuns(ctx context.Context, v *view) error {
	alive, err := p.r.runs(ctx, p.session, p.now, true)
	if err != nil {
		return err
	}
	for _, s := range alive {
		if s.began.Before(v.before) {
			v.before = s.began
		}
	}
	return nil
}

// pendingLife is how long a record in pending/ counts at least. A writer that takes longer than commitTime between pending/ and
// snapshots/ does not rely on it.
const pendingLife = 24 * time.Hour

// stale reports whether a record that was stored in pending/ at a time counts no more.
func (p *pruner) stale(at time.Time) bool { return p.now.Sub(at) >= max(p.o.GraceTrash, pendingLife) }

// same reports whether two views show the same files.
func (v *view) same(o *view) bool {
	return sameKeys(v.alive, o.alive) && sameKeys(v.trash, o.trash) && sameKeys(v.pending, o.pending) && sameKeys(v.records, o.records) &&
		sameKeys(v.indexes, o.indexes) && slices.EqualFunc(v.packs, o.packs, func(a, b packFile) bool { return a.id == b.id })
}

func sameKeys[V any](a, b map[pack.ID]V) bool {
	if len(a) != len(b) {
		return false
	}
	for id := range a {
		if _, ok := b[id]; !ok {
			return false
		}
	}
	return true
}

// purges reports whether a forgotten snapshot is to go for good. Without a grace these are those that are in the trash in the
// beginning: what comes later may have been needed when packs were chosen.
func (p *pruner) purges(id pack.ID, forgotten time.Time) bool {
	if p.o.Now {
		return p.purged[id] || !p.looked
	}
	return p.purged[id] || p.now.Sub(forgotten) >= p.o.GraceTrash
}

// listed takes in the snapshots that a listing shows.
func (p *pruner) listed(ctx context.Context, v *view, ids []pack.ID) error {
	var fresh []pack.ID
	for _, id := range ids {
		if s := p.known[id]; s != nil {
			v.snapshots[id] = s
		} else {
			fresh = append(fresh, id)
		}
	}
	return p.load(ctx, v, fresh, p.findNear)
}

// findNear is find for a snapshot that a listing shows. The record of one that stands may be kept on this machine: should the listing be late,
// and the snapshot gone, it is asked of the store when something turns out to be missing.
func (p *pruner) findNear(ctx context.Context, v *view, id pack.ID) (*Snapshot, error) {
	if _, alive := v.alive[id]; alive && !p.unsure && p.r.kept != nil {
		body, err := p.r.nearRecords.Load(ctx, sealed.Snapshot, id)
		if s, err := decodeSnapshot(id, body, err); err == nil {
			return s, nil
		}
	}
	return p.find(ctx, v, id)
}

// findFunc loads the record of a live snapshot.
type findFunc func(ctx context.Context, v *view, id pack.ID) (*Snapshot, error)

// load loads the records of live snapshots.
func (p *pruner) load(ctx context.Context, v *view, ids []pack.ID, find findFunc) error {
	loaded, err := loadEach(ctx, ids, func(ctx context.Context, id pack.ID) (*Snapshot, error) { return find(ctx, v, id) })
	if err != nil {
		return err
	}
	for i, id := range ids {
		if s := loaded[i]; s != nil {
			v.snapshots[id], p.known[id] = s, s
		}
	}
	return nil
}

// find loads the record of a live snapshot, wherever it is by then; nil if it was removed for good since. One that cannot be read may need
// anything, so that nothing can be removed.
func (p *pruner) find(ctx context.Context, v *view, id pack.ID) (*Snapshot, error) {
	var damage error
	for _, kind := range []sealed.Kind{sealed.Snapshot, sealed.Trash, sealed.Pending} {
		s, err := p.r.loadSnapshot(ctx, kind, id)
		switch {
		case err == nil:
			return s, nil
		case errors.Is(err, fs.ErrNotExist):
		case IsDamage(err):
			damage = err
		default:
			return nil, err // it may be whole
		}
	}
	if damage != nil {
		if _, alive := v.alive[id]; !alive {
			p.r.log.Warn("a forgotten snapshot cannot be read", "snapshot", id.String(), "error", damage)
			return nil, nil
		}
		return nil, fmt.Errorf("what a snapshot needs cannot be told: %w", damage)
	}
	return nil, nil
}

// lookAtPacks lists the packs and finds those that are lost.
func (p *pruner) lookAtPacks(ctx context.Context, from lister, v *view) (err error) {
	p.r.indexMu.Lock()
	v.indexes = p.r.indexNames
	p.r.indexMu.Unlock()
	if v.records, err = p.r.listTimes(ctx, from, sealed.Prune.Prefix); err != nil {
		return err
	}
	p.r.indexMu.Lock()
	for id := range v.records {
		rec := p.r.prunes[id]
		if rec == nil {
			delete(v.records, id) // it came since the sync, or is damaged
			continue
		}
		for _, c := range rec.Condemned {
			v.condemned[c] = true
		}
	}
	p.r.indexMu.Unlock()
	// Behind the index: a pack that it names and that no listing shows is taken for one that is gone.
	packs, err := listOnce(ctx, p.r.store, "data/", "meta/")
	if err != nil {
		return err
	}
	if v.packs, err = p.r.listPacks(ctx, packs); err != nil {
		return err
	}
	v.lost, err = p.r.lostPacks(ctx, v.packs)
	p.r.set.Condemn(v.lost...)
	return err
}

// lostPacks returns the packs that the index has, that no prune record condemns, and that are neither in the listing nor
// in the store.
func (r *Repo) lostPacks(ctx context.Context, there packFiles) (lost []pack.ID, err error) {
	condemned := map[pack.ID]bool{}
	for _, rec := range r.pruneRecords() {
		for _, id := range rec.Condemned {
			condemned[id] = true
		}
	}
	var suspects []index.PackInfo
	for info := range r.set.Packs() {
		if !condemned[info.ID] && there.find(info.ID) == nil {
			suspects = append(suspects, info)
		}
	}
	for _, info := range suspects {
		_, _, err := r.store.Stat(ctx, pack.Name(info.Class, info.ID))
		if errors.Is(err, fs.ErrNotExist) {
			lost = append(lost, info.ID)
		} else if err != nil {
			return nil, err
		}
	}
	return lost, nil
}

// lookForNamed looks by name for snapshots that earlier prunes knew and that no listing shows, before packs that
// these prunes condemned are removed.
func (p *pruner) lookForNamed(ctx context.Context, v *view) error {
	for id := range v.records {
		rec := p.r.pruneRecord(id)
		if !p.expired(v, id) || !slices.ContainsFunc(rec.Condemned, func(c pack.ID) bool { return v.packs.find(c) != nil }) {
			continue
		}
		for _, s := range rec.Snapshots {
			_, shown := v.trash[s]
			_, waits := v.pending[s]
			if v.snapshots[s] != nil || shown || waits {
				continue
			}
			if err := p.load(ctx, v, []pack.ID{s}, p.find); err != nil {
				return err
			}
		}
	}
	return nil
}

// expired reports whether packs that the record condemns may be removed.
func (p *pruner) expired(v *view, record pack.ID) bool {
	at, ok := v.records[record]
	return ok && (p.o.Now || p.now.Sub(at) >= p.o.GracePacks)
}

// marking is what the live snapshots need.
type marking struct {
	marks *index.Marks
	gone  int // chunks that are nowhere
}

// mark marks all that live snapshots need. What is in condemned packs alone is copied out. sure says that nothing has changed while
// the last mark failed.
func (p *pruner) mark(ctx context.Context, v *view, sure bool) (*marking, error) {
	m, only, err := p.markOnce(ctx, v, sure)
	if err != nil || len(only) > 0 {
		// The index file of a fresh snapshot may not show in a listing yet.
		added, addErr := p.r.addNamedIndexes(ctx, p.fresh(v))
		if addErr != nil {
			return nil, addErr
		}
		if added {
			if m != nil {
				m.marks.Close()
			}
			m, only, err = p.markOnce(ctx, v, sure)
		}
	}
	if err != nil {
		return nil, err
	}
	p.result.Snapshots = len(v.snapshots)
	var rescue []pack.ChunkID
	rescue, m.gone, err = p.partRescuable(ctx, only)
	if err == nil {
		err = p.copyOut(ctx, v, rescue)
	}
	if err != nil {
		m.marks.Close()
		return nil, err
	}
	p.result.MissingChunks = m.gone
	return m, nil
}

// fresh returns the snapshots that were committed so lately that a listing may not show all index files that they need.
func (p *pruner) fresh(v *view) map[pack.ID]*Snapshot {
	out := map[pack.ID]*Snapshot{}
	for id, s := range v.snapshots {
		at, ok := v.pending[id]
		if !ok {
			at, ok = v.alive[id]
		}
		if ok && p.now.Sub(at).Abs() < youngPack {
			out[id] = s
		}
	}
	return out
}

// markOnce marks all that live snapshots need, and returns the chunks that are in no pack or in condemned ones alone.
func (p *pruner) markOnce(ctx context.Context, v *view, sure bool) (*marking, []pack.ChunkID, error) {
	m := &marking{marks: p.r.set.NewMarks()}
	only, err := p.walk(ctx, v, sure, m.marks.Mark)
	if err != nil {
		m.marks.Close()
		return nil, nil, err
	}
	return m, only, nil
}

// walk hands the chunks of all live snapshots to mark and returns those that mark finds missing. What a snapshot needs must be
// known wholly, but for one that is forgotten or was never committed, if it is sure that nobody moves what it needs meanwhile.
func (p *pruner) walk(ctx context.Context, v *view, sure bool, mark func(ids, missing []pack.ChunkID) []pack.ChunkID) ([]pack.ChunkID, error) {
	only := map[pack.ChunkID]struct{}{}
	emit := func(ids []pack.ChunkID) {
		for _, id := range mark(ids, nil) {
			only[id] = struct{}{}
		}
	}
	walker := prune.NewWalker(p.r.load)
	if err := walker.Walk(ctx, v.roots(v.stands, false), emit); err != nil {
		return nil, err
	}
	if err := walker.Broken(); err != nil {
		return nil, p.nameBroken(ctx, v, err)
	}
	if err := walker.Walk(ctx, v.roots(v.stands, true), emit); err != nil {
		return nil, err
	}
	if err := walker.Broken(); err != nil {
		if !sure {
			return nil, err
		}
		p.r.log.Warn("a snapshot that is forgotten, or was never finished, cannot be read", "error", err)
	}
	return slices.Collect(maps.Keys(only)), nil
}

// roots returns the root pages of the snapshots of which is is true, or of the others.
func (v *view) roots(is func(id pack.ID) bool, others bool) (roots []pack.ChunkID) {
	for id, s := range v.snapshots {
		root, err := s.RootID()
		if err == nil && others != is(id) { // decoding has seen to the root
			roots = append(roots, root)
		}
	}
	return roots
}

// stands reports whether a snapshot is committed and not forgotten, as far as the view tells.
func (v *view) stands(id pack.ID) bool {
	if _, alive := v.alive[id]; alive {
		return true
	}
	_, pending := v.pending[id]
	return !pending && !v.forgotten(id)
}

// forgotten reports whether a snapshot is in the trash and not brought back.
func (v *view) forgotten(id pack.ID) bool {
	_, trash := v.trash[id]
	_, alive := v.alive[id]
	return trash && !alive
}

// nameBroken adds to an error which snapshot cannot be read.
func (p *pruner) nameBroken(ctx context.Context, v *view, broken error) error {
	for id, s := range v.snapshots {
		root, err := s.RootID()
		if err != nil {
			return err
		}
		if !v.stands(id) {
			continue
		}
		walker := prune.NewWalker(p.r.load)
		if err := walker.Walk(ctx, []pack.ChunkID{root}, func([]pack.ChunkID) {}); err != nil {
			return err
		}
		if err := walker.Broken(); err != nil {
			return fmt.Errorf("snapshot %s is damaged: %w", short(id), err)
		}
	}
	return broken
}

// copyOut copies chunks out of condemned packs. Those that are damaged, and hold what nobody else does, have to stay.
func (p *pruner) copyOut(ctx context.Context, v *view, ids []pack.ChunkID) error {
	if len(ids) == 0 || p.o.DryRun {
		return nil
	}
	damaged, err := p.r.rescue(ctx, ids)
	p.result.Rescued += len(ids)
	for id := range damaged {
		v.keep[id] = true
	}
	return err
}

// partRescuable returns the chunks that can be copied out of condemned packs, and the number of the others.
func (p *pruner) partRescuable(ctx context.Context, ids []pack.ChunkID) (rescue []pack.ChunkID, gone int, err error) {
	tried := map[pack.ID]error{}
	for _, id := range ids {
		_, err := p.r.rescuable(ctx, id, tried)
		switch {
		case err == nil:
			rescue = append(rescue, id)
		case errors.Is(err, ErrOvertaken):
			gone++
		default:
			return nil, 0, err
		}
	}
	return rescue, gone, nil
}

// addNamedIndexes loads the index files that snapshots name and that were in no listing, and reports whether there were
// any.
func (r *Repo) addNamedIndexes(ctx context.Context, snapshots map[pack.ID]*Snapshot) (added bool, err error) {
	r.indexMu.Lock()
	known := maps.Clone(r.indexNames)
	r.indexMu.Unlock()
	for _, s := range snapshots {
		for _, word := range s.Index {
			name, err := pack.ParseID(word)
			if err != nil || known[name] || r.unlisted.has(name) {
				continue
			}
			known[name] = true
			body, err := r.loadIndexFile(ctx, name)
			if errors.Is(err, fs.ErrNotExist) || errors.Is(err, index.ErrCorrupt) {
				continue
			}
			if err != nil {
				return added, err
			}
			var packs []index.Pack
			for info, err := range index.Scan(body) {
				if err != nil {
					break
				}
				packs = append(packs, info)
			}
			r.unlisted.add(name, packs, false)
			for _, info := range packs {
				r.set.Add(info)
				added = true
			}
		}
	}
	return added, nil
}
