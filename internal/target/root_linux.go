package target

import (
	"container/list"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/snapkeep/snap/internal/inode"
)

// Root is an open target.
type Root struct {
	o       Options
	path    string // for messages only
	fd      int
	umask   uint32 // of the process; all bits if it is unknown
	uid     uint32 // effective user
	flags   uint32 // inode flags of the target, which all that is made in it may inherit
	beneath bool   // openat2 works
	device  uint64 // of the file system that the target lies on

	mu     sync.Mutex        // guards the cache of folders, and others
	others map[uint64]string // by device: a folder on each other file system

	folding map[uint64]bool // by device: names that differ in case only are one
	dirs    map[string]*list.Element
	recent  *list.List // of *Dir, the last used in front
	closed  bool
}

// Open opens the folder path as target, and makes it and those above it if they do not
// exist. Links on the way to it are followed: whoever restores names it.
func Open(path string, o Options) (*Root, error) {
	if err := os.MkdirAll(path, 0o777); err != nil {
		return nil, fmt.Errorf("target: %w", err)
	}
	fd, err := inode.OpenFollowed(unix.AT_FDCWD, path, unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return nil, fmt.Errorf("target %q: %w", path, err)
	}
	r := &Root{
		o: o.withDefaults(), path: path, fd: fd,
		umask: readUmask(), uid: uint32(os.Geteuid()),
		dirs: map[string]*list.Element{}, recent: list.New(), others: map[uint64]string{}, folding: map[uint64]bool{},
	}
	if flags, err := inode.ReadFlags(fd); err == nil {
		r.flags = flags &^ inode.HeldFlags
	}
	var at inode.Look
	if err := at.Fd(fd); err != nil {
		inode.Close(fd)
		return nil, fmt.Errorf("target %q: %w", path, err)
	}
	r.device = at.Device()
	// A kernel without the call, and a container that forbids it, refuse it always.
	probe, err := openBeneath(fd, ".", unix.O_PATH|unix.O_DIRECTORY)
	if err == nil {
		r.beneath = true
		inode.Close(probe)
	}
	return r, nil
}

// readUmask returns the umask of the process; there is no call that tells it
// without setting it.
func readUmask() uint32 {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0o777
	}
	for line := range strings.Lines(string(status)) {
		if value, ok := strings.CutPrefix(line, "Umask:"); ok {
			if mask, err := strconv.ParseUint(strings.TrimSpace(value), 8, 32); err == nil {
				return uint32(mask)
			}
		}
	}
	return 0o777
}

// Close closes the target and all its folders, which must be released.
func (r *Root) Close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return nil
	}
	r.closed = true
	var errs []error
	for e := r.recent.Front(); e != nil; e = e.Next() {
		errs = append(errs, inode.Close(e.Value.(*Dir).fd))
	}
	return errors.Join(append(errs, inode.Close(r.fd))...)
}

// Sync waits until the file system, and those that are mounted on folders which were opened, have stored everything that was
// written to them, by whomever. It fails if something that was written since the target was opened is lost.
func (r *Root) Sync() error {
	r.mu.Lock()
	others := slices.Collect(maps.Values(r.others))
	r.mu.Unlock()
	errs := []error{syncAt(r.fd, r.path)}
	for _, path := range others {
		d, err := r.Dir(path)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		errs = append(errs, syncAt(d.fd, r.Path(path)))
		d.Release()
	}
	return errors.Join(errs...)
}

// Sync waits until the folder itself is stored: which entries it has, and its metadata.
func (d *Dir) Sync() error { return d.fail("sync", "", unix.Fsync(d.fd)) }

// SyncFile waits until the regular file name is stored. What else has that name is left to the folder.
func (d *Dir) SyncFile(name string) error {
	if err := checkName(name); err != nil {
		return err
	}
	fd, err := inode.OpenQuiet(d.fd, name, 0)
	if err != nil {
		return d.fail("sync", name, err)
	}
	defer inode.Close(fd)
	return d.fail("sync", name, unix.Fsync(fd))
}

// syncAt stores what was written to the file system of the open folder fd.
func syncAt(fd int, path string) error {
	err := unix.Syncfs(fd)
	if err == unix.ENOSYS { // a container that forbids it
		unix.Sync()
		return nil
	}
	if err != nil {
		return fmt.Errorf("sync %q: %w", path, err)
	}
	return nil
}

// Dir opens the folder path, whose names are joined by slashes; the empty path is the
// target itself. The caller releases it.
func (r *Root) Dir(path string) (*Dir, error) {
	if err := checkPath(path); err != nil {
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return nil, fmt.Errorf("open %q: %w", path, fs.ErrClosed)
	}
	return r.dir(path)
}

// dir is Dir with mu held.
func (r *Root) dir(path string) (*Dir, error) {
	if e := r.dirs[path]; e != nil {
		r.recent.MoveToFront(e)
		d := e.Value.(*Dir)
		d.users++
		return d, nil
	}
	fd, err := r.open(path)
	if err != nil {
		if err == unix.ELOOP || err == unix.EXDEV {
			err = fmt.Errorf("%w: %w", ErrLink, err)
		}
		return nil, fmt.Errorf("open %q: %w", path, err)
	}
	d := &Dir{root: r, fd: fd, path: path, users: 1}
	if err := d.learn(); err != nil {
		inode.Close(fd)
		return nil, fmt.Errorf("open %q: %w", path, err)
	}
	if d.device != r.device {
		r.others[d.device] = path
	}
	r.dirs[path] = r.recent.PushFront(d)
	r.evict()
	return d, nil
}

// evict closes folders that nobody uses until few enough are open.
func (r *Root) evict() {
	for e := r.recent.Back(); e != nil && r.recent.Len() > r.o.MaxDirs; {
		d, before := e.Value.(*Dir), e.Prev()
		if d.users == 0 {
			r.recent.Remove(e)
			delete(r.dirs, d.path)
			inode.Close(d.fd)
		}
		e = before
	}
}

// forget drops the folder path and those below it from the cache: another folder may take
// its place. Those in use are closed when they are released.
func (r *Root) forget(path string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for e := r.recent.Front(); e != nil; {
		d, next := e.Value.(*Dir), e.Next()
		if d.path == path || strings.HasPrefix(d.path, path+"/") {
			r.recent.Remove(e)
			delete(r.dirs, d.path)
			if d.gone = true; d.users == 0 {
				inode.Close(d.fd)
			}
		}
		e = next
	}
}

// drop drops d from the cache: what was learnt of it no longer holds.
func (r *Root) drop(d *Dir) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if e := r.dirs[d.path]; e != nil && e.Value == any(d) {
		r.recent.Remove(e)
		delete(r.dirs, d.path)
		d.gone = true
	}
}

// maxResolve is how long a path one system call gets: PATH_MAX with the NUL, less
// some room.
const maxResolve = 4000

// open opens a folder beneath the target.
func (r *Root) open(path string) (int, error) {
	if path == "" {
		return inode.OpenAt(r.fd, ".", unix.O_RDONLY|unix.O_DIRECTORY, 0)
	}
	at := r.fd
	for {
		piece, rest := path, ""
		if len(piece) > maxResolve {
			// Names are shorter than 256 bytes here, so there is a slash.
			cut := strings.LastIndexByte(piece[:maxResolve], '/')
			if cut < 0 {
				return -1, unix.ENAMETOOLONG
			}
			piece, rest = path[:cut], path[cut+1:]
		}
		fd, err := r.resolve(at, piece)
		if at != r.fd {
			inode.Close(at)
		}
		if err != nil || rest == "" {
			return fd, err
		}
		at, path = fd, rest
	}
}

// resolve opens a folder of at most maxResolve bytes of path.
func (r *Root) resolve(at int, path string) (int, error) {
	const flags = unix.O_RDONLY | unix.O_DIRECTORY
	if r.beneath {
		return openBeneath(at, path, flags)
	}
	fd := at
	for name := range strings.SplitSeq(path, "/") {
		next, err := inode.OpenAt(fd, name, flags, 0)
		if err == unix.ENOTDIR {
			// A link says so too.
			var look inode.Look
			c := append([]byte(name), 0)
			if look.At(fd, &c[0], unix.AT_SYMLINK_NOFOLLOW) == nil && look.IsSymlink() {
				err = unix.ELOOP
			}
		}
		if fd != at {
			inode.Close(fd)
		}
		if err != nil {
			return -1, err
		}
		fd = next
	}
	return fd, nil
}

// openBeneath opens path without leaving at and without following any link.
func openBeneath(at int, path string, flags int) (int, error) {
	how := unix.OpenHow{
		Flags:   uint64(flags | unix.O_CLOEXEC),
		Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_MAGICLINKS,
	}
	for {
		// EAGAIN: something was renamed meanwhile, so that the kernel is not sure.
		fd, err := unix.Openat2(at, path, &how)
		if err != unix.EINTR && err != unix.EAGAIN {
			return fd, err
		}
	}
}

// MkdirAll makes the folder path and those above it, as far as they do not exist, for
// the owner alone.
func (r *Root) MkdirAll(path string) error {
	if err := checkPath(path); err != nil {
		return err
	}
	done := 0
	for done < len(path) {
		end := strings.IndexByte(path[done:], '/')
		if end < 0 {
			end = len(path) - done
		}
		d, err := r.Dir(strings.TrimSuffix(path[:done], "/"))
		if err != nil {
			return err
		}
		_, err = d.Mkdir(path[done:done+end], false)
		d.Release()
		if err != nil {
			return err
		}
		done += end + 1
	}
	return nil
}

// checkPath refuses paths with impossible names.
func checkPath(path string) error {
	if path == "" {
		return nil
	}
	for name := range strings.SplitSeq(path, "/") {
		if err := checkName(name); err != nil {
			return err
		}
	}
	return nil
}

// checkName refuses impossible names.
func checkName(name string) error {
	if name == "" || name == "." || name == ".." || strings.ContainsAny(name, "/\x00") {
		return fmt.Errorf("%w: %q", ErrName, name)
	}
	return nil
}

// Path returns where a path in the target lies, for messages.
func (r *Root) Path(path string) string { return filepath.Join(r.path, path) }
