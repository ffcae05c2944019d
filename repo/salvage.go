package repo

import (
	"cmp"
	"context"
	"errors"
	"io/fs"
	"slices"

	"github.com/snapkeep/snap/index"
	"github.com/snapkeep/snap/internal/prune"
	"github.com/snapkeep/snap/internal/seal"
	"github.com/snapkeep/snap/internal/sealed"
	"github.com/snapkeep/snap/pack"
)

// giveUp makes the packs void that cannot be mended, after it has copied to new packs what of them can be opened. It returns what
// cannot.
func (p *repairing) giveUp(ctx context.Context) (badPacks, error) {
	bad := badPacks{}
	if len(p.lost) == 0 {
		return bad, nil
	}
	c := prune.NewCopier(p.r.store, p.r.meta, p.r.config.ID, p.r.opts.PackSize)
	defer c.Abandon()
	directories, err := p.directories(ctx)
	if err != nil {
		return nil, err
	}
	for _, f := range p.lost { // so that only what is nowhere else counts as saved
		p.r.set.Condemn(f.id)
	}
	record := &pruneRecord{}
	for _, f := range p.lost {
		if _, ok := p.r.set.Pack(f.id); !ok && f.class == 0 {
			continue // parity of what nobody knows
		}
		if !p.r.isCondemned(f.id) {
			record.Condemned = append(record.Condemned, f.id)
		}
		state := &badPack{}
		bad[f.id] = state
		if _, ok := p.all[f.name()]; !ok || directories[f.id] == nil {
			state.all = true
			continue
		}
		if err := p.salvage(ctx, f, directories[f.id], c, state); err != nil {
			return nil, err
		}
	}
	if p.o.DryRun || p.result.Salvaged+len(record.Condemned) == 0 {
		return bad, nil
	}
	if err := p.begin(ctx); err != nil {
		return nil, err
	}
	made, err := c.Finish(ctx)
	if err != nil {
		return nil, err
	}
	if err := p.r.saveIndex(ctx, made); err != nil {
		return nil, err
	}
	if len(record.Condemned) == 0 {
		return bad, nil
	}
	record.Lost = slices.Clone(record.Condemned)
	for _, m := range made {
		record.Copied = append(record.Copied, m.ID)
	}
	// No pack that was condemned before is needed less by this record, so that it names all snapshots there are.
	for _, prefix := range []string{sealed.Pending.Prefix, sealed.Snapshot.Prefix, sealed.Trash.Prefix} {
		times, err := p.r.listTimes(ctx, p.r.store, prefix)
		if err != nil {
			return nil, err
		}
		for id := range times {
			record.Snapshots = append(record.Snapshots, id)
		}
	}
	return bad, p.r.savePruneRecord(ctx, record)
}

// directories returns the directories that index files have of the lost packs.
func (p *repairing) directories(ctx context.Context) (map[pack.ID]pack.Directory, error) {
	out := map[pack.ID]pack.Directory{}
	names, err := p.r.listIDs(ctx, p.r.store, sealed.Index)
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		body, err := p.r.loadIndexFile(ctx, name)
		if errors.Is(err, index.ErrCorrupt) || errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		for row, err := range index.Scan(body) {
			if err != nil {
				break
			}
			if slices.ContainsFunc(p.lost, func(f packFile) bool { return f.id == row.ID }) {
				out[row.ID] = row.Directory
			}
		}
	}
	return out, nil
}

// salvage copies the segments of a broken pack that can be opened.
func (p *repairing) salvage(ctx context.Context, f packFile, directory pack.Directory, c *prune.Copier, state *badPack) error {
	decoder := p.r.loader.NewDecoder()
	from := prune.Origin{ID: f.id, Directory: directory, Box: func(i int) ([]byte, error) { return p.box(ctx, f, &directory[i]) }}
	for i := range directory {
		s := &directory[i]
		err := p.opens(ctx, decoder, from, i)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err != nil {
			// A writer's key does not open file data: it may be whole, and stays where it is.
			if !errors.Is(err, ErrCannotReadData) {
				state.segments = append(state.segments, s.Offset)
			}
			continue
		}
		if !slices.ContainsFunc(s.Chunks, func(c pack.Chunk) bool { return !p.r.set.Has(c.ID) }) {
			continue
		}
		p.result.Salvaged++
		if p.o.DryRun {
			continue
		}
		if err := p.begin(ctx); err != nil {
			return err
		}
		if err := c.Add(ctx, from, i); err != nil {
			return err
		}
	}
	return nil
}

// box reads the sealed bytes of a segment of a pack.
func (p *repairing) box(ctx context.Context, f packFile, s *pack.Segment) ([]byte, error) {
	box := make([]byte, s.Length)
	n, err := p.raw.ReadAt(ctx, f.name(), box, int64(s.Offset))
	if n < len(box) {
		return nil, cmp.Or(err, pack.ErrCorrupt)
	}
	return box, nil
}

// opens returns an error unless segment i opens to the chunks of the directory.
func (p *repairing) opens(ctx context.Context, d *pack.Decoder, from prune.Origin, i int) error {
	s := &from.Directory[i]
	box, err := from.Box(i)
	if err != nil {
		return err
	}
	if s.Kind == pack.KindData {
		id, err := seal.BoxKey(box)
		if err != nil {
			return err
		}
		if _, err := p.r.content.Key(ctx, id); err != nil {
			return err
		}
	}
	chunks, err := p.open(ctx, d, from, i, box)
	if err != nil {
		return err
	}
	if len(chunks) != len(s.Chunks) {
		return pack.ErrCorrupt
	}
	for i, chunk := range chunks {
		if err := d.Check(s.Kind, s.Chunks[i].ID, chunk); err != nil {
			return err
		}
	}
	return nil
}

// open opens segment i, with its dictionary if it has one.
func (p *repairing) open(ctx context.Context, d *pack.Decoder, from prune.Origin, i int, box []byte) ([][]byte, error) {
	s := &from.Directory[i]
	if s.Back == 0 {
		return p.r.loader.Open(ctx, d, s.Kind, box)
	}
	primer, err := from.Box(i - int(s.Back))
	if err != nil {
		return nil, err
	}
	chunks, err := p.r.loader.Open(ctx, d, s.Kind, primer)
	if err != nil {
		return nil, err
	}
	with, err := pack.NewDictionary(chunks)
	if err != nil {
		return nil, err
	}
	return p.r.loader.OpenWith(ctx, d, box, with)
}

// assess looks at what is left of the damage.
func (p *repairing) assess(ctx context.Context, bad badPacks) error {
	o := CheckOptions{MaxFiles: p.o.MaxFiles, Progress: &CheckProgress{}, fresh: p.fresh}
	c, err := p.r.checkWith(ctx, o, bad, p.r.loader.Load, p.r.store)
	if err != nil {
		return err
	}
	p.result.Damage, p.result.Affected = c.result.Damage, c.result.Affected
	p.result.Indexed, p.result.Adopted = p.fresh.counts()
	for _, f := range p.lost {
		name := f.name()
		if f.class == 0 || slices.ContainsFunc(p.result.Damage, func(d Damage) bool { return d.Name == name }) {
			continue
		}
		_, there := p.all[name]
		d := Damage{Name: name, Missing: !there, Err: ErrDamaged}
		if !there {
			d.Err = fs.ErrNotExist
		}
		p.result.Damage = append(p.result.Damage, d)
	}
	sortDamage(p.result.Damage)
	return nil
}
