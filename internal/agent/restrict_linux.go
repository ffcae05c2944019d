package agent

import (
	"errors"
	"fmt"
	"runtime"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Names of what Restrict achieves, as the server is told.
const (
	EnforcedNoNewPrivileges = "no-new-privs"
	EnforcedLandlock        = "landlock"
)

// writeRights are all rights of Landlock that change a file system, by the version that brought them.
var writeRights = []struct {
	version uintptr
	rights  uint64
}{
	{1, unix.LANDLOCK_ACCESS_FS_WRITE_FILE | unix.LANDLOCK_ACCESS_FS_REMOVE_DIR | unix.LANDLOCK_ACCESS_FS_REMOVE_FILE |
		unix.LANDLOCK_ACCESS_FS_MAKE_CHAR | unix.LANDLOCK_ACCESS_FS_MAKE_DIR | unix.LANDLOCK_ACCESS_FS_MAKE_REG |
		unix.LANDLOCK_ACCESS_FS_MAKE_SOCK | unix.LANDLOCK_ACCESS_FS_MAKE_FIFO | unix.LANDLOCK_ACCESS_FS_MAKE_BLOCK | unix.LANDLOCK_ACCESS_FS_MAKE_SYM},
	{2, unix.LANDLOCK_ACCESS_FS_REFER},
	{3, unix.LANDLOCK_ACCESS_FS_TRUNCATE},
}

// Restrict takes from this process, and all that it will start, the right to write files but below the folders of the
// policy's Writable, and to gain rights unless the policy allows that. It cannot be undone. It returns what the kernel
// enforces: one without Landlock leaves it at no-new-privs.
func Restrict(p *Policy) (enforced []string, err error) {
	if p.NewPrivileges {
		return nil, nil // Landlock asks for no-new-privs, or for rights that an agent should not have
	}
	// Every thread has its own; AllThreadsSyscall reaches them all.
	if _, _, errno := syscall.AllThreadsSyscall6(unix.SYS_PRCTL, unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0, 0); errno != 0 {
		return nil, fmt.Errorf("no-new-privs: %w", errno)
	}
	enforced = append(enforced, EnforcedNoNewPrivileges)
	version, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, 0, 0, unix.LANDLOCK_CREATE_RULESET_VERSION)
	if errno == unix.ENOSYS || errno == unix.EOPNOTSUPP {
		return enforced, nil
	}
	if errno != 0 {
		return enforced, fmt.Errorf("landlock: %w", errno)
	}
	if err := forbidWriting(version, append([]string{"/dev/null"}, p.Writable...)); err != nil {
		return enforced, fmt.Errorf("landlock: %w", err)
	}
	return append(enforced, EnforcedLandlock), nil
}

// forbidWriting forbids to change files anywhere but below the paths.
func forbidWriting(version uintptr, except []string) error {
	attr := unix.LandlockRulesetAttr{}
	for _, w := range writeRights {
		if version >= w.version {
			attr.Handled_access_fs |= w.rights
		}
	}
	fd, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, uintptr(unsafe.Pointer(&attr)), unsafe.Sizeof(attr.Handled_access_fs), 0)
	if errno != 0 {
		return errno
	}
	defer unix.Close(int(fd))
	for _, path := range except {
		if err := allowWriting(fd, path, attr.Handled_access_fs); err != nil {
			return fmt.Errorf("%q: %w", path, err)
		}
	}
	_, _, errno = syscall.AllThreadsSyscall(unix.SYS_LANDLOCK_RESTRICT_SELF, fd, 0, 0)
	if errno != 0 {
		return errno
	}
	return nil
}

func allowWriting(ruleset uintptr, path string, rights uint64) error {
	fd, err := unix.Open(path, unix.O_PATH|unix.O_CLOEXEC, 0)
	if errors.Is(err, unix.ENOENT) {
		return nil
	}
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return err
	}
	if st.Mode&unix.S_IFMT != unix.S_IFDIR {
		rights &= unix.LANDLOCK_ACCESS_FS_WRITE_FILE | unix.LANDLOCK_ACCESS_FS_TRUNCATE
	}
	rule := unix.LandlockPathBeneathAttr{Allowed_access: rights, Parent_fd: int32(fd)}
	_, _, errno := unix.Syscall6(unix.SYS_LANDLOCK_ADD_RULE, ruleset, unix.LANDLOCK_RULE_PATH_BENEATH, uintptr(unsafe.Pointer(&rule)), 0, 0, 0)
	runtime.KeepAlive(&rule)
	if errno != 0 {
		return errno
	}
	return nil
}
