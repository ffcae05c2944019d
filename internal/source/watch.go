package source

import (
	"context"
	"path"
	"slices"
	"strings"
	"sync"

	"github.com/snapkeep/snap/internal/tree"
)

// Watched is a source that remembers which of some paths were empty folders, or links, when they were listed last. It is safe for concurrent use.
type Watched struct {
	Source
	paths []string // without the slash in front

	mu    sync.Mutex // guards what follows
	empty map[string]bool
	links map[string]bool
}

// Watch returns the source, watched at the absolute paths.
func Watch(s Source, paths []string) *Watched {
	w := &Watched{Source: s, empty: map[string]bool{}, links: map[string]bool{}}
	for _, p := range paths {
		w.paths = append(w.paths, strings.TrimPrefix(p, "/"))
	}
	return w
}

// Empty returns the paths that were empty folders, in the order in which they are watched.
func (w *Watched) Empty() (paths []string) { return w.of(w.empty) }

// Links returns the paths that were symbolic links, in the same order.
func (w *Watched) Links() (paths []string) { return w.of(w.links) }

func (w *Watched) of(set map[string]bool) (paths []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, p := range w.paths {
		if set[p] {
			paths = append(paths, "/"+p)
		}
	}
	return paths
}

// Inform tells the source of the past, if it wants to know.
func (w *Watched) Inform(ctx context.Context, past Past) error {
	if informed, ok := w.Source.(Informed); ok {
		return informed.Inform(ctx, past)
	}
	return nil
}

// Root opens the top.
func (w *Watched) Root(ctx context.Context) (Dir, error) {
	d, err := w.Source.Root(ctx)
	return w.watch(d, ""), err
}

// watch returns a folder that is watched, or that leads to one, under watch, and any other as it is.
func (w *Watched) watch(d Dir, dir string) Dir {
	if d == nil {
		return nil
	}
	for _, p := range w.paths {
		if dir == "" || p == dir || strings.HasPrefix(p, dir+"/") {
			return &watchedDir{Dir: d, of: w, path: dir}
		}
	}
	return d
}

// note remembers what was in a folder.
func (w *Watched) note(dir string, list []tree.Stat, empty bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.empty[dir] = empty
	for _, p := range w.paths {
		if parent, name := path.Split(p); strings.TrimSuffix(parent, "/") == dir {
			w.links[p] = slices.ContainsFunc(list, func(st tree.Stat) bool { return st.Name == name && st.Kind == tree.Symlink })
		}
	}
}

// watchedDir is a folder on the way to watched ones, or one of them.
type watchedDir struct {
	Dir
	of   *Watched
	path string
}

// List lists the folder.
func (d *watchedDir) List(ctx context.Context) ([]tree.Stat, []Problem, error) {
	stats, problems, err := d.Dir.List(ctx)
	d.of.note(d.path, stats, err == nil && len(stats)+len(problems) == 0)
	return stats, problems, err
}

// OpenDir opens a folder in it.
func (d *watchedDir) OpenDir(ctx context.Context, st *tree.Stat) (Dir, error) {
	inner, err := d.Dir.OpenDir(ctx, st)
	return d.of.watch(inner, strings.TrimPrefix(d.path+"/"+st.Name, "/")), err
}

// Prefetch lets the source fetch the file, if it can.
func (d *watchedDir) Prefetch(st *tree.Stat) {
	if p, ok := d.Dir.(Prefetcher); ok {
		p.Prefetch(st)
	}
}
