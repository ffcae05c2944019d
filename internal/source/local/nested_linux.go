package local

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/snapkeep/snap/internal/inode"
	"github.com/snapkeep/snap/internal/source"
	"github.com/snapkeep/snap/internal/tree"
)

// outer is a folder within a root with another root below it. That one belongs to the backup whatever
// keeps the walk from it: a link, another file system, a marker or, with KeepRoots, a pattern.
type outer struct {
	*dir
	ways joint                           // the same folder, showing only what leads to the roots below it; it owns no descriptor
	same atomic.Pointer[map[string]bool] // folders on the way that belong to the outer root as well, by the last List
}

// hold returns d, or what shows the roots below it too.
func (d *dir) hold(n *node) source.Dir {
	if n == nil || len(n.children) == 0 {
		return d
	}
	o := &outer{dir: d}
	o.same.Store(&map[string]bool{})
	o.ways.node = n
	o.ways.w, o.ways.fd, o.ways.path, o.ways.states = d.w, d.fd, d.path, d.states
	return o
}

// List lists the folder, and what leads to the roots below it.
func (o *outer) List(ctx context.Context) ([]tree.Stat, []source.Problem, error) {
	stats, problems, err := o.dir.List(ctx)
	ways, _, waysErr := o.ways.List(ctx)
	same := map[string]bool{}
	for _, st := range ways {
		problems = slices.DeleteFunc(problems, func(p source.Problem) bool { return p.Stat.Name == st.Name })
		i, found := slices.BinarySearchFunc(stats, st.Name, func(s tree.Stat, name string) int { return strings.Compare(s.Name, name) })
		switch {
		case !found:
			stats = slices.Insert(stats, i, st)
		case stats[i].Kind == tree.Directory && st.Kind == tree.Directory:
			same[st.Name] = true
		default:
			stats[i] = st
		}
	}
	o.same.Store(&same)
	return stats, problems, errors.Join(err, waysErr)
}

// Look looks at one entry as List does.
func (o *outer) Look(name string) (tree.Stat, error) {
	n := o.ways.node.children[name]
	if n == nil {
		return o.dir.Look(name)
	}
	if st, err := o.dir.Look(name); err == nil && st.Kind == tree.Directory {
		return st, nil
	}
	return o.ways.Look(name)
}

// OpenDir opens a folder beneath o: all of it, or only the way to a root where no more of it belongs to
// the backup.
func (o *outer) OpenDir(ctx context.Context, st *tree.Stat) (source.Dir, error) {
	n := o.ways.node.children[st.Name]
	if n == nil {
		return o.dir.OpenDir(ctx, st)
	}
	if (*o.same.Load())[st.Name] {
		sub, err := o.dir.OpenDir(ctx, st)
		if err != nil {
			return nil, err
		}
		if d, entered := sub.(*dir); entered {
			return d.hold(n), nil
		}
	}
	return o.ways.OpenDir(ctx, st)
}

// Open opens a file beneath o, or a root that is a device.
func (o *outer) Open(ctx context.Context, st *tree.Stat) (source.File, error) {
	if o.ways.readsDevice(st.Name) {
		return o.ways.Open(ctx, st)
	}
	return o.dir.Open(ctx, st)
}

// Describe fills in what is known of an entry.
func (o *outer) Describe(ctx context.Context, st *tree.Stat, e *tree.Entry, f source.File) error {
	if n := o.ways.node.children[st.Name]; n != nil && !(*o.same.Load())[st.Name] {
		return o.ways.Describe(ctx, st, e, f)
	}
	return o.dir.Describe(ctx, st, e, f)
}

// wantsRoot reports whether a root belongs to the backup by what it is.
func (j *joint) wantsRoot(st *tree.Stat, at *inode.Look) bool {
	return j.w.o.KeepRoots || j.wants(st, at)
}
