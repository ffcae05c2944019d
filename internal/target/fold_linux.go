package target

import (
	"strings"

	"golang.org/x/sys/unix"

	"github.com/snapkeep/snap/internal/inode"
)

// foldFlag is the inode flag of a folder that takes names which differ in case only for one.
const foldFlag = 0x40000000

// Folds reports whether the folder takes names that differ in case only for one. Where no flag of its own says so it makes a file to find that
// out, once on each file system, and removes it.
func (d *Dir) Folds() (bool, error) {
	if flags, err := inode.ReadFlags(d.fd); err == nil && flags&foldFlag != 0 {
		return true, nil
	}
	r := d.root
	r.mu.Lock()
	folds, known := r.folding[d.device]
	r.mu.Unlock()
	if known {
		return folds, nil
	}
	folds, err := d.probe()
	if err != nil {
		return false, d.fail("try names in", "", err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.folding[d.device] = folds
	return folds, nil
}

// probe makes a file and looks for it by another name.
func (d *Dir) probe() (folds bool, err error) {
	var fd int
	temp, err := withTempName(func(name string) (err error) {
		fd, err = d.createLocked(name, 0o600)
		return err
	})
	if err != nil {
		return false, err
	}
	defer inode.Close(fd)
	_, err = d.Lstat(strings.ToUpper(temp))
	return err == nil, unix.Unlinkat(d.fd, temp, 0)
}
