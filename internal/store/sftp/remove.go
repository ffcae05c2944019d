package sftp

import (
	"context"
	"crypto/rand"
	"errors"
	"io/fs"
	"path"
	"time"

	"github.com/snapkeep/snap/internal/durable"
)

// Remove implements store.Store. The removal is durable when it returns nil.
func (s *Store) Remove(ctx context.Context, name string) error {
	err := s.checkName(ctx, name)
	if err == nil {
		target := s.path(name)
		err = s.do(ctx, smallWeight, func(a *attempt) error {
			err := s.remove(a.conn, target)
			if a.again && errors.Is(err, fs.ErrNotExist) {
				err = nil // by the try before, perhaps
			}
			if err != nil {
				return err
			}
			return s.syncFolder(a.conn, path.Dir(target))
		})
		s.pool.forget(target)
	}
	return s.wrap("remove", name, err)
}

// remove removes a file. The library would remove an empty folder, too, hence
// the look at it before.
func (s *Store) remove(c *conn, target string) error {
	if _, err := s.lstat(c, target); err != nil {
		return err
	}
	return c.sftp.Remove(target)
}

// forget closes a file wherever it is open.
func (p *pool) forget(path string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.conns {
		c.closeLater(c.handles.drop(path))
	}
}

// CleanTemp removes temporary files, left by a crash, that were not written to
// for at least age by the clock of the server. It returns how many.
func (s *Store) CleanTemp(ctx context.Context, age time.Duration) (removed int, err error) {
	err = s.do(ctx, smallWeight, func(a *attempt) error {
		n, err := s.cleanTemp(ctx, a.conn, age)
		removed += n
		return err
	})
	return removed, s.wrap("clean", durable.TempName, err)
}

func (s *Store) cleanTemp(ctx context.Context, c *conn, age time.Duration) (removed int, err error) {
	folder := s.path(durable.TempName)
	entries, err := c.sftp.ReadDirContext(ctx, folder)
	if err != nil || len(entries) == 0 {
		if errors.Is(err, fs.ErrNotExist) {
			return 0, nil
		}
		return 0, err
	}
	now, err := s.serverTime(c, folder)
	if err != nil {
		return 0, err
	}
	for _, entry := range entries {
		if ctx.Err() != nil {
			return removed, context.Cause(ctx)
		}
		if !entry.Mode().IsRegular() || now.Sub(entry.ModTime()) < age {
			continue
		}
		switch err := c.sftp.Remove(path.Join(folder, entry.Name())); {
		case err == nil:
			removed++
		case !errors.Is(err, fs.ErrNotExist):
			return removed, err
		}
	}
	return removed, nil
}

// serverTime asks the server for its time by way of a file.
func (s *Store) serverTime(c *conn, folder string) (time.Time, error) {
	name := path.Join(folder, rand.Text())
	f, err := c.sftp.OpenFile(name, createFlags)
	if err != nil {
		return time.Time{}, err
	}
	info, err := f.Stat()
	err = errors.Join(err, f.Close(), c.sftp.Remove(name))
	if err != nil {
		return time.Time{}, err
	}
	return info.ModTime(), nil
}
