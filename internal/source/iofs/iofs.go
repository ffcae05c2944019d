package iofs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/snapkeep/snap/internal/source"
	"github.com/snapkeep/snap/internal/tree"
)

// New returns a source that reads all of fsys.
func New(fsys fs.FS) source.Source { return fsSource{fsys} }

type fsSource struct{ fsys fs.FS }

// Root opens the top of the file system.
func (s fsSource) Root(context.Context) (source.Dir, error) {
	if s.fsys == nil {
		return nil, fmt.Errorf("no file system: %w", fs.ErrInvalid)
	}
	info, err := fs.Stat(s.fsys, ".")
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("%w: %w", source.ErrRootMissing, err)
	case err != nil:
		return nil, err
	case !info.IsDir():
		return nil, fmt.Errorf("%w: the top is no folder", source.ErrRootMissing)
	}
	return dir{s.fsys, ".", tree.TimeOf(time.Now())}, nil
}

// dir is a folder by its path.
type dir struct {
	fsys   fs.FS
	path   string
	opened tree.Time // the source
}

// List reads the folder.
func (d dir) List(ctx context.Context) ([]tree.Stat, []source.Problem, error) {
	entries, err := fs.ReadDir(d.fsys, d.path)
	slices.SortFunc(entries, func(a, b fs.DirEntry) int { return strings.Compare(a.Name(), b.Name()) })
	var (
		stats    []tree.Stat
		problems []source.Problem
	)
	for _, e := range entries {
		if ctx.Err() != nil {
			return nil, nil, ctx.Err()
		}
		info, err := e.Info()
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err == nil {
			st, kindErr := d.stat(e.Name(), info)
			if kindErr == nil && st.Kind == tree.Symlink && !d.hasLinks() {
				kindErr = errNoLinks
			}
			if kindErr == nil {
				stats = append(stats, st)
				continue
			}
			err = kindErr
		}
		problems = append(problems, source.Problem{Stat: tree.Stat{Name: e.Name()}, Err: err})
	}
	return stats, problems, err
}

// errCount says that a file breaks the rules of io.Reader.
var errCount = errors.New("reading gave an impossible count of bytes")

var errNoLinks = errors.New("target of link cannot be read in this file system")

func (d dir) hasLinks() bool {
	_, ok := d.fsys.(fs.ReadLinkFS)
	return ok
}

// kinds of files by the type bits of fs.FileMode.
var kinds = map[fs.FileMode]tree.Kind{
	0:                                 tree.Regular,
	fs.ModeDir:                        tree.Directory,
	fs.ModeSymlink:                    tree.Symlink,
	fs.ModeNamedPipe:                  tree.Fifo,
	fs.ModeSocket:                     tree.Socket,
	fs.ModeDevice:                     tree.BlockDevice,
	fs.ModeDevice | fs.ModeCharDevice: tree.CharDevice,
}

// unknownSize is that of a file which has to be read to its end: one whose file system tells less than nothing.
const unknownSize = -1

// stat returns what info tells. Files belong to whoever backs them up.
func (d dir) stat(name string, info fs.FileInfo) (tree.Stat, error) {
	mode := info.Mode()
	kind, ok := kinds[mode.Type()]
	if !ok {
		return tree.Stat{}, fmt.Errorf("unknown kind of file: %v", mode.Type())
	}
	st := tree.Stat{Name: name, Kind: kind, Mode: uint16(mode.Perm()), Links: 1,
		UID: uint32(os.Geteuid()), GID: uint32(os.Getegid())}
	for bit, unix := range map[fs.FileMode]uint16{fs.ModeSetuid: 0o4000, fs.ModeSetgid: 0o2000, fs.ModeSticky: 0o1000} {
		if mode&bit != 0 {
			st.Mode |= unix
		}
	}
	if kind == tree.Regular {
		st.Size = max(info.Size(), unknownSize)
	}
	if info.ModTime().IsZero() {
		// Without a time nothing tells whether it changed since an earlier backup.
		st.ChangeTime = d.opened
	} else {
		st.ModTime = tree.TimeOf(info.ModTime())
		st.ChangeTime = st.ModTime
	}
	return st, nil
}

// OpenDir opens a folder.
func (d dir) OpenDir(_ context.Context, st *tree.Stat) (source.Dir, error) {
	sub := dir{d.fsys, path.Join(d.path, st.Name), d.opened}
	info, err := d.lstat(st.Name)
	if err != nil {
		return nil, err
	}
	if !info.IsDir() {
		return nil, fmt.Errorf("%q: %w", sub.path, source.ErrReplaced)
	}
	return sub, nil
}

// lstat looks at an entry, without following a link if the file system can do so.
func (d dir) lstat(name string) (fs.FileInfo, error) {
	p := path.Join(d.path, name)
	if links, ok := d.fsys.(fs.ReadLinkFS); ok {
		return links.Lstat(p)
	}
	return fs.Stat(d.fsys, p)
}

// Open opens a regular file.
func (d dir) Open(_ context.Context, st *tree.Stat) (source.File, error) {
	info, err := d.lstat(st.Name)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%q: %w", path.Join(d.path, st.Name), source.ErrReplaced)
	}
	f, err := d.fsys.Open(path.Join(d.path, st.Name))
	if err != nil {
		return nil, err
	}
	if info, err = f.Stat(); err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%q: %w", path.Join(d.path, st.Name), source.ErrReplaced)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	size := max(info.Size(), unknownSize)
	return &file{File: f, dir: d, name: st.Name, left: size, size: size}, nil
}

// Describe reads the target of a link; there is nothing else.
func (d dir) Describe(_ context.Context, st *tree.Stat, e *tree.Entry, _ source.File) error {
	if st.Kind != tree.Symlink {
		return nil
	}
	links, ok := d.fsys.(fs.ReadLinkFS)
	if !ok {
		return errNoLinks
	}
	var err error
	e.Target, err = links.ReadLink(path.Join(d.path, st.Name))
	return err
}

// Close does nothing: a folder is a path.
func (dir) Close() error { return nil }

// file is an open regular file, one region of data.
type file struct {
	fs.File
	dir        dir
	name       string
	size, left int64
	begun      bool
}

// Next returns the only region.
func (f *file) Next() (source.Region, error) {
	if f.begun || f.size == 0 {
		f.left = 0
		return source.Region{}, io.EOF
	}
	f.begun = true
	return source.Region{Length: f.size}, nil
}

// Read reads as much as the file had when it was opened.
func (f *file) Read(p []byte) (int, error) {
	if !f.begun || f.left == 0 {
		return 0, io.EOF
	}
	if f.size != unknownSize {
		p = p[:min(int64(len(p)), f.left)]
	}
	n, err := f.File.Read(p)
	if n < 0 || n > len(p) {
		return 0, errCount
	}
	if f.size != unknownSize {
		f.left -= int64(n)
	}
	return n, err
}

// Stat looks at the open file.
func (f *file) Stat() (tree.Stat, error) {
	info, err := f.File.Stat()
	if err != nil {
		return tree.Stat{Name: f.name}, err
	}
	return f.dir.stat(f.name, info)
}
