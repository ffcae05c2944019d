package restore

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/snapkeep/snap/internal/tree"
)

// maxSynced is how many files and folders are made durable one by one. Of more the whole file system is synced, which takes with it what others write
// there.
const maxSynced = 16

// changes are the files and folders that a restore has changed, as long as they are few.
type changes struct {
	many    bool
	files   []string // regular ones
	folders map[string]struct{}
}

// changed notes that a file or folder is not what it was: its folder has an entry more, less, or another one.
func (r *run) changed(path string, kind tree.Kind) {
	r.mu.Lock()
	defer r.mu.Unlock()
	c := &r.changes
	if c.many || r.DryRun || !r.Sync {
		return
	}
	if c.folders == nil {
		c.folders = map[string]struct{}{}
	}
	folder, _ := tree.SplitPath(path)
	c.folders[folder] = struct{}{}
	switch kind {
	case tree.Regular:
		c.files = append(c.files, path)
	case tree.Directory:
		c.folders[path] = struct{}{}
	}
	if len(c.files)+len(c.folders) > maxSynced {
		*c = changes{many: true}
	}
}

// sync makes what was written durable.
func (r *run) sync() error {
	if r.DryRun || !r.Sync {
		return nil
	}
	if !r.changes.many {
		err := r.syncFew()
		if err == nil || isLost(err) {
			return err
		}
		// A file that its owner may not read, or a file system that syncs no folders.
	}
	return r.root.Sync()
}

// isLost reports whether an error of syncing says that something was not stored. It says so once.
func isLost(err error) bool {
	for _, target := range []error{unix.EIO, unix.ENOSPC, unix.EDQUOT, unix.EROFS} {
		if errors.Is(err, target) {
			return true
		}
	}
	return false
}

// syncFew makes the changes durable one by one: files before the folders that name them, and last those that were made to reach the target.
func (r *run) syncFew() error {
	for _, path := range r.changes.files {
		folder, name := tree.SplitPath(path)
		dir, err := r.root.Dir(folder)
		if err != nil {
			return err
		}
		err = dir.SyncFile(name)
		dir.Release()
		if err != nil {
			return err
		}
	}
	for path := range r.changes.folders {
		dir, err := r.root.Dir(path)
		if err != nil {
			return err
		}
		err = dir.Sync()
		dir.Release()
		if err != nil {
			return err
		}
	}
	for _, path := range r.above {
		if err := syncFolder(path); err != nil {
			return err
		}
	}
	return nil
}

// missingAbove returns the folders that get an entry when path is made with those above it.
func missingAbove(path string) (above []string) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil
	}
	for {
		if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
			return above
		}
		path = filepath.Dir(path)
		above = append(above, path)
	}
}

func syncFolder(path string) error {
	dir, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}
