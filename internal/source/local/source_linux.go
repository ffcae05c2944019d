package local

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"github.com/snapkeep/snap/internal/filter"
	"github.com/snapkeep/snap/internal/inode"
	"github.com/snapkeep/snap/internal/nss"
	"github.com/snapkeep/snap/internal/source"
)

// Source reads local files. It may be used by several goroutines at once.
type Source struct {
	scout   atomic.Pointer[scout] // of Begin, until Root takes it
	o       Options
	markers []source.Marker
	roots   []string       // absolute, rising, none within another
	nested  []string       // roots within others
	top     *node          // what leads to the roots
	owners  *nss.Names     // of users and groups
	lists   []*filter.List // those of o.Exclude that are not empty
}

// node is a root, a folder above one, or both.
type node struct {
	root     bool
	children map[string]*node
}

// RootError says which root could not be opened. It satisfies errors.Is(err,
// source.ErrRootMissing) if it does not exist.
type RootError struct {
	Path string
	Err  error
}

func (e *RootError) Error() string { return fmt.Sprintf("root %q: %v", e.Path, e.Err) }

// Unwrap returns the reason, and source.ErrRootMissing if the root does not exist.
func (e *RootError) Unwrap() []error {
	if errors.Is(e.Err, fs.ErrNotExist) || errors.Is(e.Err, unix.ENOTDIR) {
		return []error{source.ErrRootMissing, e.Err}
	}
	return []error{e.Err}
}

// New returns a source that reads what o says. It looks at no file yet.
func New(o Options) (*Source, error) {
	roots, nested, err := cleanRoots(o.Roots)
	if err != nil {
		return nil, err
	}
	markers, err := source.Markers(o.ExcludeCaches, o.ExcludeIfPresent)
	if err != nil {
		return nil, err
	}
	if o.Ahead == 0 {
		o.Ahead = defaultAhead
	}
	s := &Source{o: o, markers: markers, roots: roots, nested: nested, top: &node{}, owners: nss.New()}
	for _, l := range o.Exclude {
		if !l.Empty() {
			s.lists = append(s.lists, l)
		}
	}
	for _, root := range slices.Concat(roots, nested) {
		if o.KeepRoots || !s.excluded(root) {
			s.top.add(root)
		}
	}
	if !s.top.root && s.top.children == nil {
		return nil, errors.New("nothing to back up: every root is excluded")
	}
	return s, nil
}

func (n *node) add(root string) {
	for name := range strings.SplitSeq(root, "/") {
		if name == "" {
			continue
		}
		if n.children == nil {
			n.children = map[string]*node{}
		}
		if n.children[name] == nil {
			n.children[name] = &node{}
		}
		n = n.children[name]
	}
	n.root = true
}

func (s *Source) excluded(root string) bool {
	for _, l := range s.lists {
		if matched, _ := l.MatchPath(root); matched {
			return true
		}
	}
	return false
}

// Roots returns the absolute paths of the roots, rising, none within another.
func (s *Source) Roots() []string { return append([]string(nil), s.roots...) }

// walk is one reading of the source.
type walk struct {
	*Source
	devices map[uint64]bool // file systems to stay on; nil for all
	ahead   int             // folders that are listed ahead
	begun   atomic.Int32    // those that are open so, and not taken
	scout   *scout          // what it has found serves this walk; nil for none
}

// Root opens "/". It looks at all roots first and fails with a RootError for each
// that cannot be looked at, joined.
func (s *Source) Root(ctx context.Context) (source.Dir, error) {
	w := &walk{Source: s, ahead: s.o.Ahead, scout: s.scout.Swap(nil)}
	if w.scout != nil {
		w.scout.cancel()
		<-w.scout.ended
	}
	return s.open(ctx, w)
}

// Check looks at all roots, without reading them. It fails as Root does.
func (s *Source) Check(ctx context.Context) error {
	return s.look(ctx, func(*unix.Stat_t) {})
}

// look passes on what each root looks like, and fails with a RootError for each that cannot be looked at, joined.
func (s *Source) look(ctx context.Context, found func(*unix.Stat_t)) error {
	var errs []error
	for _, list := range [][]string{s.roots, s.nested} {
		for _, root := range list {
			if err := ctx.Err(); err != nil {
				return err
			}
			var st unix.Stat_t
			err := s.confines(root)
			if err == nil {
				err = unix.Lstat(root, &st)
			}
			if err != nil {
				errs = append(errs, &RootError{Path: root, Err: err})
			} else {
				found(&st)
			}
		}
	}
	return errors.Join(errs...)
}

// open opens "/" for a walk.
func (s *Source) open(ctx context.Context, w *walk) (source.Dir, error) {
	if s.o.OneFileSystem {
		w.devices = map[uint64]bool{}
	}
	err := s.look(ctx, func(st *unix.Stat_t) {
		if w.devices != nil {
			w.devices[st.Dev] = true
		}
	})
	if err != nil {
		return nil, err
	}
	states := make([]filter.State, len(s.lists))
	for i, l := range s.lists {
		states[i] = l.Top()
	}
	if !s.top.root {
		j := &joint{node: s.top}
		j.w, j.path, j.states = w, "/", states
		return openJoint(unix.AT_FDCWD, "/", j)
	}
	fd, err := inode.OpenQuiet(unix.AT_FDCWD, "/", unix.O_DIRECTORY)
	if err != nil {
		return nil, &RootError{Path: "/", Err: err}
	}
	return w.dir(fd, "/", states).hold(s.top), nil
}

// follows reports whether a link at path, on the way to a root, may be followed.
func (s *Source) follows(path string) bool {
	return !slices.ContainsFunc(s.o.Confined, func(c string) bool {
		return c != "/" && (path == c || strings.HasPrefix(path, c+"/"))
	})
}

// confines returns an error if a link that may not be followed leads to root.
func (s *Source) confines(root string) error {
	for path := root; ; {
		path = path[:max(strings.LastIndexByte(path, '/'), 0)]
		if path == "" || s.follows(path) {
			return nil
		}
		var st unix.Stat_t
		if err := unix.Lstat(path, &st); err != nil {
			return err
		}
		if st.Mode&unix.S_IFMT != unix.S_IFDIR {
			return fmt.Errorf("%q: %w", path, unix.ENOTDIR)
		}
	}
}

// readsDevice reports whether a root is read if it is a block device.
func (s *Source) readsDevice(root string) bool {
	return s.o.ReadSpecial && (s.o.Devices == nil || slices.Contains(s.o.Devices, root))
}

// enter returns the path and the states of the folder name in d.
func (d *dir) enter(name string) (string, []filter.State) {
	var states []filter.State
	if len(d.states) > 0 {
		states = make([]filter.State, len(d.states))
		for i, l := range d.w.lists {
			states[i] = l.Enter(d.states[i], name)
		}
	}
	return joinPath(d.path, name), states
}
