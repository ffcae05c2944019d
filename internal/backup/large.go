package backup

import (
	"context"
	"fmt"
	"io"
	"sync"
	"sync/atomic"

	"github.com/snapkeep/snap/chunker"
	"github.com/snapkeep/snap/internal/chunks"
	"github.com/snapkeep/snap/internal/content"
	"github.com/snapkeep/snap/internal/freelist"
	"github.com/snapkeep/snap/internal/source"
	"github.com/snapkeep/snap/internal/tree"
	"github.com/snapkeep/snap/pack"
)

const (
	blockSize    = 4 << 20 // of large files; one without a cut grows to growBlock
	growBlock    = 16 << 20
	gatherChunks = 4 << 10 // chunks of a block that the source has cut
	pieceBytes   = 1 << 20 // about what a worker takes of a block at a time
)

// block is a stretch of a large file in memory, cut into chunks.
type block struct {
	buf     []byte
	cuts    []int       // ends of chunks in buf
	parts   []tree.Part // those that are stored already have an id, and no bytes in buf
	whole   bool        // cut by the source
	was     *replaced   // tells of what the chunks replace; nil if they replace nothing
	pending atomic.Int32
	saved   chan struct{}
}

// piece is a part of a block for one worker.
type piece struct {
	block       *block
	first, last int   // numbers of chunks: first to last-1
	at          int64 // where the first begins in the file
}

// save saves the chunks of a piece.
func (p *piece) save(ctx context.Context, saver *chunks.Saver) error {
	b := p.block
	start := 0
	if p.first > 0 {
		start = b.cuts[p.first-1]
	}
	at := p.at
	for i := p.first; i < p.last; i++ {
		if b.parts[i].ID.IsZero() {
			chunk := b.buf[start:b.cuts[i]]
			id, err := saver.SavePiece(ctx, chunk, b.lifeAt(ctx, at+int64(len(chunk))/2))
			if err != nil {
				return err
			}
			b.parts[i] = tree.Part{ID: id, Length: int64(len(chunk))}
			start = b.cuts[i]
		}
		at += b.parts[i].Length
	}
	b.done()
	return nil
}

// lifeAt returns what tells how long a chunk in the middle of which is this place of the file is likely to be needed.
func (b *block) lifeAt(ctx context.Context, middle int64) func() chunks.Life {
	if b.was == nil {
		return nil
	}
	return func() chunks.Life { return b.was.life(ctx, middle) }
}

func (b *block) done() {
	if b.pending.Add(-1) == 0 {
		close(b.saved)
	}
}

// Blocks are the buffers of large files, for runs that come one after the other or side by side. It is safe for concurrent use.
type Blocks struct{ free freelist.List[*block] }

// NewBlocks returns Blocks that keep up to so many blocks of 4 MiB; 0 means as many as a run uses.
func NewBlocks(most int) *Blocks {
	if most == 0 {
		most = defaultReaders * (blocksPerFile + 2)
	}
	return &Blocks{freelist.List[*block]{Max: most}}
}

// getBlock returns a block of at least size bytes.
func (r *run) getBlock(size int) *block {
	var b *block
	if size <= blockSize {
		b, _ = r.Blocks.free.Get()
	}
	if b == nil {
		b = &block{buf: make([]byte, max(size, blockSize))}
	}
	b.buf, b.cuts, b.parts, b.whole, b.saved = b.buf[:cap(b.buf)], b.cuts[:0], b.parts[:0], false, make(chan struct{})
	b.pending.Store(1)
	return b
}

// putBlock gives a block back, unless it has grown.
func (r *run) putBlock(b *block) {
	b.was = nil
	if cap(b.buf) == blockSize {
		r.Blocks.free.Put(b)
	}
}

// listSaver saves the list pages of large files.
type listSaver struct {
	mu    sync.Mutex // guards saver
	saver *chunks.Saver
}

func (l *listSaver) save(ctx context.Context, page []byte) (pack.ChunkID, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.saver.Save(ctx, pack.KindRefs, page)
}

func (l *listSaver) flush(ctx context.Context) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.saver.Flush(ctx)
}

// readLarge reads large files until there are no more.
func (r *run) readLarge(ctx context.Context) error {
	for j := range r.large {
		err := r.saveLargeJob(ctx, nil, j)
		j.end(err)
		if err != nil {
			return err
		}
	}
	return nil
}

// saveLargeJob opens and reads a large file.
func (r *run) saveLargeJob(ctx context.Context, saver *chunks.Saver, j *job) error {
	f, err := r.open(ctx, j)
	if err != nil || f == nil {
		return err
	}
	defer f.Close()
	before, err := r.begin(ctx, j, f)
	if err != nil || before == nil {
		return err
	}
	return r.saveLarge(ctx, saver, j, f, before)
}

// saveLarge reads an open file block by block. The workers save a block while the next is
// read; a worker that came upon a file that has grown saves it alone, with its own saver.
func (r *run) saveLarge(ctx context.Context, saver *chunks.Saver, j *job, f source.File, before *tree.Stat) error {
	l := &largeFile{run: r, saver: saver, cutter: r.Files, name: j.entry.Name, file: f, was: newReplaced(j.before, r.Load, r.Writer.Age),
		parts: tree.NewPartList(func(page []byte) (pack.ChunkID, error) { return r.lists.save(ctx, page) })}
	defer l.drop()
	if err := l.read(ctx); err != nil {
		return err
	}
	if l.sourceErr != nil {
		return r.unreadable(ctx, j, l.sourceErr)
	}
	parts, listed, _, err := l.parts.Finish()
	if err != nil {
		return err
	}
	return r.end(ctx, j, f, before, parts, listed)
}

// largeFile is a large file that is being read.
type largeFile struct {
	run       *run
	saver     *chunks.Saver   // of the worker that reads the file; nil if the workers save it
	cutter    *chunker.Cutter // known after the first bytes
	name      string
	file      source.File
	parts     *tree.PartList
	waiting   []*block // sent, in order
	gathered  *block   // of chunks that the source has cut, not sent so far; nil for none
	was       *replaced
	sent      int64 // bytes of the file up to where the next block begins
	sniffed   bool
	sourceErr error // why reading ended early
}

// read reads all regions. Its error is the repository's; sourceErr is the file's.
func (l *largeFile) read(ctx context.Context) error {
	for {
		region, err := l.file.Next()
		if err != nil {
			if err != io.EOF {
				l.sourceErr = err
			}
			if err := l.sendGathered(ctx); err != nil {
				return err
			}
			return l.collect(ctx, 0)
		}
		if region.Whole || !region.Chunk.IsZero() {
			if err := l.gather(ctx, region); err != nil {
				return err
			}
			if l.sourceErr != nil {
				return l.collect(ctx, 0)
			}
			continue
		}
		if err := l.sendGathered(ctx); err != nil {
			return err
		}
		if region.Hole {
			if err := l.collect(ctx, 0); err != nil {
				return err
			}
			if err := l.parts.Add(tree.Part{Length: region.Length}); err != nil {
				return err
			}
			l.sent += region.Length
			continue
		}
		if err := l.readRegion(ctx); err != nil {
			return err
		}
		if l.sourceErr != nil {
			return l.collect(ctx, 0)
		}
	}
}

// gather takes over a chunk that the source has cut, or that is stored.
func (l *largeFile) gather(ctx context.Context, region source.Region) error {
	known := !region.Chunk.IsZero()
	if known && !l.run.Writer.Has(region.Chunk) {
		return errNotStored(l.name, region.Chunk)
	}
	if region.Length < 1 || region.Length > pack.MaxChunkSize && !known {
		return fmt.Errorf("backup: internal error: %q: the source cut a chunk of %d bytes", l.name, region.Length)
	}
	n := int(region.Length)
	if known {
		n = 0
	}
	if b := l.gathered; b != nil && (b.filled()+n > len(b.buf) || len(b.cuts) >= gatherChunks) {
		if err := l.sendGathered(ctx); err != nil {
			return err
		}
	}
	if l.gathered == nil {
		l.gathered = l.run.getBlock(max(blockSize, n))
		l.gathered.whole = true
	}
	b, part := l.gathered, tree.Part{ID: region.Chunk, Length: region.Length}
	if !known {
		got, err := io.ReadFull(l.file, b.buf[b.filled():b.filled()+n])
		if err != nil && err != io.EOF && err != io.ErrUnexpectedEOF {
			l.sourceErr = err
			return nil
		}
		if n = got; n == 0 {
			return nil
		}
		part = tree.Part{}
	}
	b.cuts, b.parts = append(b.cuts, b.filled()+n), append(b.parts, part)
	return nil
}

// sendGathered sends the chunks that the source has cut.
func (l *largeFile) sendGathered(ctx context.Context) error {
	b := l.gathered
	l.gathered = nil
	if b == nil {
		return nil
	}
	return l.send(ctx, b)
}

// filled returns how many bytes of the block's buffer are cut.
func (b *block) filled() int {
	if len(b.cuts) == 0 {
		return 0
	}
	return b.cuts[len(b.cuts)-1]
}

// readRegion reads a region of data and sends its chunks. What is left behind the last cut
// of a block is carried to the start of the next.
func (l *largeFile) readRegion(ctx context.Context) error {
	b, filled := l.run.getBlock(blockSize), 0
	for {
		n, err := io.ReadFull(l.file, b.buf[filled:])
		filled += n
		final := err == io.EOF || err == io.ErrUnexpectedEOF
		if err != nil && !final {
			l.sourceErr = err
			return nil
		}
		l.sniff(b.buf[:filled])
		if filled == len(b.buf) && !final && l.cutter.Next(b.buf[:filled], false) == 0 {
			b.grow()
			continue
		}
		pos := 0
		for pos < filled {
			n := l.cutter.Next(b.buf[pos:filled], final)
			if n == 0 {
				break
			}
			pos += n
			b.cuts = append(b.cuts, pos)
		}
		var next *block
		rest := b.buf[pos:filled]
		if !final {
			next = l.run.getBlock(max(blockSize, len(rest)))
			filled = copy(next.buf, rest)
		}
		if err := l.send(ctx, b); err != nil {
			return err
		}
		if final {
			return nil
		}
		b = next
	}
}

// grow makes room for a chunk that is longer than the block.
func (b *block) grow() {
	bigger := make([]byte, min(2*len(b.buf), growBlock))
	copy(bigger, b.buf)
	b.buf = bigger
}

// sniff chooses the class of chunks by the file's first bytes and its name.
func (l *largeFile) sniff(head []byte) {
	if l.sniffed {
		return
	}
	l.sniffed = true
	if content.IsDatabase(l.name, head) {
		l.cutter = l.run.Database
	}
}

// send hands a block's chunks to the workers, and waits if too many blocks are on their
// way.
func (l *largeFile) send(ctx context.Context, b *block) error {
	if len(b.cuts) == 0 {
		l.run.putBlock(b)
		return nil
	}
	b.parts = append(b.parts, make([]tree.Part, len(b.cuts)-len(b.parts))...)
	l.waiting, b.was = append(l.waiting, b), l.was
	next, start := piece{block: b, at: l.sent}, 0
	for i, end := range b.cuts {
		l.sent += b.length(i) // before a worker has it
		if end-start < pieceBytes && i+1 < len(b.cuts) {
			continue
		}
		b.pending.Add(1)
		p := next
		p.last = i + 1
		if err := l.handOut(ctx, &p); err != nil {
			return err
		}
		next.first, next.at, start = i+1, l.sent, end
	}
	b.done()
	return l.collect(ctx, blocksPerFile-1)
}

// length returns how many bytes chunk i has in the file, of a block that was not handed out so far.
func (b *block) length(i int) int64 {
	switch {
	case !b.parts[i].ID.IsZero():
		return b.parts[i].Length
	case i == 0:
		return int64(b.cuts[0])
	}
	return int64(b.cuts[i] - b.cuts[i-1])
}

// handOut has a piece saved.
func (l *largeFile) handOut(ctx context.Context, p *piece) error {
	if l.saver != nil {
		return p.save(ctx, l.saver)
	}
	select {
	case l.run.pieces <- p:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// collect waits until at most so many blocks are on their way, and adds the parts of those
// that are done.
func (l *largeFile) collect(ctx context.Context, most int) error {
	for len(l.waiting) > most {
		b := l.waiting[0]
		select {
		case <-b.saved:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		l.waiting = l.waiting[1:]
		for _, p := range b.parts {
			if b.whole && l.run.Past != nil {
				l.run.Past.Saved(p.ID)
			}
			if err := l.parts.Add(p); err != nil {
				return err
			}
		}
		l.run.putBlock(b)
	}
	return nil
}

// drop forgets blocks that a failed run left behind; workers may still read them.
func (l *largeFile) drop() { l.waiting = nil }
