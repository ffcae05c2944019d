package repo

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/snapkeep/snap/index"
	"github.com/snapkeep/snap/internal/prune"
	"github.com/snapkeep/snap/pack"
)

// Space tells what the files of a repository are there for. What follows Stored, but for Trash, Unused and Inside, counts whole packs, each once.
type Space struct {
	Snapshots int // that are not forgotten
	Stored    SpacePart
	// Other are all files that are no packs: index, records, parity, copies.
	Other SpacePart

	// Live is what snapshots need.
	Live SpacePart
	// Trash is what only forgotten snapshots need, until they can be brought back no more.
	Trash          SpacePart
	TrashSnapshots int
	// Unused is what nobody needs in packs that are partly needed. A prune copies the rest out once that is worth it.
	Unused SpacePart
	// Inside is about what nobody needs in segments that are partly needed, such as those of small files. Only who opens them, as Copy does, leaves it out.
	Inside SpacePart
	// Dead are packs that nobody needs; the next prune condemns them.
	Dead SpacePart
	// Orphans are packs that no index file names, left by runs that were cut off; the next prune condemns them.
	Orphans SpacePart
	// Young are packs, dead or orphans, that may belong to a backup that runs, until they are a day old.
	Young SpacePart
	// Waiting are condemned packs in their grace.
	Waiting SpacePart
	// Ready are condemned packs whose grace is over: the next prune removes them.
	Ready SpacePart
	// Uncertain are packs of which nothing can be told, because something else is damaged or missing.
	Uncertain SpacePart

	MissingChunks int64 // that snapshots need and no pack has: see Check
	// Damage says what could not be read, so that the figures are not sure. A prune would refuse to go on.
	Damage error
}

// SpacePart is a part of the space.
type SpacePart struct {
	Files int   // in which it is
	Bytes int64 // of it
	// From and To are when the first and the last of it can be had, by the clock of the storage; zero where
	// nothing waits for a time.
	From, To time.Time
}

func (s *SpacePart) add(bytes int64) {
	s.Files++
	s.Bytes += bytes
}

// until notes that some of it can be had at a time.
func (s *SpacePart) until(at time.Time) {
	at = at.Truncate(time.Second)
	if s.From.IsZero() || at.Before(s.From) {
		s.From = at
	}
	if at.After(s.To) {
		s.To = at
	}
}

// FreedByPrune returns the bytes that a prune gives back at once.
func (s *Space) FreedByPrune() int64 { return s.Ready.Bytes }

// FreedByPruneNow returns the least and the most bytes that a prune without grace gives back, while nobody else writes. How much is
// unused then in packs that are partly needed, and worth being rewritten, is up to the limits of the prune.
func (s *Space) FreedByPruneNow() (least, most int64) {
	least = s.Ready.Bytes + s.Waiting.Bytes + s.Dead.Bytes + s.Orphans.Bytes + s.Young.Bytes
	return least, least + s.Trash.Bytes + s.Unused.Bytes
}

// Space tells what the space of the repository is used for, and what of it can be had when. It reads metadata only, and changes
// nothing. Times count from this machine's clock.
func (r *Repo) Space(ctx context.Context) (*Space, error) {
	defer r.use()()
	o, err := PruneOptions{DryRun: true}.withDefaults()
	if err != nil {
		return nil, err
	}
	p := &pruner{r: r, o: o, result: &PruneResult{}, now: r.now(), known: map[pack.ID]*Snapshot{}}
	v, err := p.look(ctx)
	if err != nil {
		return nil, fmt.Errorf("space: %w", err)
	}
	s := &spacing{p: p, v: v, out: &Space{}, needed: map[pack.ID]int64{}}
	if err := s.count(ctx); err != nil {
		return nil, fmt.Errorf("space: %w", err)
	}
	return s.out, nil
}

// spacing is the state of one Space.
type spacing struct {
	p      *pruner
	v      *view
	out    *Space
	needed map[pack.ID]int64 // bytes of packs that snapshots need which are not forgotten
	sure   bool              // every pack is known for what it is
}

func (s *spacing) count(ctx context.Context) error {
	if err := s.others(ctx); err != nil {
		return err
	}
	s.forgotten()
	marks := s.p.r.set.NewMarks()
	defer marks.Close()
	walker := prune.NewWalker(s.p.r.load)
	if err := s.mark(ctx, walker, marks, false); err != nil {
		return err
	}
	for u := range marks.Usage() {
		if u.LiveBytes > 0 {
			s.needed[u.ID] = u.LiveBytes
		}
	}
	if err := s.mark(ctx, walker, marks, true); err != nil {
		return err
	}
	s.sure = s.out.Damage == nil && len(s.p.r.damagedIndexes()) == 0 && len(s.v.lost) == 0 && s.out.MissingChunks == 0
	for u := range marks.Usage() {
		s.known(u)
	}
	s.unknown()
	s.condemned()
	return nil
}

// others counts the files that are no packs.
func (s *spacing) others(ctx context.Context) error {
	return s.p.r.store.List(ctx, "", func(name string, size int64, _ time.Time) error {
		if kind, _ := classify(name); kind != fileData && kind != fileMeta && !strings.HasPrefix(name, "tmp/") {
			s.out.Other.add(size)
		}
		return nil
	})
}

// forgotten counts snapshots.
func (s *spacing) forgotten() {
	s.out.Snapshots = len(s.v.alive)
	for id := range s.v.snapshots {
		at, trashed := s.v.trash[id]
		if _, alive := s.v.alive[id]; trashed && !alive {
			s.out.TrashSnapshots++
			s.out.Trash.until(at.Add(s.p.o.GraceTrash))
		}
	}
}

// mark marks what snapshots need, those in the trash or the others.
func (s *spacing) mark(ctx context.Context, walker *prune.Walker, marks *index.Marks, trashed bool) error {
	var missing atomic.Int64
	err := walker.Walk(ctx, s.v.roots(s.v.forgotten, !trashed), func(ids []pack.ChunkID) {
		missing.Add(int64(len(marks.Mark(ids, nil))))
	})
	s.out.MissingChunks += missing.Load()
	if broken := walker.Broken(); broken != nil && err == nil {
		s.out.Damage = broken
	}
	if err != nil && !errors.Is(err, context.Canceled) && IsDamage(err) {
		s.out.Damage, err = err, nil
	}
	return err
}

// known counts a pack of the index.
func (s *spacing) known(u index.Usage) {
	f := s.v.packs.find(u.ID)
	if f == nil || s.v.condemned[u.ID] {
		return
	}
	s.out.Stored.add(f.size)
	live := s.needed[u.ID]
	switch {
	case u.LiveSegments == 0 && !s.sure:
		s.out.Uncertain.add(f.size)
	case u.LiveSegments == 0 && s.v.young(u.ID):
		s.young(f)
	case u.LiveSegments == 0:
		s.out.Dead.add(f.size)
	default:
		s.partly(f, u, live)
	}
}

// partly counts a pack that is needed, of which live bytes are by snapshots that are not forgotten.
func (s *spacing) partly(f *packFile, u index.Usage, live int64) {
	// What is neither needed nor dead, the frame of the pack, goes with what is needed.
	trash, inside := u.LiveBytes-live, u.DeadInside
	if frame := f.size - u.DeadBytes - u.LiveBytes; live > 0 {
		fromLive := min(inside, live)
		s.out.Live.add(frame + live - fromLive)
		trash -= inside - fromLive
	} else {
		trash += frame - inside
	}
	if trash > 0 {
		s.out.Trash.add(trash)
	}
	if inside > 0 {
		s.out.Inside.add(inside)
	}
	if u.DeadBytes > 0 {
		s.out.Unused.add(u.DeadBytes)
	}
}

func (s *spacing) young(f *packFile) {
	s.out.Young.add(f.size)
	s.out.Young.until(time.Unix(f.time, 0).Add(youngPack))
}

// unknown counts the packs that no index file names.
func (s *spacing) unknown() {
	for i := range s.v.packs {
		f := &s.v.packs[i]
		if _, ok := s.p.r.set.Pack(f.id); ok || s.v.condemned[f.id] {
			continue
		}
		s.out.Stored.add(f.size)
		switch {
		case !s.sure:
			s.out.Uncertain.add(f.size)
		case s.v.young(f.id):
			s.young(f)
		default:
			s.out.Orphans.add(f.size)
		}
	}
}

// condemned counts the packs that prune records name.
func (s *spacing) condemned() {
	first := map[pack.ID]time.Time{} // when they can go
	for id, at := range s.v.records {
		until := at.Add(s.p.o.GracePacks)
		for _, c := range s.p.r.pruneRecord(id).Condemned {
			if old, ok := first[c]; !ok || until.Before(old) {
				first[c] = until
			}
		}
	}
	for i := range s.v.packs {
		f := &s.v.packs[i]
		if !s.v.condemned[f.id] {
			continue
		}
		s.out.Stored.add(f.size)
		if until := first[f.id]; until.After(s.p.now) {
			s.out.Waiting.add(f.size)
			s.out.Waiting.until(until)
		} else {
			s.out.Ready.add(f.size)
		}
	}
}
