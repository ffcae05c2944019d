package repo

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/snapkeep/snap/index"
	"github.com/snapkeep/snap/internal/chunks"
	"github.com/snapkeep/snap/internal/prune"
	"github.com/snapkeep/snap/pack"
)

const (
	defaultMaxUnused = 0.15
	youngPack        = 24 * time.Hour // before that a pack may belong to a backup that runs
	tempAge          = 24 * time.Hour // after that an unfinished file belongs to nobody
)

// pruner is the state of one Prune.
type pruner struct {
	r       *Repo
	o       PruneOptions
	result  *PruneResult
	session *session
	now     time.Time // by the clock of the storage
	begin   time.Time // by this machine's
	merging time.Time // when index files were listed to be merged, by the storage's

	record  pruneRecord // what this run has to tell
	removed []string    // packs
	known   map[pack.ID]*Snapshot
	purged  map[pack.ID]bool // snapshots that this run takes out of the trash
	looked  bool             // it is decided which
	unsure  bool             // what is kept on this machine may be gone from the store
	listing lister           // shows the folders in standing, for the next look; nil for none
	log     lister           // shows the log, behind what this run has appended so far
}

// withDefaults returns the options as they are meant.
func (o PruneOptions) withDefaults() (PruneOptions, error) {
	if o.MaxUnused == 0 {
		o.MaxUnused = defaultMaxUnused
	}
	if o.GraceTrash == 0 {
		o.GraceTrash = DefaultGraceTrash
	}
	if o.GracePacks == 0 {
		o.GracePacks = DefaultGracePacks
	}
	if o.GracePacks < MinGracePacks {
		return o, fmt.Errorf("grace of %v for packs: want at least %v", o.GracePacks, MinGracePacks)
	}
	if o.GraceTrash < 0 || o.MaxUnused > 1 {
		return o, errors.New("grace below nothing, or more unused than all")
	}
	if o.MaxRepack == 0 {
		o.MaxRepack = -1
	} else if o.MaxRepack < 0 {
		o.MaxRepack = 0
	}
	return o, nil
}

// Prune gives back the space that no snapshot uses. Packs that are not needed are condemned, what is still needed
// of others is copied out, and packs that were condemned by earlier prunes are removed when their grace is over.
// It reads metadata only, but for the packs that it copies, and opens no file data. Backups may run
// beside it. It can be cancelled at any time; the next prune goes on.
func (r *Repo) Prune(ctx context.Context, o PruneOptions) (*PruneResult, error) {
	defer r.use()()
	o, err := o.withDefaults()
	if err != nil {
		return nil, fmt.Errorf("prune: %w", err)
	}
	p := &pruner{r: r, o: o, result: &PruneResult{}, begin: time.Now(), known: map[pack.ID]*Snapshot{}, purged: map[pack.ID]bool{}}
	if !o.DryRun {
		if err := r.mayRemove(ctx); err != nil {
			return nil, fmt.Errorf("prune: %w", err)
		}
		p.session = r.enter(ctx, "prune")
		defer p.session.leave()
	}
	if err := p.run(ctx); err != nil {
		return p.result, fmt.Errorf("prune: %w", errors.Join(err, p.writeLog(ctx)))
	}
	return p.result, nil
}

func (p *pruner) run(ctx context.Context) error {
	if err := p.clocks(ctx); err != nil {
		return err
	}
	if err := p.expectAlone(ctx); err != nil {
		return err
	}
	if n := p.r.cache.Verify(); n > 0 {
		p.r.log.Warn("the local copy of the index was damaged and is made again", "tables", n)
	}
	v, m, err := p.lookAndMark(ctx)
	if err != nil {
		return err
	}
	defer m.marks.Close()
	if err := p.condemn(ctx, v, m); err != nil {
		return err
	}
	if err := p.removeCondemned(ctx, v); err != nil {
		return err
	}
	if p.o.DryRun {
		return nil
	}
	if err := p.tidy(ctx, v); err != nil {
		return err
	}
	return p.writeLog(ctx)
}

// lookAndMark looks at the repository and marks what is needed. It begins again if something that is needed is not where the index
// has it: others may have moved it meanwhile. What is missing still, though nothing has changed, is missing.
func (p *pruner) lookAndMark(ctx context.Context) (v *view, m *marking, err error) {
	var before *view
	for range lookRounds {
		if v, err = p.look(ctx); err != nil {
			return nil, nil, err
		}
		if err = p.emptyTrash(ctx, v); err != nil {
			return nil, nil, err
		}
		sure := before != nil && v.same(before)
		m, err = p.mark(ctx, v, sure)
		if err == nil || ctx.Err() != nil || (sure && IsDamage(err)) || (!IsDamage(err) && !errors.Is(err, ErrOvertaken)) {
			return v, m, err
		}
		before = v
		p.unsure = true
		clear(p.known)
	}
	return nil, nil, err
}

// clocks learns the storage's time. If it is not this machine's nothing is done that depends on how much time has
// passed.
func (p *pruner) clocks(ctx context.Context) error {
	p.now = p.r.now()
	if p.o.DryRun {
		return nil
	}
	now, err := p.session.storageNow(ctx)
	if p.o.Now {
		if err == nil {
			p.now = now
		}
		return ctx.Err() // a store that is full cannot take the session
	}
	if err != nil {
		return fmt.Errorf("ask the storage for the time: %w", err)
	}
	if skew := now.Sub(p.now).Abs(); skew > MaxClockSkew {
		return fmt.Errorf("%w by %v", ErrClockSkew, skew.Round(time.Second))
	}
	p.now = now
	return nil
}

// storageTime returns the time by the clock of the storage, the zero time if it does not tell.
func (p *pruner) storageTime(ctx context.Context) time.Time {
	now, err := p.session.storageNow(ctx)
	if err != nil {
		return time.Time{}
	}
	return now
}

// expectAlone returns ErrBusy if nothing but this run may write, and somebody does.
func (p *pruner) expectAlone(ctx context.Context) error {
	if !p.o.Now || p.session == nil {
		return nil
	}
	alive, err := p.others(ctx)
	if err != nil {
		return err
	}
	if len(alive) > 0 {
		var who []string
		for _, s := range alive {
			who = append(who, s.String())
		}
		return fmt.Errorf("%w: %s", ErrBusy, strings.Join(who, "; "))
	}
	return nil
}

// others returns the runs of others that are alive, by a listing of which the next look makes use.
func (p *pruner) others(ctx context.Context) ([]*sessionRecord, error) {
	from, err := listOnce(ctx, p.r.store, slices.Concat(standing, []string{sessionPrefix})...)
	if err != nil {
		return nil, err
	}
	p.listing = from
	return p.r.runsOf(ctx, from, p.session, p.now, false)
}

// condemn decides which packs go, copies out what is needed of them, and says so in a record.
func (p *pruner) condemn(ctx context.Context, v *view, m *marking) error {
	for i := range v.packs {
		p.result.Stored++
		p.result.StoredBytes += v.packs[i].size
	}
	survey, limits := prune.Look(p.usages(v, m), int64(p.packSize())), prune.Limits{MaxUnused: p.o.MaxUnused, MaxRepack: p.o.MaxRepack}
	survey.Spare(func(id pack.ID) bool { return v.storedSince(id, p.now.Add(-prune.YoungLife)) })
	var lives *prune.Lives
	if survey.Copies(limits) {
		var err error
		if lives, err = p.lives(ctx, v, m); err != nil {
			return err
		}
		defer lives.Close()
		survey.Weigh(lives.Stays)
	}
	plan := survey.Choose(limits)
	p.result.LiveBytes, p.result.UnusedBytes, p.result.Unfinished = plan.Live, plan.Unused, plan.Unfinished
	for _, dead := range plan.Dead {
		p.result.DeadPacks++
		p.result.DeadBytes += dead.Size
		p.record.Condemned = append(p.record.Condemned, dead.ID)
	}
	p.orphans(v, m)
	for _, id := range v.lost {
		p.record.Condemned = append(p.record.Condemned, id)
		p.record.Lost = append(p.record.Lost, id)
	}
	if p.o.DryRun {
		for _, u := range plan.Repack {
			p.countRepack(u)
			p.result.CopiedBytes += u.LiveBytes
			p.record.Condemned = append(p.record.Condemned, u.ID)
		}
		return nil
	}
	err := p.repack(ctx, v, lives, plan.Repack)
	if errors.Is(err, syscall.ENOSPC) && p.o.Now && len(p.record.Condemned) > 0 {
		// The store is full. What nobody needs goes first.
		p.r.log.Warn("the store is full: unused packs are removed first")
		if err := p.publish(ctx, v); err != nil {
			return err
		}
		if err := p.removeCondemned(ctx, v); err != nil {
			return err
		}
		err = p.repack(ctx, v, lives, plan.Repack)
	}
	if err != nil {
		return err
	}
	p.clearRecords(v)
	return p.publish(ctx, v)
}

func (p *pruner) packSize() int {
	if p.r.opts.PackSize == 0 {
		return chunks.DefaultPackSize
	}
	return p.r.opts.PackSize
}

func (p *pruner) countRepack(u index.Usage) {
	p.result.Repacked++
	p.result.RepackBytes += u.Size
}

// usages yields the packs that Choose is to decide about: none that are condemned, and none so young that a backup that
// runs may still refer to them.
func (p *pruner) usages(v *view, m *marking) func(yield func(index.Usage) bool) {
	return func(yield func(index.Usage) bool) {
		for u := range m.marks.Usage() {
			p.result.Packs++
			p.result.PackBytes += u.Size
			if u.Condemned {
				continue
			}
			if u.DeadBytes > 0 && v.young(u.ID) {
				p.result.YoungBytes += u.DeadBytes
				if u.DeadBytes = 0; u.LiveSegments == 0 {
					continue
				}
			}
			if !yield(u) {
				return
			}
		}
	}
}

// orphans condemns packs that no index file names, if these can be told: what a damaged index file names, or one that is
// missing, must stay.
func (p *pruner) orphans(v *view, m *marking) {
	if len(p.r.damagedIndexes()) > 0 || m.gone > 0 || len(v.lost) > 0 {
		return
	}
	for i := range v.packs {
		f := &v.packs[i]
		if _, ok := p.r.set.Pack(f.id); ok || v.condemned[f.id] {
			continue
		}
		if v.young(f.id) {
			p.result.YoungBytes += f.size
			continue
		}
		p.result.Orphans++
		p.result.OrphanBytes += f.size
		p.record.Condemned = append(p.record.Condemned, f.id)
	}
}

// What was copied is indexed and its sources are condemned now and then, so that a prune which is cut off has not worked for nothing, and none
// takes the copies for leftovers.
var (
	stageBytes = int64(1 << 30)
	stageTime  = 10 * time.Minute
)

// repack copies the live segments of packs, and condemns those that are copied.
func (p *pruner) repack(ctx context.Context, v *view, lives *prune.Lives, packs []index.Usage) error {
	if len(packs) == 0 {
		return nil
	}
	var ids []pack.ID
	for _, u := range packs {
		ids = append(ids, u.ID)
	}
	if err := p.r.warmUp(ctx, ids); err != nil {
		return err
	}
	c := prune.NewCopier(p.r.store, p.r.meta, p.r.config.ID, p.packSize())
	defer c.Abandon()
	var done []index.Usage
	staged, at := int64(0), time.Now()
	for _, u := range packs {
		if v.condemned[u.ID] {
			continue // done before the store was full
		}
		if p.o.MaxDuration > 0 && time.Since(p.begin) > p.o.MaxDuration {
			p.result.Unfinished = true
			break
		}
		_, err := c.Copy(ctx, u.Class, u.ID, u.Size, lives.Streams(u.ID))
		if errors.Is(err, prune.ErrDamaged) {
			p.r.log.Warn("a pack is damaged and stays as it is", "pack", u.ID.String(), "error", err)
			p.result.DamagedPacks++
			continue
		}
		if err != nil {
			return err
		}
		if done = append(done, u); c.Copied()-staged < stageBytes && time.Since(at) < stageTime {
			continue
		}
		if err := p.copied(ctx, v, c, done); err != nil {
			return err
		}
		if err := p.publish(ctx, v); err != nil {
			return err
		}
		done, staged, at = nil, c.Copied(), time.Now()
	}
	return p.copied(ctx, v, c, done)
}

// copied indexes what was copied and notes that the sources are to be condemned.
func (p *pruner) copied(ctx context.Context, v *view, c *prune.Copier, done []index.Usage) error {
	made, err := c.Finish(ctx)
	if err != nil {
		return err
	}
	if err := p.r.saveIndex(ctx, made); err != nil {
		return err
	}
	p.result.NewPacks += len(made)
	for _, n := range made {
		p.result.CopiedBytes += copiedBytes(n)
		p.record.Copied = append(p.record.Copied, n.ID)
		v.packs.insert(packFile{n.ID, n.Size, p.now.Unix(), n.Class})
	}
	for _, u := range done {
		p.countRepack(u)
		p.record.Condemned = append(p.record.Condemned, u.ID)
	}
	return nil
}

// copiedBytes returns the bytes of the segments of a pack.
func copiedBytes(p index.Pack) (n int64) {
	for _, s := range p.Directory {
		n += int64(s.Length)
	}
	return n
}

// publish stores the record of this run if it has something to tell, and begins another.
func (p *pruner) publish(ctx context.Context, v *view) error {
	rec := p.record
	p.record = pruneRecord{}
	if len(rec.Condemned)+len(rec.Superseded)+len(rec.Cleared) == 0 {
		return nil
	}
	if p.session != nil {
		rec.Session = p.session.run
	}
	for id := range v.snapshots {
		rec.Snapshots = append(rec.Snapshots, id)
	}
	all := rec.Condemned
	for {
		part := rec
		part.Condemned = all[:min(len(all), maxCondemned)]
		all = all[len(part.Condemned):]
		if err := p.r.savePruneRecord(ctx, &part); err != nil {
			return err
		}
		v.records[part.id] = p.now
		for _, id := range part.Condemned {
			v.condemned[id] = true
		}
		if len(all) == 0 {
			return nil
		}
	}
}

// writeLog notes what was removed.
func (p *pruner) writeLog(ctx context.Context) error {
	if len(p.removed) == 0 {
		return nil
	}
	from := p.log
	if from == nil { // it ended early
		from = p.r.store
	}
	files := p.removed
	p.removed = nil
	return p.r.noteBehind(context.WithoutCancel(ctx), from, LogEntry{What: "prune", Files: files, Bytes: p.result.RemovedBytes, Final: p.o.Now})
}
