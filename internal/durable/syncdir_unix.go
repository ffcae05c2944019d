//go:build unix

package durable

import (
	"errors"
	"os"
	"syscall"
)

// syncDir puts the entries of a folder on the disk. Some file systems answer
// EINVAL: they have no such operation, and nothing more can be done there.
func syncDir(f *os.File) error {
	err := f.Sync()
	if errors.Is(err, syscall.EINVAL) {
		return nil
	}
	return err
}
