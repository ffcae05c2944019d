package target

import (
	"errors"
	"io/fs"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/snapkeep/snap/internal/inode"
	"github.com/snapkeep/snap/internal/tree"
)

const (
	aclAccess  = "system.posix_acl_access"
	aclDefault = "system.posix_acl_default"
	capability = "security.capability"

	// earlyFlags work only on files and folders that are still empty.
	earlyFlags = 0x4 | 0x400 | 0x800000 | 0x2000000 | 0x40000000

	unknownMode = 0xffff
)

// subject is an open file whose metadata is set, and what it looks like now.
type subject struct {
	fd       int
	isPath   bool // opened with O_PATH
	dir      *Dir // and name, for messages; the folder itself if name is empty
	name     string
	kind     tree.Kind
	uid, gid uint32
	mode     uint16
	links    uint32
	old      bool // was there before: has attributes of its own
	held     bool // and flags that forbid changes
	inherits bool // may have an ACL from its folder

	problems []*AttributeError
}

// look sees what the file looks like; it must be of the kind that is expected.
func (s *subject) look() error {
	var at inode.Look
	if err := at.Fd(s.fd); err != nil {
		return err
	}
	var st tree.Stat
	at.Stat(&st)
	if st.Kind != s.kind {
		return ErrShared
	}
	s.uid, s.gid, s.mode, s.links = st.UID, st.GID, st.Mode, st.Links
	return nil
}

func (s *subject) path() string {
	if s.name == "" {
		return s.dir.path
	}
	return s.dir.join(s.name)
}

// alone reports whether the file has one name.
func (s *subject) alone() bool { return s.links == 1 }

func (s *subject) note(a Attribute, name string, err error) {
	if err != nil {
		s.problems = append(s.problems, &AttributeError{Path: s.path(), Attribute: a, Name: name, Err: err})
	}
}

// apply sets everything but the flags that forbid changes.
func (s *subject) apply(e *tree.Entry) {
	if s.held = !s.release(e); s.held {
		s.note(Flags, "", ErrHeld)
		return
	}
	owned := s.setOwner(e)
	users := func(name string) bool { return strings.HasPrefix(name, "user.") }
	if s.old || s.inherits {
		s.removeXattrs(e)
	}
	s.setXattrs(e, users)
	s.setMode(e, owned)
	s.setXattrs(e, func(name string) bool { return !users(name) })
	s.setTimes(e)
}

// release takes from a file that was there before the flags that forbid changes, and reports whether it has none now. It leaves them if e has
// no such flag: somebody has set them to keep the file as it is.
func (s *subject) release(e *tree.Entry) bool {
	if !s.old || s.isPath || !isHeld(s.fd) {
		return true
	}
	if !IsHeld(e) {
		return false
	}
	loosen(s.fd)
	return true
}

// changesOwner reports whether e wants another owner than uid and gid.
func (r *Root) changesOwner(e *tree.Entry, uid, gid uint32) bool {
	if r.o.NoOwners {
		return false
	}
	u, g := r.owner(e)
	return u != uid || g != gid
}

func (r *Root) owner(e *tree.Entry) (uid, gid uint32) {
	if r.o.Owner != nil {
		return r.o.Owner(e)
	}
	return e.UID, e.GID
}

// setOwner reports whether the file belongs to whom e says.
func (s *subject) setOwner(e *tree.Entry) bool {
	if s.dir.root.o.NoOwners {
		// Nobody else's rights come with set-id bits.
		return e.UID == s.uid && e.GID == s.gid
	}
	if !s.dir.root.changesOwner(e, s.uid, s.gid) {
		return true
	}
	uid, gid := s.dir.root.owner(e)
	err := s.chown(int(uid), int(gid))
	if err == nil {
		// Set-id bits may be gone.
		s.mode &^= 0o6000
		return true
	}
	if gid != s.gid {
		// Whoever may not give a file away may still give it to a group of his.
		if s.chown(-1, int(gid)) == nil {
			s.gid = gid
			s.mode &^= 0o6000
		}
	}
	if !s.dir.root.o.ForgiveOwners || !errors.Is(err, fs.ErrPermission) {
		s.note(Owner, "", err)
	}
	return false
}

func (s *subject) chown(uid, gid int) error {
	if s.isPath {
		return unix.Fchownat(s.fd, "", uid, gid, unix.AT_EMPTY_PATH)
	}
	return unix.Fchown(s.fd, uid, gid)
}

// setMode sets the mode; links have none.
func (s *subject) setMode(e *tree.Entry, owned bool) {
	if s.kind == tree.Symlink {
		return
	}
	mode := e.Mode & 0o7777
	if !owned && mode&0o6000 != 0 && s.kind != tree.Directory {
		mode &^= 0o6000
		s.note(Mode, "", errSetID)
	}
	if mode == s.mode {
		return
	}
	if err := s.chmod(mode); err != nil {
		s.note(Mode, "", err)
		return
	}
	if mode&0o6000 == 0 {
		return
	}
	// The kernel takes the set-group-id bit from those who are not in the group and
	// says nothing.
	var at inode.Look
	if at.Fd(s.fd) == nil && at.Mode() != mode {
		s.note(Mode, "", errSetID)
	}
}

// errSetID says that the mode lacks set-id bits of the entry.
var errSetID = errors.New("set-id bits left out, the file has another owner")

func (s *subject) chmod(mode uint16) error {
	if !s.isPath {
		return unix.Fchmod(s.fd, uint32(mode))
	}
	err := unix.Fchmodat(s.fd, "", uint32(mode), unix.AT_EMPTY_PATH)
	if err == nil {
		return nil
	}
	return unix.Chmod(inode.ProcPath(s.fd), uint32(mode))
}

// setXattrs sets those attributes of e that want accepts.
func (s *subject) setXattrs(e *tree.Entry, want func(name string) bool) {
	if s.dir.root.o.NoXattrs {
		return
	}
	for _, x := range e.Xattrs {
		if want(x.Name) {
			s.note(Xattr, x.Name, s.writable(x.Name, func() error { return inode.SetXattr(s.fd, s.isPath, x) }))
		}
	}
}

// removeXattrs removes what e does not have. Attributes that the system gives
// every file, such as security labels, stay.
func (s *subject) removeXattrs(e *tree.Entry) {
	if s.dir.root.o.NoXattrs {
		return
	}
	present, err := inode.ReadXattrs(s.fd, s.isPath)
	if err != nil {
		s.note(Xattr, "", err)
	}
	for _, x := range present {
		if !ownXattr(x.Name) || hasXattr(e, x.Name) {
			continue
		}
		s.note(Xattr, x.Name, s.writable(x.Name, func() error { return inode.RemoveXattr(s.fd, s.isPath, x.Name) }))
		if x.Name == aclAccess {
			s.mode = unknownMode // the mode's group bits were the ACL's mask
		}
	}
}

// writable calls set, which changes an attribute. Those of the user need the right to write to the file, which a file that was there before may not
// give its owner: it has it then until its mode is set.
func (s *subject) writable(name string, set func() error) error {
	err := set()
	if !errors.Is(err, fs.ErrPermission) || !strings.HasPrefix(name, "user.") || !s.old || s.isPath || s.mode == unknownMode || s.mode&0o200 != 0 {
		return err
	}
	if s.chmod(s.mode|0o600) != nil {
		return err
	}
	s.mode |= 0o600
	return set()
}

func ownXattr(name string) bool {
	return strings.HasPrefix(name, "user.") || strings.HasPrefix(name, "trusted.") ||
		name == aclAccess || name == aclDefault || name == capability
}

func hasXattr(e *tree.Entry, name string) bool {
	for _, x := range e.Xattrs {
		if x.Name == name {
			return true
		}
	}
	return false
}

// setTimes sets the modification time, and the access time if e has one.
func (s *subject) setTimes(e *tree.Entry) {
	times := [2]unix.Timespec{{}, timespec(e.ModTime)}
	if e.Access != nil {
		times[0] = timespec(*e.Access)
	} else {
		times[0].Nsec = unix.UTIME_OMIT
	}
	if err := s.utimens(&times); err != nil {
		s.note(Times, "", err)
		return
	}
	// File systems cut times that they cannot hold and say nothing.
	if e.ModTime.Sec >= 0 && e.ModTime.Sec < 1<<31 {
		return
	}
	var at inode.Look
	var st tree.Stat
	if at.Fd(s.fd) == nil {
		if at.Stat(&st); st.ModTime.Sec != e.ModTime.Sec {
			s.note(Times, "", errTime)
		}
	}
}

// errTime says that the file system has no such time.
var errTime = errors.New("the file system cannot hold this time")

func timespec(t tree.Time) unix.Timespec {
	var ts unix.Timespec
	setInt(&ts.Sec, t.Sec)
	setInt(&ts.Nsec, int64(t.Nsec))
	return ts
}

// setInt sets a field that is wider on some machines than on others.
func setInt[T int32 | int64](p *T, v int64) { *p = T(v) }

func (s *subject) utimens(times *[2]unix.Timespec) error {
	if s.isPath {
		err := unix.UtimesNanoAt(s.fd, "", times[:], unix.AT_EMPTY_PATH)
		if err != unix.EINVAL && err != unix.ENOENT {
			return err
		}
		return unix.UtimesNanoAt(unix.AT_FDCWD, inode.ProcPath(s.fd), times[:], 0)
	}
	_, _, errno := unix.Syscall6(unix.SYS_UTIMENSAT, uintptr(s.fd), 0, uintptr(unsafe.Pointer(times)), 0, 0, 0)
	if errno != 0 {
		return errno
	}
	return nil
}

// setFlags sets those inode flags of e that mask covers, last of all.
func (s *subject) setFlags(e *tree.Entry, mask uint32) {
	if s.old || s.dir.flagged {
		mask &^= s.dir.root.flags &^ e.Flags // what all inherit from the target stays
	} else {
		mask &= e.Flags
	}
	if s.dir.root.o.NoFlags || s.isPath || s.held || mask == 0 {
		return
	}
	s.note(Flags, "", inode.SetFlags(s.fd, e.Flags, mask))
}
