package target

import (
	"encoding/hex"
	"errors"
	"io/fs"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/snapkeep/snap/internal/inode"
	"github.com/snapkeep/snap/internal/tree"
)

// A file under a temporary name is locked until it has its own, so that nobody takes it for what a killed restore
// has left. The kernel takes the lock away with the process.

// IsTemporary reports whether a name is one that files have until they are complete.
func IsTemporary(name string) bool {
	random, ok := strings.CutPrefix(name, tempPrefix)
	if !ok || len(random) != 2*tempBytes || strings.ToLower(random) != random {
		return false
	}
	_, err := hex.DecodeString(random)
	return err == nil
}

// Leftovers returns the temporary names that are in d, rising.
func (d *Dir) Leftovers() ([]string, error) {
	names, err := d.Names()
	var found []string
	for _, name := range names {
		if IsTemporary(name) {
			found = append(found, name)
		}
	}
	return found, err
}

// RemoveLeftover removes what a killed restore has left in d under a temporary name, and reports whether it did. Folders stay, and
// so do files that another restore is writing and files that cannot be opened to find that out.
func (d *Dir) RemoveLeftover(name string) (removed bool, err error) {
	if !IsTemporary(name) {
		return false, d.fail("remove", name, ErrName)
	}
	st, err := d.Lstat(name)
	if errors.Is(err, fs.ErrNotExist) || err == nil && st.Kind == tree.Directory {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if st.Kind == tree.Regular {
		fd, err := inode.OpenAt(d.fd, name, unix.O_RDWR|unix.O_NONBLOCK, 0) // where files come by NFS, who locks one has to write
		if err != nil {
			fd, err = inode.OpenQuiet(d.fd, name, 0)
		}
		if err != nil {
			return false, nil
		}
		defer inode.Close(fd) // and with it the lock
		if lock(fd) != nil {
			return false, nil
		}
	}
	err = unix.Unlinkat(d.fd, name, 0)
	if err == unix.ENOENT {
		return false, nil
	}
	return err == nil, d.fail("remove", name, err)
}

// lock locks the open file fd, without waiting.
func lock(fd int) error {
	for {
		if err := unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB); err != unix.EINTR {
			return err
		}
	}
}

// createLocked creates the file temp and locks it. The error is EEXIST if another restore was about to remove it.
func (d *Dir) createLocked(temp string, mode uint16) (fd int, err error) {
	if fd, err = inode.OpenAt(d.fd, temp, createFlags, uint32(mode)); err != nil {
		return -1, err
	}
	if lock(fd) != unix.EWOULDBLOCK { // where there are no locks, nothing is taken for a leftover
		if _, err := d.Lstat(temp); err == nil {
			return fd, nil
		}
	}
	inode.Close(fd)
	unix.Unlinkat(d.fd, temp, 0)
	return -1, unix.EEXIST
}

// whileTaken calls make again while what it had made under a temporary name was taken for a leftover of a killed restore: what is no regular file
// cannot be locked.
func whileTaken(make func() error) error {
	const tries = 5
	err := make()
	for i := 1; i < tries && err == unix.ENOENT; i++ {
		err = make()
	}
	return err
}
