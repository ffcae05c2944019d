package restore

import (
	"github.com/snapkeep/snap/internal/target"
	"github.com/snapkeep/snap/internal/tree"
)

// remover removes from a folder what the snapshot does not have there.
type remover struct {
	run    *run
	folder *folder
	dir    *target.Dir
	names  []string // that are there, rising
	gone   []string // of these, what the snapshot does not have
}

// mayDelete reports whether the contents of f are all that the folder had when it was backed
// up: folders that merely lead to what was backed up are not.
func (r *run) mayDelete(f *folder) bool {
	if !r.Delete || !f.existed || !f.chosen {
		return false
	}
	path := r.treePath(f.path)
	for _, below := range r.DeleteBelow {
		if tree.IsWithin(path, below) {
			return true
		}
	}
	return false
}

// newRemover lists f, before anything is made in it.
func (r *run) newRemover(f *folder) *remover {
	dir, err := r.dir(f)
	if err != nil {
		r.fail(f.path, err)
		return nil
	}
	names, err := dir.Names()
	if err != nil {
		dir.Release()
		r.fail(f.path, err)
		return nil
	}
	return &remover{run: r, folder: f, dir: dir, names: names}
}

// keep is told of the names of the snapshot's entries, rising.
func (d *remover) keep(name string) {
	for len(d.names) > 0 && d.names[0] < name {
		d.gone = append(d.gone, d.names[0])
		d.names = d.names[1:]
	}
	if len(d.names) > 0 && d.names[0] == name {
		d.names = d.names[1:]
	}
}

// end removes what was not kept. A folder of which entries are unknown keeps everything.
func (d *remover) end(broken error) {
	defer d.dir.Release()
	if broken != nil {
		return
	}
	for _, name := range append(d.gone, d.names...) {
		if chosen, _ := d.run.selector.choose(d.folder.state, name); chosen {
			d.remove(name)
		}
	}
}

func (d *remover) remove(name string) {
	r, path := d.run, tree.Join(d.folder.path, name)
	if !r.DryRun {
		if err := d.dir.RemoveAll(name); err != nil {
			r.fail(path, err)
			return
		}
	}
	r.Progress.Deleted.Add(1)
	r.item(path, Deleted, 0, 0)
}
