package local

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"strings"
	"time"

	"github.com/snapkeep/snap/internal/durable"
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
		if store.CheckName(folder) != nil || store.IsIn(durable.TempName, folder) {
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
	f, err := root.OpenFile(relative, os.O_RDONLY|openFolder, 0)
	if err != nil {
		if isMissing(err) || isOther(root, relative) {
			return nil
		}
		return err
	}
	defer f.Close()
	in := &listedFolder{root: root, relative: relative, name: folder}
	defer in.close()
	for {
		// With what lstat tells of each, by one call each: names that vanish meanwhile are left out.
		entries, err := f.Readdir(listBatch)
		for _, entry := range entries {
			if err := l.entry(in, entry); err != nil {
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

// listedFolder is a folder that is being listed.
type listedFolder struct {
	root     *os.Root // above it
	relative string   // where it lies below root
	name     string   // in the store
	self     *os.Root // nil until a folder in it is listed
}

// open lists a folder in f.
func (f *listedFolder) open(l *lister, entry, name string) (err error) {
	if f.self == nil {
		if f.self, err = f.root.OpenRoot(f.relative); err != nil {
			f.self = nil
			if isMissing(err) {
				return nil
			}
			return err
		}
	}
	return l.open(f.self, entry, name)
}

func (f *listedFolder) close() {
	if f.self != nil {
		f.self.Close()
	}
}

// isMissing reports whether err says that there is nothing by a name.
func isMissing(err error) bool { return errors.Is(err, fs.ErrNotExist) || isNotFolder(err) }

// isOther reports whether a name is known to be that of something else than a
// folder. Not every system has an error of its own for that.
func isOther(root *os.Root, name string) bool {
	info, err := root.Lstat(name)
	return err == nil && !info.IsDir()
}

// entry reports one entry of a folder if it is a file, and lists it if it is a
// folder.
func (l *lister) entry(in *listedFolder, entry fs.FileInfo) error {
	if err := l.check(); err != nil {
		return err
	}
	name := entry.Name()
	if in.name != "." {
		name = in.name + "/" + name
	}
	if store.CheckName(name) != nil || store.IsIn(durable.TempName, name) {
		return nil
	}
	matches := strings.HasPrefix(name, l.prefix)
	if entry.IsDir() {
		if matches || strings.HasPrefix(l.prefix, name+"/") {
			return in.open(l, entry.Name(), name)
		}
		return nil
	}
	if !matches || !entry.Mode().IsRegular() {
		return nil
	}
	l.stopped = l.fn(name, entry.Size(), entry.ModTime())
	return l.stopped
}
