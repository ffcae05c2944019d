package local

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/snapkeep/snap/internal/filter"
	"github.com/snapkeep/snap/internal/tree"
)

// Options say what is read. Only Roots is required.
type Options struct {
	// Roots are the files and folders to back up, at least one. A relative path
	// is taken from the current folder when New is called. Links among the folders that
	// lead to a root are followed, so that one of them is backed up as a folder, also within
	// another root; a root that is a link itself is backed up as a link.
	Roots []string

	// KeepRoots keeps roots, and the folders that lead to them, that Exclude, ExcludeFunc or
	// ExcludeLargerThan would leave out. What lies in them is left out as elsewhere. Without it a
	// root that Exclude matches is left out.
	KeepRoots bool

	// Exclude leaves out what one of the lists matches, by absolute path.
	Exclude []*filter.List

	// ExcludeFunc leaves out entries for which it returns true; nil excludes nothing. It gets
	// the absolute path and must not keep the stat. It is called from several
	// goroutines at once.
	ExcludeFunc func(path string, st *tree.Stat) bool

	// OneFileSystem stays on the file systems of the roots: folders that lie on
	// another one are backed up empty.
	OneFileSystem bool

	// ExcludeCaches leaves out what lies in folders with a CACHEDIR.TAG that begins
	// with its signature, except the tag.
	ExcludeCaches bool

	// ExcludeIfPresent leaves out what lies in folders with a file of one of these
	// names, except that file. "name:header" asks that the file begins with the header.
	ExcludeIfPresent []string

	// ExcludeLargerThan leaves out regular files of more bytes; 0 means no limit.
	ExcludeLargerThan int64

	// ReadSpecial reads the content of roots that are block devices, or links to
	// one, as that of regular files.
	ReadSpecial bool

	// Devices are the roots that ReadSpecial is about; nil means all.
	Devices []string

	// Confined are folders: at them and below, a link among the folders that lead to a root is not followed, and
	// the root counts as missing. "/" confines nothing.
	Confined []string

	// WithAtime notes access times.
	WithAtime bool

	// Ahead is how many folders that come next in path order are listed while one is looked through; 0 means 4, less than 0 none. Who
	// walks in another order does more than it needs.
	Ahead int

	// NoXattrs leaves out extended attributes, with them ACLs and capabilities.
	NoXattrs bool
}

// cleanRoots returns the roots as absolute paths, rising: those that lie in no other one, and
// those that do.
func cleanRoots(roots []string) (kept, nested []string, err error) {
	if len(roots) == 0 {
		return nil, nil, errors.New("nothing to back up: no root")
	}
	var paths []string
	for _, root := range roots {
		if root == "" || strings.Contains(root, "\x00") {
			return nil, nil, fmt.Errorf("root %q is no path", root)
		}
		abs, err := filepath.Abs(root)
		if err != nil {
			return nil, nil, fmt.Errorf("root %q: %w", root, err)
		}
		paths = append(paths, abs)
	}
	slices.Sort(paths)
	for _, p := range slices.Compact(paths) {
		if slices.ContainsFunc(kept, func(q string) bool { return within(q, p) }) {
			nested = append(nested, p)
		} else {
			kept = append(kept, p)
		}
	}
	return kept, nested, nil
}

// within reports whether the path p is dir or lies in it.
func within(dir, p string) bool {
	return dir == "/" || p == dir || strings.HasPrefix(p, dir+"/")
}
