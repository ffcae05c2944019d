//go:build !linux

package durable

import (
	"errors"
	"os"
)

// Files without a name exist on Linux only.

func (d *Dir) openAnonymous() (*os.File, error) { return nil, errors.ErrUnsupported }

func linkAnonymous(f, folder *os.File, name string) error { return errors.ErrUnsupported }

func duplicate(f *os.File) (*os.File, error) { return nil, errors.ErrUnsupported }

// renameExclusive links the file temp of d to a name that must not be taken,
// and unlinks the first name.
func renameExclusive(d *Dir, temp string, _ *os.File, name string) error {
	if err := d.root.Link(temp, name); err != nil {
		return err
	}
	// A second name in the temporary folder does no harm: it is cleaned later.
	_ = d.root.Remove(temp)
	return nil
}

func unlinkAt(d *Dir, _ *os.File, name string) error { return d.root.Remove(name) }

func startWriteback(f *os.File, offset, length int64) error { return nil }
