package restore

import (
	"fmt"
	"strings"
	"sync"

	"github.com/snapkeep/snap/internal/target"
	"github.com/snapkeep/snap/internal/tree"
)

// linkKey is what entries of one file have in common.
type linkKey struct{ device, inode uint64 }

// group is a file with several names. The first name that is restored is written, the
// others become hard links to it.
type group struct {
	folder *folder // of the first name
	entry  tree.Entry
	left   uint32 // names that the walk has not met; used by the walk only

	mu      sync.Mutex // guards what follows
	settled bool       // the first name is there, or failed
	err     error
	waiting []*file
}

// join puts j into its group of hard links, if it is in one.
func (r *run) join(j *file) {
	x := j.entry
	if x.Links < 2 {
		return
	}
	key := linkKey{x.Device, x.Inode}
	g := r.groups[key]
	// Entries that contradict each other are restored as they are.
	if g != nil && (g.entry.Kind != x.Kind || g.entry.Size != x.Size) {
		return
	}
	if g == nil {
		g = &group{folder: j.folder, entry: *x, left: x.Links}
		g.entry.Name, g.entry.Parts = strings.Clone(x.Name), nil
		r.groups[key] = g
		j.first = true
		if x.Kind == tree.Regular && x.Flags != 0 {
			r.held = append(r.held, g)
		}
	}
	j.group = g
	if g.left--; g.left == 0 {
		delete(r.groups, key)
	}
}

// settle notes what became of the first name and returns the links that waited for it.
func (g *group) settle(err error) []*file {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.settled, g.err = true, err
	waiting := g.waiting
	g.waiting = nil
	return waiting
}

// ready reports whether the link f can be made; else it waits.
func (g *group) ready(f *file) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.settled {
		g.waiting = append(g.waiting, f)
	}
	return g.settled
}

// link makes f a link to the first name of its group.
func (r *run) link(f *file) {
	err := f.group.err
	if err != nil {
		err = fmt.Errorf("hard link to %q: %w", tree.Join(f.group.folder.path, f.group.entry.Name), err)
	} else {
		err = r.makeLink(f)
	}
	r.settle(f, err)
}

func (r *run) makeLink(f *file) error {
	g := f.group
	from, err := r.dir(g.folder)
	if err != nil {
		return err
	}
	defer from.Release()
	to, err := r.dir(f.folder)
	if err != nil {
		return err
	}
	defer to.Release()
	if f.old && r.Overwrite == OverwriteIfChanged {
		f.action = Updated
		if linked(from, g.entry.Name, to, f.entry.Name) {
			f.action = Unchanged
			return nil
		}
		f.existing = target.Replace
	}
	return to.Link(f.entry.Name, from, g.entry.Name, f.existing)
}

// linked reports whether two names are one file already.
func linked(from *target.Dir, oldName string, to *target.Dir, name string) bool {
	a, err := from.Lstat(oldName)
	if err != nil {
		return false
	}
	b, err := to.Lstat(name)
	return err == nil && a.Device == b.Device && a.Inode == b.Inode
}

// hold sets flags that forbid changes, and hard links, on files of which all links are made.
func (r *run) hold() {
	if r.DryRun {
		return
	}
	for _, g := range r.held {
		if g.err != nil || !g.settled {
			continue
		}
		path := tree.Join(g.folder.path, g.entry.Name)
		dir, err := r.dir(g.folder)
		if err != nil {
			r.fail(path, err)
			continue
		}
		r.attributes(path, dir.Hold(&g.entry))
		dir.Release()
	}
}
