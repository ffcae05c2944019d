package local

import (
	"bytes"
	"fmt"
	"io"

	"golang.org/x/sys/unix"

	"github.com/snapkeep/snap/internal/inode"
	"github.com/snapkeep/snap/internal/source"
	"github.com/snapkeep/snap/internal/tree"
)

// Of a file with more regions than maxRegions, holes shorter than minHole are
// read as data: each costs two system calls and a part of the entry.
const (
	maxRegions = 4096
	minHole    = 64 << 10
)

// Zeros of a device are looked for in blocks of zeroBlock bytes, in at most maxDeviceRegions regions.
const (
	zeroBlock        = 1 << 20
	dataAtOnce       = 64 << 20
	maxDeviceRegions = 64 << 10
)

// file is an open regular file, or a block device that is read like one.
type file struct {
	fd     int
	name   string
	opened tree.Time // of a device; files do without
	device bool
	sparse bool  // may have holes
	size   int64 // when it was opened

	offset int64 // of the next Read
	end    int64 // of the current region
	hole   bool  // the current region is one
	short  bool  // the file ended before its size
	count  int   // of regions so far
}

// check looks at the open file: it must be the one that st describes.
func (f *file) check(st *tree.Stat) error {
	var at inode.Look
	if err := at.Fd(f.fd); err != nil {
		return err
	}
	var now tree.Stat
	at.Stat(&now)
	switch {
	case now.Kind != tree.Regular:
		return fmt.Errorf("%w: no regular file", source.ErrReplaced)
	case now.Inode == st.Inode && now.Device == st.Device:
	case now.Size == st.Size && now.ModTime == st.ModTime && now.ChangeTime == st.ChangeTime:
		// Some file systems make up numbers anew for each look.
	default:
		return fmt.Errorf("%w: another file", source.ErrReplaced)
	}
	f.size = now.Size
	f.sparse = at.Blocks()*512 < now.Size
	return nil
}

// Next goes to the next region.
func (f *file) Next() (source.Region, error) {
	start := f.end
	if start >= f.size || f.short {
		return source.Region{}, io.EOF
	}
	f.offset, f.end, f.hole = start, f.size, false
	var err error
	switch {
	case f.sparse:
		err = f.find(start)
	case f.device && f.count < maxDeviceRegions:
		err = f.scan(start)
	}
	if err != nil {
		return source.Region{}, err
	}
	f.count++
	return source.Region{Offset: start, Length: f.end - start, Hole: f.hole}, nil
}

// find sets the end and kind of the region at start.
func (f *file) find(start int64) error {
	data, err := f.seek(start, unix.SEEK_DATA)
	if err != nil {
		return err
	}
	if data > start && (data-start >= minHole || f.count < maxRegions || data == f.size) {
		f.hole, f.end = true, data
		return nil
	}
	for {
		if f.end, err = f.seek(data, unix.SEEK_HOLE); err != nil {
			return err
		}
		if f.count < maxRegions || f.end >= f.size {
			return nil
		}
		if data, err = f.seek(f.end, unix.SEEK_DATA); err != nil {
			return err
		}
		if data-f.end >= minHole || data >= f.size {
			return nil
		}
	}
}

// scan looks for zeros in a device, which knows no holes: blocks of them are told as one. Data is told so much at a time
// that what was read to find out is still in memory when it is read again.
func (f *file) scan(start int64) error {
	buf := make([]byte, min(zeroBlock, f.size-start))
	for at := start; at < f.size; {
		block := buf[:min(zeroBlock-at%zeroBlock, f.size-at, int64(len(buf)))]
		n, err := f.ReadAt(block, at)
		if err != nil && err != io.EOF {
			return err
		}
		if n == 0 {
			return nil // it ends here by now: Read tells
		}
		zeros := isZero(block[:n])
		if at == start {
			f.hole = zeros
		}
		if zeros != f.hole || (!zeros && at-start >= dataAtOnce) {
			f.end = at
			return nil
		}
		at += int64(n)
	}
	return nil
}

func isZero(b []byte) bool { return len(b) > 0 && b[0] == 0 && bytes.Equal(b[1:], b[:len(b)-1]) }

// seek returns where data or a hole begins at or behind offset; at most the size.
func (f *file) seek(offset int64, whence int) (int64, error) {
	if offset >= f.size {
		return f.size, nil
	}
	at, err := unix.Seek(f.fd, offset, whence)
	switch err {
	case nil:
		return min(at, f.size), nil
	case unix.ENXIO: // nothing but a hole, or the file is shorter by now
		return f.size, nil
	case unix.EINVAL, unix.EOPNOTSUPP, unix.ENOTTY: // the file system knows no holes
		f.sparse = false
		if whence == unix.SEEK_DATA {
			return offset, nil
		}
		return f.size, nil
	}
	return 0, fmt.Errorf("look for holes in %q: %w", f.name, err)
}

// Read reads from the current region.
func (f *file) Read(p []byte) (int, error) {
	if f.hole || f.offset >= f.end {
		return 0, io.EOF
	}
	p = p[:min(int64(len(p)), f.end-f.offset)]
	if len(p) == 0 {
		return 0, nil
	}
	n, err := f.pread(p, f.offset)
	if err != nil {
		return 0, err
	}
	if n == 0 {
		f.short, f.end = true, f.offset
		return 0, io.EOF
	}
	f.offset += int64(n)
	return n, nil
}

// ReadAt reads at offset, also behind the size that the file had when it was opened.
func (f *file) ReadAt(p []byte, offset int64) (int, error) {
	done := 0
	for done < len(p) {
		n, err := f.pread(p[done:], offset+int64(done))
		if err != nil {
			return done, err
		}
		if n == 0 {
			return done, io.EOF
		}
		done += n
	}
	return done, nil
}

func (f *file) pread(p []byte, offset int64) (int, error) {
	for {
		n, err := unix.Pread(f.fd, p, offset)
		switch err {
		case nil:
			return n, nil
		case unix.EINTR:
		default:
			return 0, fmt.Errorf("read %q: %w", f.name, err)
		}
	}
}

// Stat looks at the open file.
func (f *file) Stat() (tree.Stat, error) {
	st := tree.Stat{Name: f.name}
	var at inode.Look
	if err := at.Fd(f.fd); err != nil {
		return st, fmt.Errorf("look at %q: %w", f.name, err)
	}
	at.Stat(&st)
	if f.device {
		f.asRegular(&st)
	}
	return st, nil
}

// Close closes the file.
func (f *file) Close() error {
	fd := f.fd
	if f.fd = -1; fd < 0 {
		return nil
	}
	if err := inode.Close(fd); err != nil {
		return fmt.Errorf("close %q: %w", f.name, err)
	}
	return nil
}
