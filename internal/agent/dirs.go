package agent

import (
	"container/list"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/snapkeep/snap/internal/source"
	"github.com/snapkeep/snap/internal/tree"
)

// openDirs is how many directories are kept open.
const openDirs = 256

// dirs opens directories by path, one name at a time from the top, and keeps those used last.
type dirs struct {
	mu   sync.Mutex // guards what follows
	open map[string]*list.Element
	used *list.List // of *openDir, the one used last in front
}

// openDir is an open directory. It is closed when it was dropped and the last user is done.
type openDir struct {
	source.Looker
	path    string
	users   int
	dropped bool
}

func newDirs(top source.Dir) (*dirs, error) {
	looker, ok := top.(source.Looker)
	if !ok {
		return nil, errors.New("agent: internal error: a source without a look")
	}
	d := &dirs{open: map[string]*list.Element{}, used: list.New()}
	d.open[""] = d.used.PushFront(&openDir{Looker: looker, users: 1}) // the top stays open
	return d, nil
}

// acquire opens the directory path. release gives it back.
func (d *dirs) acquire(ctx context.Context, path string) (*openDir, error) {
	d.mu.Lock()
	if e := d.open[path]; e != nil {
		o := e.Value.(*openDir)
		o.users++
		d.used.MoveToFront(e)
		d.mu.Unlock()
		return o, nil
	}
	d.mu.Unlock()
	parent, err := d.acquire(ctx, parentOf(path))
	if err != nil {
		return nil, err
	}
	defer d.release(parent)
	st, err := parent.Look(path[strings.LastIndexByte(path, '/')+1:])
	if err != nil {
		return nil, err
	}
	if st.Kind != tree.Directory {
		return nil, fmt.Errorf("%w: %q is no directory", source.ErrReplaced, path)
	}
	dir, err := parent.OpenDir(ctx, &st)
	if err != nil {
		return nil, err
	}
	looker, ok := dir.(source.Looker)
	if !ok {
		looker = notEntered{dir}
	}
	return d.insert(&openDir{Looker: looker, path: path, users: 1}), nil
}

// insert keeps an opened directory, and drops those that were not used for longest.
func (d *dirs) insert(o *openDir) *openDir {
	d.mu.Lock()
	defer d.mu.Unlock()
	if e := d.open[o.path]; e != nil { // another was faster
		o.Close()
		o = e.Value.(*openDir)
		o.users++
		return o
	}
	d.open[o.path] = d.used.PushFront(o)
	for e := d.used.Back(); d.used.Len() > openDirs && e != nil; {
		old, next := e.Value.(*openDir), e.Prev()
		if old.path != "" && old != o {
			d.drop(e)
		}
		e = next
	}
	return o
}

func (d *dirs) release(o *openDir) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if o.users--; o.users == 0 && o.dropped {
		o.Close()
	}
}

// letGo closes all directories but the top: at once, or when the last user is done. A file system that is to be unmounted must not be in use.
func (d *dirs) letGo() {
	d.mu.Lock()
	defer d.mu.Unlock()
	for e := d.used.Front(); e != nil; {
		o, next := e.Value.(*openDir), e.Next()
		if o.path != "" {
			d.drop(e)
		}
		e = next
	}
}

// drop forgets a directory, and closes it if nobody uses it. The lock is held.
func (d *dirs) drop(e *list.Element) {
	o := e.Value.(*openDir)
	d.used.Remove(e)
	delete(d.open, o.path)
	o.dropped = true
	if o.users == 0 {
		o.Close()
	}
}

// close closes all directories. Nobody uses one any more.
func (d *dirs) close() {
	d.mu.Lock()
	defer d.mu.Unlock()
	for e := d.used.Front(); e != nil; e = e.Next() {
		e.Value.(*openDir).Close()
	}
	d.used.Init()
	clear(d.open)
}

// notEntered is a directory of another file system: it has nothing in it.
type notEntered struct{ source.Dir }

func (notEntered) Look(name string) (tree.Stat, error) {
	return tree.Stat{Name: name}, fmt.Errorf("%q: %w", name, errNotThere)
}

func parentOf(path string) string {
	if i := strings.LastIndexByte(path, '/'); i >= 0 {
		return path[:i]
	}
	return ""
}
