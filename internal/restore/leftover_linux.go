package restore

import (
	"slices"

	"github.com/snapkeep/snap/internal/tree"
)

// findLeftovers looks for what killed restores have left in f, before anything is made in it.
func (r *run) findLeftovers(f *folder) {
	if r.DryRun {
		return
	}
	dir, err := r.dir(f)
	if err != nil {
		return // whatever is to be made in it will tell
	}
	defer dir.Release()
	f.leftovers, _ = dir.Leftovers() // a folder that may not be listed can be written to all the same
}

// removeLeftovers removes what was found in f, but for what the snapshot has there. If entries of f are unknown, all stays.
func (r *run) removeLeftovers(f *folder, broken error) {
	names := f.leftovers
	if f.leftovers = nil; len(names) == 0 || broken != nil {
		return
	}
	dir, err := r.dir(f)
	if err != nil {
		r.fail(f.path, err)
		return
	}
	defer dir.Release()
	for _, name := range names {
		if slices.Contains(f.saved, name) {
			continue
		}
		removed, err := dir.RemoveLeftover(name)
		if err != nil {
			r.fail(tree.Join(f.path, name), err)
		}
		if removed {
			r.Progress.Leftovers.Add(1)
		}
	}
}
