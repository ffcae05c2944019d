package backup

import (
	"context"
	"errors"

	"runtime"
	"sync/atomic"
	"time"

	"github.com/snapkeep/snap/chunker"
	"github.com/snapkeep/snap/internal/chunks"
	"github.com/snapkeep/snap/internal/source"
	"github.com/snapkeep/snap/internal/tree"
	"github.com/snapkeep/snap/pack"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sync/semaphore"
)

// Bounds of the pipeline, with what they cost in memory.
const (
	maxEntries     = 32 << 10 // entries between scanner and emitter, about 300 B each
	unitEntries    = 4 << 10  // entries of a unit
	heldUnits      = 64       // units that are handed to the emitter together
	windowFiles    = 4 << 10  // small files that are ordered together
	defaultDirs    = 256      // default of Options.MaxDirs
	windowBytes    = 32 << 20 // and their bytes, which are not in memory yet
	batchFiles     = 512      // files of a batch
	blocksPerFile  = 2        // blocks of a large file on their way, each of blockSize
	defaultReaders = 2        // large files read at a time
	maxReaders     = 256      // as many, at 5 blocks of 4 MiB each

	// Granularity is the default of Options.Granularity.
	Granularity = 2 * time.Second
)

// ErrNothingRead says that no file was found in a source of which something could not be read.
var ErrNothingRead = errors.New("nothing could be read")

// Options of a run.
type Options struct {
	Source   source.Source
	Writer   *chunks.Writer
	Load     tree.LoadPage // reads pages of the parent's tree
	Parent   pack.ChunkID  // root of the parent's tree; zero for none
	Files    *chunker.Cutter
	Database *chunker.Cutter

	// CheckParts looks up each page and each chunk of unchanged files, which is needed when
	// packs are known to be missing or damaged: such files are then read again.
	CheckParts bool
	// Reread, if not nil, chooses files that are read again though they look unchanged. One whose content is another
	// one all the same is ActionSilent.
	Reread func(path string) bool
	// Past is what an informed source is told; nil if there is none.
	Past source.Past
	// Start is the time when the run began, by the clock that stamps the source's files, unless
	// the source has a clock of its own.
	Start time.Time
	// Granularity is how far apart two changes must be to have different change times;
	// 0 means 2 s.
	Granularity time.Duration
	// MaxDirs is how many directories are open at a time at most, but for those that lead to where the scanner is; 0 means 256.
	MaxDirs int
	// Readers is how many large files are read at a time, at most 256; 0 or less means 2.
	Readers int
	// Blocks are used for large files; nil means that the run has its own.
	Blocks *Blocks
	// Progress, if not nil, is counted up while the run goes on.
	Progress *Progress
	// Item, if not nil, is told of each file, in path order, from one goroutine. It must
	// not block.
	Item func(Item)
	// Problem, if not nil, is told of each problem as it comes, from several goroutines.
	Problem func(Problem)
}

// Progress counts what a run has done. It may be read at any time.
type Progress struct {
	Files, Dirs, Bytes atomic.Int64 // looked at: regular files, directories, and bytes of these files
	BytesRead          atomic.Int64
	Problems           atomic.Int64
	Current            atomic.Pointer[string] // path of a file that is being read
}

// Action says what became of a file.
type Action string

// The actions.
const (
	ActionNew       Action = "new"
	ActionModified  Action = "modified"
	ActionUnchanged Action = "unchanged"
	// ActionSilent is a file whose content changed while its size, times, inode, mode and owner did not: it decays
	// where it lies, or somebody hides a change.
	ActionSilent Action = "changed silently"
	// ActionReread is a file that looks unchanged, was read again, because Reread asks for it or because it had changed
	// just before it was looked at the last time, and is.
	ActionReread Action = "read again"
)

// Item tells of one file.
type Item struct {
	Path   string
	Kind   tree.Kind
	Size   int64
	Action Action
	// Since is when it last changed in any way, by the source's clock; a source without change times tells when its
	// content did.
	Since tree.Time
}

// Problem tells of a file or directory that could not be read, or not consistently.
type Problem struct {
	Path    string
	Err     error
	Changed bool // the file changed while it was read; it was kept
}

// Summary counts what a run saw.
type Summary struct {
	FilesNew, FilesChanged, FilesUnmodified int64
	DirsNew, DirsChanged, DirsUnmodified    int64
	Files, Bytes                            int64 // regular files and their bytes
	Unreadable                              int64 // files and directories that could not be read, or not all of their attributes
	ChangedWhileRead                        int64
}

// Result is what a run made.
type Result struct {
	Root    pack.ChunkID
	Summary Summary
	// ParentDamaged is the error with which reading the parent's tree failed, if it did; from
	// there on all files were read.
	ParentDamaged error
}

// run is the state of one backup.
type run struct {
	Options
	racy     tree.Time // entries changed at or after it are unproven
	cursor   *tree.Cursor
	digests  tree.Digester
	entries  *semaphore.Weighted
	opened   openDirs
	units    chan []*unit
	batches  chan []*job
	large    chan *job
	pieces   chan *piece
	held     []*unit // not sent to the emitter so far
	window   []*job
	windowed int64
	lists    listSaver
	summary  Summary
	leftOut  atomic.Int64 // entries that are not even in the tree, though they are there
	damaged  error
}

// Run backs a source up and returns its tree. The Savers' chunks are flushed when it
// returns without an error; making them durable is left to the Writer's Finish.
func Run(ctx context.Context, o Options) (*Result, error) {
	if o.Granularity == 0 {
		o.Granularity = Granularity
	}
	if o.Readers = min(o.Readers, maxReaders); o.Readers <= 0 {
		o.Readers = defaultReaders
	}
	if o.MaxDirs == 0 {
		o.MaxDirs = defaultDirs
	}
	if o.Blocks == nil {
		o.Blocks = NewBlocks(o.Readers * (blocksPerFile + 2))
	}
	if o.Progress == nil {
		o.Progress = &Progress{}
	}
	r := &run{Options: o, racy: tree.TimeOf(o.Start.Add(-o.Granularity)),
		entries: semaphore.NewWeighted(maxEntries), units: make(chan []*unit, maxEntries),
		batches: make(chan []*job, 1), large: make(chan *job, 64), pieces: make(chan *piece), opened: openDirs{moved: make(chan struct{}, 1)}}
	if err := r.inform(ctx); err != nil {
		return nil, err
	}
	r.lists.saver = o.Writer.NewSaver()
	if !o.Parent.IsZero() {
		cursor, err := tree.NewCursor(ctx, o.Load, o.Parent)
		if err != nil && ctx.Err() == nil {
			r.damaged = err
		} else if err != nil {
			return nil, err
		} else {
			r.cursor = cursor
		}
	}
	root, err := r.pipeline(ctx)
	if err != nil {
		return nil, err
	}
	r.summary.Unreadable += r.leftOut.Load()
	return &Result{Root: root, Summary: r.summary, ParentDamaged: r.damaged}, nil
}

// inform tells the source what is stored of it, and takes its clock.
func (r *run) inform(ctx context.Context) error {
	if informed, ok := r.Source.(source.Informed); ok && r.Past != nil {
		if err := informed.Inform(ctx, r.Past); err != nil {
			return err
		}
	}
	if now := source.ClockOf(r.Source); now != nil {
		r.racy = tree.TimeOf(now().Add(-r.Granularity))
	}
	return nil
}

// pipeline runs all stages and waits for them. A stage closes the channels that it
// sends on.
func (r *run) pipeline(outer context.Context) (root pack.ChunkID, err error) {
	group, ctx := errgroup.WithContext(outer) // ends with Wait
	group.Go(func() error {
		defer close(r.batches)
		defer close(r.large)
		if err := r.scanAll(ctx); err != nil {
			return err // the emitter must not take what came so far for all: the end of ctx tells it
		}
		close(r.units)
		return nil
	})
	readers, readersCtx := errgroup.WithContext(ctx)
	for range r.Readers {
		readers.Go(func() error { return r.readLarge(readersCtx) })
	}
	group.Go(func() error {
		defer close(r.pieces)
		return readers.Wait()
	})
	for range max(2, runtime.GOMAXPROCS(0)) {
		group.Go(func() error { return r.work(ctx) })
	}
	group.Go(func() error {
		var err error
		root, err = r.emit(ctx)
		return err
	})
	if err := group.Wait(); err != nil {
		r.dropJobs()
		return pack.ChunkID{}, err
	}
	return root, r.lists.flush(outer)
}

// dropJobs releases the directories of files that a failed run did not come to.
func (r *run) dropJobs() {
	for j := range r.large {
		j.done()
	}
	for batch := range r.batches {
		for _, j := range batch {
			j.done()
		}
	}
	for _, j := range r.window {
		j.done()
	}
}

// work takes batches of small files and pieces of large ones until both have ended.
func (r *run) work(ctx context.Context) error {
	saver := r.Writer.NewSaver()
	batches, pieces := r.batches, r.pieces
	for batches != nil || pieces != nil {
		select {
		case b, ok := <-batches:
			if !ok {
				batches = nil
				continue
			}
			if err := r.saveBatch(ctx, saver, b); err != nil {
				return err
			}
		case p, ok := <-pieces:
			if !ok {
				pieces = nil
				continue
			}
			if err := p.save(ctx, saver); err != nil {
				return err
			}
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	if err := saver.Flush(ctx); err != nil {
		return err
	}
	saver.Release()
	return nil
}

func (r *run) problem(path string, err error, changed bool) {
	r.Progress.Problems.Add(1)
	if r.Problem != nil {
		r.Problem(Problem{path, err, changed})
	}
}

// sourceError tells an error of the source from one that must end the run.
func sourceError(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if errors.Is(err, source.ErrStream) || errors.Is(err, source.ErrBroken) {
		return err
	}
	return nil
}

func (r *run) note(path string) { r.Progress.Current.Store(&path) }
