package repo

import (
	"context"
	"fmt"
	"io/fs"
	"strings"

	"github.com/snapkeep/snap/internal/tree"
	"github.com/snapkeep/snap/pack"
)

// Lookup returns the entry of a path in a snapshot; links are not followed. Paths are those of the
// source without the slash in front; one in front or at the end is ignored. The error wraps
// fs.ErrNotExist if the snapshot does not have the path. The top of a snapshot has no entry of its own: it is
// returned as a directory without a name.
func (r *Repo) Lookup(ctx context.Context, s *Snapshot, path string) (*Entry, error) {
	root, err := r.openTree(ctx, s)
	if err != nil {
		return nil, err
	}
	path = cleanPath(path)
	if path == "" {
		return topEntry(s), nil
	}
	x, err := tree.Lookup(ctx, r.load, root, path)
	if err != nil {
		return nil, fmt.Errorf("snapshot %s: %w", short(s.ID), err)
	}
	return x, nil
}

// ReadDir returns the entries of a directory of a snapshot, ordered by name. They must not be
// changed. The error wraps fs.ErrNotExist if the snapshot does not have the directory.
func (r *Repo) ReadDir(ctx context.Context, s *Snapshot, dir string) ([]Entry, error) {
	root, err := r.openTree(ctx, s)
	if err != nil {
		return nil, err
	}
	entries, err := tree.ReadDir(ctx, r.load, root, cleanPath(dir))
	if err != nil {
		return nil, fmt.Errorf("snapshot %s: %w", short(s.ID), err)
	}
	return entries, nil
}

// Walk calls fn for the directory dir of a snapshot and for all directories below it, in path
// order: a directory comes before what it contains. A long directory comes in several calls. The
// entries must not be changed. fn's error ends the walk and is returned.
func (r *Repo) Walk(ctx context.Context, s *Snapshot, dir string, fn func(dir string, entries []Entry) error) error {
	root, err := r.openTree(ctx, s)
	if err != nil {
		return err
	}
	found, own := false, error(nil)
	dir = cleanPath(dir)
	err = tree.Walk(ctx, r.load, root, dir, func(run *tree.Run, entries []Entry) error {
		found = true
		own = fn(run.Path, entries)
		return own
	})
	switch {
	case own != nil:
		return own
	case err != nil:
		return fmt.Errorf("snapshot %s: %w", short(s.ID), err)
	case !found && dir != "":
		return fmt.Errorf("snapshot %s: directory %q: %w", short(s.ID), dir, fs.ErrNotExist)
	}
	return nil
}

// openTree returns the root of a snapshot's tree, after the index was brought in that it needs.
func (r *Repo) openTree(ctx context.Context, s *Snapshot) (pack.ChunkID, error) {
	root, err := s.RootID()
	if err != nil {
		return root, err
	}
	if err := r.needIndex(ctx); err != nil {
		return root, err
	}
	// Another program may have made the snapshot since, and a listing of the index may be late.
	if !r.set.Has(root) {
		err = r.syncIndex(ctx)
	}
	r.want(s)
	if err == nil && !r.set.Has(root) {
		_, err = r.bringWanted(ctx)
	}
	return root, err
}

// cleanPath returns path as trees have it.
func cleanPath(path string) string {
	path = strings.Trim(path, "/")
	if path == "." {
		return ""
	}
	return path
}

// topEntry describes the top of a snapshot.
func topEntry(s *Snapshot) *Entry {
	return &Entry{Stat: Stat{Kind: tree.Directory, Mode: 0o755, ModTime: tree.TimeOf(s.Time)}}
}
