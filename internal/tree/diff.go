package tree

import (
	"context"
	"io"

	"github.com/snapkeep/snap/pack"
)

// EntryPair is an entry of one tree and the entry of the same path in another; one of
// them may be nil.
type EntryPair struct {
	Dir  string
	A, B *Entry
}

// Compare calls fn for each path below dir of which the entries in the trees a and b may
// differ, in path order within a directory. Pages that both trees share are not loaded, so the
// cost goes with what changed. Entries that are equal may be given to fn as well, when
// they stand in pages that differ. fn's error ends it and is returned.
func Compare(ctx context.Context, load LoadPage, a, b pack.ChunkID, dir string, fn func(EntryPair) error) error {
	if a == b {
		return nil
	}
	x, err := newSide(ctx, load, a, dir)
	if err != nil {
		return err
	}
	y, err := newSide(ctx, load, b, dir)
	if err != nil {
		return err
	}
	for !x.done || !y.done {
		if x.skipShared(y) {
			if err := skipBoth(ctx, x, y); err != nil {
				return err
			}
			continue
		}
		if err := x.fill(ctx); err != nil {
			return err
		}
		if err := y.fill(ctx); err != nil {
			return err
		}
		if err := compareNext(ctx, x, y, fn); err != nil {
			return err
		}
	}
	return nil
}

// side is one of the trees that Compare walks: leaf pages in order, the current one
// perhaps not loaded so far.
type side struct {
	cursor *Cursor
	dir    string // walked below it
	child  *Child // current page
	page   *OldPage
	all    [][]Entry
	run    int
	entry  int
	done   bool
}

func newSide(ctx context.Context, load LoadPage, root pack.ChunkID, dir string) (*side, error) {
	c, err := NewCursor(ctx, load, root)
	if err != nil {
		return nil, err
	}
	s := &side{cursor: c, dir: dir}
	if err := s.nextPage(ctx); err != nil || dir == "" {
		return s, err
	}
	for !s.done {
		if err := s.fill(ctx); err != nil {
			return nil, err
		}
		if s.done || ComparePaths(s.page.leaf.Runs[s.run].Path, dir) >= 0 {
			break
		}
		if err := s.nextRun(ctx); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// nextPage goes on to the next leaf page without loading it.
func (s *side) nextPage(ctx context.Context) error {
	child, err := s.cursor.nextChild(ctx)
	if err == io.EOF {
		s.done = true
		return nil
	}
	s.child, s.page, s.run, s.entry = child, nil, 0, 0
	return err
}

// atStart reports whether nothing of the current page has been looked at.
func (s *side) atStart() bool { return !s.done && s.run == 0 && s.entry == 0 }

// skipShared reports whether both sides stand at the start of the same page.
func (s *side) skipShared(o *side) bool {
	return s.atStart() && o.atStart() && s.child.Page == o.child.Page && s.child.Refs == o.child.Refs
}

func skipBoth(ctx context.Context, x, y *side) error {
	if err := x.nextPage(ctx); err != nil {
		return err
	}
	return y.nextPage(ctx)
}

// fill loads the current page and goes to an entry, over runs without one.
func (s *side) fill(ctx context.Context) error {
	for !s.done {
		if s.page == nil {
			page, err := s.cursor.open(ctx, s.child)
			if err != nil {
				return err
			}
			if s.all, err = page.Entries(); err != nil {
				return err
			}
			s.page = page
		}
		if s.entry < len(s.all[s.run]) {
			if path := s.path(); s.dir != "" && !IsWithin(path, s.dir) && ComparePaths(path, s.dir) > 0 {
				s.done = true
			}
			return nil
		}
		if err := s.nextRun(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (s *side) nextRun(ctx context.Context) error {
	s.run, s.entry = s.run+1, 0
	if s.run < len(s.all) {
		return nil
	}
	return s.nextPage(ctx)
}

func (s *side) path() string    { return s.page.leaf.Runs[s.run].Path }
func (s *side) current() *Entry { return &s.all[s.run][s.entry] }

func compareNext(ctx context.Context, x, y *side, fn func(EntryPair) error) error {
	o := 0
	switch {
	case x.done && y.done:
		return nil
	case x.done:
		o = 1
	case y.done:
		o = -1
	default:
		if o = ComparePaths(x.path(), y.path()); o == 0 {
			if a, b := x.current().Name, y.current().Name; a < b {
				o = -1
			} else if a > b {
				o = 1
			}
		}
	}
	pair := EntryPair{}
	if o <= 0 {
		pair.Dir, pair.A = x.path(), x.current()
		x.entry++
	}
	if o >= 0 {
		pair.Dir, pair.B = y.path(), y.current()
		y.entry++
	}
	if err := fn(pair); err != nil {
		return err
	}
	if err := x.settle(ctx); err != nil {
		return err
	}
	return y.settle(ctx)
}

// settle moves over the end of a page, so that the next one can be skipped unread.
func (s *side) settle(ctx context.Context) error {
	for !s.done && s.page != nil && s.entry >= len(s.all[s.run]) {
		if err := s.nextRun(ctx); err != nil {
			return err
		}
	}
	return nil
}
