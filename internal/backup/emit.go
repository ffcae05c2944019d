package backup

import (
	"context"
	"slices"

	"github.com/snapkeep/snap/internal/tree"
	"github.com/snapkeep/snap/pack"
)

// emit adds units to the new tree in the order in which the scanner sent them.
func (r *run) emit(ctx context.Context) (pack.ChunkID, error) {
	saver := r.Writer.NewSaver()
	builder := tree.NewBuilder(func(kind pack.Kind, page []byte) (pack.ChunkID, error) {
		return saver.Save(ctx, kind, page)
	})
	for {
		select {
		case units, ok := <-r.units:
			if !ok {
				if err := ctx.Err(); err != nil {
					return pack.ChunkID{}, context.Cause(ctx)
				}
				root, err := builder.Finish()
				if err != nil {
					return root, err
				}
				if err := saver.Flush(ctx); err != nil {
					return root, err
				}
				saver.Release()
				return root, nil
			}
			for _, u := range units {
				if err := r.emitUnit(ctx, builder, u); err != nil {
					return pack.ChunkID{}, err
				}
			}
		case <-ctx.Done():
			return pack.ChunkID{}, context.Cause(ctx)
		}
	}
}

func (r *run) emitUnit(ctx context.Context, builder *tree.Builder, u *unit) error {
	if u.ready != nil {
		select {
		case <-u.ready:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		if u.failed.Load() {
			<-ctx.Done()
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
	}
	defer r.entries.Release(u.weight)
	if u.old != nil {
		if err := r.countReused(u); err != nil {
			return err
		}
		return builder.Reuse(*u.old, u.last)
	}
	r.compact(u)
	if u.unreadable {
		r.summary.Unreadable++
		return builder.AddUnreadable(u.path, u.entries)
	}
	return builder.Add(u.path, u.entries, u.last)
}

// countReused counts the files of a reused run without decoding them, unless somebody
// wants to hear of each.
func (r *run) countReused(u *unit) error {
	run := u.old.Run()
	r.summary.Files += int64(run.Files)
	r.summary.Bytes += run.Size
	r.summary.FilesUnmodified += int64(run.Files)
	if run.Flags&tree.RunContinued == 0 {
		r.summary.DirsUnmodified++
	}
	if r.Item == nil {
		return nil
	}
	entries, err := u.old.Entries()
	if err != nil {
		return err
	}
	for i := range entries {
		x := &entries[i]
		r.Item(itemOf(u.path, x, ActionUnchanged))
	}
	return nil
}

func itemOf(dir string, x *tree.Entry, a Action) Item {
	since := x.ChangeTime
	if since == (tree.Time{}) {
		since = x.ModTime
	}
	return Item{tree.Join(dir, x.Name), x.Kind, x.Size, a, since}
}

// compact drops entries that went away while they were read, and counts the others.
func (r *run) compact(u *unit) {
	kept, changed := u.entries[:0], false
	for i := range u.entries {
		x := u.entries[i]
		if x.Kind == 0 {
			changed = true
			continue
		}
		if before := u.reread[i]; before != nil {
			u.actions[i] = rereadAction(before, &x)
		}
		kept = append(kept, x)
		changed = changed || (u.actions[i] != ActionUnchanged && u.actions[i] != ActionReread)
		r.count(&x, u.actions[i])
		if r.Item != nil {
			r.Item(itemOf(u.path, &x, u.actions[i]))
		}
	}
	u.entries = kept
	switch {
	case !u.last:
	case u.fresh:
		r.summary.DirsNew++
	case changed:
		r.summary.DirsChanged++
	default:
		r.summary.DirsUnmodified++
	}
}

// rereadAction says what became of a file that looked unchanged and was read again. One that had changed just before it
// was looked at may have changed once more since, at the same time by its clock.
func rereadAction(before, now *tree.Entry) Action {
	differs := before.Listed != now.Listed || !slices.Equal(before.Parts, now.Parts)
	switch {
	case now.Marks&(tree.MarkChanged|tree.MarkUnreadable) != 0 || !looksUnchanged(before, &now.Stat):
		return ActionModified
	case differs && before.Marks == tree.MarkUnproven:
		return ActionModified
	case differs:
		return ActionSilent
	}
	return ActionReread
}

func (r *run) count(x *tree.Entry, a Action) {
	if x.Marks&tree.MarkUnreadable != 0 || x.Problem != "" {
		r.summary.Unreadable++
	}
	if x.Marks&tree.MarkChanged != 0 {
		r.summary.ChangedWhileRead++
	}
	if x.Kind != tree.Regular {
		return
	}
	r.summary.Files++
	r.summary.Bytes += x.Size
	switch a {
	case ActionNew:
		r.summary.FilesNew++
	case ActionModified, ActionSilent:
		r.summary.FilesChanged++
	case ActionUnchanged, ActionReread:
		r.summary.FilesUnmodified++
	}
}
