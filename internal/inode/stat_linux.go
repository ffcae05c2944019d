package inode

import (
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/snapkeep/snap/internal/tree"
)

// Look is what one statx call tells.
type Look struct {
	stx unix.Statx_t
}

const lookMask = unix.STATX_BASIC_STATS

// At looks at the file that name, which ends with a NUL, means in the directory
// dirfd. Flags are AT_SYMLINK_NOFOLLOW and the like.
func (l *Look) At(dirfd int, name *byte, flags int) error {
	for {
		_, _, errno := unix.Syscall6(unix.SYS_STATX, uintptr(dirfd), uintptr(unsafe.Pointer(name)),
			uintptr(flags|unix.AT_NO_AUTOMOUNT), lookMask, uintptr(unsafe.Pointer(&l.stx)), 0)
		switch errno {
		case 0:
			return nil
		case unix.EINTR:
		case unix.ENOSYS, unix.EPERM:
			// Kernels before 4.11 have no statx, and some containers forbid it.
			return l.old(dirfd, unix.BytePtrToString(name), flags)
		default:
			return errno
		}
	}
}

// old does what At does by the older system call.
func (l *Look) old(dirfd int, name string, flags int) error {
	var st unix.Stat_t
	for {
		err := unix.Fstatat(dirfd, name, &st, flags)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return err
		}
		break
	}
	stamp := func(t unix.Timespec) unix.StatxTimestamp {
		return unix.StatxTimestamp{Sec: int64(t.Sec), Nsec: uint32(t.Nsec)}
	}
	l.stx = unix.Statx_t{
		Mode: uint16(st.Mode), Uid: st.Uid, Gid: st.Gid, Nlink: uint32(st.Nlink),
		Ino: st.Ino, Size: uint64(st.Size), Blocks: uint64(st.Blocks),
		Atime: stamp(st.Atim), Mtime: stamp(st.Mtim), Ctime: stamp(st.Ctim),
		Dev_major: unix.Major(uint64(st.Dev)), Dev_minor: unix.Minor(uint64(st.Dev)),
		Rdev_major: unix.Major(uint64(st.Rdev)), Rdev_minor: unix.Minor(uint64(st.Rdev)),
	}
	return nil
}

var empty = [1]byte{}

// Fd looks at the open file fd, which may be opened with O_PATH.
func (l *Look) Fd(fd int) error { return l.At(fd, &empty[0], unix.AT_EMPTY_PATH) }

// Stat puts what was seen into st and keeps its name.
func (l *Look) Stat(st *tree.Stat) {
	x := &l.stx
	st.Kind = kinds[x.Mode>>12]
	st.Mode = x.Mode & 0o7777
	st.UID, st.GID = x.Uid, x.Gid
	st.Links = x.Nlink
	st.Inode = x.Ino
	st.Size = int64(x.Size)
	st.ModTime = tree.Time{Sec: x.Mtime.Sec, Nsec: x.Mtime.Nsec}
	st.ChangeTime = tree.Time{Sec: x.Ctime.Sec, Nsec: x.Ctime.Nsec}
	st.Rdev = 0
	if st.Kind == tree.CharDevice || st.Kind == tree.BlockDevice {
		st.Rdev = unix.Mkdev(x.Rdev_major, x.Rdev_minor)
	}
	st.Device = l.Device()
}

// Kind returns the kind of the file.
func (l *Look) Kind() tree.Kind { return kinds[l.stx.Mode>>12] }

// Device returns the number of the file system that the file lies on.
func (l *Look) Device() uint64 { return unix.Mkdev(l.stx.Dev_major, l.stx.Dev_minor) }

// Access returns the access time.
func (l *Look) Access() tree.Time { return tree.Time{Sec: l.stx.Atime.Sec, Nsec: l.stx.Atime.Nsec} }

// Blocks returns how many units of 512 bytes the file takes.
func (l *Look) Blocks() int64 { return int64(l.stx.Blocks) }

// MountRoot reports whether the file is the root of a mount. Kernels before 5.8 never
// say so.
func (l *Look) MountRoot() bool { return l.stx.Attributes&unix.STATX_ATTR_MOUNT_ROOT != 0 }

// kinds by the upper four bits of a mode.
var kinds = [16]tree.Kind{
	unix.S_IFREG >> 12:  tree.Regular,
	unix.S_IFDIR >> 12:  tree.Directory,
	unix.S_IFLNK >> 12:  tree.Symlink,
	unix.S_IFIFO >> 12:  tree.Fifo,
	unix.S_IFSOCK >> 12: tree.Socket,
	unix.S_IFCHR >> 12:  tree.CharDevice,
	unix.S_IFBLK >> 12:  tree.BlockDevice,
}

// KindOfMode returns the kind that the file type bits of mode mean, 0 if none.
func KindOfMode(mode uint32) tree.Kind { return kinds[mode>>12&15] }

// KindOfDirent returns the kind that the type field of a directory entry means, 0
// if it is unknown: such a type is a mode's upper four bits.
func KindOfDirent(t uint8) tree.Kind { return kinds[t&15] }

// ModeOfKind returns the file type bits of a mode for k.
func ModeOfKind(k tree.Kind) uint32 {
	for i, kind := range kinds {
		if kind == k && k != 0 {
			return uint32(i) << 12
		}
	}
	return 0
}

// Mode returns permission, set-id and sticky bits.
func (l *Look) Mode() uint16 { return l.stx.Mode & 0o7777 }

// IsSymlink reports whether the file is a symbolic link.
func (l *Look) IsSymlink() bool { return l.Kind() == tree.Symlink }
