package agent

import (
	"container/heap"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"sync"

	"github.com/snapkeep/snap/internal/protocol"
	"github.com/snapkeep/snap/internal/source"
	"github.com/snapkeep/snap/internal/tree"
)

// Bounds of what is asked ahead.
const (
	listBatch   = 128      // directories of a question
	listRuns    = 8 << 10  // and what is known of them
	listsAhead  = 16       // questions under way
	dirsAhead   = 8 << 10  // directories that were asked for and not used
	entriesHeld = 64 << 10 // entries in these; about 300 bytes each
)

// lookout asks for directories before the scanner does, in path order: those of the tree that the run compares with, and
// those that turn up in answers.
type lookout struct {
	s   *Source
	ctx context.Context

	mu     sync.Mutex // guards what follows
	old    oldDirs
	found  pathHeap            // directories that turned up and were not asked for
	asked  map[string]*listing // and not used so far
	order  pathHeap            // of asked; may name some that were used
	used   string              // the directory that was used last
	began  bool                // used is one
	held   int                 // entries in asked
	flying int                 // questions under way
}

// listing is a directory that was asked for.
type listing struct {
	path     string
	runs     []tree.OldRun // as it was, nil if unknown
	done     chan struct{}
	counted  bool
	same     bool
	entries  []tree.Entry
	problems []protocol.DirProblem
	err      error
	failed   bool // err says that the whole directory could not be opened
}

func newLookout(ctx context.Context, s *Source) (*lookout, error) {
	l := &lookout{s: s, ctx: ctx, asked: map[string]*listing{}}
	if s.past != nil {
		cursor, err := s.past.Tree(ctx)
		if err != nil && ctx.Err() != nil {
			return nil, err
		}
		if err == nil {
			l.old.cursor = cursor
		}
	}
	return l, nil
}

// oldDirs goes through the directories of the old tree.
type oldDirs struct {
	cursor *tree.Cursor // nil at the end
	page   []tree.OldRun
	next   []tree.OldRun // of the next directory; nil if it is not known yet
}

// peek returns the next directory, or false at the end.
func (o *oldDirs) peek(ctx context.Context) (string, bool, error) {
	if o.next != nil {
		return o.next[0].Run().Path, true, nil
	}
	for o.cursor != nil {
		for len(o.page) > 0 {
			run := o.page[0]
			o.page = o.page[1:]
			o.next = append(o.next, run)
			if run.Run().Flags&tree.RunContinues == 0 {
				return o.next[0].Run().Path, true, nil
			}
		}
		page, err := o.cursor.NextPage(ctx)
		if err == io.EOF {
			o.cursor = nil
			break
		}
		if err != nil {
			o.cursor, o.next = nil, nil
			return "", false, err
		}
		o.page = page.RunsOf()
	}
	o.next = nil
	return "", false, nil
}

// take returns the directory that peek returned, and goes on.
func (o *oldDirs) take() []tree.OldRun {
	runs := o.next
	o.next = nil
	return runs
}

// pathHeap is a heap of paths in path order.
type pathHeap []string

func (h pathHeap) Len() int           { return len(h) }
func (h pathHeap) Less(i, k int) bool { return tree.ComparePaths(h[i], h[k]) < 0 }
func (h pathHeap) Swap(i, k int)      { h[i], h[k] = h[k], h[i] }
func (h *pathHeap) Push(x any)        { *h = append(*h, x.(string)) }
func (h *pathHeap) Pop() any {
	old := *h
	x := old[len(old)-1]
	*h = old[:len(old)-1]
	return x
}

// list returns the directory at path, which comes in path order.
func (l *lookout) list(ctx context.Context, path string) (*listing, error) {
	l.mu.Lock()
	l.used, l.began = path, true
	l.passOver(path)
	d := l.asked[path]
	l.mu.Unlock()
	if d == nil {
		l.pump()
		var urgent []*listing
		l.mu.Lock()
		if d = l.asked[path]; d == nil {
			d = l.urgent(path)
			urgent = []*listing{d}
		}
		l.mu.Unlock()
		if urgent != nil {
			l.ask(urgent)
		}
	}
	if err := l.s.wait(ctx, d.done); err != nil {
		return nil, err
	}
	l.mu.Lock()
	l.drop(path)
	l.mu.Unlock()
	l.pump()
	return d, nil
}

// passOver drops what was asked for and lies before path: the scanner will not come to it any more. l.mu is held.
func (l *lookout) passOver(path string) {
	for len(l.order) > 0 && tree.ComparePaths(l.order[0], path) < 0 {
		l.drop(heap.Pop(&l.order).(string))
	}
	for len(l.found) > 0 && tree.ComparePaths(l.found[0], path) < 0 {
		heap.Pop(&l.found)
	}
	for {
		next, ok, err := l.old.peek(l.ctx)
		if err != nil || !ok || tree.ComparePaths(next, path) >= 0 {
			return
		}
		l.old.take()
	}
}

// drop forgets a directory that was asked for. l.mu is held.
func (l *lookout) drop(path string) {
	d := l.asked[path]
	if d == nil {
		return
	}
	delete(l.asked, path)
	if d.counted {
		l.held -= len(d.entries)
		d.counted = false
	}
}

// urgent makes the listing of a directory that the scanner waits for. l.mu is held.
func (l *lookout) urgent(path string) *listing {
	d := &listing{path: path, done: make(chan struct{})}
	if next, ok, err := l.old.peek(l.ctx); err == nil && ok && next == path {
		d.runs = l.old.take()
	}
	l.asked[path] = d
	heap.Push(&l.order, path)
	l.flying++
	return d
}

// pump asks for the next directories, as far as there is room for the answers.
func (l *lookout) pump() {
	for {
		l.mu.Lock()
		batch := l.batch()
		l.mu.Unlock()
		if len(batch) == 0 {
			return
		}
		l.ask(batch)
	}
}

// batch chooses directories to ask for, none if there is no room. l.mu is held.
func (l *lookout) batch() (batch []*listing) {
	if l.flying >= listsAhead {
		return nil
	}
	paths, runs := 0, 0
	for len(batch) < listBatch && paths < questionPaths && runs < listRuns && l.held < entriesHeld && len(l.asked) < dirsAhead {
		d := l.candidate()
		if d == nil {
			break
		}
		d.done = make(chan struct{})
		l.asked[d.path] = d
		heap.Push(&l.order, d.path)
		batch = append(batch, d)
		paths, runs = paths+len(d.path), runs+len(d.runs)
	}
	if len(batch) > 0 {
		l.flying++
	}
	return batch
}

// candidate returns the next directory in path order that was not asked for.
func (l *lookout) candidate() *listing {
	for {
		old, known, err := l.old.peek(l.ctx)
		if err != nil { // it ends here: the rest is asked for without knowing it
			l.s.log.Warn("the earlier tree cannot be read any further", "error", err)
		}
		d := &listing{}
		switch {
		case !known && len(l.found) == 0:
			return nil
		case known && (len(l.found) == 0 || tree.ComparePaths(old, l.found[0]) <= 0):
			d.path, d.runs = old, l.old.take()
		default:
			d.path = heap.Pop(&l.found).(string)
		}
		if l.asked[d.path] == nil && (!l.began || tree.ComparePaths(d.path, l.used) > 0) {
			return d
		}
	}
}

// ask asks for directories.
func (l *lookout) ask(batch []*listing) {
	l.s.link.send(&listCall{l: l, dirs: batch})
}

// answered takes a listing whose answer is complete. parts of it were checked as they came.
func (l *lookout) answered(d *listing) {
	l.mu.Lock()
	if l.asked[d.path] == d {
		d.counted = true
		l.held += len(d.entries)
		for i := range d.entries {
			if x := &d.entries[i]; x.Kind == tree.Directory {
				below := tree.Join(d.path, x.Name)
				if len(below) <= tree.MaxPath && l.asked[below] == nil {
					heap.Push(&l.found, below)
				}
			}
		}
	}
	l.mu.Unlock()
	close(d.done)
}

// listCall is a question for directories.
type listCall struct {
	l      *lookout
	dirs   []*listing
	next   int // the first that is not answered
	ended  bool
	parted bool // a part of it was
}

func (c *listCall) question() (protocol.Type, []byte, error) {
	var m protocol.ListRequest
	if c.parted { // the answer begins anew
		d := c.dirs[c.next]
		d.entries, d.problems, c.parted = nil, nil, false
	}
	for _, d := range c.dirs[c.next:] {
		q := protocol.DirQuestion{Path: d.path}
		size := 0
		for i, run := range d.runs {
			first := ""
			if i > 0 {
				var err error
				first, err = run.FirstName()
				if size += len(first) + 32; err != nil || size > protocol.MaxQuestion/4 {
					q.Runs = nil // it is asked for as if nothing were known of it
					break
				}
			}
			r := run.Run()
			q.Runs = append(q.Runs, protocol.KnownRun{First: first, Entries: r.Entries, Digest: r.Digest})
		}
		m.Dirs = append(m.Dirs, q)
	}
	return protocol.List, m.Append(nil), nil
}

func (c *listCall) answer(f *protocol.Frame) error {
	if f.Type != protocol.List|protocol.Answer {
		return errors.New("an answer of another type")
	}
	err := protocol.ParseDirAnswers(f.Payload, c.take)
	if err == nil && !f.More && c.next < len(c.dirs) {
		err = errors.New("not all directories are answered for")
	}
	return err
}

func (c *listCall) take(a *protocol.DirAnswer) error {
	if c.next == len(c.dirs) {
		return errors.New("more directories than were asked for")
	}
	d := c.dirs[c.next]
	if err := c.check(d, a); err != nil {
		return fmt.Errorf("directory %q: %w", d.path, err)
	}
	d.entries, d.problems = append(d.entries, a.Entries...), append(d.problems, a.Problems...)
	switch a.Status {
	case protocol.DirPart:
		c.parted = true
		return nil
	case protocol.DirSame:
		d.same = true
		for _, run := range d.runs {
			if err := c.l.s.count(int64(run.Run().Entries), 0, 0); err != nil {
				return err
			}
		}
	case protocol.DirError:
		d.err = a.Err
		d.failed = len(d.entries) == 0
	}
	c.next, c.parted = c.next+1, false
	c.l.answered(d)
	return nil
}

// check checks a part of an answer.
func (c *listCall) check(d *listing, a *protocol.DirAnswer) error {
	if a.Status == protocol.DirSame {
		if len(d.runs) == 0 || c.parted {
			return errors.New("unchanged, though nothing was known")
		}
		for _, run := range d.runs {
			if run.Run().Digest.IsVoid() {
				return errors.New("unchanged, though it was in doubt")
			}
		}
		return nil
	}
	if a.Status == protocol.DirPart && len(a.Entries) == 0 {
		return errors.New("a part without entries")
	}
	last, xattrs := "", int64(0)
	if n := len(d.entries); n > 0 {
		last = d.entries[n-1].Name
	}
	for i := range a.Entries {
		x := &a.Entries[i]
		if !tree.ValidName(x.Name) {
			return fmt.Errorf("%q is no name", x.Name)
		}
		if x.Name <= last {
			return fmt.Errorf("%q stands behind %q", x.Name, last)
		}
		last = x.Name
		if x.Kind == tree.Symlink && hasNUL(x.Target) {
			return fmt.Errorf("target of %q: %q", x.Name, x.Target)
		}
		for _, attr := range x.Xattrs {
			xattrs += int64(len(attr.Name) + len(attr.Value))
		}
	}
	for _, p := range a.Problems {
		if !tree.ValidName(p.Name) {
			return fmt.Errorf("a problem of %q, which is no name", p.Name)
		}
	}
	if n := len(d.entries) + len(a.Entries) + len(d.problems) + len(a.Problems); n > c.l.s.limits.Directory {
		return fmt.Errorf("%w: more than %d entries", ErrLimit, c.l.s.limits.Directory)
	}
	return c.l.s.count(int64(len(a.Entries)), 0, xattrs)
}

func (c *listCall) end(err error) {
	c.l.mu.Lock()
	if !c.ended {
		c.ended = true
		c.l.flying--
	}
	c.l.mu.Unlock()
	for ; c.next < len(c.dirs); c.next++ {
		d := c.dirs[c.next]
		d.err, d.failed, d.entries = err, true, nil
		c.l.answered(d)
	}
	if err == nil {
		c.l.pump()
	}
}

func hasNUL(s string) bool {
	for i := range len(s) {
		if s[i] == 0 {
			return true
		}
	}
	return false
}

// dir is a directory of the source.
type dir struct {
	s    *Source
	path string

	mu   sync.Mutex // guards of
	of   *listing
	bare []tree.Entry // of a listing that is the same, ordered by name
}

// List implements source.Dir.
func (d *dir) List(ctx context.Context) ([]tree.Stat, []source.Problem, error) {
	of, err := d.s.look.list(ctx, d.path)
	if err != nil {
		return nil, nil, err
	}
	if of.failed && d.path != "" && errors.Is(of.err, fs.ErrNotExist) {
		return nil, nil, nil // it went away meanwhile
	}
	var bare []tree.Entry
	entries := of.entries
	if of.same {
		for _, run := range of.runs {
			part, err := run.Bare()
			if err != nil {
				return nil, nil, fmt.Errorf("%w: the tree that the agent was asked to compare with cannot be read: %w", source.ErrBroken, err)
			}
			bare = append(bare, part...)
		}
		entries = bare
	}
	d.mu.Lock()
	d.of, d.bare = of, bare
	d.mu.Unlock()
	bad := map[string]*protocol.Error{}
	for _, p := range of.problems {
		bad[p.Name] = p.Err
	}
	stats := make([]tree.Stat, 0, len(entries))
	for i := range entries {
		stats = append(stats, entries[i].Stat)
		delete(bad, entries[i].Name) // it could be looked at, if not described
	}
	var problems []source.Problem
	for _, p := range of.problems {
		if e := bad[p.Name]; e != nil {
			problems = append(problems, source.Problem{Stat: tree.Stat{Name: p.Name, Kind: p.Kind}, Err: e})
			delete(bad, p.Name)
		}
	}
	return stats, problems, of.err
}

// entry returns the listed entry of that name.
func (d *dir) entry(name string) *tree.Entry {
	d.mu.Lock()
	defer d.mu.Unlock()
	entries := d.bare
	if d.of != nil && !d.of.same {
		entries = d.of.entries
	}
	lo, hi := 0, len(entries)
	for lo < hi {
		mid := (lo + hi) / 2
		if entries[mid].Name < name {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	if lo < len(entries) && entries[lo].Name == name {
		return &entries[lo]
	}
	return nil
}

// OpenDir implements source.Dir. Nothing is opened: whether what was listed as a folder is one still, shows when it is
// listed itself.
func (d *dir) OpenDir(_ context.Context, st *tree.Stat) (source.Dir, error) {
	x := d.entry(st.Name)
	switch {
	case x == nil:
		return nil, fmt.Errorf("open %q: %w", st.Name, fs.ErrNotExist)
	case x.Kind != tree.Directory:
		return nil, fmt.Errorf("open %q: %w: no folder", st.Name, source.ErrReplaced)
	}
	return &dir{s: d.s, path: tree.Join(d.path, st.Name)}, nil
}

// Describe implements source.Dir.
func (d *dir) Describe(_ context.Context, st *tree.Stat, e *tree.Entry, f source.File) error {
	if own, ok := f.(*file); ok && own != nil {
		return own.describe(e)
	}
	x := d.entry(st.Name)
	if x == nil || x.Kind != st.Kind {
		return fmt.Errorf("%q: %w", st.Name, source.ErrReplaced)
	}
	e.User, e.Group, e.Target, e.Xattrs, e.Flags, e.Access = x.User, x.Group, x.Target, x.Xattrs, x.Flags, x.Access
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.of != nil {
		for _, p := range d.of.problems {
			if p.Name == st.Name {
				return p.Err
			}
		}
	}
	return nil
}

// Prefetch implements source.Prefetcher.
func (d *dir) Prefetch(st *tree.Stat) {
	d.s.files.prefetch(tree.Join(d.path, st.Name), st)
}

// Open implements source.Dir.
func (d *dir) Open(ctx context.Context, st *tree.Stat) (source.File, error) {
	return d.s.files.open(ctx, tree.Join(d.path, st.Name), st)
}

// Close implements source.Dir.
func (d *dir) Close() error { return nil }
