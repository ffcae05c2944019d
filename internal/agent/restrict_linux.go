package agent

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
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

// restricted names the variable by which a process that was started anew by Restrict knows what it gave up before. It
// holds the number of the process, which stays the same, so that no other environment passes for it.
const restricted = "SNAP_AGENT_RESTRICTED"

// Restrict takes from this process, and all that it will start, the right to write files but below the folders of the
// policy's Writable, and to gain rights unless the policy allows that. It cannot be undone. It returns what the kernel
// enforces: one without Landlock leaves it at no-new-privs.
//
// These rights belong to threads. A program that is linked with C cannot reach all of its own: there one thread gives
// them up and starts the program anew, with the same arguments, and Restrict returns in that one.
func Restrict(p *Policy) (enforced []string, err error) {
	if p.NewPrivileges {
		return nil, nil // Landlock asks for no-new-privs, or for rights that an agent should not have
	}
	if before := strings.Fields(os.Getenv(restricted)); len(before) > 1 && before[0] == strconv.Itoa(os.Getpid()) {
		return before[1:], os.Unsetenv(restricted)
	}
	enforced, err = restrict(p, allThreads)
	if errors.Is(err, unix.ENOTSUP) {
		return startAnew(p)
	}
	return enforced, err
}

// caller makes a system call that acts on threads.
type caller func(trap, a1, a2, a3, a4, a5 uintptr) unix.Errno

func allThreads(trap, a1, a2, a3, a4, a5 uintptr) unix.Errno {
	_, _, errno := syscall.AllThreadsSyscall6(trap, a1, a2, a3, a4, a5, 0)
	return errno
}

func thisThread(trap, a1, a2, a3, a4, a5 uintptr) unix.Errno {
	_, _, errno := unix.Syscall6(trap, a1, a2, a3, a4, a5, 0)
	return errno
}

// startAnew restricts one thread and lets it become the program. It returns only with an error.
func startAnew(p *Policy) ([]string, error) {
	runtime.LockOSThread() // for ever: if this fails, the thread may not serve anything else
	enforced, err := restrict(p, thisThread)
	if err != nil {
		return nil, err
	}
	env := append(os.Environ(), restricted+"="+strconv.Itoa(os.Getpid())+" "+strings.Join(enforced, " "))
	return nil, fmt.Errorf("start the agent anew: %w", unix.Exec("/proc/self/exe", os.Args, env))
}

// restrict gives up the rights of the threads that call reaches.
func restrict(p *Policy, call caller) (enforced []string, err error) {
	if errno := call(unix.SYS_PRCTL, unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); errno != 0 {
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
	if err := forbidWriting(version, append([]string{"/dev/null"}, p.Writable...), call); err != nil {
		return enforced, fmt.Errorf("landlock: %w", err)
	}
	return append(enforced, EnforcedLandlock), nil
}

// forbidWriting forbids to change files anywhere but below the paths.
func forbidWriting(version uintptr, except []string, call caller) error {
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
	if errno := call(unix.SYS_LANDLOCK_RESTRICT_SELF, fd, 0, 0, 0, 0); errno != 0 {
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
