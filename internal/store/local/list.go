package local

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"strings"
	"time"

	"github.com/snapkeep/snap/internal/store"
)

// listBatch is how many entries of a folder are held at a time.
const listBatch = 1024

// List implements store.Store. It reads only folders in which a name with the
// prefix can be.
func (s *Store) List(ctx context.Context, prefix string, fn func(name string, size int64, modTime time.Time) error) error {
	l := &lister{ctx: ctx, prefix: prefix, fn: fn}
	folder := "."
	if i := strings.LastIndexByte(prefix, '/'); i >= 0 {
		folder = prefix[:i]
		if store.CheckName(folder) != nil || isTemp(folder) {
			return l.check() // no file has such a name
		}
	}
	err := l.check()
	if err == nil {
		err = l.open(s.dir.Root(), folder, folder)
	}
	if l.stopped != nil {
		return l.stopped
	}
	return s.wrap("list", prefix, err)
}

// lister is one call of List.
type lister struct {
	ctx     context.Context
	prefix  string
	fn      func(name string, size int64, modTime time.Time) error
	stopped error // what fn returned
}

func (l *lister) check() error {
	if l.ctx.Err() != nil {
		return context.Cause(l.ctx)
	}
	return nil
}

// open lists the folder at relative below root. Its name in the store is
// folder. A folder that is not there, or is none, has no files.
func (l *lister) open(root *os.Root, relative, folder string) error {
	sub, err := root.OpenRoot(relative)
	if err != nil {
		if isMissing(err) || isOther(root, relative) {
			return nil
		}
		return err
	}
	defer sub.Close()
	f, err := sub.Open(".")
	if err != nil {
		return err
	}
	defer f.Close()
	for {
		entries, err := f.ReadDir(listBatch)
		for _, entry := range entries {
			if err := l.entry(sub, folder, entry); err != nil {
				return err
			}
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// isMissing reports whether err says that there is nothing by a name.
func isMissing(err error) bool { return errors.Is(err, fs.ErrNotExist) || isNotFolder(err) }

// isOther reports whether a name is known to be that of something else than a
// folder. OpenRoot has no error of its own for that.
func isOther(root *os.Root, name string) bool {
	info, err := root.Lstat(name)
	return err == nil && !info.IsDir()
}

// entry reports one entry of a folder if it is a file, and lists it if it is a
// folder.
func (l *lister) entry(root *os.Root, folder string, entry fs.DirEntry) error {
	if err := l.check(); err != nil {
		return err
	}
	name := entry.Name()
	if folder != "." {
		name = folder + "/" + name
	}
	if store.CheckName(name) != nil || isTemp(name) {
		return nil
	}
	matches := strings.HasPrefix(name, l.prefix)
	if entry.IsDir() {
		if matches || strings.HasPrefix(l.prefix, name+"/") {
			return l.open(root, entry.Name(), name)
		}
		return nil
	}
	if !matches {
		return nil
	}
	// The kind in entry may be unknown, hence another look at it here.
	info, err := root.Lstat(entry.Name())
	if isMissing(err) {
		return nil // removed since
	}
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return nil
	}
	l.stopped = l.fn(name, info.Size(), info.ModTime())
	return l.stopped
}
