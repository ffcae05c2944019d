package repo

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"time"

	"github.com/snapkeep/snap/index"
	"github.com/snapkeep/snap/internal/sealed"
	"github.com/snapkeep/snap/pack"
)

// Bounds of what is merged.
const (
	smallIndex  = 1 << 20  // an index file below this size is merged with others
	manyIndexes = 16       // small ones are merged when there are so many
	mergeBytes  = 32 << 20 // of index files that are merged by one prune
	deadRows    = 4        // large ones are merged when one row in so many is of a pack that is gone
)

// indexFile is an index file as a listing shows it.
type indexFile struct {
	id   pack.ID
	size int64
}

// tidy removes what earlier prunes have superseded, merges index files, and removes leftovers.
func (p *pruner) tidy(ctx context.Context, v *view) error {
	p.merging = p.storageTime(ctx)
	from, err := listAlong(ctx, p.r.store, []string{sealed.Index.Prefix, sealed.Label.Prefix, sessionPrefix}, []string{logPrefix})
	if err != nil {
		return err
	}
	p.log = from
	files, err := p.indexFiles(ctx, from)
	if err != nil {
		return err
	}
	if files, err = p.dropSuperseded(ctx, v, files); err != nil {
		return err
	}
	if _, err = p.mergeIndexes(ctx, v, files); err != nil {
		return err
	}
	if p.o.Now {
		var names []string
		for _, id := range p.record.Superseded {
			names = append(names, sealed.Index.Prefix+id.String())
		}
		if _, err := p.r.discardAll(ctx, names); err != nil {
			return err
		}
		p.result.RemovedIndexes += len(p.record.Superseded)
		p.record.Superseded = nil
	}
	p.clearRecords(v)
	if err := p.publish(ctx, v); err != nil {
		return err
	}
	if err := p.dropLabels(ctx, v, from); err != nil {
		return err
	}
	if _, err := p.r.runsOf(ctx, from, p.session, p.now, false); err != nil { // removes those of dead runs
		return err
	}
	_, err = cleanTemp(ctx, p.r.store, tempAge)
	return err
}

func (p *pruner) indexFiles(ctx context.Context, from lister) (files []indexFile, err error) {
	err = from.List(ctx, sealed.Index.Prefix, func(name string, size int64, _ time.Time) error {
		if kind, id := classify(name); kind == fileIndex {
			files = append(files, indexFile{id, size})
		}
		return nil
	})
	slices.SortFunc(files, func(a, b indexFile) int { return cmp.Compare(a.size, b.size) })
	return files, err
}

// dropSuperseded removes index files that were merged into others, and prune records that were cleared, when the record that says so
// is older than the grace. It returns the index files that are neither removed nor about to be.
func (p *pruner) dropSuperseded(ctx context.Context, v *view, files []indexFile) ([]indexFile, error) {
	superseded := map[pack.ID]bool{}
	for id, at := range v.records {
		rec := p.r.pruneRecord(id)
		old := p.now.Sub(at) >= p.o.GracePacks
		for _, name := range rec.Superseded {
			superseded[name] = true
			if !old {
				continue
			}
			if i := slices.IndexFunc(files, func(f indexFile) bool { return f.id == name }); i >= 0 {
				if err := p.dropIfThere(ctx, sealed.Index.Prefix+name.String()); err != nil {
					return nil, err
				}
				p.result.RemovedIndexes++
			}
		}
		for _, name := range rec.Cleared {
			if _, ok := v.records[name]; ok && old && p.unnamed(name) {
				if err := p.dropIfThere(ctx, sealed.Prune.Prefix+name.String()); err != nil {
					return nil, err
				}
				delete(v.records, name)
			}
		}
	}
	return slices.DeleteFunc(files, func(f indexFile) bool { return superseded[f.id] }), nil
}

// unnamed reports whether no index file names the packs of a prune record. One that could not be seen when the record was cleared shows
// now.
func (p *pruner) unnamed(record pack.ID) bool {
	return !slices.ContainsFunc(p.r.pruneRecord(record).Condemned, func(c pack.ID) bool {
		_, ok := p.r.set.Pack(c)
		return ok
	})
}

// mergeIndexes merges index files, without the rows of packs that are gone, if that is worth it.
func (p *pruner) mergeIndexes(ctx context.Context, v *view, files []indexFile) ([]indexFile, error) {
	some := p.mergeable(v, files)
	if len(some) == 0 {
		return files, nil
	}
	var all []index.Pack
	var names []pack.ID
	seen := map[pack.ID]bool{}
	for _, f := range some {
		body, err := p.r.loadListedIndex(ctx, f.id) // a listing that was late then, was so for the index, whose packs are known to be gone
		var decoded index.File
		if err == nil {
			decoded, err = index.Decode(body)
		}
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, index.ErrCorrupt) {
			continue
		}
		if err != nil {
			return nil, err
		}
		names = append(names, f.id)
		for _, row := range decoded.Packs {
			if !seen[row.ID] && !p.gone(v, row.ID) {
				all = append(all, row)
			}
			seen[row.ID] = true
		}
	}
	if len(names) == 1 && len(all) == len(seen) {
		return files, nil // nothing to gain
	}
	merged, err := p.saveMerged(ctx, all, names)
	if err == nil && merged {
		p.record.Superseded = append(p.record.Superseded, names...)
	}
	return files, err
}

// saveMerged stores index files that take the place of others, which were listed a moment ago. If that moment was long, by the clock of the
// storage, rows may be of packs that were removed since, and of which no prune record tells any more: it removes the files, and reports
// false.
func (p *pruner) saveMerged(ctx context.Context, rows []index.Pack, names []pack.ID) (bool, error) {
	var made []pack.ID
	for len(rows) > 0 {
		n := indexPart(rows)
		id, err := p.r.records.Save(ctx, sealed.Index, index.Encode(index.File{Supersedes: names, Packs: rows[:n]}))
		if err != nil {
			return false, fmt.Errorf("store index: %w", err)
		}
		made, rows = append(made, id), rows[n:]
	}
	for _, id := range made {
		at, err := p.r.storedAt(ctx, sealed.Index.Prefix+id.String())
		if err != nil {
			return false, err
		}
		if p.merging.IsZero() || at.Sub(p.merging).Abs() < MinGracePacks {
			continue
		}
		for _, id := range made {
			if err := p.dropIfThere(ctx, sealed.Index.Prefix+id.String()); err != nil {
				return false, err
			}
		}
		return false, nil
	}
	return true, nil
}

// gone reports whether a pack is condemned and not there any more.
func (p *pruner) gone(v *view, id pack.ID) bool { return v.condemned[id] && v.packs.find(id) == nil }

// mergeable returns the index files that are worth to be merged.
func (p *pruner) mergeable(v *view, files []indexFile) []indexFile {
	rows, dead := 0, 0
	for info := range p.r.set.Packs() {
		rows += info.Chunks
		if p.gone(v, info.ID) {
			dead += info.Chunks
		}
	}
	wasteful := dead > 0 && dead*deadRows >= rows
	var some []indexFile
	bytes := int64(0)
	for _, f := range files {
		if (f.size >= smallIndex && !wasteful) || bytes+f.size > mergeBytes {
			break
		}
		bytes += f.size
		some = append(some, f)
	}
	if wasteful || len(some) >= manyIndexes || (p.o.Now && (len(some) > 1 || dead > 0)) {
		return some
	}
	return nil
}

// clearRecords finds prune records that have done their work: their packs are gone, and no index file names them. The next record
// tells so.
func (p *pruner) clearRecords(v *view) {
	told := map[pack.ID]bool{}
	for id := range v.records {
		for _, name := range p.r.pruneRecord(id).Cleared {
			told[name] = true
		}
	}
	var cleared []pack.ID
	for id, at := range v.records {
		if told[id] || at.Equal(p.now) || (len(p.r.pruneRecord(id).Lost) > 0 && p.result.MissingChunks > 0) {
			continue // what is lost has to be known until it was read anew
		}
		if !slices.ContainsFunc(p.r.pruneRecord(id).Condemned, func(c pack.ID) bool {
			_, indexed := p.r.set.Pack(c)
			return indexed || v.packs.find(c) != nil
		}) && p.done(v, id) {
			cleared = append(cleared, id)
		}
	}
	// They are told by the way, or when there are many.
	if len(p.record.Condemned)+len(p.record.Superseded) > 0 || len(cleared) >= manyIndexes {
		p.record.Cleared = cleared
	}
}

// done reports whether the index files that a record supersedes are gone, and the records that it clears.
func (p *pruner) done(v *view, id pack.ID) bool {
	rec := p.r.pruneRecord(id)
	p.r.indexMu.Lock()
	defer p.r.indexMu.Unlock()
	for _, name := range rec.Superseded {
		if p.r.indexNames[name] {
			return false
		}
	}
	for _, name := range rec.Cleared {
		if _, ok := v.records[name]; ok {
			return false
		}
	}
	return true
}

// dropLabels removes the labels of snapshots that are gone for good.
func (p *pruner) dropLabels(ctx context.Context, v *view, from lister) error {
	times, err := p.r.listTimes(ctx, from, sealed.Label.Prefix)
	if err != nil || len(times) == 0 {
		return err
	}
	labels, err := p.r.labelsOf(ctx, from)
	if err != nil {
		p.r.log.Warn("some labels cannot be read", "error", err)
	}
	for _, l := range labels {
		id, err := pack.ParseID(l.Snapshot)
		if err != nil || v.snapshots[id] != nil || p.now.Sub(times[l.ID]) < p.o.GraceTrash {
			continue
		}
		if err := p.dropIfThere(ctx, sealed.Label.Prefix+l.ID.String()); err != nil {
			return fmt.Errorf("remove label: %w", err)
		}
	}
	return nil
}
