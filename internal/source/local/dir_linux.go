package local

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/snapkeep/snap/internal/filter"
	"github.com/snapkeep/snap/internal/inode"
	"github.com/snapkeep/snap/internal/source"
	"github.com/snapkeep/snap/internal/tree"
)

// dir is an open folder in a root.
type dir struct {
	w      *walk
	fd     int
	path   string         // absolute; for patterns and messages, never to open
	states []filter.State // of the walk's lists

	mu     sync.Mutex // guards the place of fd in the listing, and what follows
	listed bool
	ahead  ahead
	early  *early // the first listing, if it was made ahead
}

// readNames reads the names of the folder from its beginning. The error is errLarge if there are more than most.
func (d *dir) readNames(l *listing, most int) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.listed {
		if _, err := unix.Seek(d.fd, 0, unix.SEEK_SET); err != nil {
			return err
		}
	}
	d.listed = true
	return l.read(d.fd, most)
}

// List reads the folder and looks at its entries.
func (d *dir) List(ctx context.Context) ([]tree.Stat, []source.Problem, error) {
	stats, problems, err := d.firstList(ctx)
	if err == nil && d.w.ahead > 0 {
		d.mu.Lock()
		d.ahead.expect(stats)
		d.mu.Unlock()
	}
	return stats, problems, err
}

// firstList takes over what was listed ahead, once.
func (d *dir) firstList(ctx context.Context) ([]tree.Stat, []source.Problem, error) {
	d.mu.Lock()
	e := d.early
	d.early = nil
	d.mu.Unlock()
	if e != nil {
		if <-e.done; e.err == nil {
			return e.stats, e.problems, nil
		}
	}
	return d.list(ctx, math.MaxInt)
}

// list reads the folder and looks at its entries. The error is errLarge if there are more names than most.
func (d *dir) list(ctx context.Context, most int) ([]tree.Stat, []source.Problem, error) {
	l := listings.Get().(*listing)
	defer l.release()
	readErr := d.readNames(l, most)
	if readErr == errLarge {
		return nil, nil, readErr
	}
	if readErr != nil {
		readErr = fmt.Errorf("list %q: %w", d.path, readErr)
	}
	l.sort()
	// A marker works whether or not it is excluded itself.
	for _, m := range d.w.markers {
		if l.has(m.Name) && present(d.fd, m) {
			l.keep(func(name string) bool { return name == m.Name })
		}
	}
	if len(d.w.lists) > 0 {
		l.keep(func(name string) bool { return !d.excludes(name) })
	}
	stats, problems, err := d.lookAll(ctx, l)
	return stats, problems, errors.Join(readErr, err)
}

// lookAll looks at all names of l.
func (d *dir) lookAll(ctx context.Context, l *listing) ([]tree.Stat, []source.Problem, error) {
	var (
		stats    = make([]tree.Stat, len(l.keys))
		problems []source.Problem
		all      = string(l.names)
		n        = 0
	)
	for i := range l.keys {
		if i%1024 == 1023 && ctx.Err() != nil {
			return nil, nil, ctx.Err()
		}
		k := &l.keys[i]
		st := &stats[n]
		err := l.at.At(d.fd, &l.names[k.offset], unix.AT_SYMLINK_NOFOLLOW)
		switch {
		case err == unix.ENOENT:
			continue
		case err != nil:
			problems = append(problems, source.Problem{
				Stat: tree.Stat{Name: all[k.offset : k.offset+k.length], Kind: inode.KindOfDirent(k.kind), Inode: k.inode},
				Err:  fmt.Errorf("look at entry: %w", err),
			})
			continue
		}
		l.at.Stat(st)
		st.Name = all[k.offset : k.offset+k.length]
		if d.wants(st, &l.at) {
			n++
		} else {
			*st = tree.Stat{}
		}
	}
	return stats[:n], problems, nil
}

// Look looks at one entry as List does. The error satisfies errors.Is(err, fs.ErrNotExist) if there is none that belongs to
// the backup.
func (d *dir) Look(name string) (st tree.Stat, err error) {
	var at inode.Look
	if !tree.ValidName(name) || d.excludes(name) {
		return st, d.openError(&tree.Stat{Name: name}, unix.ENOENT)
	}
	if err := at.At(d.fd, &append([]byte(name), 0)[0], unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return st, d.openError(&tree.Stat{Name: name}, err)
	}
	at.Stat(&st)
	st.Name = name
	if !d.wants(&st, &at) {
		return st, d.openError(&st, unix.ENOENT)
	}
	return st, nil
}

// wants reports whether an entry belongs to the backup by what it is.
func (d *dir) wants(st *tree.Stat, at *inode.Look) bool {
	o := &d.w.o
	switch {
	case o.ExcludeLargerThan > 0 && st.Kind == tree.Regular && st.Size > o.ExcludeLargerThan:
		return false
	case d.w.devices != nil && st.Kind != tree.Directory && at.MountRoot() && !d.w.devices[st.Device]:
		// Only what is mounted here lies elsewhere: an overlay shows device numbers of
		// its layers for files.
		return false
	case o.ExcludeFunc != nil:
		return !o.ExcludeFunc(joinPath(d.path, st.Name), st)
	}
	return true
}

// excludes reports whether a pattern excludes name.
func (d *dir) excludes(name string) bool {
	for i, l := range d.w.lists {
		if matched, _ := l.Match(d.states[i], name); matched {
			return true
		}
	}
	return false
}

// OpenDir opens a folder beneath d without following links.
func (d *dir) OpenDir(ctx context.Context, st *tree.Stat) (source.Dir, error) {
	d.mu.Lock()
	e, passed := d.ahead.take(st.Name)
	d.begin(ctx)
	d.mu.Unlock()
	d.w.drop(passed)
	if e != nil {
		d.w.begun.Add(-1)
		e.dir.early = e
		return e.dir, nil
	}
	sub, err := d.open(child{st.Name, st.Device})
	switch {
	case err == errElsewhere:
		return emptyDir{}, nil
	case err != nil:
		return nil, d.openError(st, err)
	}
	return sub, nil
}

// errElsewhere says that a folder lies on a file system that is not read.
var errElsewhere = errors.New("on another file system")

// open opens a folder beneath d. The error is errElsewhere if it is not to be entered.
func (d *dir) open(c child) (*dir, error) {
	if d.w.devices != nil && !d.w.devices[c.device] {
		return nil, errElsewhere
	}
	fd, err := inode.OpenQuiet(d.fd, c.name, unix.O_DIRECTORY)
	if err != nil {
		return nil, err
	}
	if d.w.devices != nil {
		var at inode.Look
		err := at.Fd(fd)
		if err == nil && !d.w.devices[at.Device()] {
			err = errElsewhere
		}
		if err != nil {
			inode.Close(fd)
			return nil, err
		}
	}
	path, states := d.enter(c.name)
	return d.w.dir(fd, path, states), nil
}

// dir returns an open folder.
func (w *walk) dir(fd int, path string, states []filter.State) *dir {
	d := &dir{w: w, fd: fd, path: path, states: states}
	if w.scout != nil {
		d.early = w.scout.take(d)
	}
	return d
}

// openError names an error of opening an entry.
func (d *dir) openError(st *tree.Stat, err error) error {
	switch err {
	case unix.ELOOP, unix.ENOTDIR, unix.ENXIO:
		// It has become a link, no folder, or a socket.
		err = fmt.Errorf("%w: %w", source.ErrReplaced, err)
	}
	return fmt.Errorf("open %q: %w", joinPath(d.path, st.Name), err)
}

// Open opens a regular file beneath d without following links.
func (d *dir) Open(_ context.Context, st *tree.Stat) (source.File, error) {
	fd, err := inode.OpenQuiet(d.fd, st.Name, 0)
	if err != nil {
		return nil, d.openError(st, err)
	}
	f := &file{fd: fd, name: st.Name}
	if err := f.check(st); err != nil {
		f.Close()
		return nil, d.openError(st, err)
	}
	return f, nil
}

// Close closes the folder.
func (d *dir) Close() error {
	d.mu.Lock()
	begun, e := d.ahead.begun, d.early
	d.ahead, d.early = ahead{}, nil
	d.mu.Unlock()
	d.w.drop(begun)
	if e != nil {
		<-e.done // which reads fd
	}
	fd := d.fd
	if d.fd = -1; fd < 0 {
		return nil
	}
	return inode.Close(fd)
}

// emptyDir is a folder that is not entered.
type emptyDir struct{}

func (emptyDir) List(context.Context) ([]tree.Stat, []source.Problem, error) { return nil, nil, nil }

func (emptyDir) OpenDir(context.Context, *tree.Stat) (source.Dir, error) {
	return nil, unix.ENOENT
}

func (emptyDir) Open(context.Context, *tree.Stat) (source.File, error) { return nil, unix.ENOENT }

func (emptyDir) Describe(context.Context, *tree.Stat, *tree.Entry, source.File) error {
	return unix.ENOENT
}

func (emptyDir) Close() error { return nil }

// present reports whether the marker lies in the folder dirfd.
func present(dirfd int, m source.Marker) bool {
	if m.Header == "" {
		return true
	}
	fd, err := inode.OpenQuiet(dirfd, m.Name, 0)
	if err != nil {
		return false
	}
	defer inode.Close(fd)
	var at inode.Look
	if at.Fd(fd) != nil || at.Kind() != tree.Regular {
		return false
	}
	b := make([]byte, len(m.Header))
	for n := 0; n < len(b); {
		k, err := unix.Pread(fd, b[n:], int64(n))
		if k <= 0 && err != unix.EINTR {
			return false
		}
		n += max(k, 0)
	}
	return string(b) == m.Header
}

func joinPath(dir, name string) string {
	if dir == "/" {
		return dir + name
	}
	return dir + "/" + name
}
