package check

import (
	"encoding/binary"
	"fmt"
	"strings"

	"github.com/snapkeep/snap/internal/tree"
	"github.com/zeebo/blake3"
)

// shape is what a part of a tree, which is a page or consecutive pages, shows to what is beside and above it
// (docs/format.md sections 8.1 to 8.4). What stands for its directories is of a fixed size, so that the
// shape of a page can be kept.
type shape struct {
	first, last place
	begins      bool // the first run begins its directory

	runs, entries, files, size int64

	dirs pathSum // of the directories that entries name, less those that begin here but for the top
}

// place is where a page begins or ends: a run, and the name of its first or last entry.
type place struct {
	path, name string
	open       bool // the directory goes on beyond it
}

// shapeOf returns the shape of a leaf page.
func shapeOf(runs []tree.Run, entries [][]tree.Entry) *shape {
	s := &shape{runs: int64(len(runs))}
	for i := range runs {
		r := &runs[i]
		s.entries += int64(len(entries[i]))
		s.files += int64(r.Files)
		s.size += r.Size
		if r.Flags&tree.RunContinued == 0 && r.Path != "" {
			s.dirs.take(r.Path)
		}
		for k := range entries[i] {
			if entries[i][k].Kind != tree.Directory {
				continue
			}
			if path := tree.Join(r.Path, entries[i][k].Name); len(path) <= tree.MaxPath {
				s.dirs.put(path)
			}
		}
	}
	r, in := &runs[0], entries[0]
	s.begins = r.Flags&tree.RunContinued == 0
	s.first = place{path: r.Path, open: !s.begins}
	if len(in) > 0 {
		s.first.name = strings.Clone(in[0].Name) // it is kept longer than the page
	}
	r, in = &runs[len(runs)-1], entries[len(runs)-1]
	s.last = place{path: r.Path, open: r.Flags&tree.RunContinues != 0}
	if len(in) > 0 {
		s.last.name = strings.Clone(in[len(in)-1].Name)
	}
	return s
}

// is returns an error unless the part is what an inner page says of it.
func (s *shape) is(c *tree.Child) error {
	name := s.first.name
	if s.begins {
		name = ""
	}
	if s.first.path != c.Path || name != c.Name {
		return fmt.Errorf("%w: page %s begins at %q, want %q", tree.ErrCorrupt, c.Page, tree.Join(s.first.path, name), tree.Join(c.Path, c.Name))
	}
	if s.runs != c.Runs || s.entries != c.Entries || s.files != c.Files || s.size != c.Size {
		return fmt.Errorf("%w: page %s does not have what its inner page counts", tree.ErrCorrupt, c.Page)
	}
	return nil
}

// add joins the part that follows to s, or returns an error if it does not fit there.
func (s *shape) add(next *shape) error {
	a, b := &s.last, &next.first
	order := tree.ComparePaths(a.path, b.path)
	switch {
	case a.open != b.open, a.open && order != 0, !a.open && order >= 0:
		return fmt.Errorf("%w: directory %q behind %q", tree.ErrCorrupt, b.path, a.path)
	case a.open && a.name != "" && b.name != "" && a.name >= b.name:
		return fmt.Errorf("%w: %q behind %q in directory %q", tree.ErrCorrupt, b.name, a.name, a.path)
	}
	last := next.last
	if a.open && last.path == a.path && last.name == "" {
		last.name = a.name // what follows is a run without entries
	}
	s.last = last
	s.runs, s.entries, s.files, s.size = s.runs+next.runs, s.entries+next.entries, s.files+next.files, s.size+next.size
	s.dirs.add(next.dirs)
	return nil
}

// whole returns an error unless the part is a whole tree.
func (s *shape) whole() error {
	switch {
	case s.first.path != "" || !s.begins:
		return fmt.Errorf("%w: the tree begins with directory %q", tree.ErrCorrupt, s.first.path)
	case s.last.open:
		return fmt.Errorf("%w: directory %q has no end", tree.ErrCorrupt, s.last.path)
	case s.dirs != pathSum{}:
		return fmt.Errorf("%w: the directories of the tree are not those that its entries name", tree.ErrCorrupt)
	}
	return nil
}

// pathSum stands for a set of paths less another one: the sum of their hashes, modulo 2^64 in each half. It is zero if
// the sets are the same.
type pathSum [2]uint64

func (p *pathSum) put(path string) { p.add(sumOf(path)) }

func (p *pathSum) take(path string) {
	h := sumOf(path)
	p.add(pathSum{-h[0], -h[1]})
}

func (p *pathSum) add(q pathSum) { p[0], p[1] = p[0]+q[0], p[1]+q[1] }

func sumOf(path string) pathSum {
	h := blake3.Sum256([]byte(path))
	return pathSum{binary.LittleEndian.Uint64(h[:8]), binary.LittleEndian.Uint64(h[8:16])}
}
