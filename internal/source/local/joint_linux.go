package local

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/snapkeep/snap/internal/inode"
	"github.com/snapkeep/snap/internal/source"
	"github.com/snapkeep/snap/internal/tree"
)

// joint is a folder above roots: it shows only what leads to them. Links to such
// folders are followed, but for those in confined ones.
type joint struct {
	dir
	node *node
}

// openJoint returns j with its descriptor set to that of name.
func openJoint(dirfd int, name string, j *joint) (*joint, error) {
	var err error
	if j.fd, err = j.openWay(dirfd, name, j.path, unix.O_PATH); err != nil {
		return nil, fmt.Errorf("open %q: %w", j.path, err)
	}
	return j, nil
}

// openWay opens a folder on the way to a root.
func (j *joint) openWay(dirfd int, name, path string, flags int) (int, error) {
	if j.w.follows(path) {
		return inode.OpenFollowed(dirfd, name, flags|unix.O_DIRECTORY)
	}
	return inode.OpenAt(dirfd, name, flags|unix.O_DIRECTORY|unix.O_NONBLOCK, 0)
}

// List looks at what leads to the roots.
func (j *joint) List(ctx context.Context) ([]tree.Stat, []source.Problem, error) {
	if err := ctx.Err(); err != nil {
		return nil, nil, err
	}
	var (
		stats []tree.Stat
		errs  []error
	)
	for _, name := range slices.Sorted(maps.Keys(j.node.children)) {
		st, at := tree.Stat{Name: name}, inode.Look{}
		if err := j.lookAt(name, &st, &at); err != nil {
			errs = append(errs, &RootError{Path: joinPath(j.path, name), Err: err})
			continue
		}
		if !j.node.children[name].root || j.wantsRoot(&st, &at) {
			stats = append(stats, st)
		}
	}
	return stats, nil, errors.Join(errs...)
}

// lookAt looks at one child. A folder above a root is what its link leads to, and so
// is a device that shall be read.
func (j *joint) lookAt(name string, st *tree.Stat, at *inode.Look) error {
	c := append([]byte(name), 0)
	if !j.node.children[name].root {
		flags := 0
		if !j.w.follows(joinPath(j.path, name)) {
			flags = unix.AT_SYMLINK_NOFOLLOW
		}
		if err := at.At(j.fd, &c[0], flags); err != nil {
			return err
		}
		if at.Kind() != tree.Directory {
			return unix.ENOTDIR
		}
		at.Stat(st)
		return nil
	}
	if j.w.readsDevice(joinPath(j.path, name)) {
		if err := at.At(j.fd, &c[0], 0); err == nil && at.Kind() == tree.BlockDevice {
			f, err := j.openDevice(name)
			if err != nil {
				return err
			}
			defer f.Close()
			*st, err = f.Stat()
			return err
		}
	}
	if err := at.At(j.fd, &c[0], unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return err
	}
	at.Stat(st)
	return nil
}

// Look looks at one child as List does.
func (j *joint) Look(name string) (tree.Stat, error) {
	st, at := tree.Stat{Name: name}, inode.Look{}
	n := j.node.children[name]
	if n == nil {
		return st, j.openError(&st, unix.ENOENT)
	}
	if err := j.lookAt(name, &st, &at); err != nil {
		return st, &RootError{Path: joinPath(j.path, name), Err: err}
	}
	if n.root && !j.wantsRoot(&st, &at) {
		return st, j.openError(&st, unix.ENOENT)
	}
	return st, nil
}

// OpenDir opens a root, or the next folder on the way to one.
func (j *joint) OpenDir(ctx context.Context, st *tree.Stat) (source.Dir, error) {
	n := j.node.children[st.Name]
	switch {
	case n == nil:
		return nil, fmt.Errorf("open %q: %w", joinPath(j.path, st.Name), unix.ENOENT)
	case n.root:
		sub, err := j.dir.OpenDir(ctx, st)
		if d, entered := sub.(*dir); entered {
			return d.hold(n), nil
		}
		return sub, err
	}
	sub := &joint{node: n}
	sub.w = j.w
	sub.path, sub.states = j.enter(st.Name)
	return openJoint(j.fd, st.Name, sub)
}

// Open opens a root that is a file or a device.
func (j *joint) Open(ctx context.Context, st *tree.Stat) (source.File, error) {
	if j.readsDevice(st.Name) {
		return j.openDevice(st.Name)
	}
	return j.dir.Open(ctx, st)
}

// readsDevice reports whether name is a root that leads to a block device.
func (j *joint) readsDevice(name string) bool {
	n := j.node.children[name]
	if n == nil || !n.root || !j.w.readsDevice(joinPath(j.path, name)) {
		return false
	}
	var at inode.Look
	c := append([]byte(name), 0)
	return at.At(j.fd, &c[0], 0) == nil && at.Kind() == tree.BlockDevice
}

func (j *joint) openDevice(name string) (*file, error) {
	fd, err := inode.OpenFollowed(j.fd, name, unix.O_RDONLY)
	if err != nil {
		return nil, fmt.Errorf("open %q: %w", joinPath(j.path, name), err)
	}
	f := &file{fd: fd, name: name, device: true, opened: tree.TimeOf(time.Now())}
	var at inode.Look
	if err = at.Fd(fd); err == nil && at.Kind() != tree.BlockDevice {
		err = source.ErrReplaced
	}
	if err == nil {
		f.size, err = unix.Seek(fd, 0, unix.SEEK_END)
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("open %q: %w", joinPath(j.path, name), err)
	}
	return f, nil
}

// asRegular makes the stat of a device that of a file of its size. Nothing tells when a
// device was written to, so its times are those of its opening: it is never taken as
// unchanged.
func (f *file) asRegular(st *tree.Stat) {
	st.Kind, st.Rdev, st.Size, st.Links = tree.Regular, 0, f.size, 1
	st.Mode &^= 0o7000
	st.ModTime, st.ChangeTime = f.opened, f.opened
}

// Describe fills in what is known of a root, or of a folder on the way to one.
func (j *joint) Describe(ctx context.Context, st *tree.Stat, e *tree.Entry, f source.File) error {
	n := j.node.children[st.Name]
	switch {
	case n != nil && !n.root:
		path := joinPath(j.path, st.Name)
		fd, err := j.openWay(j.fd, st.Name, path, unix.O_RDONLY)
		if err != nil {
			fd, err = j.openWay(j.fd, st.Name, path, unix.O_PATH)
			return j.describeFd(ctx, st, e, fd, true, err)
		}
		return j.describeFd(ctx, st, e, fd, false, nil)
	case st.Kind == tree.Regular && j.readsDevice(st.Name):
		j.w.owner(ctx, st, e)
		return nil
	}
	return j.dir.Describe(ctx, st, e, f)
}
