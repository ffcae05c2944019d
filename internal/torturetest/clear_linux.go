package torturetest

import (
	"os"

	"golang.org/x/sys/unix"
)

// Clear takes from everything beneath dir the flags and modes that keep it from being
// removed.
func Clear(dir string) {
	fd, err := unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err == nil {
		clear(fd)
	}
}

func clear(fd int) {
	f := os.NewFile(uintptr(fd), "")
	defer f.Close()
	free(fd)
	unix.Fchmod(fd, 0o700)
	names, _ := f.Readdirnames(-1)
	for _, name := range names {
		var st unix.Stat_t
		if unix.Fstatat(fd, name, &st, unix.AT_SYMLINK_NOFOLLOW) != nil {
			continue
		}
		if kind := st.Mode & unix.S_IFMT; kind != unix.S_IFREG && kind != unix.S_IFDIR {
			continue
		}
		sub, err := unix.Openat(fd, name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
		switch {
		case err != nil:
		case st.Mode&unix.S_IFMT == unix.S_IFDIR:
			clear(sub)
		default:
			free(sub)
			unix.Close(sub)
		}
	}
}

func free(fd int) {
	const held = 0x30 // immutable, append only
	if flags, err := unix.IoctlGetUint32(fd, unix.FS_IOC_GETFLAGS); err == nil && flags&held != 0 {
		unix.IoctlSetPointerInt(fd, unix.FS_IOC_SETFLAGS, int(flags&^held))
	}
}
