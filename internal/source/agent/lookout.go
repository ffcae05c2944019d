package agent

import (
	"container/heap"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
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
	entriesHeld = 64 << 10 // entries in these
	listsHeld   = 64 << 20 // bytes of memory of these; what comes beyond is dropped and asked for again
	pathsHeld   = 16 << 20 // bytes of the paths that were asked for or found
	depthLimit  = 2000     // directories above a directory; what lies deeper is a problem
	entryCost   = 300      // bytes of memory of an entry, about, without what its length depends on
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
	cost   int64               // bytes of memory of what was answered and not used
	paths  int                 // bytes of the paths in found and asked
	open   int64               // bytes of memory of listings in use
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

	last    string // name that came last
	count   int    // entries and problems that came
	cost    int64  // bytes of memory
	size    int64  // the same with what was dropped
	wanted  bool   // the scanner waits for it
	dropped bool   // there was no room for it
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
	for {
		l.mu.Lock()
		d.wanted = true
		l.mu.Unlock()
		if err := l.s.wait(ctx, d.done); err != nil {
			return nil, err
		}
		if !d.dropped {
			break
		}
		l.s.log.Debug("a listing is asked for again, for which there was no room", "directory", path)
		l.mu.Lock()
		if another := l.asked[path]; another != nil {
			d = another
			l.mu.Unlock()
			continue
		}
		d = &listing{path: path, runs: d.runs, done: make(chan struct{}), wanted: true}
		l.put(d)
		l.flying++
		l.mu.Unlock()
		l.ask([]*listing{d})
	}
	l.mu.Lock()
	if l.asked[path] == d { // and not what another one asks for meanwhile
		l.drop(path)
	}
	l.open += d.cost
	l.mu.Unlock()
	l.pump()
	return d, nil
}

// put notes a directory that is asked for. l.mu is held.
func (l *lookout) put(d *listing) {
	if l.asked[d.path] == nil {
		l.paths += len(d.path)
	}
	l.asked[d.path] = d
	heap.Push(&l.order, d.path)
}

// closed gives back the memory of a listing that was in use.
func (l *lookout) closed(d *listing) {
	l.mu.Lock()
	l.open -= d.cost
	l.mu.Unlock()
}

// passOver drops what was asked for and lies before path: the scanner will not come to it any more. l.mu is held.
func (l *lookout) passOver(path string) {
	for len(l.order) > 0 && tree.ComparePaths(l.order[0], path) < 0 {
		l.drop(heap.Pop(&l.order).(string))
	}
	for len(l.found) > 0 && tree.ComparePaths(l.found[0], path) < 0 {
		l.paths -= len(heap.Pop(&l.found).(string))
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
	l.paths -= len(path)
	l.cost -= d.cost
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
	l.put(d)
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
	for len(batch) < listBatch && paths < questionPaths && runs < listRuns && l.held < entriesHeld && l.cost < listsHeld/2 && len(l.asked) < dirsAhead && l.paths < 2*pathsHeld {
		d := l.candidate()
		if d == nil {
			break
		}
		d.done = make(chan struct{})
		l.put(d)
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
			l.paths -= len(d.path)
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
	switch {
	case l.asked[d.path] != d:
	case d.dropped:
		l.drop(d.path)
	default:
		d.counted = true
		l.held += len(d.entries)
		for i := range d.entries {
			if x := &d.entries[i]; x.Kind == tree.Directory {
				below := tree.Join(d.path, x.Name)
				if len(below) <= tree.MaxPath && depth(below) <= depthLimit && l.asked[below] == nil && l.paths+len(below) < pathsHeld {
					l.paths += len(below)
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
		c.l.forget(d)
		c.parted, d.last, d.count = false, "", 0
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
	if err := c.l.keep(d, a); err != nil {
		return fmt.Errorf("directory %q: %w", d.path, err)
	}
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
		d.failed = d.last == "" // no name came
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
	last, xattrs := d.last, int64(0)
	for i := range a.Entries {
		x := &a.Entries[i]
		if !tree.ValidName(x.Name) {
			return fmt.Errorf("%q is no name", x.Name)
		}
		if x.Name <= last {
			return fmt.Errorf("%q stands behind %q", x.Name, last)
		}
		last = x.Name
		if !c.l.s.inRoots(d.path, x.Name) {
			return fmt.Errorf("%q lies outside of the roots", x.Name)
		}
		if x.Kind == tree.Symlink && hasNUL(x.Target) {
			return fmt.Errorf("target of %q: %q", x.Name, x.Target)
		}
		xattrs += xattrBytes(x.Xattrs)
	}
	for _, p := range a.Problems {
		if !tree.ValidName(p.Name) {
			return fmt.Errorf("a problem of %q, which is no name", p.Name)
		}
		if !c.l.s.inRoots(d.path, p.Name) {
			return fmt.Errorf("%q lies outside of the roots", p.Name)
		}
	}
	d.last, d.count = last, d.count+len(a.Entries)+len(a.Problems)
	if d.count > c.l.s.limits.Directory {
		return fmt.Errorf("%w: more than %d entries", ErrLimit, c.l.s.limits.Directory)
	}
	return c.l.s.count(int64(len(a.Entries)), 0, xattrs)
}

// keep keeps a part of an answer, if there is room for it or the scanner waits for it.
func (l *lookout) keep(d *listing, a *protocol.DirAnswer) error {
	cost := int64(0)
	for i := range a.Entries {
		x := &a.Entries[i]
		cost += entryCost + int64(len(x.Name)+len(x.Target)+len(x.User)+len(x.Group)+64*len(x.Xattrs)) + xattrBytes(x.Xattrs)
	}
	for _, p := range a.Problems {
		cost += entryCost + int64(len(p.Name)+len(p.Err.Text))
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	d.size += cost
	if limit := l.s.limits.Memory; d.size > limit || (d.wanted && l.open+d.size > limit) {
		return fmt.Errorf("%w: its listing, with those of the folders above it, takes more than %d bytes of memory", ErrLimit, limit)
	}
	if d.dropped || l.asked[d.path] != d {
		d.dropped = true // nobody needs it now, or ever; who waits for it all the same asks again
		d.cost, d.entries, d.problems = 0, nil, nil
		return nil
	}
	if !d.wanted && l.cost+cost > listsHeld {
		d.dropped = true
		l.cost -= d.cost
		d.cost, d.entries, d.problems = 0, nil, nil
		return nil
	}
	d.entries, d.problems = append(d.entries, a.Entries...), append(d.problems, a.Problems...)
	d.cost, l.cost = d.cost+cost, l.cost+cost
	return nil
}

// forget drops what came of a directory.
func (l *lookout) forget(d *listing) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.asked[d.path] == d {
		l.cost -= d.cost
	}
	d.cost, d.size, d.entries, d.problems = 0, 0, nil, nil
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
		c.l.forget(d)
		d.err, d.failed, d.dropped = err, true, false
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
	below := tree.Join(d.path, st.Name)
	if depth(below) > depthLimit {
		return nil, fmt.Errorf("open %q: the folder lies more than %d deep", st.Name, depthLimit)
	}
	return &dir{s: d.s, path: below}, nil
}

// depth returns how many directories lie above a path, but for the top.
func depth(path string) int { return strings.Count(path, "/") }

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
func (d *dir) Close() error {
	d.mu.Lock()
	of := d.of
	d.of, d.bare = nil, nil
	d.mu.Unlock()
	if of != nil {
		d.s.look.closed(of)
	}
	return nil
}
