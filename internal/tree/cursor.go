package tree

import (
	"context"
	"fmt"
	"io"
	"sort"
	"sync"

	"github.com/snapkeep/snap/pack"
)

// LoadPage returns the bytes of the chunk id of the kind, checked against the id. The
// caller may keep but not change them.
type LoadPage func(ctx context.Context, kind pack.Kind, id pack.ChunkID) ([]byte, error)

// OldPage is a leaf page of a stored tree.
type OldPage struct {
	Child   Child
	leaf    *Leaf
	load    func(kind pack.Kind, id pack.ChunkID) ([]byte, error)
	entries [][]Entry

	mu   sync.Mutex // guards bare
	bare [][]Entry  // without the parts of files
}

// Runs returns the page's runs.
func (p *OldPage) Runs() []Run { return p.leaf.Runs }

// Entries returns the entries of all runs with the parts of their files. They stay
// valid and must not be changed.
func (p *OldPage) Entries() ([][]Entry, error) {
	if p.entries != nil {
		return p.entries, nil
	}
	var files, size int64
	for _, r := range p.leaf.Runs {
		files, size = files+int64(r.Files), size+r.Size
	}
	if files != p.Child.Files || size != p.Child.Size || int64(p.leaf.count) != p.Child.Entries {
		return nil, fmt.Errorf("%w: page %s does not have what its inner page counts", ErrCorrupt, p.Child.Page)
	}
	entries, err := p.leaf.Entries()
	if err != nil {
		return nil, err
	}
	if p.Child.Files > 0 || !p.Child.Refs.IsZero() {
		data, err := p.load(pack.KindRefs, p.Child.Refs)
		if err != nil {
			return nil, err
		}
		refs, err := ParseRefs(data)
		if err != nil {
			return nil, err
		}
		if err := AttachRefs(entries, refs); err != nil {
			return nil, err
		}
	}
	p.entries = entries
	return entries, nil
}

// withoutParts returns the entries of all runs without the parts of their files, for which it need not load the
// reference page. It is safe for concurrent use.
func (p *OldPage) withoutParts() ([][]Entry, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.bare == nil {
		bare, err := p.leaf.Entries()
		if err != nil {
			return nil, err
		}
		p.bare = bare
	}
	return p.bare, nil
}

// OldRun is a run of a stored tree.
type OldRun struct {
	page   *OldPage
	number int
}

// Run returns what the page says of the run.
func (r OldRun) Run() *Run { return &r.page.leaf.Runs[r.number] }

// Pages returns the ids of the run's leaf page and of the reference page beside it, zero for none.
func (r OldRun) Pages() (leaf, refs pack.ChunkID) { return r.page.Child.Page, r.page.Child.Refs }

// Entries returns the run's entries with the parts of their files. They must not be
// changed.
func (r OldRun) Entries() ([]Entry, error) {
	all, err := r.page.Entries()
	if err != nil {
		return nil, err
	}
	return all[r.number], nil
}

// Bare returns the run's entries without the parts of their files. They must not be changed.
func (r OldRun) Bare() ([]Entry, error) {
	all, err := r.page.withoutParts()
	if err != nil {
		return nil, err
	}
	return all[r.number], nil
}

// FirstName returns the name of the run's first entry, "" if it has none.
func (r OldRun) FirstName() (string, error) {
	if r.number == 0 && r.page.Child.Name != "" {
		return r.page.Child.Name, nil
	}
	entries, err := r.Bare()
	if err != nil || len(entries) == 0 {
		return "", err
	}
	return entries[0].Name, nil
}

// RunsOf returns the runs of the page.
func (p *OldPage) RunsOf() []OldRun {
	runs := make([]OldRun, len(p.leaf.Runs))
	for i := range runs {
		runs[i] = OldRun{p, i}
	}
	return runs
}

// Cursor reads a stored tree in path order, page by page, and loads only pages that it
// is asked about. It serves one goroutine.
type Cursor struct {
	load  LoadPage
	stack []level // from the root down to level 1
	page  *OldPage
	run   int
	done  bool
}

type level struct {
	inner *Inner
	next  int // number of the next child to go into
}

// NewCursor returns a Cursor at the start of the tree with the root page root.
func NewCursor(ctx context.Context, load LoadPage, root pack.ChunkID) (*Cursor, error) {
	c := &Cursor{load: load}
	return c, c.push(ctx, root, 0)
}

// push loads an inner page, which must be of the level want unless that is 0.
func (c *Cursor) push(ctx context.Context, id pack.ChunkID, want int) error {
	data, err := c.load(ctx, pack.KindTree, id)
	if err != nil {
		return err
	}
	in, err := ParseInner(data)
	if err != nil {
		return fmt.Errorf("tree page %s: %w", id, err)
	}
	if want != 0 && in.Level != want {
		return fmt.Errorf("%w: inner page of level %d, want %d", ErrCorrupt, in.Level, want)
	}
	c.stack = append(c.stack, level{inner: in})
	return nil
}

// NextPage goes on to the next leaf page and returns it, or io.EOF.
func (c *Cursor) NextPage(ctx context.Context) (*OldPage, error) {
	child, err := c.nextChild(ctx)
	if err != nil {
		return nil, err
	}
	return c.open(ctx, child)
}

// nextChild goes on to the next leaf page without loading it.
func (c *Cursor) nextChild(ctx context.Context) (*Child, error) {
	for len(c.stack) > 0 {
		top := &c.stack[len(c.stack)-1]
		if top.next == len(top.inner.Children) {
			c.stack = c.stack[:len(c.stack)-1]
			continue
		}
		child := &top.inner.Children[top.next]
		top.next++
		if top.inner.Level == 1 {
			return child, nil
		}
		if err := c.push(ctx, child.Page, top.inner.Level-1); err != nil {
			return nil, err
		}
	}
	c.done = true
	return nil, io.EOF
}

func (c *Cursor) open(ctx context.Context, child *Child) (*OldPage, error) {
	data, err := c.load(ctx, pack.KindTree, child.Page)
	if err != nil {
		return nil, err
	}
	leaf, err := ParseLeaf(data)
	if err != nil {
		return nil, fmt.Errorf("tree page %s: %w", child.Page, err)
	}
	if leaf.Runs[0].Path != child.Path || int64(len(leaf.Runs)) != child.Runs {
		return nil, fmt.Errorf("%w: page %s begins at %q, want %q", ErrCorrupt, child.Page, leaf.Runs[0].Path, child.Path)
	}
	return &OldPage{Child: *child, leaf: leaf, load: func(kind pack.Kind, id pack.ChunkID) ([]byte, error) {
		return c.load(ctx, kind, id)
	}}, nil
}

// Dir returns the runs of the directory path, none if the tree does not have it. Paths
// must be asked for in path order.
func (c *Cursor) Dir(ctx context.Context, path string) ([]OldRun, error) {
	if err := c.seek(ctx, path); err != nil {
		if err == io.EOF {
			return nil, nil
		}
		return nil, err
	}
	var runs []OldRun
	for c.page.leaf.Runs[c.run].Path == path {
		run := OldRun{c.page, c.run}
		runs = append(runs, run)
		if run.Run().Flags&RunContinues == 0 {
			break
		}
		if err := c.advance(ctx); err != nil {
			return nil, err
		}
	}
	return runs, nil
}

// seek goes on to the first run at or behind path, skipping pages that end before it.
func (c *Cursor) seek(ctx context.Context, path string) error {
	if c.done {
		return io.EOF
	}
	if c.page == nil || ComparePaths(c.page.leaf.Runs[len(c.page.leaf.Runs)-1].Path, path) < 0 {
		c.skip(path)
		if err := c.advancePage(ctx, path); err != nil {
			return err
		}
	}
	for ComparePaths(c.page.leaf.Runs[c.run].Path, path) < 0 {
		if err := c.advance(ctx); err != nil {
			return err
		}
	}
	return nil
}

// skip leaves out children that end before path begins.
func (c *Cursor) skip(path string) {
	key := Child{Path: path}
	for i := range c.stack {
		l := &c.stack[i]
		rest := l.inner.Children[l.next:]
		// The directory may begin in the last child that begins at or before it.
		n := sort.Search(len(rest), func(k int) bool { return key.before(&rest[k]) })
		if n > 1 {
			l.next += n - 1
		}
		if n > 0 && i+1 < len(c.stack) {
			c.stack = c.stack[:i+1] // what is open below ends before rest begins
			return
		}
	}
}

// advancePage loads the next leaf page, skipping again in each inner page that it opens.
func (c *Cursor) advancePage(ctx context.Context, path string) error {
	for {
		if len(c.stack) == 0 {
			c.done = true
			return io.EOF
		}
		top := &c.stack[len(c.stack)-1]
		if top.next == len(top.inner.Children) {
			c.stack = c.stack[:len(c.stack)-1]
			continue
		}
		child := &top.inner.Children[top.next]
		top.next++
		if top.inner.Level == 1 {
			page, err := c.open(ctx, child)
			c.page, c.run = page, 0
			return err
		}
		if err := c.push(ctx, child.Page, top.inner.Level-1); err != nil {
			return err
		}
		c.skip(path)
	}
}

// advance goes on to the next run.
func (c *Cursor) advance(ctx context.Context) error {
	if c.run++; c.run < len(c.page.leaf.Runs) {
		return nil
	}
	last := &c.page.leaf.Runs[len(c.page.leaf.Runs)-1]
	page, err := c.NextPage(ctx)
	if err == io.EOF && last.Flags&RunContinues != 0 {
		return fmt.Errorf("%w: directory %q has no end", ErrCorrupt, last.Path)
	}
	if err != nil {
		return err
	}
	if first := &page.leaf.Runs[0]; !last.precedes(first) {
		return fmt.Errorf("%w: directory %q behind %q", ErrCorrupt, first.Path, last.Path)
	}
	c.page, c.run = page, 0
	return nil
}

// precedes reports whether next, which begins a page, fits behind r, which ends the one before.
func (r *Run) precedes(next *Run) bool {
	if r.Flags&RunContinues != 0 {
		return next.Flags&RunContinued != 0 && next.Path == r.Path
	}
	return next.Flags&RunContinued == 0 && ComparePaths(r.Path, next.Path) < 0
}
