package restore

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/snapkeep/snap/internal/target"
	"github.com/snapkeep/snap/internal/tree"
)

// folder is a folder of the target.
type folder struct {
	parent *folder
	entry  *tree.Entry // nil for the target itself, whose metadata stays
	path   string      // in the target
	state  states
	chosen bool // restored even if nothing in it is

	made    bool     // it is there
	existed bool     // it was there before
	failed  error    // why it could not be made
	remover *remover // nil if nothing is removed from it

	leftovers []string // that killed restores have left in it
	saved     []string // names like theirs that the snapshot has in it
	twins     twins    // used by the walk only

	pending atomic.Int64 // the walk in it, files and folders in it that are not complete
}

func (r *run) newTop() *folder {
	top := &folder{state: r.selector.top(), chosen: true, made: true, existed: r.root != nil}
	top.pending.Store(1)
	return top
}

// newFolder returns the folder of the entry x in f. It keeps nothing of the page of x.
func (r *run) newFolder(f *folder, x *tree.Entry, chosen bool) *folder {
	own := *x
	own.Name = strings.Clone(x.Name)
	sub := &folder{parent: f, entry: &own, path: tree.Join(f.path, own.Name), state: r.selector.enter(f.state, own.Name), chosen: chosen}
	sub.pending.Store(1)
	f.pending.Add(1)
	return sub
}

// leave takes back one pending thing of f. With the last one f is complete and gets its
// metadata, and is one less of its parent.
func (r *run) leave(f *folder) {
	for ; f != nil && f.pending.Add(-1) == 0; f = f.parent {
		r.complete(f)
	}
}

// complete sets the metadata of a folder in which everything is in place.
func (r *run) complete(f *folder) {
	if f.entry == nil || !f.made {
		return
	}
	r.Progress.Dirs.Add(1)
	action := Restored
	if f.existed {
		action = Unchanged
	}
	r.item(f.path, action, tree.Directory, 0)
	if r.DryRun || (f.existed && r.Overwrite == OverwriteNever) {
		return
	}
	dir, err := r.root.Dir(f.path)
	if err != nil {
		r.fail(f.path, err)
		return
	}
	defer dir.Release()
	r.attributes(f.path, dir.SetMeta(f.entry, f.existed))
	r.changed(f.path, tree.Directory)
}

// dir opens a folder that is there. The caller releases it.
func (r *run) dir(f *folder) (*target.Dir, error) { return r.root.Dir(f.path) }

// visitor is told what the walk meets.
type visitor interface {
	// enter is told of a folder before its entries.
	enter(ctx context.Context, f *folder) error
	// entry is told of an entry of f in order of name. It returns the folder to walk if there is one.
	entry(ctx context.Context, f *folder, x *tree.Entry) (*folder, error)
	// exit is told of the end of a folder. broken is why some of its entries are unknown, nil if
	// none are.
	exit(f *folder, broken error) error
}

// descend walks the tree below top in path order. It visits folders only that entries lead
// to, and goes on behind pages that cannot be read.
func (r *run) descend(ctx context.Context, top *folder, v visitor) error {
	cursor, err := tree.NewCursor(ctx, r.Load, r.Root)
	if err != nil {
		return err
	}
	for stack := []*folder{top}; len(stack) > 0; {
		f := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		below, err := r.visit(ctx, cursor, f, v)
		if err != nil {
			return err
		}
		slices.Reverse(below)
		stack = append(stack, below...)
	}
	return nil
}

// visit walks one folder and returns the folders in it.
func (r *run) visit(ctx context.Context, cursor *tree.Cursor, f *folder, v visitor) (below []*folder, err error) {
	if err := v.enter(ctx, f); err != nil {
		return nil, err
	}
	runs, broken := cursor.Dir(ctx, r.treePath(f.path))
	switch {
	case broken != nil || len(runs) > 0:
	case len(r.treePath(f.path)) > tree.MaxPath:
		broken = ErrUnreadable // no tree can have it
	default:
		broken = fmt.Errorf("%w: the tree does not have this folder", tree.ErrCorrupt)
	}
	for i := range runs {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		entries, err := runs[i].Entries()
		if err != nil {
			broken = err
			continue
		}
		if runs[i].Run().Flags&tree.RunUnreadable != 0 && broken == nil {
			broken = ErrUnreadable
		}
		for k := range entries {
			sub, err := v.entry(ctx, f, &entries[k])
			if err != nil {
				return nil, err
			}
			if sub != nil {
				below = append(below, sub)
			}
		}
		runs[i] = tree.OldRun{} // long folders have many, and each keeps its page
	}
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	return below, v.exit(f, broken)
}
