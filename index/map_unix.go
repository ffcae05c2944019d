//go:build unix

package index

import (
	"os"

	"golang.org/x/sys/unix"
)

// mapFile maps size bytes of f for reading. The mapping outlives f. The file must never become
// shorter: touching a page that is gone kills the process.
func mapFile(f *os.File, size int) (data []byte, unmap func(), err error) {
	data, err = unix.Mmap(int(f.Fd()), 0, size, unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		return nil, nil, os.NewSyscallError("mmap", err)
	}
	return data, func() { _ = unix.Munmap(data) }, nil
}

// lockFile takes the lock of f if nobody has it. Where there are no locks it
// reports true.
func lockFile(f *os.File) bool {
	return unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) != unix.EWOULDBLOCK
}

// unlockFile gives the lock of f back. Closing f is not enough: a process that is just being
// started has it open as well for a moment.
func unlockFile(f *os.File) { _ = unix.Flock(int(f.Fd()), unix.LOCK_UN) }

// unlinkOpen takes the name of an open file away. It reports whether that was possible.
func unlinkOpen(name string) bool { return os.Remove(name) == nil }
