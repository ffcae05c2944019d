package target

import (
	"io"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"github.com/snapkeep/snap/internal/inode"
	"github.com/snapkeep/snap/internal/tree"
)

// File is a regular file that is being restored.
type File struct {
	s       subject
	temp    string       // name it has until it is finished, if another
	isNew   bool         // and nothing may have its own then
	updates bool         // the file was there before
	end     atomic.Int64 // behind the last byte written
}

// Create begins the regular file e. It gets its size, attributes and, under Replace and Whole,
// its name when it is finished. The caller finishes or aborts it, before d is
// released.
func (d *Dir) Create(e *tree.Entry, x Existing) (*File, error) {
	if err := checkName(e.Name); err != nil {
		return nil, err
	}
	f := &File{s: subject{dir: d, name: e.Name, kind: tree.Regular}}
	if x == Update {
		if err := f.update(); err != nil {
			return nil, d.fail("open", e.Name, err)
		}
		return f, nil
	}
	mode := d.createMode(e)
	fd, err := -1, error(unix.EEXIST)
	if f.isNew = x == Whole; !f.isNew {
		fd, err = inode.OpenAt(d.fd, e.Name, createFlags, uint32(mode))
	}
	if err == unix.EEXIST && x != Refuse {
		fd, f.temp, err = d.createTemp(e.Name, mode)
	}
	if err != nil {
		return nil, d.fail("create", e.Name, err)
	}
	f.s.fd = fd
	if err := d.predict(&f.s, mode); err != nil {
		f.Abort()
		return nil, d.fail("create", e.Name, err)
	}
	if early := e.Flags & earlyFlags; early != 0 && !d.root.o.NoFlags {
		f.s.note(Flags, "", inode.SetFlags(fd, early, early))
	}
	return f, nil
}

// createTemp creates a file that shall take the place of name.
func (d *Dir) createTemp(name string, mode uint16) (fd int, temp string, err error) {
	if st, err := d.Lstat(name); err == nil && st.Kind == tree.Directory {
		return -1, "", unix.EISDIR
	}
	temp, err = withTempName(func(temp string) (err error) {
		fd, err = d.createLocked(temp, mode)
		return err
	})
	return fd, temp, err
}

const createFlags = unix.O_WRONLY | unix.O_CREAT | unix.O_EXCL

// createMode returns the mode to create e with: its own if that is right from the
// start, else one that lets nobody else read it until it has its owner.
func (d *Dir) createMode(e *tree.Entry) uint16 {
	m := d.made.Load()
	mode := e.Mode & 0o777
	if m == nil || !m.modes || d.inherits || len(e.Xattrs) > 0 ||
		uint32(mode)&d.root.umask != 0 || d.root.changesOwner(e, m.uid, m.gid) {
		return 0o600
	}
	return mode
}

// predict sets what the new file s, created with mode, looks like. One file of
// each folder is looked at for that: its group may be that of the folder, and the file system
// may know no owners or modes.
func (d *Dir) predict(s *subject, mode uint16) error {
	m := d.made.Load()
	if m == nil {
		if err := s.look(); err != nil {
			return err
		}
		m = &made{s.uid, s.gid, uint32(s.mode) == uint32(mode)&^d.root.umask}
		d.made.Store(m)
	} else if s.mode = mode &^ uint16(d.root.umask); !m.modes {
		s.mode = unknownMode
	}
	s.uid, s.gid, s.links, s.inherits = m.uid, m.gid, 1, d.inherits
	return nil
}

// update opens the file that is there.
func (f *File) update() error {
	fd, err := inode.OpenAt(f.s.dir.fd, f.s.name, unix.O_RDWR|unix.O_NONBLOCK, 0)
	if err != nil {
		return noLink(err)
	}
	f.s.fd, f.s.old, f.updates = fd, true, true
	if err = f.s.look(); err == nil && !f.s.alone() {
		err = ErrShared
	}
	if err != nil {
		inode.Close(fd)
	}
	return err
}

// WriteAt writes p at offset. Parts that are never written become holes.
func (f *File) WriteAt(p []byte, offset int64) (int, error) {
	done := 0
	for done < len(p) {
		n, err := unix.Pwrite(f.s.fd, p[done:], offset+int64(done))
		if err == unix.EINTR {
			continue
		}
		if err == nil && n == 0 {
			err = io.ErrShortWrite
		}
		if err != nil {
			return done, f.fail("write", err)
		}
		done += n
	}
	f.reach(offset + int64(done))
	return done, nil
}

// reach notes that the file reaches to end.
func (f *File) reach(end int64) {
	for {
		old := f.end.Load()
		if end <= old || f.end.CompareAndSwap(old, end) {
			return
		}
	}
}

// ReadAt reads from a file that is updated.
func (f *File) ReadAt(p []byte, offset int64) (int, error) {
	return readAt(f.s.fd, p, offset)
}

func readAt(fd int, p []byte, offset int64) (int, error) {
	done := 0
	for done < len(p) {
		n, err := unix.Pread(fd, p[done:], offset+int64(done))
		switch {
		case err == unix.EINTR:
		case err != nil:
			return done, err
		case n == 0:
			return done, io.EOF
		default:
			done += n
		}
	}
	return done, nil
}

// Hole makes length bytes at offset a hole. Only a file that is updated needs it.
func (f *File) Hole(offset, length int64) error {
	if !f.updates || length <= 0 {
		return nil
	}
	err := unix.Fallocate(f.s.fd, unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, offset, length)
	if err == nil {
		return nil
	}
	zeros := make([]byte, min(length, 1<<20))
	for done := int64(0); done < length; {
		n, err := f.WriteAt(zeros[:min(int64(len(zeros)), length-done)], offset+done)
		if err != nil {
			return err
		}
		done += int64(n)
	}
	return nil
}

// Finish gives the file the size and the metadata of e and its name, and closes it. Its
// content is complete then, but not yet safe from a power failure. The flags that
// forbid changes are left out if e has more than one hard link: see Dir.Hold. On an error the
// file is aborted.
func (f *File) Finish(e *tree.Entry) ([]*AttributeError, error) {
	if err := f.resize(e.Size); err != nil {
		f.Abort()
		return nil, f.fail("set size of", err)
	}
	if f.updates {
		f.s.mode = unknownMode // writing may have taken set-id bits off
	}
	f.s.apply(e)
	if f.temp != "" {
		var err error
		if f.isNew {
			err = f.s.dir.renameNew(f.temp, f.s.name)
		} else {
			err = f.s.dir.renameOver(f.temp, f.s.name, IsHeld(e))
		}
		if err != nil {
			f.Abort()
			return nil, f.fail("rename to", err)
		}
	}
	if e.Links < 2 {
		f.s.setFlags(e, inode.SettableFlags)
	} else {
		f.s.setFlags(e, inode.SettableFlags&^inode.HeldFlags)
	}
	return f.s.problems, f.fail("close", f.close())
}

func (f *File) resize(size int64) error {
	if !f.updates && f.end.Load() == size {
		return nil
	}
	return unix.Ftruncate(f.s.fd, size)
}

func (f *File) fail(verb string, err error) error { return f.s.dir.fail(verb, f.s.name, err) }

// close closes the descriptor once.
func (f *File) close() error {
	fd := f.s.fd
	f.s.fd = -1
	return inode.Close(fd)
}

// Abort closes the file and removes it, unless it was there before. Once the file is
// finished or aborted, it does nothing.
func (f *File) Abort() {
	if f.s.fd < 0 {
		return
	}
	f.close()
	switch {
	case f.temp != "":
		unix.Unlinkat(f.s.dir.fd, f.temp, 0)
	case !f.updates:
		unix.Unlinkat(f.s.dir.fd, f.s.name, 0)
	}
}

// Reader is a regular file of a target that is open for reading.
type Reader struct {
	fd   int
	name string
}

// OpenFile opens the regular file name for reading, to compare or verify it. The
// caller closes it. It fails with ErrShared if there is something else.
func (d *Dir) OpenFile(name string) (*Reader, error) {
	if err := checkName(name); err != nil {
		return nil, err
	}
	fd, err := inode.OpenQuiet(d.fd, name, 0)
	if err != nil {
		return nil, d.fail("open", name, noLink(err))
	}
	var at inode.Look
	if err = at.Fd(fd); err == nil && at.Kind() != tree.Regular {
		err = ErrShared
	}
	if err != nil {
		inode.Close(fd)
		return nil, d.fail("open", name, err)
	}
	return &Reader{fd, name}, nil
}

// ReadAt reads at offset.
func (r *Reader) ReadAt(p []byte, offset int64) (int, error) { return readAt(r.fd, p, offset) }

// Stat looks at the open file.
func (r *Reader) Stat() (tree.Stat, error) {
	st := tree.Stat{Name: r.name}
	var at inode.Look
	if err := at.Fd(r.fd); err != nil {
		return st, err
	}
	at.Stat(&st)
	return st, nil
}

// Close closes the file.
func (r *Reader) Close() error { return inode.Close(r.fd) }
