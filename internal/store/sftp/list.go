package sftp

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path"
	"strings"
	"sync"
	"time"

	"github.com/snapkeep/snap/internal/durable"
	"github.com/snapkeep/snap/internal/store"
)

// foldersAtOnce is how many folders are read at a time.
const foldersAtOnce = 16

// List implements store.Store. It reads only folders in which a name with the
// prefix can be, several at a time; fn is called from this goroutine only.
func (s *Store) List(ctx context.Context, prefix string, fn func(name string, size int64, modTime time.Time) error) error {
	folder := ""
	if i := strings.LastIndexByte(prefix, '/'); i >= 0 {
		folder = prefix[:i]
		if store.CheckName(folder) != nil || store.IsIn(durable.TempName, folder) {
			folder = "." // no file has such a name
		}
	}
	if ctx.Err() != nil {
		return s.wrap("list", prefix, context.Cause(ctx))
	}
	if folder == "." {
		return nil
	}
	for queue := []string{folder}; len(queue) > 0; {
		batch := queue[:min(len(queue), foldersAtOnce)]
		queue = queue[len(batch):]
		listings, err := s.readFolders(ctx, batch)
		if err != nil {
			return s.wrap("list", prefix, err)
		}
		for i, entries := range listings {
			for _, entry := range entries {
				name := path.Join(batch[i], entry.Name())
				if store.CheckName(name) != nil || store.IsIn(durable.TempName, name) {
					continue
				}
				matches := strings.HasPrefix(name, prefix)
				switch {
				case entry.IsDir() && (matches || isBelow(prefix, name)):
					queue = append(queue, name)
				case entry.Mode().IsRegular() && matches:
					if ctx.Err() != nil {
						return s.wrap("list", prefix, context.Cause(ctx))
					}
					if err := fn(name, entry.Size(), entry.ModTime()); err != nil {
						return err
					}
				}
			}
		}
	}
	return nil
}

// readFolders reads folders at the same time.
func (s *Store) readFolders(ctx context.Context, folders []string) ([][]os.FileInfo, error) {
	listings := make([][]os.FileInfo, len(folders))
	errs := make([]error, len(folders))
	var wg sync.WaitGroup
	for i, folder := range folders {
		wg.Go(func() { listings[i], errs[i] = s.readFolder(ctx, folder) })
	}
	wg.Wait()
	return listings, errors.Join(errs...)
}

// readFolder reads one folder. One that is not there, or is none, is empty; but
// the folder of the store has to be there.
func (s *Store) readFolder(ctx context.Context, folder string) ([]os.FileInfo, error) {
	var entries []os.FileInfo
	err := s.do(ctx, smallWeight, func(a *attempt) error {
		var err error
		entries, err = a.sftp.ReadDirContext(ctx, s.path(folder))
		switch {
		case err == nil && a.isEnded():
			return errLost // perhaps not all of it
		case folder == "" || err == nil || a.isLost(err):
			return err
		case errors.Is(err, fs.ErrNotExist):
			return nil
		case isFailure(err) && (s.isBelowFile(a.conn, s.path(folder)) || s.isFile(a.conn, s.path(folder))):
			return nil
		}
		return err
	})
	return entries, err
}

// isFile reports whether something is known to be there and to be no folder.
func (s *Store) isFile(c *conn, path string) bool {
	info, err := c.sftp.Stat(path)
	return err == nil && !info.IsDir()
}
