package torturetest

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// Manifest returns one line for each entry beneath dir, in path order: path, kind, mode, owner,
// modification time, the first path of its hard-link group, device number, link
// target, attributes, data, map of holes, and inode flags.
func Manifest(dir string) ([]string, error) {
	fd, err := unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	m := manifest{groups: map[[2]uint64]string{}}
	err = m.folder(fd, "")
	return m.lines, err
}

type manifest struct {
	lines  []string
	groups map[[2]uint64]string // device and inode to the first path
}

// folder writes down what lies in the open folder fd, and closes it.
func (m *manifest) folder(fd int, at string) error {
	f := os.NewFile(uintptr(fd), at)
	defer f.Close()
	names, err := f.Readdirnames(-1)
	if err != nil {
		return err
	}
	slices.Sort(names)
	for _, name := range names {
		if err := m.entry(fd, at, name); err != nil {
			return fmt.Errorf("%q: %w", at+"/"+name, err)
		}
	}
	return nil
}

func (m *manifest) entry(dirfd int, at, name string) error {
	var st unix.Stat_t
	if err := unix.Fstatat(dirfd, name, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return err
	}
	path := at + "/" + name
	kind := st.Mode & unix.S_IFMT
	var line strings.Builder
	fmt.Fprintf(&line, "%q kind=%o mode=%04o owner=%d:%d mtime=%d.%09d", path, kind>>12, st.Mode&0o7777,
		st.Uid, st.Gid, st.Mtim.Sec, st.Mtim.Nsec)
	if kind != unix.S_IFDIR {
		group := [2]uint64{uint64(st.Dev), st.Ino}
		if m.groups[group] == "" {
			m.groups[group] = path
		}
		fmt.Fprintf(&line, " links=%d group=%q", st.Nlink, m.groups[group])
	}
	if kind == unix.S_IFCHR || kind == unix.S_IFBLK {
		fmt.Fprintf(&line, " device=%d:%d", unix.Major(uint64(st.Rdev)), unix.Minor(uint64(st.Rdev)))
	}
	if kind == unix.S_IFLNK {
		target := make([]byte, 1<<16)
		n, err := unix.Readlinkat(dirfd, name, target)
		if err != nil {
			return err
		}
		fmt.Fprintf(&line, " target=%q", target[:n])
	}
	if err := writeXattrs(&line, fmt.Sprintf("/proc/self/fd/%d/%s", dirfd, name)); err != nil {
		return err
	}
	if kind != unix.S_IFREG && kind != unix.S_IFDIR {
		m.lines = append(m.lines, line.String())
		return nil
	}
	fd, err := unix.Openat(dirfd, name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	if flags, err := unix.IoctlGetUint32(fd, unix.FS_IOC_GETFLAGS); err == nil {
		// Without those that say how the file system stores the file.
		fmt.Fprintf(&line, " flags=%#x", flags&0x8104ff)
	}
	if kind == unix.S_IFDIR {
		m.lines = append(m.lines, line.String())
		return m.folder(fd, path)
	}
	defer unix.Close(fd)
	if err := writeData(&line, fd, st.Size); err != nil {
		return err
	}
	m.lines = append(m.lines, line.String())
	return nil
}

func writeXattrs(line *strings.Builder, path string) error {
	list := make([]byte, 1<<16)
	n, err := unix.Llistxattr(path, list)
	if err == unix.EOPNOTSUPP || n == 0 {
		return nil
	}
	if err != nil {
		return err
	}
	names := strings.Split(strings.TrimSuffix(string(list[:n]), "\x00"), "\x00")
	slices.Sort(names)
	for _, name := range names {
		value := make([]byte, 1<<16)
		n, err := unix.Lgetxattr(path, name, value)
		if err != nil {
			return err
		}
		fmt.Fprintf(line, " %q=%q", name, value[:n])
	}
	return nil
}

// writeData writes the size, a hash of all blocks that are not zero, and where data
// and holes are.
func writeData(line *strings.Builder, fd int, size int64) error {
	hash := sha256.New()
	var extents []string
	buf := make([]byte, 64<<10)
	for at := int64(0); at < size; {
		start, err := unix.Seek(fd, at, unix.SEEK_DATA)
		if err == unix.ENXIO {
			break
		}
		if err != nil {
			return err
		}
		end, err := unix.Seek(fd, start, unix.SEEK_HOLE)
		if err != nil {
			return err
		}
		extents = append(extents, fmt.Sprintf("%d-%d", start, end))
		for at = start; at < end; {
			n, err := unix.Pread(fd, buf[:min(int64(len(buf)), end-at)], at)
			if err != nil {
				return err
			}
			if n == 0 {
				break
			}
			hashBlocks(hash.Write, buf[:n], at)
			at += int64(n)
		}
		at = end
	}
	fmt.Fprintf(line, " size=%d data=%x extents=%s", size, hash.Sum(nil)[:8], strings.Join(extents, ","))
	return nil
}

// hashBlocks hashes the blocks of b that are not zero, with their places, so that
// zeros and holes are the same.
func hashBlocks(write func([]byte) (int, error), b []byte, at int64) {
	const block = 512
	for len(b) > 0 {
		n := min(block, len(b))
		if slices.ContainsFunc(b[:n], func(c byte) bool { return c != 0 }) {
			write(binary.BigEndian.AppendUint64(nil, uint64(at)))
			write(b[:n])
		}
		b, at = b[n:], at+int64(n)
	}
}

// Diff returns how two manifests differ, a line with its side in front for each.
func Diff(want, got []string) []string {
	// Paths are unique and begin each line.
	byPath := func(lines []string) map[string]string {
		m := map[string]string{}
		for _, l := range lines {
			path, _, _ := strings.Cut(l, " kind=")
			m[path] = l
		}
		return m
	}
	w, g := byPath(want), byPath(got)
	var diff []string
	for path, l := range w {
		if g[path] != l {
			diff = append(diff, path+"\n  want "+l+"\n  got  "+g[path])
		}
	}
	for path, l := range g {
		if w[path] == "" {
			diff = append(diff, path+"\n  want nothing\n  got  "+l)
		}
	}
	slices.Sort(diff)
	return diff
}
