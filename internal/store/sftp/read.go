package sftp

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"
	"time"
)

// How much is read at a time, so that the end of the context is noticed. Behind a cut it is less: what is on its way when a connection breaks is
// lost, and the next one may carry no more.
const (
	blockBytes = 8 << 20
	leastBlock = 4 << 10
)

// ReadAt implements store.Store. Parts of a range are asked for at once.
func (s *Store) ReadAt(ctx context.Context, name string, p []byte, off int64) (n int, err error) {
	err = s.checkName(ctx, name)
	if err == nil && off < 0 {
		err = fmt.Errorf("negative offset %d: %w", off, fs.ErrInvalid)
	}
	if err == nil {
		weight := smallWeight
		if len(p) > 1<<20 {
			weight = transferWeight
		}
		block := blockBytes
		err = s.do(ctx, weight, func(a *attempt) error {
			m, err := s.readAt(ctx, a.conn, s.path(name), p[n:], off+int64(n), &block)
			n += m
			a.progress = m > 0
			return err
		})
	}
	return n, s.wrap("read", name, err)
}

func (s *Store) readAt(ctx context.Context, c *conn, path string, p []byte, off int64, block *int) (int, error) {
	h, err := s.openHandle(c, path)
	if err != nil {
		return 0, err
	}
	defer func() { c.closeLater(c.handles.put(h)) }()
	end := len(p)
	if off > h.size-int64(len(p)) {
		end = int(max(h.size-off, 0))
	}
	n := 0
	for n < end {
		if ctx.Err() != nil {
			return n, context.Cause(ctx)
		}
		m, err := h.file.ReadAt(p[n:min(n+*block, end)], off+int64(n))
		n += m
		switch {
		case err == io.EOF && m == 0:
			return n, fmt.Errorf("ends after %d of %d bytes: %w", off+int64(n), h.size, io.ErrUnexpectedEOF)
		case err != nil && err != io.EOF: // an answer that is short is no end
			*block = max(min(*block, end)/8, leastBlock)
			return n, err
		}
		*block = min(2**block, blockBytes)
	}
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// openHandle opens a file, or takes one that is open.
func (s *Store) openHandle(c *conn, path string) (*handle, error) {
	h, old := c.handles.get(path)
	c.closeLater(old)
	if h != nil {
		return h, nil
	}
	info, err := s.lstat(c, path)
	if err != nil {
		return nil, err
	}
	file, err := c.sftp.Open(path)
	if err != nil {
		return nil, err
	}
	h, closing := c.handles.add(path, file, info.Size())
	c.closeLater(closing...)
	return h, nil
}

// lstat looks at a file. What is not a regular one is not there.
func (s *Store) lstat(c *conn, path string) (os.FileInfo, error) {
	info, err := c.sftp.Lstat(path)
	if isFailure(err) && s.isBelowFile(c, path) {
		return nil, fs.ErrNotExist
	}
	if err == nil && !info.Mode().IsRegular() {
		return nil, fs.ErrNotExist
	}
	return info, err
}

// isBelowFile reports whether a part of a path is no folder, which the protocol
// has no code for.
func (s *Store) isBelowFile(c *conn, file string) bool {
	for dir := path.Dir(file); dir != s.location.Path && len(dir) > 1; dir = path.Dir(dir) {
		if info, err := c.sftp.Stat(dir); err == nil {
			return !info.IsDir()
		}
	}
	return false
}

// Stat implements store.Store.
func (s *Store) Stat(ctx context.Context, name string) (size int64, modTime time.Time, err error) {
	err = s.checkName(ctx, name)
	var info os.FileInfo
	if err == nil {
		err = s.do(ctx, smallWeight, func(a *attempt) error {
			info, err = s.lstat(a.conn, s.path(name))
			return err
		})
	}
	if err != nil {
		return 0, time.Time{}, s.wrap("stat", name, err)
	}
	return info.Size(), info.ModTime(), nil
}

// isBelow reports whether name is in a folder, or the folder itself.
func isBelow(name, folder string) bool {
	return folder == "" || name == folder || strings.HasPrefix(name, folder+"/")
}
