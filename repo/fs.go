package repo

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"slices"
	"sort"
	"strings"
	"sync"
	"time"

	"github.com/snapkeep/snap/internal/tree"
)

// FS returns the files of a snapshot as a file system, which also implements [fs.ReadDirFS],
// [fs.StatFS] and [fs.ReadLinkFS]. Its files implement io.ReaderAt and io.Seeker; the Sys of a
// fs.FileInfo is an *[Entry]. Names may be any bytes, not only UTF-8. Open, Stat and ReadDir follow links; the
// target of a link that begins with a slash is taken from the top of the snapshot. ctx
// ends all its calls.
func (r *Repo) FS(ctx context.Context, s *Snapshot) fs.FS {
	return &snapshotFS{ctx: ctx, repo: r, snapshot: s, dirs: map[string][]Entry{}}
}

// maxCachedEntries bounds the entries of directories that a snapshotFS keeps; each takes about 300 bytes.
const maxCachedEntries = 16_384

type snapshotFS struct {
	ctx      context.Context
	repo     *Repo
	snapshot *Snapshot

	mu     sync.Mutex // guards what follows
	dirs   map[string][]Entry
	recent []string // keys of dirs, the last one used at the end
	cached int      // entries in dirs
}

var _ interface {
	fs.ReadDirFS
	fs.StatFS
	fs.ReadLinkFS
} = (*snapshotFS)(nil)

// Open implements fs.FS.
func (f *snapshotFS) Open(name string) (fs.File, error) {
	path, x, err := f.resolve(name, true)
	if err != nil {
		return nil, pathError("open", name, err)
	}
	info := fileInfo{x}
	switch x.Kind {
	case tree.Directory:
		entries, err := f.readDir(path)
		if err != nil {
			return nil, pathError("open", name, err)
		}
		return &openDir{fileInfo: info, name: name, entries: entries}, nil
	case tree.Regular:
		r, err := f.repo.OpenEntry(f.ctx, x)
		if err != nil {
			return nil, pathError("open", name, err)
		}
		return &openFile{r, info}, nil
	}
	return &openSpecial{info, name}, nil
}

// ReadDir implements fs.ReadDirFS.
func (f *snapshotFS) ReadDir(name string) ([]fs.DirEntry, error) {
	path, x, err := f.resolve(name, true)
	if err == nil && x.Kind != tree.Directory {
		err = errNoDirectory
	}
	var entries []Entry
	if err == nil {
		entries, err = f.readDir(path)
	}
	if err != nil {
		return nil, pathError("readdir", name, err)
	}
	return dirEntries(entries), nil
}

// Stat implements fs.StatFS.
func (f *snapshotFS) Stat(name string) (fs.FileInfo, error) { return f.stat("stat", name, true) }

// Lstat implements fs.ReadLinkFS.
func (f *snapshotFS) Lstat(name string) (fs.FileInfo, error) { return f.stat("lstat", name, false) }

func (f *snapshotFS) stat(op, name string, follow bool) (fs.FileInfo, error) {
	_, x, err := f.resolve(name, follow)
	if err != nil {
		return nil, pathError(op, name, err)
	}
	return fileInfo{x}, nil
}

// ReadLink implements fs.ReadLinkFS.
func (f *snapshotFS) ReadLink(name string) (string, error) {
	_, x, err := f.resolve(name, false)
	if err == nil && x.Kind != tree.Symlink {
		err = fs.ErrInvalid
	}
	if err != nil {
		return "", pathError("readlink", name, err)
	}
	return x.Target, nil
}

func pathError(op, name string, err error) error {
	return &fs.PathError{Op: op, Path: name, Err: tell(err)}
}

// maxLinks is how many links may be followed on the way to a file.
const maxLinks = 40

var (
	errManyLinks   = errors.New("too many levels of symbolic links")
	errNoDirectory = errors.New("not a directory")
)

// resolve returns the path in the tree and the entry of name. Links on the way are followed, one at
// the end if follow is set.
func (f *snapshotFS) resolve(name string, follow bool) (string, *Entry, error) {
	switch {
	case name == ".":
		name = ""
	case name == "" || !tree.ValidPath(name):
		return "", nil, fs.ErrInvalid
	}
	if f.snapshot == nil {
		return "", nil, ErrNoSnapshot
	}
	path, x, links := "", topEntry(f.snapshot), 0
	rest := splitNames(name)
	for len(rest) > 0 {
		next := rest[0]
		rest = rest[1:]
		if next == ".." {
			path, _ = tree.SplitPath(path)
			var err error
			if x, err = f.entry(path); err != nil {
				return "", nil, err
			}
			continue
		}
		if x.Kind != tree.Directory {
			return "", nil, fs.ErrNotExist
		}
		below, err := f.entry(tree.Join(path, next))
		if err != nil {
			return "", nil, err
		}
		if below.Kind != tree.Symlink || (len(rest) == 0 && !follow) {
			path, x = tree.Join(path, next), below
			continue
		}
		if links++; links > maxLinks {
			return "", nil, errManyLinks
		}
		if strings.HasPrefix(below.Target, "/") {
			path, x = "", topEntry(f.snapshot)
		}
		rest = append(splitNames(below.Target), rest...)
	}
	return path, x, nil
}

// splitNames returns the names of a path or a link's target, without those that change nothing.
func splitNames(path string) []string {
	names := strings.Split(path, "/")
	return slices.DeleteFunc(names, func(n string) bool { return n == "" || n == "." })
}

// entry returns the entry of a path that leads through directories only.
func (f *snapshotFS) entry(path string) (*Entry, error) {
	if path == "" {
		return topEntry(f.snapshot), nil
	}
	dir, name := tree.SplitPath(path)
	entries, err := f.readDir(dir)
	if err != nil {
		return nil, err
	}
	i := sort.Search(len(entries), func(i int) bool { return entries[i].Name >= name })
	if i == len(entries) || entries[i].Name != name {
		return nil, fs.ErrNotExist
	}
	return &entries[i], nil
}

// readDir returns the entries of a directory, from the cache if it can.
func (f *snapshotFS) readDir(dir string) ([]Entry, error) {
	f.mu.Lock()
	entries, ok := f.dirs[dir]
	if ok {
		f.use(dir)
	}
	f.mu.Unlock()
	if ok {
		return entries, f.ctx.Err()
	}
	entries, err := f.repo.ReadDir(f.ctx, f.snapshot, dir)
	if err != nil {
		return nil, err
	}
	entries = detach(entries)
	f.remember(dir, entries)
	return entries, nil
}

// detach copies what entries share with all others of their pages, so that those are not kept
// with them.
func detach(entries []Entry) []Entry {
	entries = slices.Clone(entries)
	for i := range entries {
		x := &entries[i]
		x.Name, x.Parts = strings.Clone(x.Name), slices.Clone(x.Parts)
	}
	return entries
}

// use marks dir, which is in the cache, as used last. The lock is held.
func (f *snapshotFS) use(dir string) {
	i := slices.Index(f.recent, dir)
	f.recent = append(slices.Delete(f.recent, i, i+1), dir)
}

func (f *snapshotFS) remember(dir string, entries []Entry) {
	const perDir = 16 // what a directory takes beside its entries, in entries
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, ok := f.dirs[dir]; ok {
		return
	}
	f.dirs[dir] = entries
	f.recent = append(f.recent, dir)
	f.cached += len(entries) + perDir
	for f.cached > maxCachedEntries && len(f.recent) > 1 {
		oldest := f.recent[0]
		f.cached -= len(f.dirs[oldest]) + perDir
		delete(f.dirs, oldest)
		f.recent = f.recent[1:]
	}
}

// fileInfo is an entry as fs.FileInfo and fs.DirEntry.
type fileInfo struct{ entry *Entry }

func (i fileInfo) Name() string {
	if i.entry.Name == "" {
		return "."
	}
	return i.entry.Name
}

func (i fileInfo) Size() int64 {
	switch i.entry.Kind {
	case tree.Regular:
		return i.entry.Size
	case tree.Symlink:
		return int64(len(i.entry.Target))
	}
	return 0
}

func (i fileInfo) Mode() fs.FileMode          { return FileMode(i.entry) }
func (i fileInfo) Type() fs.FileMode          { return i.Mode().Type() }
func (i fileInfo) ModTime() time.Time         { return i.entry.ModTime.Std() }
func (i fileInfo) IsDir() bool                { return i.entry.Kind == tree.Directory }
func (i fileInfo) Sys() any                   { return i.entry }
func (i fileInfo) Info() (fs.FileInfo, error) { return i, nil }
func (i fileInfo) Stat() (fs.FileInfo, error) { return i, nil }
func (i fileInfo) String() string             { return fs.FormatFileInfo(i) }

// FileMode returns the kind and the mode of an entry as the standard library has them.
func FileMode(x *Entry) fs.FileMode {
	mode := fs.FileMode(x.Mode & 0o777)
	for _, b := range [...]struct {
		bit  uint16
		mode fs.FileMode
	}{{0o4000, fs.ModeSetuid}, {0o2000, fs.ModeSetgid}, {0o1000, fs.ModeSticky}} {
		if x.Mode&b.bit != 0 {
			mode |= b.mode
		}
	}
	switch x.Kind {
	case tree.Regular:
		return mode
	case tree.Directory:
		return mode | fs.ModeDir
	case tree.Symlink:
		return mode | fs.ModeSymlink
	case tree.Fifo:
		return mode | fs.ModeNamedPipe
	case tree.Socket:
		return mode | fs.ModeSocket
	case tree.CharDevice:
		return mode | fs.ModeDevice | fs.ModeCharDevice
	case tree.BlockDevice:
		return mode | fs.ModeDevice
	}
	return mode | fs.ModeIrregular
}

func dirEntries(entries []Entry) []fs.DirEntry {
	list := make([]fs.DirEntry, len(entries))
	for i := range entries {
		list[i] = fileInfo{&entries[i]}
	}
	return list
}

// openFile is an open regular file.
type openFile struct {
	*FileReader
	info fileInfo
}

func (f *openFile) Stat() (fs.FileInfo, error) { return f.info, nil }
func (f *openFile) Close() error               { return nil }

// openDir is an open directory.
type openDir struct {
	fileInfo
	name    string
	entries []Entry // not read yet
}

func (d *openDir) Read([]byte) (int, error) {
	return 0, pathError("read", d.name, errors.New("is a directory"))
}

func (d *openDir) Close() error { return nil }

// ReadDir implements fs.ReadDirFile.
func (d *openDir) ReadDir(n int) ([]fs.DirEntry, error) {
	if n > 0 && len(d.entries) == 0 {
		return nil, io.EOF
	}
	if n <= 0 || n > len(d.entries) {
		n = len(d.entries)
	}
	list := dirEntries(d.entries[:n])
	d.entries = d.entries[n:]
	return list, nil
}

// openSpecial is an open device, FIFO or socket, which has no content.
type openSpecial struct {
	fileInfo
	name string
}

func (f *openSpecial) Read([]byte) (int, error) {
	return 0, pathError("read", f.name, fs.ErrInvalid)
}

func (f *openSpecial) Close() error { return nil }
