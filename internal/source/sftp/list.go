package sftp

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/snapkeep/snap/internal/filter"
	"github.com/snapkeep/snap/internal/source"
	"github.com/snapkeep/snap/internal/tree"
)

// Bounds of listing ahead of the walk.
const (
	listAhead     = 256      // folders that are being listed; at most half the handles that the server has
	heldEntries   = 64 << 10 // entries that were listed and not asked for so far, about 250 B each
	aheadEntries  = 4 << 10  // entries of one folder, before somebody asks for it
	queuedFolders = 32 << 10 // folders that will be listed
	readdirs      = 4        // requests for names of one folder
	maxBadNames   = 100      // of one folder that are named
)

// place is a folder.
type place struct {
	path   string         // for patterns and messages
	real   string         // what the server is asked for; no link leads there
	states []filter.State // of the walk's lists
	depth  int
	node   *node // not nil for a folder above roots
}

// enter returns the place of the folder name in p.
func (p *place) enter(s *Source, name string) place {
	below := place{path: join(p.path, name), real: join(p.real, name), depth: p.depth + 1}
	if len(p.states) > 0 {
		below.states = make([]filter.State, len(p.states))
		for i, l := range s.lists {
			below.states[i] = l.Enter(p.states[i], name)
		}
	}
	return below
}

func join(dir, name string) string {
	if dir == "/" {
		return dir + name
	}
	return dir + "/" + name
}

// listing is a folder that is listed, or will be.
type listing struct {
	place
	s      *Source
	wanted chan struct{} // closed when somebody waits for it
	opened chan struct{} // closed when the folder is known to be one, or err is set
	done   chan struct{} // closed when all is set

	once     sync.Once // closes opened
	openErr  error     // set before opened is closed
	stats    []tree.Stat
	problems []source.Problem
	err      error // of reading the folder to its end

	// Guarded by the lookout's mutex.
	started, taken, ended bool
}

// lookout lists folders before they are asked for: first those that the walk comes to next.
type lookout struct {
	s *Source

	mu      sync.Mutex          // guards what follows
	known   map[string]*listing // by real path, not taken
	stack   []*listing          // not started, next last
	running int
	held    int // entries that were not taken
}

func (k *lookout) newListing(p place) *listing {
	return &listing{place: p, s: k.s, wanted: make(chan struct{}), opened: make(chan struct{}), done: make(chan struct{})}
}

// take returns the listing of a folder, which is begun if it was not. It serves one caller.
func (k *lookout) take(p place) *listing {
	k.mu.Lock()
	defer k.mu.Unlock()
	l := k.known[p.real]
	if l == nil {
		l = k.newListing(p)
	}
	delete(k.known, p.real)
	l.taken = true
	if l.ended {
		k.held -= len(l.stats)
	}
	close(l.wanted)
	if !l.started {
		k.start(l)
	}
	k.pump()
	return l
}

// start begins a listing. The mutex is held.
func (k *lookout) start(l *listing) {
	l.started = true
	k.running++
	k.s.group.Go(func() {
		l.run(k.s.ctx)
		k.ended(l)
	})
}

// ended notes what is to be listed after a folder.
func (k *lookout) ended(l *listing) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.running--
	l.ended = true
	if !l.taken {
		k.held += len(l.stats)
	}
	for i := len(l.stats) - 1; i >= 0 && len(k.stack) < queuedFolders; i-- {
		if l.stats[i].Kind != tree.Directory || l.tooDeep(l.stats[i].Name) != nil {
			continue
		}
		below := k.newListing(l.enter(k.s, l.stats[i].Name))
		if k.known[below.real] == nil {
			k.known[below.real] = below
			k.stack = append(k.stack, below)
		}
	}
	close(l.done)
	k.pump()
}

// pump begins listings as far as there is room. The mutex is held.
func (k *lookout) pump() {
	for len(k.stack) > 0 && k.running < min(listAhead, k.s.handles(2)) && k.held < heldEntries {
		l := k.stack[len(k.stack)-1]
		k.stack[len(k.stack)-1] = nil
		k.stack = k.stack[:len(k.stack)-1]
		if !l.started {
			k.start(l)
		}
	}
}

// tooDeepIn returns an error if the folder name is not to be entered.
func (p *place) tooDeepIn(s *Source, name string) error {
	if p.depth+1 > s.limits.Depth || len(p.real)+1+len(name) > maxPath {
		return fmt.Errorf("%w: the folder lies more than %d deep, or its path has more than %d bytes", ErrImpossible, s.limits.Depth, maxPath)
	}
	return nil
}

func (l *listing) tooDeep(name string) error { return l.tooDeepIn(l.s, name) }

// wait waits for opened or done. What it returns is the error of opening.
func (l *listing) wait(ctx context.Context, ready <-chan struct{}) error {
	select {
	case <-ready:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	select {
	case <-l.opened:
		return l.openErr
	default:
		return nil
	}
}

// run lists the folder.
func (l *listing) run(ctx context.Context) {
	tries := 0
	err := l.s.do(ctx, func(ctx context.Context, c *client, _ bool) error {
		l.stats, l.problems, l.err = nil, nil, nil
		tries++
		return l.read(ctx, c, tries <= patience) // who goes alone must not wait for others
	})
	if err == nil {
		err = l.leaveOut(ctx)
	}
	if err != nil {
		l.err = fmt.Errorf("list %q: %w", l.path, err)
	}
	l.once.Do(func() {
		l.openErr = l.err
		close(l.opened)
	})
}

// read opens and reads the folder. What was found is kept if it fails.
// With holding it waits in the middle of a large folder until somebody asks for it.
func (l *listing) read(ctx context.Context, c *client, holding bool) error {
	handle, err := c.start(pathRequest(fxpOpendir, l.real), nil).handle(ctx)
	if err != nil {
		return err
	}
	defer c.release(handle)
	next := func() *call { return c.start(newRequest(fxpReaddir).text(handle), nil) }
	real := c.start(pathRequest(fxpRealpath, l.real), nil)
	var system *call
	if l.s.systems != nil {
		system = c.startFileSystem(l.real)
	}
	calls := []*call{next(), next()}
	if err := resolves(ctx, real, l.real); err != nil {
		return err
	}
	if system != nil {
		id, err := system.fileSystem(ctx)
		if err != nil {
			return err
		}
		if !l.s.systems[id] {
			return nil // a folder on another file system is kept empty
		}
	}
	l.once.Do(func() { close(l.opened) })
	names := newCollector(l)
	for len(calls) > 0 {
		more, err := names.add(ctx, calls[0])
		if err != nil {
			l.stats, l.problems = names.finish()
			return err
		}
		if !more {
			break // what was asked for behind the end has the same answer
		}
		calls = calls[1:]
		if holding && len(names.stats) >= aheadEntries {
			if err := l.hold(ctx); err != nil {
				return err
			}
		}
		for len(calls) < readdirs && (len(calls) < 2 || names.full) {
			calls = append(calls, next())
		}
	}
	l.stats, l.problems = names.finish()
	return nil
}

// resolves waits for the real path of something that was opened by its path. The error is source.ErrReplaced if a link led there.
func resolves(ctx context.Context, x *call, want string) error {
	real, err := x.path(ctx)
	if err != nil {
		return err
	}
	if real != want {
		return fmt.Errorf("%w: there is a link in its path", source.ErrReplaced)
	}
	return nil
}

// hold waits until somebody asks for the folder.
func (l *listing) hold(ctx context.Context) error {
	select {
	case <-l.wanted:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// collector makes a listing of the names that come.
type collector struct {
	l        *listing
	stats    []tree.Stat
	problems []source.Problem
	entries  int
	bytes    int // of names
	bad      int
	full     bool // the last answer was long
	linked   int64
}

func newCollector(l *listing) *collector { return &collector{l: l} }

const maxNameBytes = 128 << 20 // of all names in a folder

// add takes an answer and reports whether there is more to come.
func (n *collector) add(ctx context.Context, x *call) (more bool, err error) {
	d, err := x.expect(ctx, fxpName)
	if isEOF(err) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	all, err := names(d.rest)
	if err != nil {
		return false, err
	}
	if len(all) == 0 {
		return false, protocolError("no names, and no end of the folder")
	}
	if n.full = len(all) >= 50; n.entries+len(all) > n.l.s.limits.Directory || n.bytes > maxNameBytes {
		return false, fmt.Errorf("%w: a folder of more than %d entries", ErrImpossible, n.l.s.limits.Directory)
	}
	n.entries += len(all)
	for i := range all {
		n.one(&all[i])
	}
	return true, n.l.s.count(int64(len(all)), 0)
}

func (n *collector) one(x *name) {
	name := string(x.name)
	if name == "." || name == ".." {
		return
	}
	n.bytes += len(name)
	if !tree.ValidName(name) {
		n.problem(tree.Stat{Name: strconv.QuoteToASCII(name[:min(len(name), 100)])}, fmt.Errorf("%w: a name of %d bytes", ErrImpossible, len(name)))
		return
	}
	if n.l.excludes(name) && !n.l.s.isMarker(name) {
		return
	}
	st, err := x.attrs.stat(name)
	if err != nil {
		n.problem(tree.Stat{Name: name}, err)
		return
	}
	if linked(x.long) && st.Kind == tree.Regular {
		n.linked++
	}
	if most := n.l.s.o.ExcludeLargerThan; most > 0 && st.Kind == tree.Regular && st.Size > most {
		return
	}
	n.stats = append(n.stats, st)
}

func (n *collector) problem(st tree.Stat, err error) {
	switch n.bad++; {
	case n.bad < maxBadNames:
		n.problems = append(n.problems, source.Problem{Stat: st, Err: err})
	case n.bad == maxBadNames:
		n.problems = append(n.problems, source.Problem{Stat: st, Err: errors.Join(err, errors.New("and more of the kind, which are not named"))})
	}
}

// finish returns what was found, in order, each name once.
func (n *collector) finish() ([]tree.Stat, []source.Problem) {
	n.l.s.linked.Add(n.linked)
	slices.SortStableFunc(n.stats, func(a, b tree.Stat) int { return strings.Compare(a.Name, b.Name) })
	kept := n.stats[:0]
	for i := range n.stats {
		if k := len(kept); k > 0 && kept[k-1].Name == n.stats[i].Name {
			n.problem(tree.Stat{Name: n.stats[i].Name}, fmt.Errorf("%w: the folder has the name twice", ErrImpossible))
			continue
		}
		kept = append(kept, n.stats[i])
	}
	slices.SortStableFunc(n.problems, func(a, b source.Problem) int { return cmp.Compare(a.Stat.Name, b.Stat.Name) })
	return kept, n.problems
}

func (p *place) excludesIn(s *Source, name string) bool {
	for i, l := range s.lists {
		if matched, _ := l.Match(p.states[i], name); matched {
			return true
		}
	}
	return false
}

func (l *listing) excludes(name string) bool { return l.excludesIn(l.s, name) }

// leaveOut drops what a marker in the folder excludes.
func (l *listing) leaveOut(ctx context.Context) error {
	for _, m := range l.s.markers {
		i, found := slices.BinarySearchFunc(l.stats, m.Name, func(st tree.Stat, name string) int { return strings.Compare(st.Name, name) })
		if !found {
			continue
		}
		if m.Header != "" {
			head, err := l.s.readHead(ctx, join(l.real, m.Name), &l.stats[i], len(m.Header))
			if errors.Is(err, source.ErrBroken) {
				return err
			}
			if string(head) != m.Header {
				continue // also if it cannot be read
			}
		}
		l.stats = []tree.Stat{l.stats[i]}
	}
	if len(l.s.markers) > 0 { // a marker works whether or not it is excluded itself
		l.stats = slices.DeleteFunc(l.stats, func(st tree.Stat) bool { return l.s.isMarker(st.Name) && l.excludes(st.Name) })
	}
	return nil
}

func (s *Source) isMarker(name string) bool {
	return slices.ContainsFunc(s.markers, func(m source.Marker) bool { return m.Name == name })
}
