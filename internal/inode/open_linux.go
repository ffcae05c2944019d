package inode

import (
	"errors"
	"strconv"

	"golang.org/x/sys/unix"
)

// OpenAt opens name in the directory dirfd. O_CLOEXEC, O_NOFOLLOW and O_NOCTTY are
// always added.
func OpenAt(dirfd int, name string, flags int, mode uint32) (int, error) {
	flags |= unix.O_CLOEXEC | unix.O_NOFOLLOW | unix.O_NOCTTY
	for {
		fd, err := unix.Openat(dirfd, name, flags, mode)
		if err != unix.EINTR {
			return fd, err
		}
	}
}

// OpenQuiet opens name for reading like OpenAt, without changing its access time
// if that is allowed, and without waiting for a FIFO or a device.
func OpenQuiet(dirfd int, name string, flags int) (int, error) {
	flags |= unix.O_RDONLY | unix.O_NONBLOCK
	fd, err := OpenAt(dirfd, name, flags|unix.O_NOATIME, 0)
	if err == unix.EPERM {
		return OpenAt(dirfd, name, flags, 0)
	}
	return fd, err
}

// OpenFollowed opens name like OpenQuiet but follows a symbolic link.
func OpenFollowed(dirfd int, name string, flags int) (int, error) {
	for {
		fd, err := unix.Openat(dirfd, name, flags|unix.O_CLOEXEC|unix.O_NONBLOCK|unix.O_NOCTTY, 0)
		if err != unix.EINTR {
			return fd, err
		}
	}
}

// Close closes fd.
func Close(fd int) error {
	// After EINTR Linux has closed it all the same.
	if err := unix.Close(fd); err != nil && err != unix.EINTR {
		return err
	}
	return nil
}

// ProcPath returns a path of the open file fd, which may be opened with O_PATH,
// for calls that take a path only. It names the file itself, also if that is a
// symbolic link.
func ProcPath(fd int) string { return "/proc/self/fd/" + strconv.Itoa(fd) }

// ReadLink returns the target of the symbolic link fd, opened with O_PATH.
func ReadLink(fd int) (string, error) {
	for size := 256; ; size *= 4 {
		b := make([]byte, size)
		n, err := unix.Readlinkat(fd, "", b)
		if err != nil {
			return "", err
		}
		if n < size {
			return string(b[:n]), nil
		}
		if size > maxTarget {
			return "", errors.New("target of link is too long")
		}
	}
}

// maxTarget bounds the length of link targets; Linux knows none of 4,096 bytes or more.
const maxTarget = 65535
