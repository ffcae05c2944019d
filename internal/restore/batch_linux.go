package restore

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/snapkeep/snap/index"
	"github.com/snapkeep/snap/internal/chunks"
	"github.com/snapkeep/snap/internal/tree"
	"github.com/snapkeep/snap/pack"
)

// piece is a chunk that a file needs, or a hole to be written as zeros.
type piece struct {
	key    uint64      // where the chunk is: number of its pack, offset of its segment, ordinal in it
	size   uint32      // bytes of the segment's box
	with   index.Range // dictionary of the segment; zero for none
	file   *file
	at     int64 // in the file
	length int64
	id     pack.ChunkID // zero for a hole
}

// A key orders pieces by place: 20 bits of pack, 28 of offset, 16 of ordinal. Holes come last.
const (
	ordinalBits = 16
	offsetBits  = 28
	maxPacks    = 1<<(64-ordinalBits-offsetBits) - 1 // of a collector
	holeKey     = 1<<64 - 1
)

func (p *piece) pack() int       { return int(p.key >> (ordinalBits + offsetBits)) }
func (p *piece) offset() int64   { return int64(p.key >> ordinalBits & (1<<offsetBits - 1)) }
func (p *piece) ordinal() int    { return int(p.key & (1<<ordinalBits - 1)) }
func (p *piece) segment() uint64 { return p.key >> ordinalBits }

// collector holds pieces until there are enough to order them by place.
type collector struct {
	pieces  []piece
	files   int       // large files among those that the pieces are for, about
	packs   []pack.ID // in the order of their first use
	numbers map[pack.ID]int
}

// number returns the number of a pack.
func (c *collector) number(id pack.ID) int {
	n, ok := c.numbers[id]
	if !ok {
		if c.numbers == nil {
			c.numbers = map[pack.ID]int{}
		}
		n = len(c.packs)
		c.packs = append(c.packs, id)
		c.numbers[id] = n
	}
	return n
}

// task is work for one worker: files that need no chunk, or a range of a pack with the pieces
// that it holds.
type task struct {
	simple []*file

	pack   pack.ID
	offset int64
	length int
	pieces []piece // ordered by place
}

// simpleBatch is how many files that need no chunk a worker is given at a time.
const simpleBatch = 64

// schedule hands a file to the workers, or holds it back until there are more.
func (r *run) schedule(ctx context.Context, f *file) error {
	x := f.entry
	if x.Kind != tree.Regular || f.isLink() || f.action == Unchanged {
		return r.scheduleSimple(ctx, f)
	}
	if x.Listed {
		return r.scheduleListed(ctx, f)
	}
	count := 0
	for i := range x.Parts {
		if r.isPiece(&x.Parts[i]) {
			count++
		}
	}
	if count == 0 {
		f.pending.Store(1)
		return r.scheduleSimple(ctx, f)
	}
	f.pending.Store(int32(count))
	f.several = count > 1
	return r.collect(ctx, f, x.Parts, 0)
}

// scheduleListed collects the pieces of a listed file, list by list.
func (r *run) scheduleListed(ctx context.Context, f *file) error {
	f.several = true
	f.pending.Store(1) // until all lists are read
	at := int64(0)
	for _, list := range f.entry.Parts {
		parts, err := tree.LoadList(ctx, r.Load, list)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err != nil {
			f.giveUp(err)
			break
		}
		for i := range parts {
			if r.isPiece(&parts[i]) {
				f.pending.Add(1)
			}
		}
		if err := r.collect(ctx, f, parts, at); err != nil {
			return err
		}
		at += list.Length
	}
	return r.scheduleSimple(ctx, f)
}

// isPiece reports whether something has to be written for a part.
func (r *run) isPiece(p *tree.Part) bool { return r.NoSparse || !p.ID.IsZero() }

// collect looks up the parts of a file that begin at a place in it and keeps them as pieces.
func (r *run) collect(ctx context.Context, f *file, parts []tree.Part, at int64) error {
	c := &r.collected
	for i := range parts {
		p := &parts[i]
		if r.isPiece(p) {
			next := piece{key: holeKey, file: f, at: at, length: p.Length, id: p.ID}
			if err := r.find(c, &next); err != nil {
				f.giveUp(err)
				r.done(f)
			} else {
				c.pieces = append(c.pieces, next)
			}
		}
		at += p.Length
		if len(c.pieces) >= r.limits.pieces || len(c.packs) >= maxPacks {
			if err := r.flushFull(ctx); err != nil {
				return err
			}
		}
	}
	if !f.several {
		return nil
	}
	if c.files++; c.files < r.limits.largeFiles {
		return nil
	}
	return r.flushLarge(ctx)
}

// find notes where the chunk of a piece is.
func (r *run) find(c *collector, p *piece) error {
	if p.id.IsZero() {
		return nil
	}
	loc, ok := r.Index.Lookup(p.id)
	if !ok {
		// A pack that is to be removed may still be there.
		all := r.Index.Locations(p.id)
		if len(all) == 0 {
			return fmt.Errorf("%s: %w", p.id, chunks.ErrMissing)
		}
		loc = all[0]
	}
	if loc.Class != pack.ClassData || loc.Offset >= 1<<offsetBits || loc.Length > pack.MaxSegmentBoxSize {
		return fmt.Errorf("%w: chunk %s: %d bytes at %d of pack %s", pack.ErrCorrupt, p.id, loc.Length, loc.Offset, loc.Pack)
	}
	p.key = uint64(c.number(loc.Pack))<<(ordinalBits+offsetBits) | uint64(loc.Offset)<<ordinalBits | uint64(loc.Ordinal)
	p.size, p.with = loc.Length, loc.Dictionary
	return nil
}

// flushAll hands out everything that was collected.
func (r *run) flushAll(ctx context.Context) error {
	c := &r.collected
	return r.handOut(ctx, c.pieces, nil)
}

// flushFull makes room in the collector. A segment holds files that were near each other in the
// walk of the backup, and so are here: the pieces of the segments that the last ones are in are held
// back, because the next files will need these too and each segment is to be opened once.
func (r *run) flushFull(ctx context.Context) error {
	c := &r.collected
	recent := map[uint64]struct{}{}
	for _, p := range c.pieces[len(c.pieces)-len(c.pieces)/4:] {
		recent[p.segment()] = struct{}{}
	}
	ready, held := c.split(func(p *piece) bool {
		_, ok := recent[p.segment()]
		return p.key == holeKey || !ok
	})
	if len(ready) < len(c.pieces)/4 || len(c.packs) >= maxPacks {
		return r.flushAll(ctx) // they are not near each other
	}
	return r.handOut(ctx, ready, held)
}

// flushLarge hands out the pieces of large files, so that not too many are open.
func (r *run) flushLarge(ctx context.Context) error {
	large, small := r.collected.split(func(p *piece) bool { return p.file.several })
	return r.handOut(ctx, large, small)
}

// split returns the pieces that are ready to be handed out, and the others.
func (c *collector) split(isReady func(p *piece) bool) (ready, held []piece) {
	for i := range c.pieces {
		if p := &c.pieces[i]; isReady(p) {
			ready = append(ready, *p)
		} else {
			held = append(held, *p)
		}
	}
	return ready, held
}

// handOut orders pieces by place and hands them out as ranges. It leaves held in the collector.
func (r *run) handOut(ctx context.Context, ready, held []piece) error {
	c := &r.collected
	slices.SortFunc(ready, func(a, b piece) int { return cmp.Compare(a.key, b.key) })
	for len(ready) > 0 {
		t := r.nextRange(c, ready)
		ready = ready[len(t.pieces):]
		if err := r.send(ctx, t); err != nil {
			return err
		}
	}
	if len(held) == 0 {
		*c = collector{}
		return nil
	}
	c.pieces, c.files = held, 0
	for i := range held {
		if held[i].file.several {
			c.files++ // at most so many files
		}
	}
	return nil
}

// nextRange returns the task of the first pieces: those of one segment at least, and of
// segments close behind while the range is not too long.
func (r *run) nextRange(c *collector, pieces []piece) task {
	first := &pieces[0]
	if first.key == holeKey {
		return task{pieces: pieces[:1]}
	}
	start, end := first.offset(), first.offset()+int64(first.size)
	with := first.with
	if near := start - int64(with.Offset) - int64(with.Length); with.Length > 0 && near >= 0 && near <= int64(r.limits.gap) &&
		end-int64(with.Offset) <= int64(r.limits.readBytes) {
		start = int64(with.Offset) // one read brings both
	}
	n := 1
	for ; n < len(pieces); n++ {
		p := &pieces[n]
		if p.key == holeKey || p.pack() != first.pack() {
			break
		}
		pieceEnd := p.offset() + int64(p.size)
		if p.segment() != pieces[n-1].segment() && (p.offset()-end > int64(r.limits.gap) || pieceEnd-start > int64(r.limits.readBytes)) {
			break
		}
		end = max(end, pieceEnd)
	}
	return task{pack: c.packs[first.pack()], offset: start, length: int(end - start), pieces: pieces[:n]}
}

func (r *run) scheduleSimple(ctx context.Context, f *file) error {
	if r.simple = append(r.simple, f); len(r.simple) < simpleBatch {
		return nil
	}
	return r.flushSimple(ctx)
}

func (r *run) flushSimple(ctx context.Context) error {
	files := r.simple
	r.simple = nil
	return r.send(ctx, task{simple: files})
}

// weight is what a task counts in the queue, at most all of it.
func (r *run) weight(t *task) int64 {
	return int64(min(max(1, len(t.pieces)+len(t.simple)), r.limits.pieces))
}

// send hands a task to the workers when few enough files wait for them: what waits is held in
// memory with its page of the tree.
func (r *run) send(ctx context.Context, t task) error {
	if err := r.queued.Acquire(ctx, r.weight(&t)); err != nil {
		return context.Cause(ctx)
	}
	select {
	case r.tasks <- t:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// location returns where the segment of a piece is.
func (t *task) location(p *piece) index.Location {
	return index.Location{Pack: t.pack, Class: pack.ClassData, Offset: uint32(p.offset()), Length: p.size, Ordinal: uint16(p.ordinal()), Dictionary: p.with}
}
