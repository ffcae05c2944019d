package durable

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"sync"
)

// TempName is the folder, inside a Dir, that holds named temporary files.
const TempName = "tmp"

const (
	fileMode = 0o600
	dirMode  = 0o700
)

// Options are choices for Open and Create. The zero value is the default.
type Options struct {
	// NamedTemp avoids files without a name (O_TMPFILE) even where the file
	// system has them. Default false.
	NamedTemp bool
}

// Dir is a folder held open.
type Dir struct {
	root *os.Root
	self *os.File
	opts Options

	// writebackBytes is how much is written between two requests to start
	// writing to the disk; zero makes none.
	writebackBytes int64

	// step, if set, is called with the name of each durable step before it is
	// taken, and its error is taken for the step's own. Tests set it.
	step func(name string) error

	anonymousOnce sync.Once
	anonymous     bool // files without a name work here

	settling sync.Mutex // held while a folder is made durable

	settledMu sync.RWMutex
	settled   map[string]bool // folders whose own names are durable; guarded by settledMu
}

// Open opens an existing folder. It writes nothing.
func Open(dir string, opts Options) (*Dir, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	self, err := root.Open(".")
	if err != nil {
		return nil, errors.Join(err, root.Close())
	}
	return &Dir{
		root:           root,
		self:           self,
		opts:           opts,
		writebackBytes: defaultWritebackBytes,
		settled:        map[string]bool{".": true},
	}, nil
}

// Create makes the folder and the missing ones above it, all durably, and
// opens it. A folder that exists is only opened.
func Create(dir string, opts Options) (*Dir, error) {
	absolute, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	if err := mkdirAll(absolute); err != nil {
		return nil, err
	}
	return Open(dir, opts)
}

// mkdirAll makes dir and what is missing above it. For each: mkdir, open the
// parent, fsync the parent.
func mkdirAll(dir string) error {
	parent := filepath.Dir(dir)
	err := os.Mkdir(dir, dirMode)
	if errors.Is(err, fs.ErrNotExist) && parent != dir {
		if err := mkdirAll(parent); err != nil {
			return err
		}
		err = os.Mkdir(dir, dirMode)
	}
	existed := errors.Is(err, fs.ErrExist)
	if err != nil && !existed {
		return err
	}
	err = syncPath(parent)
	if existed && !isStorageError(err) {
		// The folder may have been made a moment ago by somebody else, hence
		// the fsync. One that stood for long may have a parent that we are
		// not allowed to read.
		return nil
	}
	return err
}

// isStorageError reports whether err is more than a lack of permission or of
// support.
func isStorageError(err error) bool {
	return err != nil && !errors.Is(err, fs.ErrPermission) && !errors.Is(err, errors.ErrUnsupported)
}

func syncPath(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(syncDir(f), f.Close())
}

// Root returns the handle for reading below the folder. It is closed by Close.
func (d *Dir) Root() *os.Root { return d.root }

// Close releases the folder. Files of it that are open stay usable.
func (d *Dir) Close() error {
	return errors.Join(d.self.Close(), d.root.Close())
}

// Remove removes a regular file, durably: unlinkat, fsync of its folder. The
// error is fs.ErrNotExist if there is none by that name.
func (d *Dir) Remove(name string) error {
	info, err := d.root.Lstat(name)
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return &fs.PathError{Op: "unlinkat", Path: name, Err: fs.ErrNotExist}
	}
	folder, err := d.root.Open(path.Dir(name))
	if err != nil {
		return err
	}
	if err := d.root.Remove(name); err != nil {
		return errors.Join(err, folder.Close())
	}
	return errors.Join(d.syncFolder(folder), folder.Close())
}

// openFolder makes the folder durable and opens it. A folder that somebody
// removed after it was settled is made again.
func (d *Dir) openFolder(folder string) (*os.File, error) {
	for attempt := 0; ; attempt++ {
		if err := d.settle(folder); err != nil {
			return nil, err
		}
		f, err := d.root.Open(folder)
		if !errors.Is(err, fs.ErrNotExist) || attempt > 0 {
			return f, err
		}
		d.unsettle()
	}
}

// settle makes the folder, with those above it, and sees that its name is on
// the disk. A folder that exists is not enough: it may have been made a moment
// ago by another process that has not synced it, and a file put into it would
// be lost with it. So each folder's parent is synced before its first use.
func (d *Dir) settle(folder string) error {
	if d.isSettled(folder) {
		return nil
	}
	d.settling.Lock()
	defer d.settling.Unlock()
	return d.settleLocked(folder)
}

// settleLocked does the work of settle with d.settling held:
// mkdirat, openat of the parent, fsync of the parent.
func (d *Dir) settleLocked(folder string) error {
	if d.isSettled(folder) {
		return nil
	}
	parent := path.Dir(folder)
	if err := d.settleLocked(parent); err != nil {
		return err
	}
	if err := d.root.Mkdir(folder, dirMode); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	f, err := d.root.Open(parent)
	if err != nil {
		return err
	}
	// The folders that are in the parent before the fsync are durable after it,
	// so that 256 existing folders cost one fsync.
	entries, err := f.ReadDir(-1)
	if err == nil {
		err = d.syncFolder(f)
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	d.settledMu.Lock()
	defer d.settledMu.Unlock()
	d.settled[folder] = true
	for _, entry := range entries {
		if entry.IsDir() {
			d.settled[path.Join(parent, entry.Name())] = true
		}
	}
	return nil
}

func (d *Dir) isSettled(folder string) bool {
	d.settledMu.RLock()
	defer d.settledMu.RUnlock()
	return d.settled[folder]
}

// unsettle forgets which folders are durable.
func (d *Dir) unsettle() {
	d.settledMu.Lock()
	defer d.settledMu.Unlock()
	d.settled = map[string]bool{".": true}
}

func (d *Dir) syncFolder(f *os.File) error {
	if err := d.before("sync folder"); err != nil {
		return err
	}
	return syncDir(f)
}

// before gives tests the occasion to see a step, or to make it fail.
func (d *Dir) before(step string) error {
	if d.step == nil {
		return nil
	}
	if err := d.step(step); err != nil {
		return fmt.Errorf("%s: %w", step, err)
	}
	return nil
}

// Taken returns the error for a name that is taken: it sees that the file is
// durable under the name, which its writer may still be about to do, and wraps
// fs.ErrExist.
func (d *Dir) Taken(name string) error {
	folder, err := d.openFolder(path.Dir(name))
	if err != nil {
		return err
	}
	if err := errors.Join(d.syncFolder(folder), folder.Close()); err != nil {
		return err
	}
	return &fs.PathError{Op: "link", Path: name, Err: fs.ErrExist}
}
