package verifier

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"time"
)

// Extract writes the files, directories and links of a snapshot, an id or the unambiguous beginning of one, to the folder dir,
// which must be empty or missing. It keeps content, holes, permission bits, modification times and
// hard links; owners, attributes and other kinds of files are left out.
//
// Nothing is written outside dir or through a link: all paths are taken relative to an open folder, nothing
// is replaced, and links are made last. What is damaged is reported and
// left out; the error joins what could not be written.
func (r *Repository) Extract(dir, id string) error {
	s, err := r.find(id)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	if err := checkEmpty(root); err != nil {
		return fmt.Errorf("%s: %w", dir, err)
	}
	x := &extraction{r: r, root: root, snapshot: s, first: map[[2]uint64]string{}}
	r.walk(s.root, x.run, func(err error) { r.damage("snapshot "+s.id+": "+err.Error(), err) })
	x.finish()
	return errors.Join(x.errs...)
}

func (r *Repository) find(id string) (*snapshot, error) {
	var found *snapshot
	for _, s := range r.snapshots() {
		if !strings.HasPrefix(s.id, id) || len(id) < 4 {
			continue
		}
		if found != nil {
			return nil, fmt.Errorf("snapshot %q: several begin so", id)
		}
		found = s
	}
	if found == nil {
		return nil, fmt.Errorf("snapshot %q: %w", id, fs.ErrNotExist)
	}
	return found, nil
}

func checkEmpty(root *os.Root) error {
	f, err := root.Open(".")
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := f.Readdirnames(1); err != io.EOF {
		return errors.New("the folder is not empty")
	}
	return nil
}

// extraction is the state of Extract.
type extraction struct {
	r        *Repository
	root     *os.Root
	snapshot *snapshot
	first    map[[2]uint64]string // path of the first file of each hard-link group
	dirs     []placed
	links    []placed
	errs     []error
}

// placed is an entry with its path.
type placed struct {
	path  string
	entry entry
}

func (x *extraction) fail(path string, err error) {
	if err != nil {
		x.errs = append(x.errs, fmt.Errorf("%q: %w", path, err))
	}
}

func (x *extraction) run(dir string, entries []entry) {
	if dir != "" { // is there unless what lists it is damaged
		x.fail(dir, x.root.MkdirAll(dir, 0o700))
	}
	for i := range entries {
		e := &entries[i]
		path := join(dir, e.name)
		switch e.kind {
		case kindDir:
			x.fail(path, x.root.Mkdir(path, 0o700))
			x.dirs = append(x.dirs, placed{path, *e})
		case kindSymlink:
			x.links = append(x.links, placed{path, *e})
		case kindFile:
			x.fail(path, x.file(path, e))
		}
	}
}

// file writes a file, or links it to the one of its group that was written before.
func (x *extraction) file(path string, e *entry) error {
	if e.marks&unreadable != 0 && len(e.parts) == 0 {
		return nil // it was never read
	}
	group := [2]uint64{e.device, e.inode}
	if first := x.first[group]; e.links > 1 && first != "" {
		return x.root.Link(first, path)
	}
	f, err := x.root.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	err = x.fill(f, e)
	if err == nil {
		err = f.Chmod(fs.FileMode(e.owner.mode & 0o777))
	}
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if errors.Is(err, ErrDamaged) {
		x.r.damage(fmt.Sprintf("snapshot %s: %q", x.snapshot.id, path), err)
		return x.root.Remove(path)
	}
	if err != nil {
		return err
	}
	x.first[group] = path
	return x.root.Chtimes(path, time.Time{}, e.mtime.time())
}

func (t stamp) time() time.Time { return time.Unix(t.sec, int64(t.nsec)) }

func (x *extraction) fill(f *os.File, e *entry) error {
	err := x.r.eachPart(e, func(chunk []byte, hole int64) error {
		if hole > 0 {
			_, err := f.Seek(hole, io.SeekCurrent)
			return err
		}
		_, err := f.Write(chunk)
		return err
	})
	if err != nil {
		return err
	}
	return f.Truncate(e.size)
}

// finish makes links, then sets what writing in a directory would change, the deepest first.
func (x *extraction) finish() {
	for _, l := range x.links {
		x.fail(l.path, x.root.Symlink(l.entry.target, l.path))
	}
	for i := len(x.dirs) - 1; i >= 0; i-- {
		d := &x.dirs[i]
		x.fail(d.path, x.root.Chmod(d.path, fs.FileMode(d.entry.owner.mode&0o777)))
		x.fail(d.path, x.root.Chtimes(d.path, time.Time{}, d.entry.mtime.time()))
	}
}
