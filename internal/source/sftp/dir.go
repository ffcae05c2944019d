package sftp

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/snapkeep/snap/internal/source"
	"github.com/snapkeep/snap/internal/tree"
)

// node is a root, or a folder above one.
type node struct {
	root     bool
	real     string // of a root: what the server is asked for
	children map[string]*node
}

// add adds a root. What lies in another root is that one's.
func (n *node) add(root, real string) {
	for name := range strings.SplitSeq(root, "/") {
		if name == "" {
			continue
		}
		if n.children == nil {
			n.children = map[string]*node{}
		}
		if n.children[name] == nil {
			n.children[name] = &node{}
		}
		n = n.children[name]
	}
	n.root, n.real = true, real
}

// openFolders is how many times the entries of one folder may be in memory, in folders that lie within each other.
const openFolders = 3

// dir is an open folder. A folder above roots shows only what leads to them; links to such folders are followed.
type dir struct {
	s *Source
	place

	mu      sync.Mutex // guards what follows
	first   *listing   // taken and not returned so far
	links   *links     // of the last listing
	counted int        // entries of the last listing
}

// List implements source.Dir.
func (d *dir) List(ctx context.Context) ([]tree.Stat, []source.Problem, error) {
	if d.node != nil {
		return d.listNode(ctx)
	}
	d.mu.Lock()
	l := d.first
	d.first = nil
	d.mu.Unlock()
	if l == nil {
		l = d.s.look.newListing(d.place)
		close(l.wanted)
		l.run(ctx)
		close(l.done)
	} else if err := l.wait(ctx, l.done); err != nil {
		return nil, nil, err
	}
	stats := l.stats
	l.stats = nil
	links := newLinks(d, stats)
	d.mu.Lock()
	more := len(stats) - d.counted
	d.links, d.counted = links, len(stats)
	d.mu.Unlock()
	if open := d.s.open.Add(int64(more)); open > openFolders*int64(d.s.limits.Directory) {
		err := fmt.Errorf("%w: folders within folders have %d entries together", ErrLimit, open)
		d.s.broken(err)
		return nil, nil, err
	}
	return stats, l.problems, l.err
}

// listNode looks at what leads to the roots.
func (d *dir) listNode(ctx context.Context) ([]tree.Stat, []source.Problem, error) {
	var (
		stats []tree.Stat
		errs  []error
	)
	for _, name := range slices.Sorted(maps.Keys(d.node.children)) {
		st, err := d.lookAt(ctx, name)
		switch {
		case errors.Is(err, source.ErrBroken):
			return nil, nil, err
		case err != nil:
			errs = append(errs, &RootError{join(d.path, name), err})
		case d.s.o.ExcludeLargerThan > 0 && st.Kind == tree.Regular && st.Size > d.s.o.ExcludeLargerThan:
		default:
			stats = append(stats, st)
		}
	}
	return stats, nil, errors.Join(errs...)
}

// lookAt looks at a root, or at a folder above one, which may be a link.
func (d *dir) lookAt(ctx context.Context, name string) (st tree.Stat, err error) {
	n := d.node.children[name]
	r := pathRequest(fxpStat, join(d.path, name))
	if n.root {
		r = pathRequest(fxpLstat, n.real)
	}
	err = d.s.do(ctx, func(ctx context.Context, c *client, _ bool) error {
		a, err := c.start(slices.Clone(r), nil).attrs(ctx)
		if err == nil {
			st, err = a.stat(name)
		}
		return err
	})
	if err == nil && !n.root && st.Kind != tree.Directory {
		err = source.ErrReplaced
	}
	return st, err
}

// OpenDir implements source.Dir.
func (d *dir) OpenDir(ctx context.Context, st *tree.Stat) (source.Dir, error) {
	below, err := d.below(st)
	if err == nil && st.Kind != tree.Directory {
		err = source.ErrReplaced
	}
	if err == nil {
		err = d.tooDeepIn(d.s, st.Name)
	}
	if err != nil {
		return nil, fmt.Errorf("open %q: %w", join(d.path, st.Name), err)
	}
	sub := &dir{s: d.s, place: below}
	if sub.node != nil {
		return sub, nil
	}
	sub.first = d.s.look.take(below)
	if err := sub.first.wait(ctx, sub.first.opened); err != nil {
		return nil, err
	}
	return sub, nil
}

// below returns the place of an entry.
func (d *dir) below(st *tree.Stat) (place, error) {
	if !tree.ValidName(st.Name) {
		return place{}, fs.ErrNotExist
	}
	p := d.enter(d.s, st.Name)
	if d.node == nil {
		return p, nil
	}
	n := d.node.children[st.Name]
	switch {
	case n == nil:
		return p, fs.ErrNotExist
	case n.root:
		p.real = n.real
	default:
		p.node = n
	}
	return p, nil
}

// realOf returns what the server is asked for to get an entry that is no folder above a root.
func (d *dir) realOf(st *tree.Stat) (string, error) {
	switch {
	case !tree.ValidName(st.Name):
		return "", fs.ErrNotExist
	case d.node == nil:
		return join(d.real, st.Name), nil
	}
	n := d.node.children[st.Name]
	if n == nil || !n.root {
		return "", fs.ErrNotExist
	}
	return n.real, nil
}

// Open implements source.Dir.
func (d *dir) Open(ctx context.Context, st *tree.Stat) (source.File, error) {
	real, err := d.realOf(st)
	if err == nil && st.Kind != tree.Regular {
		err = source.ErrReplaced
	}
	var f source.File
	if err == nil {
		f, err = d.s.files.open(ctx, real, st)
	}
	if err != nil {
		return nil, fmt.Errorf("open %q: %w", join(d.path, st.Name), err)
	}
	return f, nil
}

// Prefetch implements source.Prefetcher.
func (d *dir) Prefetch(st *tree.Stat) {
	if real, err := d.realOf(st); err == nil && st.Kind == tree.Regular {
		d.s.files.prefetch(real, st)
	}
}

// Describe implements source.Dir. The server has no more than names of owners and targets of links.
func (d *dir) Describe(ctx context.Context, st *tree.Stat, e *tree.Entry, _ source.File) error {
	user, group, err := d.s.ownerNames(ctx, st.UID, st.GID)
	if err != nil {
		return err
	}
	e.User, e.Group = user, group
	if st.Kind != tree.Symlink {
		return nil
	}
	real, err := d.realOf(st)
	if err == nil {
		e.Target, err = d.target(ctx, st.Name, real)
	}
	if err != nil {
		return fmt.Errorf("target of %q: %w", join(d.path, st.Name), err)
	}
	return nil
}

// Close implements source.Dir.
func (d *dir) Close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.s.open.Add(-int64(d.counted))
	d.counted = 0
	return nil
}

// links asks for the targets of a folder's links, many at a time: who asks for one will ask for the others.
type links struct {
	names []string

	mu      sync.Mutex // guards targets
	targets map[string]*target
}

type target struct {
	done chan struct{}
	text string
	err  error
}

const linksAhead = 64

func newLinks(d *dir, stats []tree.Stat) *links {
	l := &links{targets: map[string]*target{}}
	for i := range stats {
		if stats[i].Kind == tree.Symlink {
			l.names = append(l.names, stats[i].Name)
		}
	}
	return l
}

// target returns where a link leads.
func (d *dir) target(ctx context.Context, name, real string) (string, error) {
	d.mu.Lock()
	l := d.links
	d.mu.Unlock()
	if l == nil || d.node != nil {
		return d.s.readLink(ctx, real)
	}
	i, found := slices.BinarySearch(l.names, name)
	if !found {
		return d.s.readLink(ctx, real)
	}
	l.mu.Lock()
	for _, ahead := range l.names[i:min(i+linksAhead, len(l.names))] {
		if l.targets[ahead] != nil {
			continue
		}
		t := &target{done: make(chan struct{})}
		l.targets[ahead] = t
		d.s.group.Go(func() {
			t.text, t.err = d.s.readLink(d.s.ctx, join(d.real, ahead))
			close(t.done)
		})
	}
	t := l.targets[name]
	l.mu.Unlock()
	select {
	case <-t.done:
		return t.text, t.err
	case <-ctx.Done():
		return "", context.Cause(ctx)
	}
}

// readLink reads a link.
func (s *Source) readLink(ctx context.Context, real string) (text string, err error) {
	err = s.do(ctx, func(ctx context.Context, c *client, _ bool) error {
		text, err = c.start(pathRequest(fxpReadlink, real), nil).path(ctx)
		return err
	})
	if err == nil && (text == "" || len(text) > tree.MaxPath || strings.Contains(text, "\x00")) {
		err = fmt.Errorf("%w: the target has %d bytes, or a NUL", ErrImpossible, len(text))
	}
	if err != nil {
		return "", err
	}
	return text, nil
}
