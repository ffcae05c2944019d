package target

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/snapkeep/snap/internal/inode"
)

// Names returns the names of the entries of d, rising.
func (d *Dir) Names() ([]string, error) {
	names, err := readNames(d.fd)
	if err != nil {
		return nil, d.fail("list", "", err)
	}
	slices.Sort(names)
	return names, nil
}

// readNames reads the folder fd without moving its place.
func readNames(fd int) ([]string, error) {
	own, err := inode.OpenAt(fd, ".", unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(own), ".")
	defer f.Close()
	return f.Readdirnames(-1)
}

// Remove removes an entry that is no folder, or an empty folder.
func (d *Dir) Remove(name string) error {
	if err := checkName(name); err != nil {
		return err
	}
	return d.fail("remove", name, d.remove(name))
}

func (d *Dir) remove(name string) error {
	err := unix.Unlinkat(d.fd, name, 0)
	if err != unix.EISDIR && err != unix.EPERM {
		return err
	}
	if dirErr := unix.Unlinkat(d.fd, name, unix.AT_REMOVEDIR); dirErr != unix.ENOTDIR {
		if dirErr == nil {
			d.root.forget(d.join(name))
		}
		return dirErr
	}
	return err
}

// RemoveAll removes an entry and all that lies in it, without following links. Where
// another file system is mounted it stops with ErrMount before it removes anything
// there. What is not there is no error.
func (d *Dir) RemoveAll(name string) error {
	if err := checkName(name); err != nil {
		return err
	}
	d.root.forget(d.join(name))
	pending := []string{name}
	for len(pending) > 0 {
		last := pending[len(pending)-1]
		pending = pending[:len(pending)-1]
		var err error
		if pending, err = d.removeTree(d.fd, last, 0, pending); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return d.fail("remove", name, err)
		}
	}
	return nil
}

// heldEntry says of an error of removing an entry whether its flags are the reason, and its name if it is not what is to be removed but in it.
func heldEntry(at int, name string, depth int, err error) error {
	fd, openErr := inode.OpenQuiet(at, name, 0)
	if openErr != nil {
		return err
	}
	defer inode.Close(fd)
	switch {
	case err != unix.EPERM || !isHeld(fd):
		return err
	case depth == 0:
		return fmt.Errorf("%w: %w", ErrHeld, err)
	}
	return fmt.Errorf("%q in it: %w: %w", name, ErrHeld, err)
}

// maxRemoveDepth bounds how many folders removeTree holds open. What lies deeper is
// moved up and removed later.
const maxRemoveDepth = 64

// removeTree removes name in the folder at, and returns pending with the temporary
// names in d that are still to be removed.
func (d *Dir) removeTree(at int, name string, depth int, pending []string) ([]string, error) {
	err := unix.Unlinkat(at, name, 0)
	if err != unix.EISDIR && err != unix.EPERM {
		return pending, err
	}
	if depth > maxRemoveDepth {
		temp, err := withTempName(func(temp string) error {
			return unix.Renameat2(at, name, d.fd, temp, unix.RENAME_NOREPLACE)
		})
		if err == nil {
			pending = append(pending, temp)
		}
		return pending, err
	}
	fd, openErr := inode.OpenAt(at, name, unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if openErr != nil {
		if openErr == unix.ENOTDIR || openErr == unix.ELOOP {
			return pending, heldEntry(at, name, depth, err) // no folder, and it cannot be removed
		}
		return pending, openErr
	}
	defer inode.Close(fd)
	var look inode.Look
	if err := look.Fd(fd); err != nil {
		return pending, err
	}
	if look.MountRoot() || look.Device() != d.device {
		return pending, ErrMount
	}
	if isHeld(fd) {
		return pending, heldEntry(at, name, depth, unix.EPERM)
	}
	names, err := readNames(fd)
	if err != nil {
		return pending, err
	}
	for _, n := range names {
		if pending, err = d.removeTree(fd, n, depth+1, pending); err != nil && err != unix.ENOENT {
			return pending, err
		}
	}
	return pending, unix.Unlinkat(at, name, unix.AT_REMOVEDIR)
}
