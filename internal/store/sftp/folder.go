package sftp

import (
	"errors"
	"io/fs"
	"path"
	"syscall"
)

// makeFolder makes a folder with those missing above it, durably where the
// server can.
func (s *Store) makeFolder(c *conn, folder string) error {
	info, err := c.sftp.Stat(folder)
	if err == nil && !info.IsDir() {
		return syscall.ENOTDIR
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	parent := path.Dir(folder)
	if parent != folder {
		if err := s.makeFolder(c, parent); err != nil {
			return err
		}
	}
	if err := c.sftp.Mkdir(folder); err != nil {
		if info, statErr := c.sftp.Stat(folder); statErr != nil || !info.IsDir() {
			return err
		}
	}
	return s.fsync(c, parent)
}

// syncFolder makes the names in a folder durable, and its own name and those
// above it if they may be new.
func (s *Store) syncFolder(c *conn, folder string) error {
	if err := s.fsync(c, folder); err != nil {
		return err
	}
	for folder != s.location.Path && !s.isDurable(folder) {
		parent := path.Dir(folder)
		if err := s.fsync(c, parent); err != nil {
			return err
		}
		s.setDurable(folder)
		folder = parent
	}
	return nil
}

func (s *Store) isDurable(folder string) bool {
	s.foldersMu.Lock()
	defer s.foldersMu.Unlock()
	return s.folders[folder]
}

func (s *Store) setDurable(folder string) {
	s.foldersMu.Lock()
	defer s.foldersMu.Unlock()
	s.folders[folder] = true
}

// fsync syncs a folder. OpenSSH opens folders like files, and its extension for
// syncing takes what was opened. Other servers may refuse; those are not asked
// again, but one that once did it must not fail.
func (s *Store) fsync(c *conn, folder string) error {
	if !c.canSync || s.lacksDirs.Load() {
		return nil
	}
	f, err := c.sftp.Open(folder)
	if err == nil {
		err = f.Sync()
		closeAfter(c, f)
	}
	switch {
	case err == nil:
		s.syncsDirs.Store(true)
	case !c.isLost(err) && !s.syncsDirs.Load():
		s.lacksDirs.Store(true)
		return nil
	}
	return err
}
