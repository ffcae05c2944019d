package repo

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"time"

	"github.com/snapkeep/snap/internal/sealed"
	"github.com/snapkeep/snap/pack"
)

// Trash returns the forgotten snapshots that the filter selects, oldest first. Records that
// cannot be read are reported in the error, beside those that can.
func (r *Repo) Trash(ctx context.Context, f Filter) ([]TrashedSnapshot, error) {
	times, err := r.listTimes(ctx, r.store, sealed.Trash.Prefix)
	if err != nil || len(times) == 0 {
		return nil, err
	}
	// A snapshot that stands in both places is not forgotten.
	alive, err := r.listTimes(ctx, r.store, sealed.Snapshot.Prefix)
	if err != nil {
		return nil, err
	}
	all, err := r.snapshotsOf(ctx, sealed.Trash, r.loadSnapshot)
	var out []TrashedSnapshot
	for _, s := range all {
		if _, ok := alive[s.ID]; !ok && f.Match(s) {
			out = append(out, TrashedSnapshot{s, times[s.ID]})
		}
	}
	return out, err
}

// listTimes returns the records in a folder with the times when they were stored.
func (r *Repo) listTimes(ctx context.Context, from lister, prefix string) (map[pack.ID]time.Time, error) {
	out := map[pack.ID]time.Time{}
	err := from.List(ctx, prefix, func(name string, _ int64, modTime time.Time) error {
		if id, err := pack.ParseID(strings.TrimPrefix(name, prefix)); err == nil {
			out[id] = modTime
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("list %s: %w", strings.TrimSuffix(prefix, "/"), err)
	}
	return out, nil
}

// Undelete brings snapshots back from the trash, and returns those that are back. One that cannot be brought back keeps
// no other in the trash. The error wraps ErrNoSnapshot if one is not there, and ErrDamaged if what it needs has gone.
func (r *Repo) Undelete(ctx context.Context, ids []SnapshotID) (back []SnapshotID, err error) {
	defer r.use()()
	w, err := r.beginWriting(ctx)
	if err != nil {
		return nil, err
	}
	var errs []error
	entry := LogEntry{What: "undelete"}
	for _, id := range ids {
		if ctx.Err() != nil {
			errs = append(errs, context.Cause(ctx))
			break
		}
		if err := r.undelete(ctx, w, id); err != nil {
			errs = append(errs, fmt.Errorf("undelete snapshot %s: %w", short(id), err))
			continue
		}
		back = append(back, id)
		entry.Snapshots = append(entry.Snapshots, id.String())
	}
	if len(back) > 0 {
		errs = append(errs, r.note(context.WithoutCancel(ctx), entry))
	}
	return back, errors.Join(errs...)
}

func (r *Repo) undelete(ctx context.Context, w *writing, id SnapshotID) error {
	if _, _, err := r.store.Stat(ctx, sealed.Snapshot.Prefix+id.String()); err == nil {
		return nil // it is not forgotten
	}
	s, err := r.loadSnapshot(ctx, sealed.Trash, id)
	if errors.Is(err, fs.ErrNotExist) {
		return ErrNoSnapshot
	}
	if err != nil {
		return err
	}
	file, err := sealed.ReadFile(ctx, r.store, sealed.Trash.Prefix+id.String(), int64(sealed.Trash.Limit)+1024)
	if err != nil {
		return err
	}
	// Nothing is known about how old the record is and what went on since.
	w.mustVerify = true
	if err := w.publish(ctx, s, file); err != nil {
		if errors.Is(err, ErrOvertaken) {
			return fmt.Errorf("%w: what the snapshot needs has been removed", ErrDamaged)
		}
		return err
	}
	return nil
}
