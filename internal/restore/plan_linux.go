package restore

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/snapkeep/snap/internal/target"
	"github.com/snapkeep/snap/internal/tree"
)

// enter implements visitor.
func (r *run) enter(_ context.Context, f *folder) error {
	if r.mayDelete(f) {
		f.remover = r.newRemover(f)
	}
	return nil
}

// exit implements visitor.
func (r *run) exit(f *folder, broken error) error {
	if f.remover != nil {
		f.remover.end(broken)
		f.remover = nil
	}
	r.removeLeftovers(f, broken)
	if broken != nil {
		r.fail(f.path, fmt.Errorf("entries of the folder: %w", broken))
	}
	r.leave(f)
	return nil
}

// entry implements visitor: it decides what becomes of x in f.
func (r *run) entry(ctx context.Context, f *folder, x *tree.Entry) (*folder, error) {
	if f.remover != nil {
		f.remover.keep(x.Name)
	}
	if target.IsTemporary(x.Name) {
		f.saved = append(f.saved, x.Name)
	}
	chosen, below := r.selector.choose(f.state, x.Name)
	if x.Kind == tree.Directory {
		if !chosen && !below {
			return nil, nil
		}
		return r.subfolder(f, x, chosen), nil
	}
	if !chosen {
		return nil, nil
	}
	return nil, r.file(ctx, f, x)
}

// subfolder returns the folder of x, and makes it if it is to be there in any case.
func (r *run) subfolder(f *folder, x *tree.Entry, chosen bool) *folder {
	sub := r.newFolder(f, x, chosen)
	if chosen {
		if err := r.ensure(sub); err != nil {
			r.leave(sub) // what lies in it cannot be restored either
			return nil
		}
	}
	return sub
}

// ensure makes a folder and those above it. Its error has been reported.
func (r *run) ensure(f *folder) error {
	if f.made || f.failed != nil {
		return f.failed
	}
	if err := r.ensure(f.parent); err != nil {
		f.failed = err
		return err
	}
	err := error(nil)
	if other, found := r.twin(f.parent, f.entry.Name); found {
		err = sameName(other)
	} else {
		err = r.mkdir(f)
	}
	if err != nil {
		f.failed = fmt.Errorf("%w: %w", ErrNoFolder, err)
		r.fail(f.path, err)
		return f.failed
	}
	f.made = true
	if f.existed {
		r.findLeftovers(f)
	}
	return nil
}

func (r *run) mkdir(f *folder) error {
	name := f.entry.Name
	if !f.parent.existed && r.DryRun {
		return nil
	}
	dir, err := r.dir(f.parent)
	if err != nil {
		return err
	}
	defer dir.Release()
	if f.parent.existed {
		st, err := dir.Lstat(name)
		switch {
		case err == nil && st.Kind == tree.Directory:
			f.existed = true
		case err == nil && r.stays(f.entry, &st):
			return fmt.Errorf("%w: not a folder", ErrInTheWay)
		case err == nil && !r.DryRun:
			if err := dir.Remove(name); err != nil {
				return err
			}
		case err != nil && !errors.Is(err, fs.ErrNotExist):
			return err
		}
	}
	if r.DryRun {
		return nil
	}
	f.existed, err = dir.Mkdir(name, target.IsHeld(f.entry))
	return err
}

// file decides what becomes of x, which is no folder.
func (r *run) file(ctx context.Context, f *folder, x *tree.Entry) error {
	if x.Kind == tree.Regular && x.Marks&tree.MarkUnreadable != 0 && len(x.Parts) == 0 {
		err := ErrUnreadable
		if x.Problem != "" {
			err = fmt.Errorf("%w: %s", err, x.Problem)
		}
		r.fail(tree.Join(f.path, x.Name), err)
		return nil
	}
	if err := r.ensure(f); err != nil {
		r.fail(tree.Join(f.path, x.Name), err)
		return nil
	}
	if other, found := r.twin(f, x.Name); found {
		r.fail(tree.Join(f.path, x.Name), sameName(other))
		return nil
	}
	j := &file{folder: f, entry: x}
	if r.Overwrite == OverwriteNever || r.Overwrite == OverwriteIfNewer {
		j.existing = target.Whole // a part of it would stay, whatever restores it later
	}
	if f.existed {
		if err := r.compare(j); err != nil {
			r.fail(j.path(), err)
			return nil
		}
	} else {
		j.action = Restored
	}
	if j.skip {
		r.count(j)
		r.leaveOut(j.path())
		return nil
	}
	r.join(j)
	if r.DryRun {
		r.count(j)
		return nil
	}
	f.pending.Add(1)
	return r.schedule(ctx, j)
}

// compare looks at what is there in place of j and decides what becomes of it.
func (r *run) compare(j *file) error {
	dir, err := r.dir(j.folder)
	if err != nil {
		return err
	}
	defer dir.Release()
	st, err := dir.Lstat(j.entry.Name)
	if errors.Is(err, fs.ErrNotExist) {
		j.action = Restored
		return nil
	}
	if err != nil {
		return err
	}
	j.old = true
	switch {
	case r.stays(j.entry, &st):
		j.action, j.skip = Unchanged, true
	case r.Overwrite == OverwriteIfChanged && r.same(dir, j, &st):
		j.action = Unchanged
	default:
		j.action, j.existing = Updated, target.Replace
		if st.Kind == tree.Directory {
			return r.clear(dir, j)
		}
	}
	return nil
}

// stays reports whether what is there is left as it is, whatever x says.
func (r *run) stays(x *tree.Entry, st *tree.Stat) bool {
	return r.Overwrite == OverwriteNever || r.Overwrite == OverwriteIfNewer && x.ModTime.Compare(st.ModTime) <= 0
}

// same reports whether the file st in dir is what the entry of j says as far as a look can
// tell, so that it is kept.
func (r *run) same(dir *target.Dir, j *file, st *tree.Stat) bool {
	x := j.entry
	if st.Kind != x.Kind || st.ModTime != x.ModTime {
		return false
	}
	likeness := st.Mode == x.Mode && (r.NoOwner || (st.UID == x.UID && st.GID == x.GID))
	if x.Kind == tree.Symlink && likeness {
		to, err := dir.Readlink(x.Name)
		return err == nil && to == x.Target
	}
	if x.Kind != tree.Regular {
		return likeness && st.Rdev == x.Rdev
	}
	if st.Size != x.Size {
		return false
	}
	if st.Links < 2 {
		j.touch = true
		return true
	}
	// A file with several names is not changed in place: the others may be anybody's.
	return x.Links >= 2 && likeness
}

// clear removes the folder that is in the way of j. One that is not empty goes only with Delete.
func (r *run) clear(dir *target.Dir, j *file) error {
	j.existing = target.Refuse
	if r.DryRun {
		return nil
	}
	err := dir.Remove(j.entry.Name)
	if err != nil && r.mayDelete(j.folder) {
		if list, doomedErr := r.doomed(j.folder, j.entry.Name); doomedErr == nil && len(list) == 1 && list[0] == j.path() {
			return dir.RemoveAll(j.entry.Name)
		}
	}
	if err != nil {
		return fmt.Errorf("%w: a folder: %w", ErrInTheWay, err)
	}
	return nil
}

// count adds a file that is complete to the progress and reports it.
func (r *run) count(j *file) {
	x, p := j.entry, r.Progress
	switch {
	case x.Kind != tree.Regular && j.action != Unchanged:
		p.Other.Add(1)
	case x.Kind == tree.Regular && j.action != Unchanged:
		p.Files.Add(1)
		if r.DryRun && !j.isLink() {
			p.Bytes.Add(x.Size)
		}
	case x.Kind == tree.Regular:
		p.Skipped.Add(1)
		p.SkippedBytes.Add(x.Size)
	}
	size := int64(0)
	if x.Kind == tree.Regular {
		size = x.Size
	}
	if r.Item != nil {
		r.item(j.path(), j.action, x.Kind, size)
	}
}
