package repo

import (
	"context"
	"fmt"

	"github.com/snapkeep/snap/internal/tree"
	"github.com/snapkeep/snap/pack"
)

// Stats counts what snapshots hold, and what it takes to store it.
type Stats struct {
	Snapshots int
	// RestoreSize is the size in bytes of all regular files of all snapshots.
	RestoreSize         int64
	Files, Dirs, Others int64
	Chunks              int64 // different chunks that the snapshots need
	ChunkBytes          int64 // their size in bytes before compression
	StoredBytes         int64 // the size of the segments that hold them, each counted once
	UniqueTreePages     int64
	RepositoryPacks     int64 // all packs of the repository
	RepositoryPackBytes int64
}

// Stats walks the trees of the snapshots. It reads metadata only.
func (r *Repo) Stats(ctx context.Context, snapshots []*Snapshot) (Stats, error) {
	defer r.use()()
	out := Stats{Snapshots: len(snapshots)}
	if err := r.syncIndex(ctx); err != nil {
		return out, err
	}
	seen := map[pack.ChunkID]struct{}{}
	segments := map[string]struct{}{}
	note := func(id pack.ChunkID, length int64) {
		if _, ok := seen[id]; ok {
			return
		}
		seen[id] = struct{}{}
		out.Chunks++
		out.ChunkBytes += length
		if loc, ok := r.set.Lookup(id); ok {
			key := fmt.Sprintf("%s/%d", loc.Pack, loc.Offset)
			if _, ok := segments[key]; !ok {
				segments[key] = struct{}{}
				out.StoredBytes += int64(loc.Length)
			}
		}
	}
	for _, s := range snapshots {
		if err := r.statTree(ctx, s, &out, note); err != nil {
			return out, fmt.Errorf("snapshot %s: %w", short(s.ID), err)
		}
	}
	for p := range r.set.Packs() {
		out.RepositoryPacks++
		out.RepositoryPackBytes += p.Size
	}
	return out, nil
}

func (r *Repo) statTree(ctx context.Context, s *Snapshot, out *Stats, note func(pack.ChunkID, int64)) error {
	root, err := s.RootID()
	if err != nil {
		return err
	}
	return tree.Walk(ctx, r.read, root, "", func(_ *tree.Run, entries []tree.Entry) error {
		for i := range entries {
			x := &entries[i]
			switch x.Kind {
			case tree.Regular:
				out.Files++
				out.RestoreSize += x.Size
			case tree.Directory:
				out.Dirs++
			default:
				out.Others++
			}
			parts, err := tree.Parts(ctx, r.read, x)
			if err != nil {
				return err
			}
			for _, p := range parts {
				if !p.ID.IsZero() {
					note(p.ID, p.Length)
				}
			}
		}
		return nil
	})
}
