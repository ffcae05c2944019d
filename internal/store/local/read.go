package local

import (
	"context"
	"io"
	"io/fs"
	"os"
)

// ReadAt implements store.Store.
func (s *Store) ReadAt(ctx context.Context, name string, p []byte, off int64) (int, error) {
	n, err := 0, s.checkName(ctx, name)
	if err == nil {
		n, err = s.readAt(name, p, off)
	}
	return n, s.wrap("read", name, err)
}

func (s *Store) readAt(name string, p []byte, off int64) (int, error) {
	h, err := s.handles.get(name, func() (*os.File, error) { return s.openRegular(name) })
	if err != nil {
		return 0, err
	}
	defer s.handles.put(h)
	n, err := h.f.ReadAt(p, off)
	if err == nil && n < len(p) {
		err = io.ErrNoProgress
	}
	return n, err
}

// openRegular opens a file for reading. It does not wait for the other end of
// a named pipe that somebody left in the folder.
func (s *Store) openRegular(name string) (*os.File, error) {
	f, err := s.dir.Root().OpenFile(name, os.O_RDONLY|openNonblock, 0)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fs.ErrNotExist
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}
