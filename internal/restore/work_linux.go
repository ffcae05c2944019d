package restore

import (
	"context"
	"fmt"

	"github.com/snapkeep/snap/index"
	"github.com/snapkeep/snap/internal/chunks"
	"github.com/snapkeep/snap/internal/tree"
	"github.com/snapkeep/snap/pack"
)

// place is where a segment is.
type place struct {
	pack   pack.ID
	offset uint32
}

func placeOf(loc index.Location) place { return place{loc.Pack, loc.Offset} }

// worker reads ranges and writes what they hold. It serves one goroutine.
type worker struct {
	*run
	decoder *pack.Decoder
	box     []byte
	second  *second // nil until something is damaged
}

// keptBox is how large a buffer a worker keeps.
const keptBox = farReadBytes + 4<<20

// work performs tasks until there are no more.
func (r *run) work(ctx context.Context) error {
	w := &worker{run: r, decoder: r.Opener.NewDecoder()}
	for t := range r.tasks {
		for _, f := range t.simple {
			if ctx.Err() == nil {
				r.perform(f)
			}
		}
		if len(t.pieces) > 0 && ctx.Err() == nil {
			w.restore(ctx, &t)
		}
		r.queued.Release(r.weight(&t))
		clear(t.pieces) // the slice is part of a longer one, and would hold the files
		// Whatever ended early for it must not look complete.
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
	}
	return nil
}

// restore writes the pieces of a range.
func (w *worker) restore(ctx context.Context, t *task) {
	if t.pieces[0].key == holeKey {
		w.fill(ctx, &t.pieces[0])
		return
	}
	if cap(w.box) < t.length || cap(w.box) > max(keptBox, t.length) {
		w.box = make([]byte, max(t.length, w.limits.readBytes))
	}
	box := w.box[:t.length]
	whole := index.Location{Pack: t.pack, Class: pack.ClassData, Offset: uint32(t.offset)}
	readErr := chunks.ReadSegment(ctx, w.Store, whole, box)
	for pieces := t.pieces; len(pieces) > 0 && ctx.Err() == nil; {
		n := 1
		for n < len(pieces) && pieces[n].segment() == pieces[0].segment() {
			n++
		}
		loc := t.location(&pieces[0])
		start := int64(loc.Offset) - t.offset
		segment, err := box[start:start+int64(loc.Length)], readErr
		if readErr != nil && len(segment) < len(box) {
			// What is in front of the fault is good.
			err = chunks.ReadSegment(ctx, w.Store, loc, segment)
		}
		var opened [][]byte
		if err == nil {
			near := chunks.Near{}
			if readErr == nil {
				near = chunks.Near{Offset: t.offset, Data: box}
			}
			opened, err = w.Opener.OpenAt(ctx, w.decoder, pack.KindData, loc, segment, near)
		}
		if err == nil {
			w.deliver(ctx, loc, pieces[:n], opened)
		} else if ctx.Err() == nil {
			w.salvage(ctx, loc, pieces[:n], err)
		}
		pieces = pieces[n:]
	}
}

// deliver writes the chunks of a segment to the files that need them.
func (w *worker) deliver(ctx context.Context, loc index.Location, pieces []piece, opened [][]byte) {
	for i := range pieces {
		if ctx.Err() != nil {
			return
		}
		p := &pieces[i]
		checked := i > 0 && pieces[i-1].key == p.key && pieces[i-1].id == p.id
		data, err := w.chunk(w.decoder, p, p.ordinal(), opened, checked)
		if err != nil {
			w.salvage(ctx, loc, pieces[i:i+1], err)
			continue
		}
		w.put(p.file, data, p.at)
		w.done(p.file)
	}
}

// chunk returns the chunk of a piece among those of an opened segment.
func (w *worker) chunk(d *pack.Decoder, p *piece, ordinal int, opened [][]byte, checked bool) ([]byte, error) {
	if ordinal >= len(opened) {
		return nil, fmt.Errorf("%w: chunk %d of %d in a segment", pack.ErrCorrupt, ordinal, len(opened))
	}
	data := opened[ordinal]
	if !checked {
		if err := d.Check(pack.KindData, p.id, data); err != nil {
			return nil, err
		}
	}
	if int64(len(data)) != p.length {
		return nil, fmt.Errorf("%w: chunk %s of %d bytes, want %d", tree.ErrCorrupt, p.id, len(data), p.length)
	}
	return data, nil
}

// zeros are what a hole is filled with.
var zeros [256 << 10]byte

// fill writes a hole as zeros.
func (w *worker) fill(ctx context.Context, p *piece) {
	for done := int64(0); done < p.length && ctx.Err() == nil; {
		n := min(p.length-done, int64(len(zeros)))
		if w.put(p.file, zeros[:n], p.at+done); p.file.failed() {
			break
		}
		done += n
	}
	if ctx.Err() == nil {
		w.done(p.file)
	}
}

// second is what a worker needs to read chunks from other packs.
type second struct {
	decoder *pack.Decoder
	box     []byte
	at      place // of the segment that is opened
	opened  [][]byte
}

// salvage restores pieces of a segment that cannot be read from other packs, if they are there
// too. Otherwise the files that need them fail.
func (w *worker) salvage(ctx context.Context, loc index.Location, pieces []piece, cause error) {
	cause = fmt.Errorf("pack %s at %d: %w", loc.Pack, loc.Offset, cause)
	if w.second == nil {
		w.second = &second{decoder: w.Opener.NewDecoder()}
	}
	for i := range pieces {
		p := &pieces[i]
		data, err := w.elsewhere(ctx, p, placeOf(loc), cause)
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			p.file.giveUp(err)
		} else {
			w.put(p.file, data, p.at)
		}
		w.done(p.file)
	}
}

// elsewhere returns the chunk of a piece from any place but one. If there is none, the error is cause.
func (w *worker) elsewhere(ctx context.Context, p *piece, not place, cause error) ([]byte, error) {
	data, err := w.another(ctx, p, not, cause)
	if err != nil && w.Renew != nil && w.Renew(ctx, cause) {
		return w.another(ctx, p, not, cause)
	}
	return data, err
}

// another is elsewhere with the index as it is.
func (w *worker) another(ctx context.Context, p *piece, not place, cause error) ([]byte, error) {
	for _, loc := range w.Index.Locations(p.id) {
		if placeOf(loc) == not || w.isBad(placeOf(loc)) || loc.Class != pack.ClassData {
			continue
		}
		if err := w.openSecond(ctx, loc); err != nil {
			if ctx.Err() == nil {
				w.markBad(placeOf(loc))
			}
			continue
		}
		if data, err := w.chunk(w.second.decoder, p, int(loc.Ordinal), w.second.opened, false); err == nil {
			return data, nil
		}
	}
	return nil, cause
}

// openSecond opens the segment at loc unless it is open.
func (w *worker) openSecond(ctx context.Context, loc index.Location) error {
	s := w.second
	if s.opened != nil && s.at == placeOf(loc) {
		return nil
	}
	s.opened = nil
	if loc.Length > pack.MaxSegmentBoxSize {
		return fmt.Errorf("%w: segment of %d bytes", pack.ErrCorrupt, loc.Length)
	}
	if cap(s.box) < int(loc.Length) {
		s.box = make([]byte, loc.Length)
	}
	box := s.box[:loc.Length]
	if err := chunks.ReadSegment(ctx, w.Store, loc, box); err != nil {
		return err
	}
	opened, err := w.Opener.OpenAt(ctx, s.decoder, pack.KindData, loc, box, chunks.Near{})
	if err != nil {
		return err
	}
	s.at, s.opened = placeOf(loc), opened
	return nil
}

func (r *run) isBad(p place) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	_, ok := r.bad[p]
	return ok
}

func (r *run) markBad(p place) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.bad[p] = struct{}{}
}
