package repo

import (
	"context"
	"fmt"
	"slices"

	"github.com/snapkeep/snap/internal/tree"
)

// ChangeKind says in what way a path differs between two snapshots.
type ChangeKind string

// The kinds of changes.
const (
	Added    ChangeKind = "added"
	Removed  ChangeKind = "removed"
	Modified ChangeKind = "modified" // content, or a link's target
	Metadata ChangeKind = "metadata" // anything but content
	Retyped  ChangeKind = "type"
)

// Change is a path that differs between two snapshots. A or B is nil where the path is
// missing. The entries must not be changed.
type Change struct {
	Path string
	Kind ChangeKind
	A, B *Entry
}

// DiffOptions say what Diff compares.
type DiffOptions struct {
	Path     string // only below this directory of the tree; "" means all
	Metadata bool   // report changes of metadata alone as well
}

// DiffStats counts changes.
type DiffStats struct {
	Added, Removed               DiffCount
	Modified, MetadataOnly       int64
	ChangedBytesA, ChangedBytesB int64 // sizes of modified files before and after
}

// DiffCount counts what was added, or removed.
type DiffCount struct {
	Files, Dirs, Others int64
	Bytes               int64
}

func (c *DiffCount) add(x *Entry) {
	switch x.Kind {
	case tree.Regular:
		c.Files++
		c.Bytes += x.Size
	case tree.Directory:
		c.Dirs++
	default:
		c.Others++
	}
}

// Diff calls fn for each path that differs between the snapshots a and b. It reads
// metadata only, and only what the two do not share; a writer's key slot suffices.
func (r *Repo) Diff(ctx context.Context, a, b *Snapshot, o DiffOptions, fn func(Change) error) (DiffStats, error) {
	defer r.use()()
	var stats DiffStats
	rootA, err := a.RootID()
	if err != nil {
		return stats, err
	}
	rootB, err := b.RootID()
	if err != nil {
		return stats, err
	}
	if err := r.syncIndex(ctx); err != nil {
		return stats, err
	}
	err = tree.Compare(ctx, r.read, rootA, rootB, o.Path, func(p tree.EntryPair) error {
		c, ok := changeOf(p)
		if !ok {
			return nil
		}
		stats.count(c)
		if c.Kind == Metadata && !o.Metadata {
			return nil
		}
		return fn(c)
	})
	if err != nil {
		return stats, fmt.Errorf("diff: %w", err)
	}
	return stats, nil
}

func (s *DiffStats) count(c Change) {
	switch c.Kind {
	case Added:
		s.Added.add(c.B)
	case Removed:
		s.Removed.add(c.A)
	case Metadata:
		s.MetadataOnly++
	default:
		s.Modified++
		s.ChangedBytesA += c.A.Size
		s.ChangedBytesB += c.B.Size
	}
}

// changeOf compares two entries of a path, and reports false if they are alike.
func changeOf(p tree.EntryPair) (Change, bool) {
	c := Change{A: p.A, B: p.B}
	switch {
	case p.A == nil:
		c.Path, c.Kind = tree.Join(p.Dir, p.B.Name), Added
		return c, true
	case p.B == nil:
		c.Path, c.Kind = tree.Join(p.Dir, p.A.Name), Removed
		return c, true
	}
	c.Path = tree.Join(p.Dir, p.A.Name)
	switch {
	case p.A.Kind != p.B.Kind:
		c.Kind = Retyped
	case !sameContent(p.A, p.B):
		c.Kind = Modified
	case !sameMetadata(p.A, p.B):
		c.Kind = Metadata
	default:
		return c, false
	}
	return c, true
}

func sameContent(a, b *Entry) bool {
	return a.Size == b.Size && a.Target == b.Target && a.Rdev == b.Rdev && slices.Equal(a.Parts, b.Parts)
}

// sameMetadata leaves out what a restored file cannot have: inode, change time.
func sameMetadata(a, b *Entry) bool {
	return a.Mode == b.Mode && a.UID == b.UID && a.GID == b.GID && a.User == b.User && a.Group == b.Group &&
		a.ModTime == b.ModTime && a.Flags == b.Flags && slices.Equal(a.Xattrs, b.Xattrs)
}
