package repo

import (
	"context"
	"fmt"
	"path"
	"strings"
	"sync/atomic"

	"github.com/snapkeep/snap/internal/chunks"
	"github.com/snapkeep/snap/internal/restore"
	"github.com/snapkeep/snap/internal/snapshot"
)

// Names of what a restore is told and tells.
type (
	// OverwriteMode says what becomes of files that are in the target already. The zero
	// value is OverwriteIfChanged.
	OverwriteMode = restore.Overwrite
	// RestoreAction says what became of a file.
	RestoreAction = restore.Action
	// RestoreItem tells of one file of a running restore.
	RestoreItem = restore.Item
	// RestoreProgress counts what a running restore has done.
	RestoreProgress = restore.Progress
	// RestoreResult tells what a restore did.
	RestoreResult = restore.Result
	// AttributeError is a problem of a restore: an attribute of a file could not be set.
	AttributeError = restore.AttributeError
)

// ErrHeld says that flags of what is in the target of a restore, immutable or append-only, keep it from being changed, and that the snapshot has no such
// flags.
var ErrHeld = restore.ErrHeld

// The ways to treat files that exist.
const (
	OverwriteIfChanged = restore.OverwriteIfChanged
	OverwriteAlways    = restore.OverwriteAlways
	OverwriteIfNewer   = restore.OverwriteIfNewer
	OverwriteNever     = restore.OverwriteNever
)

// What becomes of a file.
const (
	ActionRestored  = restore.Restored
	ActionUpdated   = restore.Updated
	ActionUnchanged = restore.Unchanged
	ActionDeleted   = restore.Deleted
)

// ParseOverwrite parses always, if-changed, if-newer or never.
func ParseOverwrite(s string) (OverwriteMode, error) { return restore.ParseOverwrite(s) }

// RestoreOptions say what to restore and how. Only Target is required.
type RestoreOptions struct {
	// Target is the folder to write to. It is made if it does not exist. Its own metadata stays.
	Target string
	// Path is a folder in the snapshot, whose contents go directly into the target, or a
	// file, which gets its own name there; empty means everything.
	Path string
	// Include restores only what one of these lists matches, and Exclude leaves out what one
	// does. The paths they see begin at Path.
	Include, Exclude []*PatternList

	Overwrite OverwriteMode
	// Delete removes, in folders that exist, what the snapshot does not have there, also what was
	// left out of the backup. It does nothing in folders that merely lead to what was backed up, nor in one on which a file system
	// is mounted and which is empty in the snapshot. Nobody is asked.
	Delete   bool
	DryRun   bool // writes nothing, and tells what would be done
	Verify   bool // reads every file again and compares it with the snapshot
	NoSparse bool // writes holes as zeros
	NoOwner  bool // leaves files to whoever runs the restore
	NoXattrs bool // sets no extended attributes, with them no ACLs and capabilities
	Sync     bool // waits until the file system has stored what was restored, which the system does within the next minute otherwise

	Progress *RestoreProgress // counted up while the restore runs, if not nil
	// Item is told of each file and folder when it is complete, in no order. Problem is told of
	// whatever failed: of files that are missing, and of attributes that could not be set. Both are
	// called one call at a time and must not block. Paths are those in the target, raw bytes.
	Item    func(RestoreItem)
	Problem func(path string, err error)
}

// restoreCache is how many bytes of opened segments of pages a restore keeps: those of leaf and of
// reference pages take turns.
const restoreCache = 4 << 20

// Restore writes the files of a snapshot to a folder.
//
// Nothing outside the folder is written, whatever the snapshot or the folder holds: links are not
// followed, and files that exist are replaced by new ones, not written into. What cannot be restored
// is reported as a problem and counted in the result, and does not keep the rest from being
// restored: see Failed and Attributes there. An error means that the restore was ended, for
// instance because the disk is full. What was complete by then is not written again by the
// next restore to the same folder. The error is ErrCannotReadData at once if the key slot is a
// writer's.
func (r *Repo) Restore(ctx context.Context, s *Snapshot, o RestoreOptions) (*RestoreResult, error) {
	defer r.use()()
	if r.Role() == RoleWriter && !o.DryRun {
		return nil, fmt.Errorf("restore: %w", ErrCannotReadData)
	}
	if o.Target == "" {
		return nil, fmt.Errorf("restore: no target")
	}
	root, err := r.openTree(ctx, s)
	if err == nil {
		_, err = r.bringWanted(ctx) // the places of chunks are asked of the index alone
	}
	if err != nil {
		return nil, tell(err)
	}
	if !o.DryRun {
		if err := r.warmUpRestore(ctx, s, &o); err != nil {
			return nil, fmt.Errorf("restore snapshot %s: %w", short(s.ID), err)
		}
	}
	// The walk needs each page once: the cache for reading at random would only take memory.
	loader := chunks.NewLoader(r.store, r.set, r.keys, restoreCache)
	near := loader
	if r.kept != nil {
		near = chunks.NewLoader(r.near, r.set, r.keys, restoreCache)
	}
	result, err := restore.Run(ctx, restore.Options{Load: r.renewing(r.loadNear(near, loader)), Renew: r.renewGone(), Store: r.store, Index: r.set, Opener: loader, Root: root, Far: isRemote(r.store),
		Target: o.Target, Path: cleanPath(o.Path), Include: o.Include, Exclude: o.Exclude,
		Overwrite: o.Overwrite, Delete: o.Delete, DeleteBelow: savedPaths(s),
		DryRun: o.DryRun, Verify: o.Verify, NoSparse: o.NoSparse, NoOwner: o.NoOwner, NoXattrs: o.NoXattrs, Sync: o.Sync,
		Progress: o.Progress, Item: o.Item, Problem: o.Problem})
	if err != nil {
		return result, tell(fmt.Errorf("restore snapshot %s: %w", short(s.ID), err))
	}
	return result, nil
}

// renewGone returns a function for a restore that has found a pack gone.
func (r *Repo) renewGone() func(ctx context.Context, err error) bool {
	var round atomic.Int64
	round.Store(r.renewal.round())
	return func(ctx context.Context, err error) bool {
		if !isGone(err) || ctx.Err() != nil {
			return false
		}
		again := r.renew(ctx, round.Load())
		round.Store(r.renewal.round())
		return again
	}
}

// savedPaths returns the paths in the tree of what a snapshot was made of.
func savedPaths(s *Snapshot) []string {
	var paths []string
	for _, p := range s.Paths {
		if strings.HasPrefix(string(p), "/") {
			paths = append(paths, cleanPath(path.Clean(string(p))))
		}
	}
	for _, p := range s.Parts {
		if p.Kind == snapshot.PartTree && p.Path != "" {
			paths = append(paths, cleanPath(string(p.Path)))
		}
	}
	return paths
}
