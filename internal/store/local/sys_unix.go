//go:build unix

package local

import (
	"errors"
	"os"
	"syscall"
)

const (
	openNonblock = syscall.O_NONBLOCK
	openFolder   = syscall.O_DIRECTORY // nothing but a folder: no FIFO is waited for
)

// isLinked reports whether an open file still has a name.
func isLinked(f *os.File) bool {
	info, err := f.Stat()
	if err != nil {
		return false
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	return ok && stat.Nlink > 0
}

// isNotFolder reports whether err says that a folder was something else.
func isNotFolder(err error) bool { return errors.Is(err, syscall.ENOTDIR) }
