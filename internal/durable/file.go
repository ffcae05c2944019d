package durable

import (
	"errors"
	"io/fs"
	"os"
	"path"
)

// defaultWritebackBytes is how much a File takes between two requests to start
// writing to the disk. Without them the kernel waits until the fsync, and then
// writes all at once while the caller waits: 32 MiB on ext4 took 28 ms so, 23
// with requests every 4 MiB, and 18 with one every 1 MiB.
const defaultWritebackBytes = 1 << 20

// errCommitted is the state of a File that has its name.
var errCommitted = errors.New("file is committed already")

// File is a file without a final name. Once a call fails, all later ones fail
// with the same error; the file has then to be closed, which drops it.
type File struct {
	dir  *Dir
	f    *os.File // nil once closed
	temp string   // name within the Dir, empty for a file without a name

	written int64
	started int64 // up to here the kernel was asked to start writing
	err     error // of the call that failed, or errCommitted, or fs.ErrClosed
}

// NewFile starts a file that is visible under no name, or where the file
// system cannot do that, under a random one in TempName.
func (d *Dir) NewFile() (*File, error) {
	if d.hasAnonymous() {
		f, err := d.openAnonymous()
		if err != nil {
			return nil, err
		}
		return &File{dir: d, f: f}, nil
	}
	f, temp, err := d.openNamed()
	if err != nil {
		return nil, err
	}
	return &File{dir: d, f: f, temp: temp}, nil
}

// Write appends to the file. At intervals it asks the kernel to start writing
// to the disk what came so far, so that the fsync at the end is short.
func (f *File) Write(p []byte) (int, error) {
	total := 0
	for len(p) > 0 && f.err == nil {
		part := p
		if every := f.dir.writebackBytes; every > 0 {
			part = p[:min(int64(len(p)), every)]
		}
		n, err := f.write(part)
		total += n
		p = p[n:]
		if err != nil {
			f.err = err
		}
	}
	return total, f.err
}

func (f *File) write(p []byte) (int, error) {
	if err := f.dir.before("write"); err != nil {
		return 0, err
	}
	n, err := f.f.Write(p)
	f.written += int64(n)
	if err != nil {
		return n, err
	}
	every := f.dir.writebackBytes
	if every > 0 && f.written-f.started >= every {
		err = startWriteback(f.f, f.started, f.written-f.started)
		f.started = f.written
	}
	return n, err
}

// Commit makes the file durable under name, which must not be taken, and ends
// it whether it succeeds or not. If the name is taken the error is
// fs.ErrExist, and the file that has it is durable under it.
//
// The steps: settle and openat the folder; fsync of the file; close of the
// descriptor that wrote; linkat or renameat2 to the name, exclusively; fsync
// of the folder.
func (f *File) Commit(name string) error { return f.end(name, lasting) }

// Show is Commit that does not wait until the name is durable: after a crash of the machine the file is there, whole, or it is not. Of a name that is
// taken it does not say more.
func (f *File) Show(name string) error { return f.end(name, passing) }

// term says whether a name has to be durable.
type term bool

const (
	lasting term = true
	passing term = false
)

func (f *File) end(name string, t term) error {
	if f.err != nil {
		return errors.Join(f.err, f.Close())
	}
	err := f.commit(name, t)
	if err == nil {
		f.err = errCommitted
		return nil
	}
	f.err = err
	return errors.Join(err, f.Close())
}

func (f *File) commit(name string, t term) error {
	folder, err := f.dir.openFolder(path.Dir(name))
	if err != nil {
		return err
	}
	if err := f.publish(folder, name, t); err != nil {
		return errors.Join(err, folder.Close())
	}
	return folder.Close()
}

// publish takes the steps from the fsync of the file to that of the folder.
func (f *File) publish(folder *os.File, name string, t term) error {
	linkable, err := f.finish()
	if err != nil {
		return err
	}
	err = f.link(linkable, folder, name)
	if linkable != nil {
		err = errors.Join(err, linkable.Close())
	}
	if err == nil {
		f.temp = ""
		if t == lasting {
			err = f.dir.syncFolder(folder)
		}
		if err != nil {
			// The name may not last, so nobody shall find it. It is ours: no
			// other file can have taken it.
			err = errors.Join(err, unlinkAt(f.dir, folder, name))
		}
		return err
	}
	if errors.Is(err, fs.ErrExist) && t == lasting {
		// The caller may go on as if the file were stored, so it must be, even
		// if its writer has not come to its own fsync.
		if err := f.dir.syncFolder(folder); err != nil {
			return err
		}
	}
	return err
}

// finish syncs the file and closes the descriptor that wrote it, checking
// both. For a file without a name it returns another descriptor of it, by
// which it can be linked.
func (f *File) finish() (linkable *os.File, err error) {
	if err := f.dir.before("sync file"); err != nil {
		return nil, err
	}
	if err := f.f.Sync(); err != nil {
		return nil, err
	}
	if f.temp == "" {
		if linkable, err = duplicate(f.f); err != nil {
			return nil, err
		}
	}
	err = f.dir.before("close file")
	err = errors.Join(err, f.f.Close())
	f.f = nil
	if err != nil && linkable != nil {
		err = errors.Join(err, linkable.Close())
	}
	return linkable, err
}

// link gives the file its name.
func (f *File) link(linkable, folder *os.File, name string) error {
	if err := f.dir.before("link"); err != nil {
		return err
	}
	if f.temp == "" {
		return linkAnonymous(linkable, folder, name)
	}
	return renameExclusive(f.dir, f.temp, folder, name)
}

// Close drops the file unless it was committed. It may be called again.
func (f *File) Close() error {
	var err error
	if f.f != nil {
		err = f.f.Close()
		f.f = nil
	}
	if f.temp != "" {
		// Whatever is left by a failure here is found by CleanTemp.
		err = errors.Join(err, f.dir.root.Remove(f.temp))
		f.temp = ""
	}
	if f.err == nil {
		f.err = fs.ErrClosed
	}
	return err
}
