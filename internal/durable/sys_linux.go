package durable

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"

	"golang.org/x/sys/unix"
)

// openAnonymous makes a file without a name on the file system of the Dir.
func (d *Dir) openAnonymous() (*os.File, error) {
	fd, err := retryEINTR(func() (int, error) {
		return unix.Openat(int(d.self.Fd()), ".", unix.O_TMPFILE|unix.O_WRONLY|unix.O_CLOEXEC, fileMode)
	})
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: "temporary file", Err: err}
	}
	return os.NewFile(uintptr(fd), "temporary file"), nil
}

// linkAnonymous gives the file a name that must not be taken. The folder of
// that name is open as folder. The
// way through /proc needs no privilege, unlike AT_EMPTY_PATH on older kernels.
func linkAnonymous(f, folder *os.File, name string) error {
	base := path.Base(name)
	source := fmt.Sprintf("/proc/self/fd/%d", f.Fd())
	_, err := retryEINTR(func() (int, error) {
		return 0, unix.Linkat(unix.AT_FDCWD, source, int(folder.Fd()), base, unix.AT_SYMLINK_FOLLOW)
	})
	if !errors.Is(err, fs.ErrNotExist) {
		return linkError("link", name, err)
	}
	// No /proc here.
	_, err = retryEINTR(func() (int, error) {
		return 0, unix.Linkat(int(f.Fd()), "", int(folder.Fd()), base, unix.AT_EMPTY_PATH)
	})
	return linkError("link", name, err)
}

// duplicate returns another descriptor of the same open file.
func duplicate(f *os.File) (*os.File, error) {
	fd, err := unix.FcntlInt(f.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, linkError("dup", f.Name(), err)
	}
	return os.NewFile(uintptr(fd), f.Name()), nil
}

// renameExclusive moves the file temp of d to a name that must not be taken.
// The folder of that name is open as folder.
func renameExclusive(d *Dir, temp string, folder *os.File, name string) error {
	tempFolder, err := d.root.Open(path.Dir(temp))
	if err != nil {
		return err
	}
	defer tempFolder.Close()
	from, to := int(tempFolder.Fd()), int(folder.Fd())
	tempBase, base := path.Base(temp), path.Base(name)
	_, err = retryEINTR(func() (int, error) {
		return 0, unix.Renameat2(from, tempBase, to, base, unix.RENAME_NOREPLACE)
	})
	if !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENOSYS) {
		return linkError("rename", name, err)
	}
	// The file system does not know the flag.
	return linkError("link", name, linkAndUnlink(from, tempBase, to, base))
}

// linkAndUnlink moves a file between folders in two steps, of which the first
// is exclusive. A second name that stays in the temporary folder does no harm:
// it is cleaned later.
func linkAndUnlink(from int, tempBase string, to int, base string) error {
	if err := unix.Linkat(from, tempBase, to, base, 0); err != nil {
		return err
	}
	_ = unix.Unlinkat(from, tempBase, 0)
	return nil
}

// unlinkAt removes a name whose folder is open as folder.
func unlinkAt(_ *Dir, folder *os.File, name string) error {
	return linkError("unlink", name, unix.Unlinkat(int(folder.Fd()), path.Base(name), 0))
}

// startWriteback asks the kernel to start writing a range to the disk and does
// not wait for it. It must not: the flags that wait also consume the error
// which the fsync has to report. An error of the request itself counts only if
// it tells that the data cannot be stored.
func startWriteback(f *os.File, offset, length int64) error {
	err := unix.SyncFileRange(int(f.Fd()), offset, length, unix.SYNC_FILE_RANGE_WRITE)
	switch {
	case errors.Is(err, unix.EIO), errors.Is(err, unix.ENOSPC), errors.Is(err, unix.EDQUOT):
		return linkError("sync_file_range", f.Name(), err)
	default:
		return nil
	}
}

func linkError(op, name string, err error) error {
	if err == nil {
		return nil
	}
	return &fs.PathError{Op: op, Path: name, Err: err}
}

func retryEINTR(call func() (int, error)) (int, error) {
	for {
		n, err := call()
		if !errors.Is(err, unix.EINTR) {
			return n, err
		}
	}
}
