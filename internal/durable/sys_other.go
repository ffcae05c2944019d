//go:build !linux

package durable

import (
	"errors"
	"os"
	"path"
	"path/filepath"
)

// Files without a name exist on Linux only.

func (d *Dir) openAnonymous() (*os.File, error) { return nil, errors.ErrUnsupported }

func linkAnonymous(f, folder *os.File, base string) error { return errors.ErrUnsupported }

func duplicate(f *os.File) (*os.File, error) { return nil, errors.ErrUnsupported }

// renameExclusive links the file temp of d to a name in folder that must not
// be taken, and unlinks the first name.
func renameExclusive(d *Dir, temp string, folder *os.File, base string) error {
	name, err := d.nameIn(folder, base)
	if err != nil {
		return err
	}
	if err := d.root.Link(temp, name); err != nil {
		return err
	}
	// A second name in the temporary folder does no harm: it is cleaned later.
	_ = d.root.Remove(temp)
	return nil
}

func unlinkAt(d *Dir, folder *os.File, base string) error {
	name, err := d.nameIn(folder, base)
	if err != nil {
		return err
	}
	return d.root.Remove(name)
}

// nameIn returns the name, within d, of base in a folder opened through d.
func (d *Dir) nameIn(folder *os.File, base string) (string, error) {
	relative, err := filepath.Rel(d.root.Name(), folder.Name())
	if err != nil {
		return "", err
	}
	return path.Join(filepath.ToSlash(relative), base), nil
}

func startWriteback(f *os.File, offset, length int64) error { return nil }
