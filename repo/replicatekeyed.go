package repo

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"sync"

	"github.com/snapkeep/snap/index"
	"github.com/snapkeep/snap/internal/chunks"
	"github.com/snapkeep/snap/internal/keyring"
	"github.com/snapkeep/snap/internal/prune"
	"github.com/snapkeep/snap/internal/sealed"
	"github.com/snapkeep/snap/internal/snapshot"
	"github.com/snapkeep/snap/pack"
	"golang.org/x/sync/errgroup"
)

// Replicate takes over the snapshots of the first site, another store of the same repository, that this one never had, and the packs that they
// need. Each pack is verified against the hash that is its name, and its directory is opened; each snapshot is committed by the rules for all
// writers, when everything that it needs is here. This site forgets and prunes by its own rules: snapshots that were forgotten here stay
// forgotten, and what the first site forgets, prunes or loses stays here. A writer slot will do.
func (r *Repo) Replicate(ctx context.Context, from *Repo, o ReplicateOptions) (*ReplicateResult, error) {
	defer r.use()()
	defer from.use()()
	if from.config.ID != r.config.ID || from.secrets.Fingerprint() != r.secrets.Fingerprint() {
		return nil, fmt.Errorf("replicate: %w", ErrOtherRepository)
	}
	p := &puller{r: r, from: from, f: newFetcher(from.store, r.store, o), packs: map[pack.ID]*pulled{}}
	if err := p.run(ctx); err != nil {
		return p.f.result, fmt.Errorf("replicate: %w", err)
	}
	return p.f.result, nil
}

// puller is the state of one Replicate.
type puller struct {
	r, from *Repo
	f       *fetcher
	walker  *prune.Walker
	here    packFiles // packs that were here before

	mu    sync.Mutex       // guards what follows
	lost  map[pack.ID]bool // packs that should be here and are not
	packs map[pack.ID]*pulled
	rows  []index.Pack // of packs that no index file here names so far
}

// pulled is a pack that was asked for.
type pulled struct {
	once sync.Once
	err  error
}

func (p *puller) run(ctx context.Context) error {
	fresh, err := p.compare(ctx)
	if err != nil {
		return err
	}
	if p.f.dryRun {
		p.f.result.Snapshots = len(fresh)
		return nil
	}
	if len(fresh) == 0 {
		return nil
	}
	own := p.r.enter(ctx, "replicate")
	defer own.leave()
	w, err := p.r.beginWriting(ctx)
	if err != nil {
		return err
	}
	if err := p.from.syncIndex(ctx); err != nil {
		return fmt.Errorf("first site: %w", err)
	}
	if err := p.f.fetchMissing(ctx, keyring.ContentPrefix); err != nil {
		return err
	}
	if err := p.lookAround(ctx); err != nil {
		return err
	}
	labels, err := p.from.labels(ctx)
	if err != nil {
		p.r.log.Warn("some labels of the first site cannot be read", "error", err)
	}
	p.walker = prune.NewWalker(p.load)
	for _, s := range fresh {
		err := p.takeOver(ctx, w, s, labels)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if errors.Is(err, ErrOvertaken) || IsDamage(err) {
			p.f.result.Failed = append(p.f.result.Failed, ReplicateFailure{s.ID, err})
			p.walker = prune.NewWalker(p.load) // what it went through is not all here
			continue
		}
		if err != nil {
			return err
		}
		p.f.result.Snapshots++
	}
	return p.flush(ctx)
}

// compare returns the snapshots of the first site that were never here, oldest first.
func (p *puller) compare(ctx context.Context) ([]*Snapshot, error) {
	forgotten, err := p.r.everForgotten(ctx)
	if err != nil {
		return nil, err
	}
	here, err := p.r.listTimes(ctx, p.r.store, sealed.Snapshot.Prefix)
	if err != nil {
		return nil, err
	}
	trash, err := p.r.listTimes(ctx, p.r.store, sealed.Trash.Prefix)
	if err != nil {
		return nil, err
	}
	ids, err := p.from.listIDs(ctx, p.from.store, sealed.Snapshot)
	if err != nil {
		return nil, fmt.Errorf("first site: %w", err)
	}
	p.f.result.Gone = len(here)
	var fresh []*Snapshot
	for _, id := range ids {
		_, isHere := here[id]
		_, isTrash := trash[id]
		switch {
		case isHere:
			p.f.result.Gone--
			continue
		case isTrash || forgotten[id]:
			p.f.result.Forgotten++
			continue
		}
		s, err := p.from.loadSnapshot(ctx, sealed.Snapshot, id)
		switch {
		case err == nil:
			fresh = append(fresh, s)
		case errors.Is(err, fs.ErrNotExist): // forgotten meanwhile
		case IsDamage(err):
			p.f.result.Damaged = append(p.f.result.Damaged, Damage{Name: sealed.Snapshot.Prefix + id.String(), Err: err})
		default:
			return nil, fmt.Errorf("first site: %w", err)
		}
	}
	snapshot.Sort(fresh)
	return fresh, nil
}

// everForgotten returns the snapshots that were forgotten here and not brought back, as the log has it.
func (r *Repo) everForgotten(ctx context.Context) (map[pack.ID]bool, error) {
	entries, err := r.Log(ctx)
	if err != nil {
		return nil, err
	}
	slices.SortStableFunc(entries, func(a, b LogEntry) int { return a.Time.Compare(b.Time) })
	out := map[pack.ID]bool{}
	for _, e := range entries {
		if e.Err != nil {
			r.log.Warn("an entry of the log cannot be read: what it says was forgotten may come back", "entry", e.Name)
		}
		for _, name := range e.Snapshots {
			id, err := pack.ParseID(name)
			if err != nil {
				continue
			}
			switch e.What {
			case "forget", "trash":
				out[id] = true
			case "undelete":
				delete(out, id)
			}
		}
	}
	return out, nil
}

// lookAround lists the packs that are here, and those that should be.
func (p *puller) lookAround(ctx context.Context) (err error) {
	if p.here, err = p.r.listPacks(ctx, p.r.store); err != nil {
		return err
	}
	lost, err := p.r.lostPacks(ctx, p.here)
	p.lost = make(map[pack.ID]bool, len(lost))
	for _, id := range lost {
		p.lost[id] = true
	}
	return err
}

// stored reports whether a chunk is in a pack that is here and not condemned.
func (p *puller) stored(id pack.ChunkID) bool {
	if !p.r.set.Has(id) {
		return false
	}
	l, ok := p.r.set.Lookup(id)
	p.mu.Lock()
	defer p.mu.Unlock()
	return ok && !p.lost[l.Pack]
}

// load returns a page, for which it pulls the pack if need be.
func (p *puller) load(ctx context.Context, kind pack.Kind, id pack.ChunkID) ([]byte, error) {
	if !p.stored(id) {
		if err := p.pullFor(ctx, id); err != nil {
			return nil, err
		}
	}
	return p.r.load(ctx, kind, id)
}

// pullFor pulls a pack that holds the chunk.
func (p *puller) pullFor(ctx context.Context, id pack.ChunkID) error {
	err := fmt.Errorf("first site: chunk %s: %w", id, chunks.ErrMissing)
	for _, l := range p.places(id) {
		if err = p.pull(ctx, l); err == nil || ctx.Err() != nil {
			return err
		}
	}
	return err
}

// places returns where the first site has a chunk, the packs that it has not condemned first.
func (p *puller) places(id pack.ChunkID) []index.Location {
	all := p.from.set.Locations(id)
	if best, ok := p.from.set.Lookup(id); ok {
		all = append([]index.Location{best}, all...)
	}
	return all
}

// pull fetches a pack, once.
func (p *puller) pull(ctx context.Context, l index.Location) error {
	p.mu.Lock()
	state := p.packs[l.Pack]
	if state == nil {
		state = &pulled{}
		p.packs[l.Pack] = state
	}
	p.mu.Unlock()
	state.once.Do(func() { state.err = p.pullPack(ctx, l.Class, l.Pack) })
	return state.err
}

func (p *puller) pullPack(ctx context.Context, class pack.Class, id pack.ID) error {
	row := index.Pack{ID: id, Class: class}
	name := pack.Name(class, id)
	var directory pack.Directory
	var err error
	if f := p.here.find(id); f != nil { // left by a run that was cut off
		row.Size = f.size
		_, directory, err = pack.ReadDirectoryFrom(storeReader{ctx, p.r.store, name}, f.size, p.r.meta, p.r.config.ID)
	} else {
		var size int64
		if size, _, err = p.from.store.Stat(ctx, name); err != nil {
			return fmt.Errorf("first site: pack %s: %w: %w", id, pack.ErrCorrupt, err)
		}
		p.f.progress.TotalFiles.Add(1)
		p.f.progress.TotalBytes.Add(size)
		data, fetchErr := p.f.fetch(ctx, storeFile{name, size})
		if fetchErr != nil {
			return fetchErr
		}
		if data == nil {
			return fmt.Errorf("first site: pack %s: %w", id, ErrDamaged)
		}
		row.Size = size
		_, directory, err = pack.ReadDirectoryFrom(bytes.NewReader(data), size, p.r.meta, p.r.config.ID)
	}
	if err != nil {
		return fmt.Errorf("pack %s: %w", id, err)
	}
	row.Directory = directory
	if _, known := p.r.set.Pack(id); known {
		p.mu.Lock()
		defer p.mu.Unlock()
		delete(p.lost, id) // it is back
		return nil
	}
	p.r.set.Add(row)
	p.mu.Lock()
	p.rows = append(p.rows, row)
	due := len(p.rows) >= fetchBatch
	p.mu.Unlock()
	if due {
		return p.flush(ctx)
	}
	return nil
}

// flush stores an index file of the packs that were pulled.
func (p *puller) flush(ctx context.Context) error {
	p.mu.Lock()
	rows := p.rows
	p.rows = nil
	p.mu.Unlock()
	if len(rows) == 0 {
		return nil
	}
	return p.r.saveIndex(ctx, rows)
}

// takeOver pulls what a snapshot needs and commits it, with its labels.
func (p *puller) takeOver(ctx context.Context, w *writing, s *Snapshot, labels []*snapshot.Label) error {
	root, err := s.RootID()
	if err != nil {
		return err
	}
	if err := p.pullData(ctx, root); err != nil {
		return err
	}
	if err := p.flush(ctx); err != nil {
		return err
	}
	name := sealed.Snapshot.Prefix + s.ID.String()
	file, err := sealed.ReadFile(ctx, p.from.store, name, int64(sealed.Snapshot.Limit)+1024)
	if err != nil {
		return err
	}
	if pack.SumID(file) != s.ID {
		return fmt.Errorf("%s: %w: its bytes do not match its name", name, ErrDamaged)
	}
	for _, l := range labels {
		if l.Snapshot == s.ID.String() {
			if err := p.takeLabel(ctx, l); err != nil {
				return err
			}
		}
	}
	w.mustVerify = true
	return w.publish(ctx, s, file)
}

func (p *puller) takeLabel(ctx context.Context, l *snapshot.Label) error {
	name := sealed.Label.Prefix + l.ID.String()
	size, _, err := p.from.store.Stat(ctx, name)
	if err == nil {
		_, err = p.f.fetch(ctx, storeFile{name, size})
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// pullData walks a tree and pulls the packs of what is not here.
func (p *puller) pullData(ctx context.Context, root pack.ChunkID) error {
	var mu sync.Mutex // guards needed
	needed := map[pack.ID]pack.ChunkID{}
	var gone error
	err := p.walker.Walk(ctx, []pack.ChunkID{root}, func(ids []pack.ChunkID) {
		for _, id := range ids {
			if p.stored(id) {
				continue
			}
			places := p.places(id)
			mu.Lock()
			if len(places) == 0 {
				gone = fmt.Errorf("first site: chunk %s: %w", id, chunks.ErrMissing)
			} else if _, ok := needed[places[0].Pack]; !ok {
				needed[places[0].Pack] = id
			}
			mu.Unlock()
		}
	})
	if err == nil {
		err = errors.Join(p.walker.Broken(), gone)
	}
	if err != nil {
		return err
	}
	var away []pack.ID
	for id := range needed {
		if p.here.find(id) == nil {
			away = append(away, id)
		}
	}
	if err := p.from.warmUp(ctx, away); err != nil {
		return fmt.Errorf("first site: %w", err)
	}
	group, groupCtx := errgroup.WithContext(ctx)
	group.SetLimit(fetchesAtOnce)
	for _, id := range needed {
		group.Go(func() error { return p.pullFor(groupCtx, id) })
	}
	return group.Wait()
}
