package local

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/snapkeep/snap/internal/durable"
	"github.com/snapkeep/snap/internal/store"
)

// copyBufferBytes is the size of a pooled buffer for Create; at most one for
// each call that is under way.
const copyBufferBytes = 256 << 10

// Options are choices for Open and Create. The zero value is the default.
type Options struct {
	// NamedTemp writes temporary files under names in tmp even where the file
	// system can do without. Default false.
	NamedTemp bool
}

// Store is a store in a folder. It implements store.Store and store.Spooler
// and is safe for concurrent use.
type Store struct {
	path    string // for messages only
	dir     *durable.Dir
	handles *handles
	buffers sync.Pool
}

var (
	_ store.Store   = (*Store)(nil)
	_ store.Spooler = (*Store)(nil)
)

// Open opens the store in an existing folder and writes nothing. The error is
// fs.ErrNotExist if there is no such folder.
func Open(path string, opts Options) (*Store, error) {
	dir, err := durable.Open(path, durable.Options{NamedTemp: opts.NamedTemp})
	if err != nil {
		return nil, pathError("open store", path, err)
	}
	return newStore(path, dir), nil
}

// Create makes the folder, with those missing above it, and opens the store in
// it. A folder that exists has to be empty, but for a lost+found and the tmp
// of an earlier attempt; the error of one that is not is both
// syscall.ENOTEMPTY and fs.ErrExist.
func Create(path string, opts Options) (*Store, error) {
	dir, err := durable.Create(path, durable.Options{NamedTemp: opts.NamedTemp})
	if err != nil {
		return nil, pathError("create store", path, err)
	}
	if err := checkEmpty(dir.Root()); err != nil {
		return nil, pathError("create store", path, errors.Join(err, dir.Close()))
	}
	return newStore(path, dir), nil
}

func newStore(path string, dir *durable.Dir) *Store {
	return &Store{
		path:    path,
		dir:     dir,
		handles: newHandles(maxHandles),
		buffers: sync.Pool{New: func() any { return new([copyBufferBytes]byte) }},
	}
}

func checkEmpty(root *os.Root) error {
	f, err := root.Open(".")
	if err != nil {
		return err
	}
	defer f.Close()
	// Three names are enough to find one that is not among the two allowed.
	names, err := f.Readdirnames(3)
	if err != nil && err != io.EOF {
		return err
	}
	for _, name := range names {
		if name != "lost+found" && name != durable.TempName {
			return syscall.ENOTEMPTY
		}
	}
	return nil
}

// Create implements store.Store.
func (s *Store) Create(ctx context.Context, name string, data io.Reader, size int64) error {
	err := s.checkName(ctx, name)
	if err == nil {
		err = s.create(ctx, name, data, size, (*durable.File).Commit)
	}
	return s.wrap("create", name, err)
}

// Show creates a file like Create, but does not wait until its name is durable: after a crash of the machine the file may be gone, and is whole if it is
// not. It is for what others have to see now and what is of no use behind a crash.
func (s *Store) Show(ctx context.Context, name string, data io.Reader, size int64) error {
	err := s.checkName(ctx, name)
	if err == nil {
		err = s.create(ctx, name, data, size, (*durable.File).Show)
	}
	return s.wrap("create", name, err)
}

func (s *Store) create(ctx context.Context, name string, data io.Reader, size int64, end func(f *durable.File, name string) error) error {
	// The link at the end decides; asking first saves the writing.
	if _, err := s.dir.Root().Lstat(name); err == nil {
		return s.dir.Taken(name)
	}
	f, err := s.dir.NewFile()
	if err != nil {
		return err
	}
	buffer := s.buffers.Get().(*[copyBufferBytes]byte)
	_, err = io.CopyBuffer(f, store.ExactReader(ctx, data, size), buffer[:])
	s.buffers.Put(buffer)
	if err != nil {
		return errors.Join(err, f.Close())
	}
	return end(f, name)
}

// Spool implements store.Spooler.
func (s *Store) Spool(ctx context.Context) (io.WriteCloser, func(context.Context, string) error, error) {
	if err := ctx.Err(); err != nil {
		return nil, nil, s.wrap("spool", "", context.Cause(ctx))
	}
	f, err := s.dir.NewFile()
	if err != nil {
		return nil, nil, s.wrap("spool", "", err)
	}
	w := &spool{store: s, f: f}
	return w, w.commit, nil
}

// spool is a file being written; commit and Close end it.
type spool struct {
	store *Store
	f     *durable.File
}

func (w *spool) Write(p []byte) (int, error) {
	n, err := w.f.Write(p)
	return n, w.store.wrap("spool", "", err)
}

func (w *spool) commit(ctx context.Context, name string) error {
	err := w.store.checkName(ctx, name)
	if err == nil {
		err = w.f.Commit(name)
	} else {
		err = errors.Join(err, w.f.Close())
	}
	return w.store.wrap("create", name, err)
}

func (w *spool) Close() error {
	return w.store.wrap("spool", "", w.f.Close())
}

// Stat implements store.Store.
func (s *Store) Stat(ctx context.Context, name string) (size int64, modTime time.Time, err error) {
	err = s.checkName(ctx, name)
	var info fs.FileInfo
	if err == nil {
		info, err = s.dir.Root().Lstat(name)
	}
	if err == nil && !info.Mode().IsRegular() {
		err = fs.ErrNotExist
	}
	if err != nil {
		return 0, time.Time{}, s.wrap("stat", name, err)
	}
	return info.Size(), info.ModTime(), nil
}

// Remove implements store.Store. The removal is durable when it returns nil.
func (s *Store) Remove(ctx context.Context, name string) error {
	err := s.checkName(ctx, name)
	if err == nil {
		err = s.dir.Remove(name)
		s.handles.drop(name)
	}
	return s.wrap("remove", name, err)
}

// Drop removes a file like Remove, but does not wait until that is durable: after a crash of the machine the file may be
// there again. It is for files that are of no use and do no harm.
func (s *Store) Drop(ctx context.Context, name string) error {
	err := s.checkName(ctx, name)
	if err == nil {
		var info fs.FileInfo
		if info, err = s.dir.Root().Lstat(name); err == nil && !info.Mode().IsRegular() {
			err = fs.ErrNotExist
		}
	}
	if err == nil {
		err = s.dir.Root().Remove(name)
		s.handles.drop(name)
	}
	return s.wrap("remove", name, err)
}

// PutAside moves what keeps a file from being created under name, and is no file itself, to the name aside: a folder, a link, or what stands in
// the place of the folder that the file belongs in. The error is fs.ErrNotExist if nothing is in the way.
func (s *Store) PutAside(ctx context.Context, name, aside string) error {
	err := errors.Join(s.checkName(ctx, name), s.checkName(ctx, aside))
	if err == nil {
		err = s.dir.PutAside(name, aside)
		s.handles.drop(name)
	}
	return s.wrap("put aside", name, err)
}

// Blocked reports whether there is something for PutAside to move.
func (s *Store) Blocked(ctx context.Context, name string) (bool, error) {
	blocked, err := false, s.checkName(ctx, name)
	if err == nil {
		blocked, err = s.dir.Blocked(name)
	}
	return blocked, s.wrap("look at", name, err)
}

// CleanTemp removes temporary files, left by a crash, that were not written to
// for at least age by the clock of the file system. It returns how many.
func (s *Store) CleanTemp(ctx context.Context, age time.Duration) (removed int, err error) {
	removed, err = s.dir.CleanTemp(ctx, age)
	return removed, s.wrap("clean", durable.TempName, err)
}

// Close implements store.Store. It may be called again.
func (s *Store) Close() error {
	s.handles.close()
	return s.wrap("close", "", s.dir.Close())
}

func (s *Store) checkName(ctx context.Context, name string) error {
	return store.CheckFree(ctx, name, durable.TempName)
}

// wrap adds the operation and the file to an error.
func (s *Store) wrap(op, name string, err error) error {
	if err == nil || err == io.EOF {
		return err
	}
	if op != "create" && isNotFolder(err) {
		err = fs.ErrNotExist // a segment of the name is a file
	}
	return pathError(op, filepath.Join(s.path, filepath.FromSlash(name)), err)
}

// pathError takes the operation and path of a system call out of err, if that
// is all it has, and puts ours in their place.
func pathError(op, path string, err error) error {
	if inner, ok := err.(*fs.PathError); ok {
		err = inner.Err
	}
	return &fs.PathError{Op: op, Path: path, Err: err}
}
