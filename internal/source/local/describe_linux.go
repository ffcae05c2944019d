package local

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/snapkeep/snap/internal/inode"
	"github.com/snapkeep/snap/internal/source"
	"github.com/snapkeep/snap/internal/tree"
)

// Describe reads what List did not.
func (d *dir) Describe(ctx context.Context, st *tree.Stat, e *tree.Entry, f source.File) error {
	if own, ok := f.(*file); ok && own != nil {
		d.w.owner(ctx, st, e)
		return d.fill(own.fd, false, true, st, e)
	}
	flags := unix.O_PATH
	if st.Kind == tree.Regular || st.Kind == tree.Directory {
		// Inode flags need more than a path.
		if st.Kind == tree.Directory {
			flags |= unix.O_DIRECTORY
		}
		if fd, err := inode.OpenQuiet(d.fd, st.Name, flags&^unix.O_PATH); err == nil {
			return d.describeFd(ctx, st, e, fd, false, nil)
		}
	}
	fd, err := inode.OpenAt(d.fd, st.Name, flags, 0)
	return d.describeFd(ctx, st, e, fd, true, err)
}

// describeFd describes the file fd, if err is nil, and closes it.
func (d *dir) describeFd(ctx context.Context, st *tree.Stat, e *tree.Entry, fd int, isPath bool, err error) error {
	d.w.owner(ctx, st, e)
	if err != nil {
		return d.openError(st, err)
	}
	defer inode.Close(fd)
	return d.fill(fd, isPath, false, st, e)
}

// owner sets the names of the owner that st gives by number.
func (s *Source) owner(ctx context.Context, st *tree.Stat, e *tree.Entry) {
	e.User, e.Group = s.owners.User(ctx, st.UID), s.owners.Group(ctx, st.GID)
}

// fill reads from the open file fd. checked says that it is known to be of the right kind.
func (d *dir) fill(fd int, isPath, checked bool, st *tree.Stat, e *tree.Entry) error {
	var errs []error
	note := func(what string, err error) {
		if err != nil {
			errs = append(errs, fmt.Errorf("%s of %q: %w", what, joinPath(d.path, st.Name), err))
		}
	}
	var err error
	if !checked || d.w.o.WithAtime {
		var at inode.Look
		if err = at.Fd(fd); err == nil && at.Kind() != st.Kind {
			err = source.ErrReplaced
		}
		if note("kind", err); err != nil {
			return errors.Join(errs...)
		}
		if d.w.o.WithAtime {
			access := at.Access()
			e.Access = &access
		}
	}
	if st.Kind == tree.Symlink {
		e.Target, err = inode.ReadLink(fd)
		note("target", err)
	}
	if !d.w.o.NoXattrs {
		e.Xattrs, err = inode.ReadXattrs(fd, isPath)
		note("attributes", err)
	}
	if !isPath && (st.Kind == tree.Regular || st.Kind == tree.Directory) {
		e.Flags, err = inode.ReadFlags(fd)
		note("flags", err)
	}
	return errors.Join(errs...)
}
