package target

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"github.com/snapkeep/snap/internal/inode"
	"github.com/snapkeep/snap/internal/tree"
)

// Dir is an open folder of a target. Its names are those of its entries.
type Dir struct {
	root     *Root
	fd       int
	path     string
	device   uint64
	mounted  bool                 // a file system is mounted on it
	inherits bool                 // what is made here gets an ACL from it
	flagged  bool                 // what is made here gets inode flags from it
	made     atomic.Pointer[made] // nil until a file was made
	users    int                  // guarded by root.mu
	gone     bool                 // no longer in the cache; guarded by root.mu
}

// made is what a file that is created in a folder looks like.
type made struct {
	uid, gid uint32
	modes    bool // files get the mode that is asked for, less the umask
}

// Existing says what to do about a file that is in the way.
type Existing int

// What to do about a file that is in the way.
const (
	// Refuse fails with an error that satisfies errors.Is(err, fs.ErrExist). It is
	// the fastest: nothing is looked at.
	Refuse Existing = iota

	// Replace makes the file under another name and renames it over what is there when
	// it is complete. A folder is not replaced.
	Replace

	// Update changes the regular file that is there, which keeps what is not written
	// anew. It fails with ErrShared if that has other names or is no regular file.
	Update

	// Whole fails as Refuse does, and gives a regular file its name when it is complete: a
	// restore that is killed leaves no part of a file under that name.
	Whole
)

// learn looks at the folder itself.
func (d *Dir) learn() error {
	var at inode.Look
	if err := at.Fd(d.fd); err != nil {
		return err
	}
	d.device = at.Device()
	d.mounted = at.MountRoot() || d.isOtherThanParent()
	n, err := unix.Fgetxattr(d.fd, aclDefault, nil)
	d.inherits = err == nil && n > 0
	if !d.root.o.NoFlags {
		flags, err := inode.ReadFlags(d.fd)
		d.flagged = err == nil && flags&^inode.HeldFlags&^d.root.flags != 0
	}
	return nil
}

// isOtherThanParent reports whether the folder above lies on another file system. Kernels before 5.8 tell of no mounts.
func (d *Dir) isOtherThanParent() bool {
	var above inode.Look
	name := [...]byte{'.', '.', 0}
	return above.At(d.fd, &name[0], unix.AT_SYMLINK_NOFOLLOW) == nil && above.Device() != d.device
}

// IsMount reports whether a file system is mounted on the folder.
func (d *Dir) IsMount() bool { return d.mounted }

// Release gives the folder back. It must not be used afterwards.
func (d *Dir) Release() {
	r := d.root
	r.mu.Lock()
	defer r.mu.Unlock()
	d.users--
	switch {
	case d.users > 0:
	case d.gone:
		inode.Close(d.fd)
	default:
		r.evict()
	}
}

// Path returns the path of the folder in the target.
func (d *Dir) Path() string { return d.path }

// join returns the path of an entry in the target.
func (d *Dir) join(name string) string {
	if d.path == "" {
		return name
	}
	return d.path + "/" + name
}

// fail names what an error is about.
func (d *Dir) fail(verb, name string, err error) error {
	if err == nil {
		return nil
	}
	if errors.Is(err, unix.EPERM) {
		err = d.explain(name, err)
	}
	return fmt.Errorf("%s %q: %w", verb, d.join(name), err)
}

// explain says of an error about an entry, or about d itself, whether flags are the reason.
func (d *Dir) explain(name string, err error) error {
	if errors.Is(err, ErrHeld) {
		return err
	}
	if isHeld(d.fd) {
		return fmt.Errorf("its folder: %w: %w", ErrHeld, err)
	}
	if name == "" {
		return err
	}
	fd, openErr := inode.OpenQuiet(d.fd, name, 0)
	if openErr != nil {
		return err
	}
	defer inode.Close(fd)
	if isHeld(fd) {
		return fmt.Errorf("%w: %w", ErrHeld, err)
	}
	return err
}

// IsHeld reports whether an entry has flags that forbid changes.
func IsHeld(e *tree.Entry) bool { return e.Flags&inode.HeldFlags != 0 }

// isHeld reports whether the open file or folder fd has flags that forbid changes.
func isHeld(fd int) bool {
	flags, err := inode.ReadFlags(fd)
	return err == nil && flags&inode.HeldFlags != 0
}

// Lstat looks at an entry without following links.
func (d *Dir) Lstat(name string) (tree.Stat, error) {
	st := tree.Stat{Name: name}
	if err := checkName(name); err != nil {
		return st, err
	}
	var at inode.Look
	c := append([]byte(name), 0)
	if err := at.At(d.fd, &c[0], unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return st, d.fail("look at", name, err)
	}
	at.Stat(&st)
	return st, nil
}

// Readlink returns where the symbolic link name leads.
func (d *Dir) Readlink(name string) (string, error) {
	if err := checkName(name); err != nil {
		return "", err
	}
	var buf [unix.PathMax]byte
	for {
		n, err := unix.Readlinkat(d.fd, name, buf[:])
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return "", d.fail("read link", name, err)
		}
		return string(buf[:n]), nil
	}
}

// Mkdir makes a folder that only its owner may enter, and reports whether it was there
// already. A folder that is there is kept, and opened for its owner; flags that forbid
// changes are taken from it if held says that it gets such flags at the end. Anything
// else in its place, also a link to a folder, is an error that satisfies errors.Is(err,
// fs.ErrExist).
func (d *Dir) Mkdir(name string, held bool) (existed bool, err error) {
	if err := checkName(name); err != nil {
		return false, err
	}
	err = unix.Mkdirat(d.fd, name, 0o700)
	if err != nil && err != unix.EEXIST {
		return false, d.fail("make folder", name, err)
	}
	existed = err != nil
	if !existed && !d.inherits {
		return false, nil
	}
	fd, err := inode.OpenAt(d.fd, name, unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err == unix.EACCES && existed {
		return true, nil // its mode will be set by whoever may
	}
	if err != nil {
		return existed, d.fail("make folder", name, fmt.Errorf("%w: %w", fs.ErrExist, err))
	}
	defer inode.Close(fd)
	if !existed {
		// What it inherited is not its own, and would go on to what is made in it.
		return false, d.fail("make folder", name, errors.Join(
			inode.RemoveXattr(fd, false, aclAccess), inode.RemoveXattr(fd, false, aclDefault)))
	}
	return true, d.fail("make folder", name, unlock(fd, d.root.uid, held))
}

// unlock lets the owner of the existing folder fd make entries in it. Its own mode
// and flags come at the end of the restore.
func unlock(fd int, uid uint32, held bool) error {
	if held {
		loosen(fd)
	}
	var at inode.Look
	var st tree.Stat
	if err := at.Fd(fd); err != nil {
		return err
	}
	at.Stat(&st)
	if uid == 0 || st.UID != uid || st.Mode&0o700 == 0o700 {
		return nil
	}
	return unix.Fchmod(fd, uint32(st.Mode|0o700))
}

// SetMeta sets the metadata of the folder itself to that of e, after everything in it was
// made. existed is what Mkdir said: attributes that e does not have are removed then.
// Whoever makes something in it later opens it anew.
func (d *Dir) SetMeta(e *tree.Entry, existed bool) []*AttributeError {
	d.root.drop(d)
	s := subject{dir: d, fd: d.fd, kind: tree.Directory, old: existed}
	if err := s.look(); err != nil {
		return []*AttributeError{{Path: d.path, Attribute: Mode, Err: err}}
	}
	s.apply(e)
	s.setFlags(e, inode.SettableFlags)
	return s.problems
}

// SetFileMeta sets the metadata of a regular file that was there before and whose content is
// right already. It fails with ErrShared if the file has other names or is something
// else.
func (d *Dir) SetFileMeta(e *tree.Entry) ([]*AttributeError, error) {
	if err := checkName(e.Name); err != nil {
		return nil, err
	}
	fd, err := inode.OpenQuiet(d.fd, e.Name, 0)
	if err != nil {
		return nil, d.fail("open", e.Name, noLink(err))
	}
	defer inode.Close(fd)
	s := subject{dir: d, name: e.Name, fd: fd, kind: tree.Regular, old: true}
	if err := s.look(); err != nil {
		return nil, d.fail("look at", e.Name, err)
	}
	if !s.alone() {
		return nil, d.fail("change", e.Name, ErrShared)
	}
	s.apply(e)
	s.setFlags(e, inode.SettableFlags)
	return s.problems, nil
}

// Hold sets the inode flags that forbid changes on a regular file with several hard
// links, after all of them were made: File.Finish leaves them out then.
func (d *Dir) Hold(e *tree.Entry) []*AttributeError {
	s := subject{dir: d, name: e.Name, kind: tree.Regular}
	if d.root.o.NoFlags || e.Flags&inode.HeldFlags == 0 || e.Kind != tree.Regular {
		return nil
	}
	err := checkName(e.Name)
	if err == nil {
		s.fd, err = inode.OpenQuiet(d.fd, e.Name, 0)
	}
	if err != nil {
		s.note(Flags, "", err)
		return s.problems
	}
	defer inode.Close(s.fd)
	s.note(Flags, "", s.look())
	if len(s.problems) == 0 {
		s.setFlags(e, inode.HeldFlags)
	}
	return s.problems
}

// loosen takes from the open file fd the flags that forbid changes, if it has them and may
// lose them. Whether that worked shows in what is done next.
func loosen(fd int) {
	if flags, err := inode.ReadFlags(fd); err == nil && flags&inode.HeldFlags != 0 {
		inode.SetFlags(fd, 0, inode.HeldFlags)
	}
}

// loosenEntry loosens what shall be replaced, if it is a file with no name elsewhere.
func loosenEntry(at int, name string) {
	fd, err := inode.OpenQuiet(at, name, 0)
	if err != nil {
		return
	}
	defer inode.Close(fd)
	var look inode.Look
	var st tree.Stat
	if look.Fd(fd) != nil {
		return
	}
	if look.Stat(&st); st.Kind == tree.Regular && st.Links == 1 {
		loosen(fd)
	}
}

// renameOver renames temp to name, over what is there, of which flags that forbid changes are taken off if held says so.
func (d *Dir) renameOver(temp, name string, held bool) error {
	err := unix.Renameat(d.fd, temp, d.fd, name)
	if err == unix.EPERM && held {
		loosenEntry(d.fd, name)
		err = unix.Renameat(d.fd, temp, d.fd, name)
	}
	return err
}

// renameNew renames temp to name, where nothing may be.
func (d *Dir) renameNew(temp, name string) error {
	err := unix.Renameat2(d.fd, temp, d.fd, name, unix.RENAME_NOREPLACE)
	if err != unix.EINVAL && err != unix.ENOSYS {
		return err
	}
	// The file system cannot do so at once.
	if _, err := d.Lstat(name); !errors.Is(err, fs.ErrNotExist) {
		return cmp.Or[error](err, unix.EEXIST)
	}
	return unix.Renameat(d.fd, temp, d.fd, name)
}

// noLink says of an error of opening with O_NOFOLLOW what it means.
func noLink(err error) error {
	if err == unix.ELOOP || err == unix.ENXIO {
		return fmt.Errorf("%w: %w", ErrShared, err)
	}
	return err
}
