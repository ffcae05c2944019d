package target

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/snapkeep/snap/internal/inode"
	"github.com/snapkeep/snap/internal/tree"
)

// MakeSpecial makes e, which is a symbolic link, a FIFO, a socket or a device, with its
// metadata. Update is no way to treat what is in its way.
func (d *Dir) MakeSpecial(e *tree.Entry, x Existing) ([]*AttributeError, error) {
	if err := checkName(e.Name); err != nil {
		return nil, err
	}
	if x == Update {
		return nil, d.fail("make", e.Name, ErrShared)
	}
	var problems []*AttributeError
	err := whileTaken(func() (err error) {
		problems, err = d.makeSpecial(e, x)
		return err
	})
	return problems, d.fail("make", e.Name, err)
}

func (d *Dir) makeSpecial(e *tree.Entry, x Existing) ([]*AttributeError, error) {
	name, err := d.place(e.Name, x, func(name string) error { return d.mknod(name, e) })
	if err != nil {
		return nil, err
	}
	problems, err := d.describe(name, e)
	if err == nil {
		err = d.rename(name, e.Name)
	}
	if err != nil && name != e.Name {
		unix.Unlinkat(d.fd, name, 0)
	}
	return problems, err
}

func (d *Dir) mknod(name string, e *tree.Entry) error {
	switch e.Kind {
	case tree.Symlink:
		return unix.Symlinkat(e.Target, d.fd, name)
	case tree.Fifo, tree.Socket:
		return unix.Mknodat(d.fd, name, inode.ModeOfKind(e.Kind)|0o600, 0)
	case tree.CharDevice, tree.BlockDevice:
		return unix.Mknodat(d.fd, name, inode.ModeOfKind(e.Kind)|0o600, int(e.Rdev))
	}
	return fmt.Errorf("kind %d is not special", e.Kind)
}

// describe sets the metadata of the special file name that was just made.
func (d *Dir) describe(name string, e *tree.Entry) ([]*AttributeError, error) {
	fd, err := inode.OpenAt(d.fd, name, unix.O_PATH, 0)
	if err != nil {
		return nil, err
	}
	defer inode.Close(fd)
	s := subject{dir: d, name: e.Name, fd: fd, isPath: true, kind: e.Kind, inherits: d.inherits}
	if err := s.look(); err != nil {
		return nil, err
	}
	// Somebody who may write in the folder could have put another file here, one with
	// a name elsewhere.
	if !s.alone() {
		return nil, ErrShared
	}
	s.apply(e)
	return s.problems, nil
}

// Link makes name another hard link to the file oldName in the folder old, which may be any
// kind of file but a folder. Update is no way to treat what is in its way.
func (d *Dir) Link(name string, old *Dir, oldName string, x Existing) error {
	if err := errors.Join(checkName(name), checkName(oldName)); err != nil {
		return err
	}
	if x == Update {
		return d.fail("link", name, ErrShared)
	}
	err := whileTaken(func() error {
		made, err := d.place(name, x, func(name string) error {
			return unix.Linkat(old.fd, oldName, d.fd, name, 0)
		})
		if err == nil {
			err = d.rename(made, name)
		}
		return err
	})
	return d.fail("link", name, err)
}

// place makes something by the name it has, or by a temporary one if that is taken
// and may be replaced, and returns which.
func (d *Dir) place(name string, x Existing, make func(name string) error) (string, error) {
	err := make(name)
	if err != unix.EEXIST || x != Replace {
		return name, err
	}
	return withTempName(make)
}

// rename gives what was made as temp its name.
func (d *Dir) rename(temp, name string) error {
	if temp == name {
		return nil
	}
	err := d.renameOver(temp, name, false)
	// Two names of one file stay both. There is nothing to remove otherwise, unless
	// the renaming failed.
	unix.Unlinkat(d.fd, temp, 0)
	return err
}

// tempPrefix begins the names that files have until they are complete.
const tempPrefix = ".snap-restore-"

// tempBytes is how many random bytes follow it, in hexadecimal digits.
const tempBytes = 8

// withTempName calls make with names until one is free.
func withTempName(make func(name string) error) (string, error) {
	for {
		var random [tempBytes]byte
		rand.Read(random[:])
		name := tempPrefix + hex.EncodeToString(random[:])
		if err := make(name); err != unix.EEXIST {
			return name, err
		}
	}
}
