package inode

import (
	"golang.org/x/sys/unix"
)

// Inode flags as FS_IOC_GETFLAGS has them.
const (
	FlagImmutable = 0x10
	FlagAppend    = 0x20
)

// SettableFlags are the inode flags that a backup keeps: those that somebody may
// have set. The others tell how the file system stores the file.
const SettableFlags = 0x1 | // secure deletion
	0x2 | // undelete
	0x4 | // compress
	0x8 | // synchronous updates
	FlagImmutable |
	FlagAppend |
	0x40 | // no dump
	0x80 | // no access time
	0x400 | // do not compress
	0x4000 | // journal data
	0x8000 | // no tail merging
	0x10000 | // synchronous directory
	0x20000 | // top of directory hierarchies
	0x800000 | // no copy on write
	0x2000000 | // direct access
	0x20000000 | // inherit project
	0x40000000 // fold case of names

// HeldFlags are the flags that forbid changes to a file or below a directory.
const HeldFlags = FlagImmutable | FlagAppend

// ReadFlags returns the settable inode flags of the open regular file or directory
// fd; none if the file system has no such thing.
func ReadFlags(fd int) (uint32, error) {
	flags, err := rawFlags(fd)
	return flags & SettableFlags, err
}

func rawFlags(fd int) (uint32, error) {
	flags, err := unix.IoctlGetUint32(fd, unix.FS_IOC_GETFLAGS)
	switch err {
	case nil:
		return flags, nil
	case unix.ENOTTY, unix.EOPNOTSUPP, unix.ENOSYS, unix.EINVAL:
		return 0, nil
	}
	return 0, err
}

// SetFlags sets those inode flags of the open file fd that mask covers to flags.
func SetFlags(fd int, flags, mask uint32) error {
	old, err := rawFlags(fd)
	if err != nil {
		return err
	}
	if next := old&^mask | flags&mask; next != old {
		return unix.IoctlSetPointerInt(fd, unix.FS_IOC_SETFLAGS, int(next))
	}
	return nil
}
