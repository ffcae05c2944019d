package prune

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"

	"github.com/snapkeep/snap/index"
	"github.com/snapkeep/snap/internal/chunks"
	"github.com/snapkeep/snap/internal/tree"
	"github.com/snapkeep/snap/pack"
	"golang.org/x/sync/errgroup"
)

const (
	batchIDs   = 8 << 10         // ids that a goroutine collects, at 16 bytes each
	gatherIDs  = index.MarkBatch // ids that are handed on at once
	pagesAhead = 256             // reference pages that wait to be loaded
)

// Walker collects the chunks of trees. It remembers the pages that it went through: what trees share is
// walked once. It serves one goroutine.
type Walker struct {
	load tree.LoadPage
	seen map[pack.ChunkID]struct{} // inner and reference pages

	mu     sync.Mutex                // guards what follows
	lists  map[pack.ChunkID]struct{} // list pages
	broken error                     // the first page that could not be read
}

// NewWalker returns a Walker that loads pages with load, from several goroutines.
func NewWalker(load tree.LoadPage) *Walker {
	return &Walker{load: load, seen: make(map[pack.ChunkID]struct{}), lists: make(map[pack.ChunkID]struct{})}
}

// Broken returns the error of the first page that could not be read, nil if all could. What is below such a page was not
// walked.
func (w *Walker) Broken() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.broken
}

// Walk calls emit with the ids of all pages and chunks of the trees, but for what is below pages that it went through in
// an earlier call. An id may come several times. emit is called by one goroutine at a time, with many ids at once, and must not keep
// the slice. The error is one of the context, or one of load that is no damage: see Broken.
//
//	inner pages → reference pages → workers: ids of chunks → gathered → emit
func (w *Walker) Walk(ctx context.Context, roots []pack.ChunkID, emit func(ids []pack.ChunkID)) error {
	all := &gathered{emit: emit}
	defer all.flush()
	group, groupCtx := errgroup.WithContext(ctx)
	refs := make(chan pack.ChunkID, pagesAhead)
	group.Go(func() error {
		defer close(refs)
		b := batch{to: all}
		defer b.flush()
		for _, root := range roots {
			if err := w.inner(groupCtx, root, 0, &b, refs); err != nil {
				return err
			}
		}
		return nil
	})
	for range max(2, runtime.GOMAXPROCS(0)) {
		group.Go(func() error {
			b := batch{to: all}
			defer b.flush()
			var page tree.Refs
			for id := range refs {
				if err := w.fail(groupCtx, w.refs(groupCtx, id, &page, &b)); err != nil {
					return err
				}
			}
			return nil
		})
	}
	err := group.Wait()
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

// damaged reports whether an error says that a page is damaged or missing. After any other the page may be whole.
func damaged(err error) bool {
	return errors.Is(err, pack.ErrCorrupt) || errors.Is(err, pack.ErrChunkMismatch) || errors.Is(err, tree.ErrCorrupt) || errors.Is(err, chunks.ErrMissing)
}

// fail notes a page that is damaged or missing. It returns the error of the context, and what is no damage.
func (w *Walker) fail(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err == nil || !damaged(err) {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.broken == nil {
		w.broken = err
	}
	return nil
}

// inner walks an inner page, which must be of the level want unless that is 0, and what is below it.
func (w *Walker) inner(ctx context.Context, id pack.ChunkID, want int, b *batch, refs chan<- pack.ChunkID) error {
	b.add(id)
	if !w.enter(id) {
		return nil
	}
	in, err := w.loadInner(ctx, id, want)
	if err != nil {
		return w.fail(ctx, err)
	}
	for i := range in.Children {
		c := &in.Children[i]
		if in.Level > 1 {
			err = w.inner(ctx, c.Page, in.Level-1, b, refs)
		} else {
			err = w.leaf(ctx, c, b, refs)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (w *Walker) loadInner(ctx context.Context, id pack.ChunkID, want int) (*tree.Inner, error) {
	data, err := w.load(ctx, pack.KindTree, id)
	if err != nil {
		return nil, err
	}
	in, err := tree.ParseInner(data)
	if err == nil && want != 0 && in.Level != want {
		err = fmt.Errorf("%w: inner page of level %d below one of %d", tree.ErrCorrupt, in.Level, want+1)
	}
	if err != nil {
		return nil, fmt.Errorf("tree page %s: %w", id, err)
	}
	return in, nil
}

// leaf collects a leaf page, which is not read, and hands on the reference page beside it.
func (w *Walker) leaf(ctx context.Context, c *tree.Child, b *batch, refs chan<- pack.ChunkID) error {
	b.add(c.Page)
	if c.Refs.IsZero() {
		return nil
	}
	b.add(c.Refs)
	if !w.enter(c.Refs) {
		return nil
	}
	select {
	case refs <- c.Refs:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (w *Walker) enter(id pack.ChunkID) bool {
	_, known := w.seen[id]
	w.seen[id] = struct{}{}
	return !known
}

// refs collects what a reference page names, which is read into refs.
func (w *Walker) refs(ctx context.Context, id pack.ChunkID, refs *tree.Refs, b *batch) error {
	page, err := w.load(ctx, pack.KindRefs, id)
	if err != nil {
		return err
	}
	if err := refs.Read(page); err != nil {
		return fmt.Errorf("reference page %s: %w", id, err)
	}
	var lists []tree.Part
	refs.Lists(func(p tree.Part) { lists = append(lists, p) })
	refs.Chunks(func(id pack.ChunkID, _ bool) { b.add(id) })
	for _, l := range lists {
		if err := w.list(ctx, l, b); err != nil {
			return err
		}
	}
	return nil
}

// list collects what a list page names.
func (w *Walker) list(ctx context.Context, l tree.Part, b *batch) error {
	w.mu.Lock()
	_, known := w.lists[l.ID]
	w.lists[l.ID] = struct{}{}
	w.mu.Unlock()
	if known {
		return nil
	}
	parts, err := tree.LoadList(ctx, w.load, l)
	if err != nil {
		return fmt.Errorf("list page %s: %w", l.ID, err)
	}
	for _, p := range parts {
		if !p.ID.IsZero() {
			b.add(p.ID)
		}
	}
	return nil
}

// batch collects ids for one goroutine.
type batch struct {
	to  *gathered
	ids []pack.ChunkID
}

func (b *batch) add(id pack.ChunkID) {
	b.ids = append(b.ids, id)
	if len(b.ids) >= batchIDs {
		b.flush()
	}
}

func (b *batch) flush() {
	b.to.add(b.ids)
	b.ids = b.ids[:0]
}

// gathered is what the goroutines of a walk found and was not handed on yet.
type gathered struct {
	emit func(ids []pack.ChunkID)

	mu  sync.Mutex // guards what follows, and calls of emit
	ids []pack.ChunkID
}

func (g *gathered) add(ids []pack.ChunkID) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.ids)+len(ids) > gatherIDs {
		g.emit(g.ids)
		g.ids = g.ids[:0]
	}
	if len(g.ids)+len(ids) > cap(g.ids) { // twice as much, up to what is ever needed
		g.ids = append(make([]pack.ChunkID, 0, min(2*cap(g.ids)+len(ids), gatherIDs)), g.ids...)
	}
	g.ids = append(g.ids, ids...)
}

func (g *gathered) flush() {
	if len(g.ids) > 0 {
		g.emit(g.ids)
	}
}
