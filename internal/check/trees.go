package check

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"sync"

	"github.com/snapkeep/snap/internal/tree"
	"github.com/snapkeep/snap/pack"
	"golang.org/x/sync/errgroup"
)

// Trees checks trees: that each page can be loaded and is what the format allows, that pages fit together, and that each
// chunk is there which a file needs. A page that several trees share is looked at once. Its methods serve one goroutine.
type Trees struct {
	load tree.LoadPage
	has  func(id pack.ChunkID, length int64) bool

	inner map[pack.ChunkID]*innerPage
	roots map[pack.ChunkID]error // of what makes no tree of its pages, nil for trees that are whole
	whole map[pack.ChunkID]bool  // inner pages below which Affected found nothing
	fresh []freshPage            // inner pages that the Add under way came to, each before those below it

	mu     sync.Mutex // guards what follows while leaf pages are looked at
	leaves map[leafPage]*leafState
}

// innerPage is what is known of an inner page. bad says that it cannot be loaded, err that what is below does not fit.
type innerPage struct {
	bad   bool
	err   error
	shape *shape // nil if something below cannot be read
}

type freshPage struct {
	id    pack.ChunkID
	inner *tree.Inner
}

// leafPage is a leaf page with the reference page beside it.
type leafPage struct{ page, refs pack.ChunkID }

// leafState is what is known of a leaf page: whether all of its files can be read, and its shape, nil if it cannot be read.
type leafState struct {
	bad   bool
	shape *shape
}

// NewTrees returns a Trees that loads pages with load. has reports whether a chunk of file data can be read, and has so many bytes; it
// is called by several goroutines.
func NewTrees(load tree.LoadPage, has func(id pack.ChunkID, length int64) bool) *Trees {
	return &Trees{load: load, has: has, inner: make(map[pack.ChunkID]*innerPage), roots: make(map[pack.ChunkID]error),
		whole: make(map[pack.ChunkID]bool), leaves: make(map[leafPage]*leafState)}
}

// Pages returns how many different pages were looked at, leaf and reference page together counting as one.
func (t *Trees) Pages() int { return len(t.inner) + len(t.leaves) }

// Add looks at the tree of root, except for what it knows already. The error is one of the context.
func (t *Trees) Add(ctx context.Context, root pack.ChunkID) error {
	group, leafCtx := errgroup.WithContext(ctx)
	group.SetLimit(max(2, runtime.GOMAXPROCS(0)))
	err := t.visit(ctx, root, 0, func(c tree.Child) {
		group.Go(func() error {
			t.leaf(leafCtx, c)
			return leafCtx.Err()
		})
	})
	if waitErr := group.Wait(); err == nil {
		err = waitErr
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err == nil {
		t.join(root)
	}
	return err
}

// join puts together what Add has seen of the pages that are new.
func (t *Trees) join(root pack.ChunkID) {
	for _, p := range slices.Backward(t.fresh) {
		page := t.inner[p.id]
		page.shape, page.err = t.joined(p.inner)
	}
	t.fresh = t.fresh[:0]
	if page := t.inner[root]; page.shape != nil {
		t.roots[root] = page.shape.whole()
	}
}

// joined returns the shape of what is below an inner page, nil if a part of it is not known.
func (t *Trees) joined(in *tree.Inner) (*shape, error) {
	var all *shape
	known := true
	for i := range in.Children {
		below := t.below(in, i)
		if below == nil {
			known, all = false, nil
			continue
		}
		if err := below.is(&in.Children[i]); err != nil {
			return nil, err
		}
		if all == nil {
			first := *below
			all = &first
		} else if err := all.add(below); err != nil {
			return nil, err
		}
	}
	if !known {
		return nil, nil
	}
	return all, nil
}

// below returns the shape of the i-th child of an inner page, nil if it is not known.
func (t *Trees) below(in *tree.Inner, i int) *shape {
	c := &in.Children[i]
	if in.Level == 1 {
		return t.leaves[leafPage{c.Page, c.Refs}].shape
	}
	return t.inner[c.Page].shape
}

// visit looks at the inner page id, which must be of the level want unless that is 0, and hands leaf pages that are
// not known yet to start.
func (t *Trees) visit(ctx context.Context, id pack.ChunkID, want int, start func(tree.Child)) error {
	if _, ok := t.inner[id]; ok {
		return nil
	}
	in, err := t.loadInner(ctx, id, want)
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err != nil {
		t.inner[id] = &innerPage{bad: true}
		return nil
	}
	t.inner[id] = &innerPage{}
	t.fresh = append(t.fresh, freshPage{id, in})
	for _, c := range in.Children {
		if in.Level > 1 {
			if err := t.visit(ctx, c.Page, in.Level-1, start); err != nil {
				return err
			}
			continue
		}
		key := leafPage{c.Page, c.Refs}
		t.mu.Lock()
		_, known := t.leaves[key]
		if !known {
			t.leaves[key] = &leafState{}
		}
		t.mu.Unlock()
		if !known {
			start(c)
		}
	}
	return nil
}

func (t *Trees) loadInner(ctx context.Context, id pack.ChunkID, want int) (*tree.Inner, error) {
	data, err := t.load(ctx, pack.KindTree, id)
	if err != nil {
		return nil, err
	}
	in, err := tree.ParseInner(data)
	if err != nil {
		return nil, fmt.Errorf("tree page %s: %w", id, err)
	}
	if want != 0 && in.Level != want {
		return nil, fmt.Errorf("%w: inner page of level %d below one of %d", tree.ErrCorrupt, in.Level, want+1)
	}
	return in, nil
}

// leaf looks at a leaf page.
func (t *Trees) leaf(ctx context.Context, c tree.Child) {
	var state leafState
	bad, err := t.badFiles(ctx, c, &state.shape, nil)
	state.bad = err != nil || bad > 0
	t.mu.Lock()
	defer t.mu.Unlock()
	*t.leaves[leafPage{c.Page, c.Refs}] = state
}

// badFiles returns how many files of a leaf page cannot be read wholly, and tells fn, if not nil, of each. An error
// says that the page or the one beside it cannot be read; else the page's shape is put into s, if that is not nil.
func (t *Trees) badFiles(ctx context.Context, c tree.Child, s **shape, fn func(path string)) (bad int, err error) {
	data, err := t.load(ctx, pack.KindTree, c.Page)
	if err != nil {
		return 0, err
	}
	leaf, err := tree.ParseLeaf(data)
	if err != nil {
		return 0, fmt.Errorf("tree page %s: %w", c.Page, err)
	}
	entries, err := leaf.Entries()
	if err != nil {
		return 0, fmt.Errorf("tree page %s: %w", c.Page, err)
	}
	if s != nil {
		*s = shapeOf(leaf.Runs, entries)
	}
	refsErr := t.attach(ctx, c, entries)
	for i := range entries {
		for k := range entries[i] {
			x := &entries[i][k]
			if x.Kind != tree.Regular || (refsErr == nil && t.wholeFile(ctx, x)) {
				continue
			}
			bad++
			if fn != nil {
				fn(tree.Join(leaf.Runs[i].Path, x.Name))
			}
		}
	}
	return bad, nil
}

func (t *Trees) attach(ctx context.Context, c tree.Child, entries [][]tree.Entry) error {
	if c.Files == 0 && c.Refs.IsZero() {
		return nil
	}
	data, err := t.load(ctx, pack.KindRefs, c.Refs)
	if err != nil {
		return err
	}
	refs, err := tree.ParseRefs(data)
	if err != nil {
		return err
	}
	return tree.AttachRefs(entries, refs)
}

// wholeFile reports whether all parts of a file are there.
func (t *Trees) wholeFile(ctx context.Context, x *tree.Entry) bool {
	parts, err := tree.Parts(ctx, t.load, x)
	if err != nil {
		return false
	}
	for _, p := range parts {
		if !p.ID.IsZero() && !t.has(p.ID, p.Length) {
			return false
		}
	}
	return true
}

// Good reports whether nothing was found that is wrong with any of the trees.
func (t *Trees) Good() bool {
	for _, page := range t.inner {
		if page.bad || page.err != nil {
			return false
		}
	}
	for _, state := range t.leaves {
		if state.bad {
			return false
		}
	}
	for _, err := range t.roots {
		if err != nil {
			return false
		}
	}
	return true
}

// Affected calls fn for the path of each file of a tree that cannot be read wholly. It comes after the Add of all trees. treeErr is the
// first error that keeps a part of the tree from being known. err is one of the context.
func (t *Trees) Affected(ctx context.Context, root pack.ChunkID, fn func(path string)) (treeErr, err error) {
	treeErr, err = t.affected(ctx, root, 0, fn)
	if treeErr == nil {
		treeErr = t.roots[root]
	}
	return treeErr, err
}

// affected descends into what is bad.
func (t *Trees) affected(ctx context.Context, id pack.ChunkID, want int, fn func(string)) (treeErr, err error) {
	if t.whole[id] {
		return nil, nil
	}
	in, err := t.loadInner(ctx, id, want)
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	if err != nil {
		return err, nil
	}
	if page := t.inner[id]; page != nil {
		treeErr = page.err
	}
	found := false
	count := func(path string) {
		found = true
		fn(path)
	}
	for _, c := range in.Children {
		var below error
		switch {
		case in.Level > 1:
			below, err = t.affected(ctx, c.Page, in.Level-1, count)
		case t.leaves[leafPage{c.Page, c.Refs}].bad:
			_, below = t.badFiles(ctx, c, nil, count)
		}
		if err == nil && ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		if err != nil {
			return treeErr, err
		}
		if treeErr == nil {
			treeErr = below
		}
	}
	t.whole[id] = !found && treeErr == nil
	return treeErr, nil
}
