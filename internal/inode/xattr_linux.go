package inode

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/snapkeep/snap/internal/tree"
)

// maxXattr bounds the list of names, and each value: what Linux allows.
const maxXattr = 1 << 16

// ReadXattrs returns the extended attributes of the open file fd, ordered by name. isPath
// says that fd was opened with O_PATH; /proc must be mounted then. Attributes that
// could not be read are left out and reported in the error. A file system without
// extended attributes has none.
func ReadXattrs(fd int, isPath bool) ([]tree.Xattr, error) {
	f := xattrFile{fd: fd}
	if isPath {
		f.path = ProcPath(fd)
	}
	var small [512]byte
	list, err := f.grow(small[:], f.list)
	if err == unix.EOPNOTSUPP || err == unix.ENOSYS {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list of extended attributes: %w", err)
	}
	if len(list) == 0 {
		return nil, nil
	}
	var (
		xattrs []tree.Xattr
		errs   []error
		buf    [512]byte
	)
	for name := range strings.SplitSeq(string(list), "\x00") {
		if name == "" {
			continue
		}
		value, err := f.grow(buf[:], func(b []byte) (int, error) { return f.get(name, b) })
		switch {
		case err == unix.ENODATA: // removed meanwhile
		case err != nil:
			errs = append(errs, fmt.Errorf("extended attribute %q: %w", name, err))
		default:
			xattrs = append(xattrs, tree.Xattr{Name: name, Value: string(value)})
		}
	}
	slices.SortFunc(xattrs, func(a, b tree.Xattr) int { return strings.Compare(a.Name, b.Name) })
	return xattrs, errors.Join(errs...)
}

// xattrFile is a file whose attributes are read or set, by path if it has one.
type xattrFile struct {
	fd   int
	path string
}

func (f xattrFile) list(b []byte) (int, error) {
	if f.path != "" {
		return unix.Listxattr(f.path, b)
	}
	return unix.Flistxattr(f.fd, b)
}

func (f xattrFile) get(name string, b []byte) (int, error) {
	if f.path != "" {
		return unix.Getxattr(f.path, name, b)
	}
	return unix.Fgetxattr(f.fd, name, b)
}

// grow calls read with buf, and with the largest buffer there is if that was too small.
func (f xattrFile) grow(buf []byte, read func([]byte) (int, error)) ([]byte, error) {
	for {
		n, err := read(buf)
		switch {
		case err == unix.EINTR:
		case err == unix.ERANGE && len(buf) < maxXattr:
			buf = make([]byte, maxXattr)
		case err != nil:
			return nil, err
		default:
			return buf[:n], nil
		}
	}
}

// SetXattr sets an extended attribute of the open file fd.
func SetXattr(fd int, isPath bool, x tree.Xattr) error {
	for {
		var err error
		if isPath {
			err = unix.Setxattr(ProcPath(fd), x.Name, []byte(x.Value), 0)
		} else {
			err = unix.Fsetxattr(fd, x.Name, []byte(x.Value), 0)
		}
		if err != unix.EINTR {
			return err
		}
	}
}

// RemoveXattr removes an extended attribute of the open file fd; one that is not there is no error.
func RemoveXattr(fd int, isPath bool, name string) error {
	var err error
	if isPath {
		err = unix.Removexattr(ProcPath(fd), name)
	} else {
		err = unix.Fremovexattr(fd, name)
	}
	if err == unix.ENODATA {
		return nil
	}
	return err
}
