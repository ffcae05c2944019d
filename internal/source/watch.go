package source

import (
	"context"
	"strings"
	"sync"

	"github.com/snapkeep/snap/internal/tree"
)

// Watched is a source that remembers which of some folders were listed as empty. It is safe for concurrent use.
type Watched struct {
	Source
	paths []string // without the slash in front

	mu    sync.Mutex // guards empty
	empty map[string]bool
}

// Watch returns the source, watched in the folders of the absolute paths.
func Watch(s Source, paths []string) *Watched {
	w := &Watched{Source: s, empty: map[string]bool{}}
	for _, p := range paths {
		w.paths = append(w.paths, strings.TrimPrefix(p, "/"))
	}
	return w
}

// Empty returns the paths of the folders that were empty when they were listed last, in the order in which they are watched.
func (w *Watched) Empty() (paths []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, p := range w.paths {
		if w.empty[p] {
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
func (w *Watched) watch(d Dir, path string) Dir {
	if d == nil {
		return nil
	}
	for _, p := range w.paths {
		if path == "" || p == path || strings.HasPrefix(p, path+"/") {
			return &watchedDir{Dir: d, of: w, path: path}
		}
	}
	return d
}

// note remembers whether a watched folder was empty.
func (w *Watched) note(path string, empty bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.empty[path] = empty
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
	d.of.note(d.path, err == nil && len(stats)+len(problems) == 0)
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
