package backup

import (
	"context"
	"errors"
	"io/fs"
	"sort"
	"sync/atomic"

	"github.com/snapkeep/snap/internal/source"
	"github.com/snapkeep/snap/internal/tree"
)

// unit is a part of a directory on its way to the emitter: either a run of the parent's
// tree to reuse, or entries.
type unit struct {
	path       string
	old        *tree.OldRun // reused if not nil
	entries    []tree.Entry
	actions    []Action            // of the entries
	reread     map[int]*tree.Entry // entries as they were, of files that look unchanged and are read all the same
	last       bool                // completes the directory
	fresh      bool                // the parent's tree does not have the directory
	unreadable bool
	weight     int64

	pending atomic.Int32  // files that are not read yet
	failed  atomic.Bool   // reading one of them ends the run: its entry is not complete
	ready   chan struct{} // closed when pending becomes zero; nil if there are no files
}

func newUnit(path string, last bool) *unit { return &unit{path: path, last: last} }

func (u *unit) done() {
	if u.pending.Add(-1) == 0 {
		close(u.ready)
	}
}

// dirRef is a directory that is closed when its last user is done.
type dirRef struct {
	source.Dir
	users atomic.Int32
	all   *openDirs
}

// openDirs counts the directories that are open, and the files that keep some of them so.
type openDirs struct {
	dirs, jobs atomic.Int64
	moved      chan struct{} // holds something when one of them has become less
}

func (o *openDirs) less(n *atomic.Int64) {
	n.Add(-1)
	select {
	case o.moved <- struct{}{}:
	default:
	}
}

func (r *run) newDirRef(d source.Dir) *dirRef {
	ref := &dirRef{Dir: d, all: &r.opened}
	ref.users.Store(1)
	r.opened.dirs.Add(1)
	return ref
}

func (d *dirRef) release() {
	if d.users.Add(-1) == 0 {
		d.Close()
		d.all.less(&d.all.dirs)
	}
}

// room waits until another directory can be opened: if too many are, until files that were held back are read. Those that lead to where
// the scanner is stay open.
func (r *run) room(ctx context.Context) error {
	if r.opened.dirs.Load() < int64(r.MaxDirs) {
		return nil
	}
	if err := r.flushUnits(ctx); err != nil {
		return err
	}
	if err := r.flushWindow(ctx); err != nil {
		return err
	}
	for r.opened.dirs.Load() >= int64(r.MaxDirs) && r.opened.jobs.Load() > 0 {
		select {
		case <-r.opened.moved:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}

// job is a regular file to be read.
type job struct {
	unit   *unit
	dir    *dirRef
	entry  *tree.Entry
	before earlier // of a large file
}

// end is done with what came of reading the file; an error is about to end the run.
func (j *job) end(err error) {
	if err != nil {
		j.unit.failed.Store(true)
	}
	j.done()
}

func (j *job) done() {
	j.dir.release()
	j.unit.done()
	j.dir.all.less(&j.dir.all.jobs)
}

func (j *job) path() string { return tree.Join(j.unit.path, j.entry.Name) }

// countFiles returns how many of the entries are regular files.
func countFiles(stats []tree.Stat) (n int64) {
	for i := range stats {
		if stats[i].Kind == tree.Regular {
			n++
		}
	}
	return n
}

func (r *run) scanAll(ctx context.Context) error {
	root, err := r.Source.Root(ctx)
	if err != nil {
		return err
	}
	if err := r.scan(ctx, r.newDirRef(root), ""); err != nil {
		return err
	}
	if err := r.flushUnits(ctx); err != nil {
		return err
	}
	return r.flushWindow(ctx)
}

// scan sends the units of a directory, then those of the directories in it. It releases
// dir.
func (r *run) scan(ctx context.Context, dir *dirRef, path string) error {
	defer dir.release()
	if err := ctx.Err(); err != nil {
		return context.Cause(ctx)
	}
	stats, problems, err := dir.List(ctx)
	unreadable := err != nil
	if unreadable {
		if fatal := sourceError(ctx, err); fatal != nil {
			return fatal
		}
		r.problem(path, err, false)
	}
	old := r.oldRuns(ctx, path)
	r.Progress.Dirs.Add(1)
	r.Progress.Files.Add(countFiles(stats))
	switch {
	case unreadable || len(problems) > 0:
		err = r.sendTroubled(ctx, dir, path, stats, problems, old, unreadable)
	default:
		err = r.sendUnits(ctx, dir, path, stats, old)
	}
	if err != nil {
		return err
	}
	for i := range stats {
		if stats[i].Kind == tree.Directory {
			if err := r.descend(ctx, dir, path, &stats[i]); err != nil {
				return err
			}
		}
	}
	return nil
}

func (r *run) descend(ctx context.Context, dir *dirRef, path string, st *tree.Stat) error {
	below := tree.Join(path, st.Name)
	if len(below) > tree.MaxPath {
		r.problem(below, errPathTooLong, false) // its entry is marked
		return nil
	}
	if err := r.room(ctx); err != nil {
		return err
	}
	child, err := dir.OpenDir(ctx, st)
	if err == nil {
		return r.scan(ctx, r.newDirRef(child), below)
	}
	if fatal := sourceError(ctx, err); fatal != nil {
		return fatal
	}
	u := newUnit(below, true)
	// A directory that went away meanwhile is as good as empty.
	if u.unreadable = !errors.Is(err, fs.ErrNotExist); u.unreadable {
		r.problem(below, err, false)
	}
	return r.send(ctx, u)
}

// oldRuns returns the runs of the directory in the parent's tree. A parent that cannot
// be read is not used any further.
func (r *run) oldRuns(ctx context.Context, path string) []tree.OldRun {
	if r.cursor == nil {
		return nil
	}
	runs, err := r.cursor.Dir(ctx, path)
	if err != nil {
		r.dropParent(ctx, err)
		return nil
	}
	return runs
}

func (r *run) dropParent(ctx context.Context, err error) {
	if ctx.Err() == nil {
		r.damaged, r.cursor = err, nil
	}
}

// sendUnits compares a directory with the runs of the parent's tree, part by part.
func (r *run) sendUnits(ctx context.Context, dir *dirRef, path string, stats []tree.Stat, old []tree.OldRun) error {
	if len(old) == 0 {
		return r.sendEntries(ctx, dir, &piecemeal{path: path, last: true, fresh: true}, stats, nil)
	}
	for i := range old {
		part, last := stats, true
		if i+1 < len(old) {
			next, err := old[i+1].FirstName()
			if err != nil {
				r.dropParent(ctx, err)
				return r.sendEntries(ctx, dir, &piecemeal{path: path, last: true}, stats, nil)
			}
			n := sort.Search(len(stats), func(k int) bool { return stats[k].Name >= next })
			part, stats, last = stats[:n], stats[n:], false
		}
		if err := r.sendPart(ctx, dir, path, part, old[i], last); err != nil {
			return err
		}
	}
	return nil
}

func (r *run) sendPart(ctx context.Context, dir *dirRef, path string, stats []tree.Stat, old tree.OldRun, last bool) error {
	run := old.Run()
	if r.Reread == nil && !run.Digest.IsVoid() && run.Entries == len(stats) && r.digests.Stats(stats) == run.Digest && r.partsThere(ctx, old) {
		u := newUnit(path, last)
		u.old = &old
		r.Progress.Bytes.Add(run.Size)
		return r.send(ctx, u)
	}
	entries, err := old.Entries()
	if err != nil {
		r.dropParent(ctx, err)
		entries = nil
	}
	return r.sendEntries(ctx, dir, &piecemeal{path: path, last: last}, stats, entries)
}

// piecemeal is a part of a directory that may need several units.
type piecemeal struct {
	path        string
	last, fresh bool
}

// partsThere reports whether a run's pages and the chunks of its files are stored, if that is in
// doubt.
func (r *run) partsThere(ctx context.Context, old tree.OldRun) bool {
	if !r.CheckParts {
		return true
	}
	leaf, refs := old.Pages()
	if !r.Writer.Has(leaf) || (!refs.IsZero() && !r.Writer.Has(refs)) {
		return false
	}
	entries, err := old.Entries()
	if err != nil {
		return false
	}
	for i := range entries {
		if !r.stored(ctx, &entries[i]) {
			return false
		}
	}
	return true
}

// stored reports whether all chunks of a file are stored, and its list pages.
func (r *run) stored(ctx context.Context, x *tree.Entry) bool {
	if !r.has(x.Parts) {
		return false
	}
	if !x.Listed {
		return true
	}
	parts, err := tree.Parts(ctx, r.Load, x)
	return err == nil && r.has(parts)
}

func (r *run) has(parts []tree.Part) bool {
	for _, p := range parts {
		if !p.ID.IsZero() && !r.Writer.Has(p.ID) {
			return false
		}
	}
	return true
}

// sendEntries makes units of stats, taking over what is unchanged from old entries.
func (r *run) sendEntries(ctx context.Context, dir *dirRef, p *piecemeal, stats []tree.Stat, old []tree.Entry) error {
	for first := true; first || len(stats) > 0; first = false {
		n := min(len(stats), unitEntries)
		u := newUnit(p.path, p.last && n == len(stats))
		u.fresh = p.fresh
		var jobs []*job
		jobs, old = r.fill(ctx, dir, u, stats[:n], old)
		stats = stats[n:]
		if err := r.sendJobs(ctx, u, jobs); err != nil {
			return err
		}
	}
	return nil
}

// sendTroubled makes one unit of a directory in which something could not be looked at.
func (r *run) sendTroubled(ctx context.Context, dir *dirRef, path string, stats []tree.Stat, problems []source.Problem, runs []tree.OldRun, unreadable bool) error {
	var old []tree.Entry
	for _, run := range runs {
		if entries, err := run.Entries(); err == nil {
			old = append(old, entries...)
		}
	}
	u := newUnit(path, true)
	u.unreadable = unreadable
	jobs, _ := r.fill(ctx, dir, u, stats, old)
	bad, places := map[string]error{}, u.places(jobs)
	for _, p := range problems {
		r.problem(tree.Join(path, p.Stat.Name), p.Err, false)
		if p.Stat.Kind == 0 || !tree.ValidName(p.Stat.Name) || (p.Stat.Kind == tree.Symlink) {
			r.leftOut.Add(1)
			continue // not even its kind is known: there is nothing to list
		}
		bad[p.Stat.Name] = p.Err
		u.entries = append(u.entries, tree.Entry{Stat: p.Stat, Marks: tree.MarkUnreadable, Problem: p.Err.Error()})
		u.actions = append(u.actions, ActionModified)
	}
	if len(bad) > 0 {
		for i, j := range jobs { // appending has moved the entries
			j.entry = &u.entries[places[i]]
		}
		jobs = u.sort(jobs)
	}
	return r.sendJobs(ctx, u, jobs)
}

// places returns the number of each job's entry.
func (u *unit) places(jobs []*job) []int {
	places, k := make([]int, len(jobs)), 0
	for i, j := range jobs { // both are in the same order
		for j.entry != &u.entries[k] {
			k++
		}
		places[i] = k
	}
	return places
}

// sort orders the unit's entries by name and lets jobs point to where theirs are then.
func (u *unit) sort(jobs []*job) []*job {
	type row struct {
		entry  tree.Entry
		action Action
		job    *job
		before *tree.Entry
	}
	rows := make([]row, len(u.entries))
	for i := range u.entries {
		rows[i] = row{u.entries[i], u.actions[i], nil, u.reread[i]}
		for _, j := range jobs {
			if j.entry == &u.entries[i] {
				rows[i].job = j
			}
		}
	}
	sort.SliceStable(rows, func(i, k int) bool { return rows[i].entry.Name < rows[k].entry.Name })
	u.entries, u.actions, u.reread = make([]tree.Entry, len(rows)), make([]Action, len(rows)), map[int]*tree.Entry{}
	for i, row := range rows {
		u.entries[i], u.actions[i] = row.entry, row.action
		if row.before != nil {
			u.reread[i] = row.before
		}
		if row.job != nil {
			row.job.entry = &u.entries[i]
		}
	}
	return jobs
}

// fill makes the unit's entries and returns the files that must be read, and the old
// entries behind the last of them.
func (r *run) fill(ctx context.Context, dir *dirRef, u *unit, stats []tree.Stat, old []tree.Entry) ([]*job, []tree.Entry) {
	u.entries = make([]tree.Entry, len(stats))
	u.actions = make([]Action, len(stats))
	var jobs []*job
	for i := range stats {
		st, x := &stats[i], &u.entries[i]
		for len(old) > 0 && old[0].Name < st.Name {
			old = old[1:]
		}
		var before *tree.Entry
		if len(old) > 0 && old[0].Name == st.Name {
			before = &old[0]
		}
		if st.Kind == tree.Regular && st.Size > 0 {
			r.Progress.Bytes.Add(st.Size)
		}
		u.actions[i] = ActionNew
		if before != nil {
			u.actions[i] = ActionModified
			same := unchanged(before, st) && (!r.CheckParts || r.stored(ctx, before))
			again := before.Marks == tree.MarkUnproven && looksUnchanged(before, st)
			if st.Kind == tree.Regular && (again || same && r.Reread != nil && r.Reread(tree.Join(u.path, st.Name))) {
				if u.reread == nil {
					u.reread = map[int]*tree.Entry{}
				}
				u.reread[i], same = before, false
			}
			if same {
				*x = *before
				x.Stat = *st
				u.actions[i] = ActionUnchanged
				continue
			}
		}
		x.Stat = *st
		if st.Kind == tree.Regular {
			j := &job{unit: u, dir: dir, entry: x}
			if before != nil && !r.isSmall(st.Size) {
				j.before = earlier{before.Parts, before.Listed}
			}
			jobs = append(jobs, j)
			continue
		}
		r.describe(ctx, dir, u.path, x)
	}
	return jobs, old
}

// unchanged reports whether the file that st tells of is the one that old was made of.
func unchanged(old *tree.Entry, st *tree.Stat) bool { return old.Marks == 0 && looksUnchanged(old, st) }

// looksUnchanged reports whether all that tells of a change is as it was.
func looksUnchanged(old *tree.Entry, st *tree.Stat) bool {
	return old.Kind == st.Kind && old.ChangeTime == st.ChangeTime && old.ModTime == st.ModTime &&
		old.Inode == st.Inode && old.Mode == st.Mode && old.UID == st.UID && old.GID == st.GID &&
		(st.Kind != tree.Regular || old.Size == st.Size) && (st.Kind == tree.Directory || max(old.Links, 1) == max(st.Links, 1))
}

// describe has the source fill the rest of an entry, and leaves out what no tree can hold.
func describe(ctx context.Context, dir source.Dir, x *tree.Entry, f source.File) error {
	err := dir.Describe(ctx, &x.Stat, x, f)
	var over error
	x.Xattrs, over = tree.FitXattrs(x.Xattrs)
	if err == nil && x.Kind == tree.Symlink && x.Target == "" {
		err = errors.New("a link without a target")
	}
	return errors.Join(err, over)
}

// describe fills the rest of an entry that is no regular file.
func (r *run) describe(ctx context.Context, dir *dirRef, path string, x *tree.Entry) {
	if err := describe(ctx, dir, x, nil); err != nil {
		if x.Kind == tree.Symlink && x.Target == "" {
			x.Kind = 0 // a link without a target is nothing: the emitter leaves it out
			if errors.Is(err, fs.ErrNotExist) {
				return
			}
			r.leftOut.Add(1)
		} else {
			x.Marks, x.Problem = x.Marks|tree.MarkUnreadable, err.Error()
		}
		r.problem(tree.Join(path, x.Name), err, false)
	}
	if x.Kind == tree.Directory && len(tree.Join(path, x.Name)) > tree.MaxPath {
		x.Marks, x.Problem = x.Marks|tree.MarkUnreadable, errPathTooLong.Error()
	}
	r.markRacy(x)
}

// errPathTooLong says that a directory is left out because no tree can hold its path.
var errPathTooLong = errors.New("path is too long")

// markRacy marks an entry that changed so close to the look at it that a later change
// might have the same change time.
func (r *run) markRacy(x *tree.Entry) {
	if x.ChangeTime.Compare(r.racy) >= 0 {
		x.Marks |= tree.MarkUnproven
	}
}

// sendJobs sends the unit, and its files to those that read them.
func (r *run) sendJobs(ctx context.Context, u *unit, jobs []*job) error {
	if len(jobs) > 0 {
		u.ready = make(chan struct{})
		u.pending.Store(int32(len(jobs)))
	}
	for _, j := range jobs {
		j.dir.users.Add(1)
		r.opened.jobs.Add(1)
	}
	if err := r.send(ctx, u); err != nil {
		for _, j := range jobs {
			j.done()
		}
		return err
	}
	for i, j := range jobs {
		if err := r.dispatch(ctx, j); err != nil {
			for _, rest := range jobs[i+1:] {
				rest.done()
			}
			return err
		}
	}
	return nil
}

// send hands a unit to the emitter, together with others, so that the two do not wake
// each other for every directory. Before it waits for room it lets go of what it holds
// back, on which the emitter may be waiting.
func (r *run) send(ctx context.Context, u *unit) error {
	u.weight = int64(min(len(u.entries)+1, maxEntries))
	if !r.entries.TryAcquire(u.weight) {
		if err := r.flushUnits(ctx); err != nil {
			return err
		}
		if err := r.flushWindow(ctx); err != nil {
			return err
		}
		if err := r.entries.Acquire(ctx, u.weight); err != nil {
			return context.Cause(ctx)
		}
	}
	r.held = append(r.held, u)
	if len(r.held) < heldUnits && len(u.entries) < heldUnits {
		return nil
	}
	return r.flushUnits(ctx)
}

// flushUnits hands the units that were held back to the emitter.
func (r *run) flushUnits(ctx context.Context) error {
	if len(r.held) == 0 {
		return nil
	}
	select {
	case r.units <- r.held:
		r.held = nil
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
