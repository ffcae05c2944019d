package tree

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"sort"
	"strings"

	"github.com/snapkeep/snap/pack"
)

// Walk calls fn for each run of the tree below the directory dir, in path order: dir
// itself, then all directories in it. A long directory comes in several runs. The
// entries must not be changed. fn's error ends the walk and is returned.
func Walk(ctx context.Context, load LoadPage, root pack.ChunkID, dir string, fn func(run *Run, entries []Entry) error) error {
	c, err := NewCursor(ctx, load, root)
	if err != nil {
		return err
	}
	err = c.seek(ctx, dir)
	for ; err == nil; err = c.advance(ctx) {
		run := OldRun{c.page, c.run}
		if !IsWithin(run.Run().Path, dir) {
			return nil
		}
		entries, err := run.Entries()
		if err != nil {
			return err
		}
		if err := fn(run.Run(), entries); err != nil {
			return err
		}
	}
	if err == io.EOF {
		return nil
	}
	return err
}

// IsWithin reports whether path is dir or lies below it.
func IsWithin(path, dir string) bool {
	return dir == "" || path == dir || (strings.HasPrefix(path, dir) && path[len(dir)] == '/')
}

// ReadDir returns the entries of a directory. The error wraps fs.ErrNotExist if the
// tree does not have it.
func ReadDir(ctx context.Context, load LoadPage, root pack.ChunkID, dir string) ([]Entry, error) {
	entries, _, err := ReadListing(ctx, load, root, dir)
	return entries, err
}

// ReadListing is ReadDir that reports as well whether the directory could not be read when it was
// backed up, so that some of its entries may be missing.
func ReadListing(ctx context.Context, load LoadPage, root pack.ChunkID, dir string) (all []Entry, unreadable bool, err error) {
	c, err := NewCursor(ctx, load, root)
	if err != nil {
		return nil, false, err
	}
	runs, err := c.Dir(ctx, dir)
	if err != nil {
		return nil, false, err
	}
	if len(runs) == 0 {
		return nil, false, fmt.Errorf("directory %q: %w", dir, fs.ErrNotExist)
	}
	for _, r := range runs {
		entries, err := r.Entries()
		if err != nil {
			return nil, false, err
		}
		unreadable = unreadable || r.Run().Flags&RunUnreadable != 0
		if len(runs) == 1 {
			return entries, unreadable, nil
		}
		all = append(all, entries...)
	}
	return all, unreadable, nil
}

// Lookup returns the entry of path, which is not the top. The error wraps
// fs.ErrNotExist if the tree does not have it.
func Lookup(ctx context.Context, load LoadPage, root pack.ChunkID, path string) (*Entry, error) {
	if !ValidPath(path) || path == "" {
		return nil, fmt.Errorf("path %q: %w", path, fs.ErrInvalid)
	}
	dir, name := SplitPath(path)
	entries, err := ReadDir(ctx, load, root, dir)
	if err != nil {
		return nil, err
	}
	i := sort.Search(len(entries), func(i int) bool { return entries[i].Name >= name })
	if i == len(entries) || entries[i].Name != name {
		return nil, fmt.Errorf("path %q: %w", path, fs.ErrNotExist)
	}
	x := entries[i] // which outlives the others
	return &x, nil
}

// Parts returns the parts of a regular file, reading its list pages if it has some.
func Parts(ctx context.Context, load LoadPage, x *Entry) ([]Part, error) {
	if !x.Listed {
		return x.Parts, nil
	}
	var all []Part
	for _, l := range x.Parts {
		parts, err := LoadList(ctx, load, l)
		if err != nil {
			return nil, err
		}
		all = append(all, parts...)
	}
	return all, nil
}

// LoadList returns the parts that a list page holds.
func LoadList(ctx context.Context, load LoadPage, list Part) ([]Part, error) {
	page, err := load(ctx, pack.KindRefs, list.ID)
	if err != nil {
		return nil, err
	}
	return ParseList(page, list.Length)
}

// EachPage calls leaf for each leaf page of the tree with the id of the reference page
// beside it, zero for none. It goes below an inner page only if enter returns true
// for its id, so that what many trees share is visited once. It loads inner pages
// only.
func EachPage(ctx context.Context, load LoadPage, root pack.ChunkID, enter func(id pack.ChunkID) bool, leaf func(page, refs pack.ChunkID) error) error {
	if !enter(root) {
		return nil
	}
	data, err := load(ctx, pack.KindTree, root)
	if err != nil {
		return err
	}
	in, err := ParseInner(data)
	if err != nil {
		return fmt.Errorf("tree page %s: %w", root, err)
	}
	return eachChild(ctx, load, in, enter, leaf)
}

func eachChild(ctx context.Context, load LoadPage, in *Inner, enter func(id pack.ChunkID) bool, leaf func(page, refs pack.ChunkID) error) error {
	for i := range in.Children {
		c := &in.Children[i]
		if in.Level == 1 {
			if err := leaf(c.Page, c.Refs); err != nil {
				return err
			}
			continue
		}
		if !enter(c.Page) {
			continue
		}
		data, err := load(ctx, pack.KindTree, c.Page)
		if err != nil {
			return err
		}
		below, err := ParseInner(data)
		if err != nil {
			return fmt.Errorf("tree page %s: %w", c.Page, err)
		}
		if below.Level != in.Level-1 {
			return fmt.Errorf("%w: inner page of level %d below one of %d", ErrCorrupt, below.Level, in.Level)
		}
		if err := eachChild(ctx, load, below, enter, leaf); err != nil {
			return err
		}
	}
	return nil
}
