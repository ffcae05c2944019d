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
// fs.ErrNotExist if the snapshot does not have the path, and fs.ErrInvalid if no snapshot can, because a name in it is empty, "." or
// "..". The top of a snapshot has no entry of its own: it is
// returned as a directory without a name.
func (r *Repo) Lookup(ctx context.Context, s *Snapshot, path string) (*Entry, error) {
	defer r.use()()
	root, err := r.openTree(ctx, s)
	if err != nil {
		return nil, tell(err)
	}
	path = cleanPath(path)
	if path == "" {
		return topEntry(s), nil
	}
	x, err := tree.Lookup(ctx, r.read, root, path)
	if err != nil {
		return nil, tell(fmt.Errorf("snapshot %s: %w", short(s.ID), err))
	}
	return x, nil
}

// ReadDir returns the entries of a directory of a snapshot, ordered by name. They must not be
// changed. The error wraps fs.ErrNotExist if the snapshot does not have the directory.
func (r *Repo) ReadDir(ctx context.Context, s *Snapshot, dir string) ([]Entry, error) {
	l, err := r.ReadListing(ctx, s, dir)
	return l.Entries, err
}

// Listing is what a snapshot has in a directory.
type Listing struct {
	Dir     string  // path in the snapshot
	Entries []Entry // ordered by name; must not be changed
	// Unreadable says that the directory could not be read when it was backed up: entries may be missing.
	Unreadable bool
}

// ReadListing is ReadDir that tells as well whether the directory could be read when it was backed up.
func (r *Repo) ReadListing(ctx context.Context, s *Snapshot, dir string) (Listing, error) {
	defer r.use()()
	l := Listing{Dir: cleanPath(dir)}
	root, err := r.openTree(ctx, s)
	if err != nil {
		return l, tell(err)
	}
	if l.Entries, l.Unreadable, err = tree.ReadListing(ctx, r.read, root, l.Dir); err != nil {
		return l, tell(fmt.Errorf("snapshot %s: %w", short(s.ID), err))
	}
	return l, nil
}

// Walk calls fn for the directory dir of a snapshot and for all directories below it, in path
// order: a directory comes before what it contains. A long directory comes in several calls. The
// entries must not be changed. fn's error ends the walk and is returned.
func (r *Repo) Walk(ctx context.Context, s *Snapshot, dir string, fn func(dir string, entries []Entry) error) error {
	defer r.use()()
	return r.WalkListings(ctx, s, dir, func(l Listing) error { return fn(l.Dir, l.Entries) })
}

// WalkListings is Walk that tells fn as well which directories could not be read when they were backed up.
func (r *Repo) WalkListings(ctx context.Context, s *Snapshot, dir string, fn func(l Listing) error) error {
	defer r.use()()
	root, err := r.openTree(ctx, s)
	if err != nil {
		return tell(err)
	}
	found, own := false, error(nil)
	dir = cleanPath(dir)
	err = tree.Walk(ctx, r.read, root, dir, func(run *tree.Run, entries []Entry) error {
		found = true
		own = fn(Listing{run.Path, entries, run.Flags&tree.RunUnreadable != 0})
		return own
	})
	switch {
	case own != nil:
		return own
	case err != nil:
		return tell(fmt.Errorf("snapshot %s: %w", short(s.ID), err))
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
