package repo

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/snapkeep/snap/internal/filter"
	"github.com/snapkeep/snap/internal/tree"
	"github.com/snapkeep/snap/pack"
)

// WarmUpFunc makes files of the store readable which a storage class keeps where nobody can read them at once. It gets the names of all that will be
// read, in order, and returns when they can be. An error ends what they are needed for.
type WarmUpFunc func(ctx context.Context, names []string) error

// warmed are the packs that were made readable.
type warmed struct {
	one sync.Mutex // held while packs are made readable

	mu    sync.Mutex // guards what follows
	packs map[pack.ID]bool
}

// cold returns the names of those packs of file data that were not made readable yet.
func (w *warmed) cold(packs []packFile) (names []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, f := range packs {
		if f.class == pack.ClassData && !w.packs[f.id] {
			names = append(names, f.name())
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// add notes packs that were made readable.
func (w *warmed) add(packs []packFile) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.packs == nil {
		w.packs = map[pack.ID]bool{}
	}
	for _, f := range packs {
		w.packs[f.id] = true
	}
}

// warmUp makes packs of file data readable, each once in the life of the Repo. Packs of metadata always are.
func (r *Repo) warmUp(ctx context.Context, packs []pack.ID) error {
	if r.opts.WarmUp == nil {
		return nil
	}
	var files []packFile
	for _, id := range packs {
		if p, ok := r.set.Pack(id); ok {
			files = append(files, packFile{id: id, class: p.Class})
		}
	}
	return r.warmUpFiles(ctx, files)
}

// warmUpFiles is warmUp for packs that the index may not know.
func (r *Repo) warmUpFiles(ctx context.Context, packs []packFile) error {
	w := &r.warmed
	if r.opts.WarmUp == nil || len(w.cold(packs)) == 0 {
		return nil // whoever reads what is readable waits for nobody
	}
	w.one.Lock()
	defer w.one.Unlock()
	names := w.cold(packs)
	if len(names) == 0 {
		return nil
	}
	if err := r.opts.WarmUp(ctx, names); err != nil {
		return fmt.Errorf("packs cannot be made readable: %w", err)
	}
	w.add(packs)
	return nil
}

// WarmUp calls Options.WarmUp for the packs that hold the data of a file of a snapshot, or of all files in a folder; an empty path stands for the top. Restore
// does so itself. It does nothing if there is no such function.
func (r *Repo) WarmUp(ctx context.Context, s *Snapshot, path string) error {
	defer r.use()()
	return r.warmUpSelected(ctx, s, path, func(string) bool { return true })
}

// WarmUpEntry is WarmUp for the regular file x, which Lookup, ReadDir or Walk returned.
func (r *Repo) WarmUpEntry(ctx context.Context, x *Entry) error {
	defer r.use()()
	if r.opts.WarmUp == nil || x.Kind != tree.Regular {
		return nil
	}
	needed := map[pack.ID]bool{}
	if err := r.packsOf(ctx, x, needed); err != nil {
		return err
	}
	return r.warmUp(ctx, slices.Collect(maps.Keys(needed)))
}

// warmUpRestore is WarmUp for the files that a restore selects, whether or not they are in the target already.
func (r *Repo) warmUpRestore(ctx context.Context, s *Snapshot, o *RestoreOptions) error {
	matches := func(lists []*filter.List, path string) bool {
		return slices.ContainsFunc(lists, func(l *filter.List) bool {
			matched, _ := l.MatchPath(path)
			return matched
		})
	}
	include := slices.DeleteFunc(slices.Clone(o.Include), (*filter.List).Empty)
	return r.warmUpSelected(ctx, s, o.Path, func(path string) bool {
		return (len(include) == 0 || matches(include, path)) && !matches(o.Exclude, path)
	})
}

// warmUpSelected is WarmUp for the files of which want, which gets their path below path, says so.
func (r *Repo) warmUpSelected(ctx context.Context, s *Snapshot, path string, want func(path string) bool) error {
	if r.opts.WarmUp == nil {
		return nil
	}
	path = cleanPath(path)
	x, err := r.Lookup(ctx, s, path)
	if err != nil {
		return err
	}
	needed := map[pack.ID]bool{}
	if x.Kind != tree.Directory {
		err = r.packsOf(ctx, x, needed)
	} else {
		err = r.Walk(ctx, s, path, func(dir string, entries []Entry) error {
			for i := range entries {
				if x := &entries[i]; x.Kind == tree.Regular && want(below(path, tree.Join(dir, x.Name))) {
					if err := r.packsOf(ctx, x, needed); err != nil {
						return err
					}
				}
			}
			return nil
		})
	}
	if err != nil {
		return err
	}
	return r.warmUp(ctx, slices.Collect(maps.Keys(needed)))
}

// below returns what path is below dir, which it is in.
func below(dir, path string) string {
	if dir == "" {
		return path
	}
	return path[len(dir)+1:]
}

// packsOf adds the packs that hold the data of a file. Chunks that are nowhere are left to those who read them.
func (r *Repo) packsOf(ctx context.Context, x *Entry, packs map[pack.ID]bool) error {
	parts := x.Parts
	if x.Listed {
		var err error
		if parts, err = tree.Parts(ctx, r.read, x); err != nil {
			return fmt.Errorf("file %q: %w", x.Name, err)
		}
	}
	for _, p := range parts {
		if p.ID.IsZero() {
			continue // a hole
		}
		if l, ok := r.set.Lookup(p.ID); ok {
			packs[l.Pack] = true
		}
	}
	return nil
}
