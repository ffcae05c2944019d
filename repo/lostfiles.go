package repo

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"time"

	"github.com/snapkeep/snap/internal/sealed"
	"github.com/snapkeep/snap/pack"
)

// lostFiles returns those of some small files that are missing though their second copies are there. A copy is stored behind its file and
// removed before it, so that the storage has lost these.
func lostFiles(ctx context.Context, raw Store, names []string) (lost []string, err error) {
	for _, name := range names {
		gone, err := lostFile(ctx, raw, name)
		if err != nil {
			return nil, err
		}
		if gone {
			lost = append(lost, name)
		}
	}
	return lost, nil
}

// lostFile reports whether a file is missing, and its copy is there. It asks for the copy between two looks for the file, which may come or go meanwhile.
func lostFile(ctx context.Context, raw Store, name string) (bool, error) {
	for _, look := range []struct {
		name  string
		there bool
	}{{name, false}, {copyPrefix + name, true}, {name, false}} {
		_, _, err := raw.Stat(ctx, look.name)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return false, err
		}
		if (err == nil) != look.there {
			return false, nil
		}
	}
	return true, nil
}

// expectSnapshots returns ErrDamaged if the storage has lost the record of a snapshot of which there is a copy: what it needs must not be
// taken for unused before repair has brought it back. alive are the snapshots that a listing shows.
func (r *Repo) expectSnapshots(ctx context.Context, alive map[pack.ID]time.Time) error {
	s, ok := able[protector](r.store)
	if !ok {
		return nil
	}
	copied, err := r.listTimes(ctx, copies{s.unprotected()}, sealed.Snapshot.Prefix)
	if err != nil {
		return err
	}
	var names []string
	for id := range copied {
		if _, ok := alive[id]; !ok {
			names = append(names, sealed.Snapshot.Prefix+id.String())
		}
	}
	slices.Sort(names)
	lost, err := lostFiles(ctx, s.unprotected(), names)
	if err != nil || len(lost) == 0 {
		return err
	}
	id := strings.TrimPrefix(lost[0], sealed.Snapshot.Prefix)
	return fmt.Errorf("the record of snapshot %s is lost, and there is a copy of it (snap repair brings it back): %w", id[:8], ErrDamaged)
}
