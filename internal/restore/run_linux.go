package restore

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sync/semaphore"
	"golang.org/x/sys/unix"

	"github.com/snapkeep/snap/internal/target"
	"github.com/snapkeep/snap/internal/tree"
	"github.com/snapkeep/snap/pack"
)

// taskQueue is how many ranges wait for a worker: enough to work on while the next files are
// collected.
const taskQueue = 64

// run is a restore under way.
type run struct {
	Options
	selector *selector
	root     *target.Root // nil in a dry run to a folder that does not exist
	base     string       // folder of the tree whose contents go into the target
	single   *tree.Entry  // the file that is restored alone, if one is
	above    []string     // folders above the target that got an entry when it was made
	tasks    chan task
	queued   *semaphore.Weighted // pieces and files of tasks
	cancel   context.CancelCauseFunc

	// Used by the walking goroutine only.
	collected collector
	simple    []*file
	groups    map[linkKey]*group
	held      []*group // hard links that get flags at the end

	report sync.Mutex // held while Item or Problem is called

	mu         sync.Mutex          // guards what follows
	open       map[*file]struct{}  // files of several chunks that are being written
	bad        map[place]struct{}  // segments that cannot be read
	unverified map[string]struct{} // paths that Verify leaves out; nil without Verify
	changes    changes
}

// Run restores. What failed for single files is reported as a problem and counted in the result; an error
// means that the restore was ended. What is complete then is not written again by the
// next run.
func Run(ctx context.Context, o Options) (*Result, error) {
	r := &run{Options: o.withDefaults(), selector: newSelector(o.Include, o.Exclude), tasks: make(chan task, taskQueue),
		groups: map[linkKey]*group{}, open: map[*file]struct{}{}, bad: map[place]struct{}{}}
	r.queued = semaphore.NewWeighted(int64(r.limits.pieces))
	if o.Verify {
		r.unverified = map[string]struct{}{}
	}
	if err := r.locate(ctx); err != nil {
		return nil, err
	}
	if err := r.openTarget(); err != nil {
		return nil, err
	}
	if r.root != nil {
		defer r.root.Close()
	}
	r.totals(ctx)
	err := r.write(ctx)
	if err == nil {
		r.hold()
		err = r.sync()
	}
	if err == nil {
		if o.Verify && !o.DryRun {
			err = r.verify(ctx)
		}
	}
	return r.Progress.result(), err
}

// locate finds what Path means.
func (r *run) locate(ctx context.Context) error {
	if r.Path == "" {
		return nil
	}
	x, err := tree.Lookup(ctx, r.Load, r.Root, r.Path)
	if err != nil {
		return err
	}
	if x.Kind == tree.Directory {
		r.base = r.Path
	} else {
		r.base, _ = tree.SplitPath(r.Path)
		r.single = x
	}
	return nil
}

func (r *run) openTarget() error {
	if r.DryRun {
		if _, err := os.Stat(r.Target); errors.Is(err, fs.ErrNotExist) {
			return nil
		}
	}
	r.above = missingAbove(r.Target)
	var err error
	r.root, err = target.Open(r.Target, target.Options{NoOwners: r.NoOwner, ForgiveOwners: os.Geteuid() != 0, NoXattrs: r.NoXattrs, MaxDirs: maxOpenDirs()})
	return err
}

// maxOpenDirs returns how many folders may be kept open. A segment's files lie in hundreds.
func maxOpenDirs() int {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return 64
	}
	return int(min(max(limit.Cur/4, 64), 1024))
}

// totals tells the progress what there is to do, if the root page does.
func (r *run) totals(ctx context.Context) {
	if r.Path != "" || !r.selector.all() {
		return
	}
	data, err := r.Load(ctx, pack.KindTree, r.Root)
	if err != nil {
		return // the walk will say so
	}
	if in, err := tree.ParseInner(data); err == nil {
		for _, c := range in.Children {
			r.Progress.TotalFiles.Add(c.Files)
			r.Progress.TotalBytes.Add(c.Size)
		}
	}
}

// write walks the tree and runs the workers until everything is written.
func (r *run) write(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	r.cancel = cancel
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		defer close(r.tasks)
		return r.plan(ctx)
	})
	for range r.Workers {
		group.Go(func() error { return r.work(ctx) })
	}
	err := group.Wait()
	for f := range r.open { // only after an error
		f.abort()
	}
	return err
}

// plan walks the tree and hands out what is to be done.
func (r *run) plan(ctx context.Context) error {
	top := r.newTop()
	if top.existed {
		r.findLeftovers(top)
	}
	var err error
	if r.single != nil {
		_, err = r.entry(ctx, top, r.single)
		r.removeLeftovers(top, err)
		r.leave(top)
	} else {
		err = r.descend(ctx, top, r)
	}
	if err != nil {
		return err
	}
	if err := r.flushAll(ctx); err != nil {
		return err
	}
	return r.flushSimple(ctx)
}

// treePath returns where a path of the target is in the tree.
func (r *run) treePath(path string) string {
	switch {
	case r.base == "":
		return path
	case path == "":
		return r.base
	}
	return r.base + "/" + path
}

// item reports what became of a file or folder.
func (r *run) item(path string, action Action, kind tree.Kind, size int64) {
	if r.Item == nil {
		return
	}
	r.report.Lock()
	defer r.report.Unlock()
	r.Item(Item{path, action, kind, size})
}

// fail reports that a file is not restored. Some failures end the whole run.
func (r *run) fail(path string, err error) {
	r.Progress.Failed.Add(1)
	r.problem(path, err)
	r.leaveOut(path)
	for _, fatal := range []error{unix.ENOSPC, unix.EDQUOT, unix.EROFS} {
		if errors.Is(err, fatal) {
			r.cancel(fmt.Errorf("restore %q: %w", path, err))
		}
	}
}

// problem reports what went wrong.
func (r *run) problem(path string, err error) {
	if r.Problem == nil {
		return
	}
	r.report.Lock()
	defer r.report.Unlock()
	r.Problem(path, err)
}

// attributes reports what could not be set.
func (r *run) attributes(path string, problems []*target.AttributeError) {
	for _, p := range problems {
		r.Progress.Attributes.Add(1)
		r.problem(path, p)
	}
}

// leaveOut keeps Verify from looking at a path.
func (r *run) leaveOut(path string) {
	if r.unverified == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.unverified[path] = struct{}{}
}

func (r *run) isLeftOut(path string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	_, ok := r.unverified[path]
	return ok
}
