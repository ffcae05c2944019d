package chunks

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/snapkeep/snap/index"
	"github.com/snapkeep/snap/internal/compress"
	"github.com/snapkeep/snap/internal/seal"
	"github.com/snapkeep/snap/internal/sealed"
	"github.com/snapkeep/snap/pack"
	"golang.org/x/sync/errgroup"
)

// Defaults of Options.
const (
	DefaultPackSize      = 32 << 20
	checkpointBytes      = 256 << 20        // of packs between two index files
	firstCheckpoint      = 64 << 20         // of a run that has written little so far
	checkpointInterval   = 2 * time.Minute  // between two index files
	firstInterval        = 10 * time.Second // between two of a run that has not lasted long
	maxIndexRows         = 200_000          // of an index file
	maxUnfinishedCommits = 2                // packs that are made durable beside the open one
)

// Options of a Writer. The zero value means defaults.
type Options struct {
	PackSize    int            // bytes at which a data pack is ended; 0 means DefaultPackSize
	Compression compress.Level // of file data; metadata is always compressed
	// Shared is what this Writer has in common with others, with their Compression; nil means that it has its own.
	Shared *Shared
	// Replaces says that pieces of large files may replace others, so that some have another life than LifeLong. What is little for a life is held in memory then,
	// up to 1 MiB each.
	Replaces bool
	// SkipVerify leaves out opening each sealed segment again before it is written.
	SkipVerify bool
	// Corrupt, if not nil, may change a sealed segment before it is verified. It is
	// for tests that prove the verification.
	Corrupt func(box []byte)
	// Indexed, if not nil, is told of each index file when it is durable, before others can refer to what it names. It must not block, nor keep or
	// change packs.
	Indexed func(id pack.ID, packs []index.Pack)
	// DryRun says that the store keeps nothing: nobody else gets to know of what is saved.
	DryRun bool
	// Now is the clock; nil means time.Now.
	Now func() time.Time
	// StorageTime tells what the clock of the storage said in its latest answer, zero if that is not known. nil stands for a storage that does
	// not tell: then each pack is looked at once more before it counts.
	StorageTime func() time.Time
	// Noted reports whether the storage has had young signs of life of this run, such as a session, since a time by this machine's clock; nil if it
	// is sure to have them. Without them each pack is looked at as well.
	Noted func(since time.Time) bool
}

// Writer saves the chunks of one run. Its methods are safe for concurrent use.
type Writer struct {
	store   Store
	set     *index.Set
	keys    Keys
	records *sealed.Records
	opts    Options
	packers [3][lives]*packer // by class; those of metadata have one life
	commits [3]errgroup.Group // packs of a class that are made durable
	outer   context.Context   // of the run
	ctx     context.Context   // ends also when a pack could not be written
	fail    context.CancelCauseFunc

	contentOnce sync.Once
	content     *seal.Key
	contentErr  error

	mu      sync.Mutex                // guards what follows
	claimed map[pack.ChunkID]struct{} // that no index file names so far
	relied  map[pack.ID]struct{}      // packs that not everybody sees yet, and that were found to hold chunks
	rows    []index.Pack              // of durable packs that no index file names so far
	oldest  Age                       // of the first of them
	rowsLen int
	bytes   int64 // of the packs in rows
	began   time.Time
	written time.Time // the last index file
	indexes []pack.ID
	stats   Stats
}

// Stats counts what a Writer saved.
type Stats struct {
	DataChunks, TreeChunks int64 // new chunks of file data, and of trees
	Bytes                  int64 // of new chunks before compression
	StoredBytes            int64 // of the segments that hold them
	DataBytes              int64 // of new chunks of file data before compression
	StoredData             int64 // of the segments that hold these
	Packs                  int64
	PackBytes              int64 // of pack files, with padding and directories
}

// NewWriter returns a Writer into store that deduplicates against set and adds its rows
// to it, when an index file names them. Finish or Abandon ends it; what it does for its Savers ends with ctx.
func NewWriter(ctx context.Context, store Store, set *index.Set, keys Keys, opts Options) (*Writer, error) {
	if opts.PackSize == 0 {
		opts.PackSize = DefaultPackSize
	}
	if opts.PackSize < 1<<20 || opts.PackSize > pack.MaxPackSize/2 {
		return nil, fmt.Errorf("pack size of %d bytes: want 1 MiB to 128 MiB", opts.PackSize)
	}
	if opts.Now == nil {
		opts.Now = time.Now
	}
	if opts.Shared == nil {
		var err error
		if opts.Shared, err = NewShared(keys.ChunkIDs, opts.Compression); err != nil {
			return nil, err
		}
	}
	w := &Writer{store: store, set: set, keys: keys, records: sealed.New(store, keys.Metadata), opts: opts,
		claimed: map[pack.ChunkID]struct{}{}, relied: map[pack.ID]struct{}{}, began: opts.Now()}
	w.written, w.outer = w.began, ctx
	w.ctx, w.fail = context.WithCancelCause(ctx)
	for _, class := range []pack.Class{pack.ClassData, pack.ClassMeta} {
		w.commits[class].SetLimit(maxUnfinishedCommits)
		for life := range w.packers[class] {
			w.packers[class][life] = &packer{w: w, class: class, least: w.least(class), commits: &w.commits[class]}
		}
	}
	return w, nil
}

// Has reports whether the chunk is stored, or about to be by this run.
func (w *Writer) Has(id pack.ChunkID) bool {
	w.mu.Lock()
	_, ok := w.claimed[id]
	w.mu.Unlock()
	return ok || w.stored(id)
}

// stored reports whether the chunk is in a pack that others may refer to, and notes the pack if not everybody sees it yet.
func (w *Writer) stored(id pack.ChunkID) bool {
	l, ok := w.set.Lookup(id)
	if ok && l.Fresh {
		w.mu.Lock()
		w.relied[l.Pack] = struct{}{}
		w.mu.Unlock()
	}
	return ok
}

// Relied returns the packs that were found to hold chunks and that not everybody sees yet: index.Location tells which these are.
func (w *Writer) Relied() []pack.ID {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Collect(maps.Keys(w.relied))
}

// claim reports whether the caller is the one to save the chunk: it is neither stored
// nor claimed by another.
func (w *Writer) claim(id pack.ChunkID) bool {
	w.mu.Lock()
	_, ok := w.claimed[id]
	w.mu.Unlock()
	if ok || w.stored(id) {
		return false
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if _, ok := w.claimed[id]; ok {
		return false
	}
	w.claimed[id] = struct{}{}
	return true
}

// contentKey returns the run's content key.
func (w *Writer) contentKey(ctx context.Context) (*seal.Key, error) {
	w.contentOnce.Do(func() { w.content, w.contentErr = w.keys.NewContent(ctx) })
	return w.content, w.contentErr
}

// Stats returns the counts so far.
func (w *Writer) Stats() Stats {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.stats
}

// storageTime returns what the clock of the storage said last, zero if that is not known.
func (w *Writer) storageTime() time.Time {
	if w.opts.StorageTime == nil {
		return time.Time{}
	}
	return w.opts.StorageTime()
}

// packDone notes a durable pack, and writes an index file now and then so that an
// interrupted run leaves what it wrote usable by the next. The pack was stored after the clocks said before.
func (w *Writer) packDone(ctx context.Context, p index.Pack, before Age) error {
	w.mu.Lock()
	if len(w.rows) == 0 || before.Stored.Before(w.oldest.Stored) {
		w.oldest.Stored = before.Stored
	}
	if len(w.rows) == 0 || before.Local.Before(w.oldest.Local) {
		w.oldest.Local = before.Local
	}
	w.stats.Packs++
	w.stats.PackBytes += p.Size
	w.rows = append(w.rows, p)
	w.bytes += p.Size
	for _, s := range p.Directory {
		w.rowsLen += len(s.Chunks)
	}
	now := w.opts.Now()
	due := w.rowsLen >= maxIndexRows ||
		w.bytes >= min(checkpointBytes, max(firstCheckpoint, w.stats.PackBytes/8)) ||
		now.Sub(w.written) >= min(checkpointInterval, max(firstInterval, now.Sub(w.began)/8))
	w.mu.Unlock()
	if !due {
		return nil
	}
	return w.writeIndex(ctx)
}

// writeIndex makes an index file of the packs that are durable. Only then others of this process may refer to them: a snapshot that is committed
// before would be lost if this run ended here. Those that cannot be indexed serve nobody.
func (w *Writer) writeIndex(ctx context.Context) error {
	w.mu.Lock()
	rows, age := w.rows, w.oldest
	w.rows, w.rowsLen, w.bytes, w.written = nil, 0, 0, w.opts.Now()
	w.mu.Unlock()
	if len(rows) == 0 {
		return nil
	}
	age.Clock, age.Noted = w.opts.StorageTime, w.opts.Noted
	id, err := SaveIndex(ctx, w.store, w.records, index.File{Packs: rows}, age)
	if err != nil {
		return err
	}
	w.mu.Lock()
	w.indexes = append(w.indexes, id)
	w.mu.Unlock()
	if w.opts.DryRun {
		return nil
	}
	if w.opts.Indexed != nil {
		w.opts.Indexed(id, rows)
	}
	w.share(rows)
	return nil
}

// share lets others of this process refer to packs.
func (w *Writer) share(packs []index.Pack) {
	for _, p := range packs {
		w.set.Add(p)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, p := range packs {
		for _, s := range p.Directory {
			for _, c := range s.Chunks {
				delete(w.claimed, c.ID)
			}
		}
	}
}

// Finish makes everything durable that the Savers flushed: packs, then index. It
// returns the index files that this run wrote. Call it once, after the last Flush.
func (w *Writer) Finish(ctx context.Context) ([]pack.ID, error) {
	if err := w.stop(); err != nil {
		return nil, errors.Join(err, w.writeIndex(context.WithoutCancel(ctx)))
	}
	if err := w.writeIndex(ctx); err != nil {
		return nil, err
	}
	return w.indexes, nil
}

// Abandon ends a run that will not commit: what is durable is indexed for the next run,
// if the store still works, and goroutines end.
func (w *Writer) Abandon(ctx context.Context) error {
	w.stop()
	return w.writeIndex(ctx)
}

// stop finds packs for what is held, ends the open packs and waits until what was begun is durable.
func (w *Writer) stop() (err error) {
	err = w.join()
	for _, class := range []pack.Class{pack.ClassData, pack.ClassMeta} {
		for _, p := range w.packers[class] {
			err = cmp.Or(err, p.end())
		}
	}
	for class := range w.commits {
		err = cmp.Or(err, w.commits[class].Wait())
	}
	w.fail(context.Canceled)
	return err
}
