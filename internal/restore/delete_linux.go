package restore

import (
	"fmt"

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
	knows  bool     // the snapshot has something in the folder

	spared map[string]bool // folds of names that are there in another spelling
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
	d.knows = true
	for len(d.names) > 0 && d.names[0] < name {
		d.gone = append(d.gone, d.names[0])
		d.names = d.names[1:]
	}
	if len(d.names) > 0 && d.names[0] == name {
		d.names = d.names[1:]
		return
	}
	if _, err := d.dir.Lstat(name); err == nil { // though it was not listed
		if d.spared == nil {
			d.spared = map[string]bool{}
		}
		d.spared[fold(name)] = true
	}
}

// end removes what was not kept. A folder of which entries are unknown keeps everything, and so does a mount point that is empty in the
// snapshot: its file system was not mounted then, or was left out of the backup.
func (d *remover) end(broken error) {
	defer d.dir.Release()
	if broken != nil || !d.knows && d.folder.parent != nil && d.dir.IsMount() {
		return
	}
	for _, name := range append(d.gone, d.names...) {
		if d.spared[fold(name)] {
			continue
		}
		if chosen, _ := d.run.selector.choose(d.folder.state, name); chosen {
			d.remove(name)
		}
	}
}

func (d *remover) remove(name string) {
	r := d.run
	list, err := r.doomed(d.folder, name)
	if err != nil {
		r.fail(tree.Join(d.folder.path, name), err)
		return
	}
	for _, path := range list {
		if err := r.removeAll(path); err != nil {
			r.fail(path, err)
			continue
		}
		r.changed(path, 0)
		r.Progress.Deleted.Add(1)
		r.item(path, Deleted, 0, 0)
	}
}

func (r *run) removeAll(path string) error {
	if r.DryRun {
		return nil
	}
	folder, name := tree.SplitPath(path)
	dir, err := r.root.Dir(folder)
	if err != nil {
		return err
	}
	defer dir.Release()
	return dir.RemoveAll(name)
}

// doomed returns what is to be removed to remove name from f: just that, or, if a folder holds something that is not to be
// restored, what else is in it.
func (r *run) doomed(f *folder, name string) ([]string, error) {
	path := tree.Join(f.path, name)
	if r.selector.all() {
		return []string{path}, nil
	}
	dir, err := r.dir(f)
	if err != nil {
		return nil, err
	}
	defer dir.Release()
	list, _, err := r.doomedIn(dir, path, name, r.selector.enter(f.state, name))
	return list, err
}

// doomedIn is doomed for name in dir, whose states are those of a folder of that name. It reports whether all of it is to be removed.
func (r *run) doomedIn(dir *target.Dir, path, name string, st states) (list []string, whole bool, err error) {
	stat, err := dir.Lstat(name)
	if err != nil {
		return nil, false, err
	}
	if stat.Kind != tree.Directory {
		return []string{path}, true, nil
	}
	sub, err := r.root.Dir(path)
	if err != nil {
		return nil, false, err
	}
	defer sub.Release()
	if sub.IsMount() {
		return nil, false, fmt.Errorf("remove %q: %w", path, target.ErrMount)
	}
	names, err := sub.Names()
	if err != nil {
		return nil, false, err
	}
	whole = true
	for _, n := range names {
		if chosen, _ := r.selector.choose(st, n); !chosen {
			whole = false
			continue
		}
		below, all, err := r.doomedIn(sub, path+"/"+n, n, r.selector.enter(st, n))
		if err != nil {
			return nil, false, err
		}
		list, whole = append(list, below...), whole && all
	}
	if whole {
		return []string{path}, true, nil
	}
	return list, false, nil
}
