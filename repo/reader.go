package repo

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"sort"
	"sync"

	"github.com/snapkeep/snap/internal/tree"
	"github.com/snapkeep/snap/pack"
)

// FileReader reads a regular file of a snapshot. It loads only those chunks, and of a long file
// only those lists of chunks, that it is asked for. ReadAt may be called concurrently, the other
// methods serve one goroutine. The reads end when the context that it was opened with does.
type FileReader struct {
	ctx    context.Context
	load   tree.LoadPage
	entry  *Entry
	top    spans
	offset int64 // of Read

	mu        sync.Mutex // guards what follows
	list      spans      // the list page read last, if the file is listed
	listStart int64
	last      stretch
}

// stretch is a chunk with its place in a file.
type stretch struct {
	start int64
	chunk []byte
}

// copy copies what the stretch has from off on.
func (s *stretch) copy(p []byte, off int64) int {
	if off < s.start || off-s.start >= int64(len(s.chunk)) {
		return 0
	}
	return copy(p, s.chunk[off-s.start:])
}

// OpenFile opens a regular file of a snapshot; links are not followed.
func (r *Repo) OpenFile(ctx context.Context, s *Snapshot, path string) (*FileReader, error) {
	defer r.use()()
	x, err := r.Lookup(ctx, s, path)
	if err != nil {
		return nil, err
	}
	return r.OpenEntry(ctx, x)
}

// OpenEntry opens the regular file x, which Lookup, ReadDir or Walk returned. A file that could not
// be read when it was backed up has no content: the error wraps ErrUnreadable. Of another kind of file it wraps fs.ErrInvalid.
func (r *Repo) OpenEntry(ctx context.Context, x *Entry) (*FileReader, error) {
	defer r.use()()
	if x.Kind != tree.Regular {
		return nil, fmt.Errorf("open %q: %w: no regular file", x.Name, fs.ErrInvalid)
	}
	if len(x.Parts) == 0 && x.Marks&tree.MarkUnreadable != 0 {
		return nil, fmt.Errorf("open %q: %w: %s", x.Name, ErrUnreadable, x.Problem)
	}
	return &FileReader{ctx: ctx, load: r.read, entry: x, top: newSpans(x.Parts)}, nil
}

// Size returns the file's size in bytes.
func (f *FileReader) Size() int64 { return f.top.size() }

// Entry returns what the snapshot knows of the file.
func (f *FileReader) Entry() *Entry { return f.entry }

// Read implements io.Reader.
func (f *FileReader) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	if f.offset >= f.Size() {
		return 0, io.EOF
	}
	n, err := f.readPart(p, f.offset)
	f.offset += int64(n)
	return n, err
}

// ReadAt implements io.ReaderAt.
func (f *FileReader) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 {
		return 0, fmt.Errorf("read at %d: %w", off, fs.ErrInvalid)
	}
	done := 0
	for done < len(p) {
		if off >= f.Size() {
			return done, io.EOF
		}
		n, err := f.readPart(p[done:], off)
		done, off = done+n, off+int64(n)
		if err != nil {
			return done, err
		}
	}
	return done, nil
}

// Seek implements io.Seeker.
func (f *FileReader) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		offset += f.offset
	case io.SeekEnd:
		offset += f.Size()
	case io.SeekStart:
	default:
		return 0, fmt.Errorf("seek: whence %d: %w", whence, fs.ErrInvalid)
	}
	if offset < 0 {
		return 0, fmt.Errorf("seek to %d: %w", offset, fs.ErrInvalid)
	}
	f.offset = offset
	return offset, nil
}

// readPart reads from the one part that holds off, which is in the file.
func (f *FileReader) readPart(p []byte, off int64) (int, error) {
	if err := f.ctx.Err(); err != nil {
		return 0, err
	}
	f.mu.Lock()
	last := f.last
	f.mu.Unlock()
	if n := last.copy(p, off); n > 0 {
		return n, nil
	}
	part, start, err := f.find(off)
	if err != nil {
		return 0, err
	}
	if part.ID.IsZero() {
		n := int(min(int64(len(p)), start+part.Length-off))
		clear(p[:n])
		return n, nil
	}
	chunk, err := f.fetch(f.ctx, part)
	if err != nil {
		return 0, err
	}
	last = stretch{start, chunk}
	f.mu.Lock()
	f.last = last
	f.mu.Unlock()
	return last.copy(p, off), nil
}

// find returns the part that holds off, and where it begins in the file.
func (f *FileReader) find(off int64) (tree.Part, int64, error) {
	part, start := f.top.find(off)
	if !f.entry.Listed {
		return part, start, nil
	}
	f.mu.Lock()
	list, listStart := f.list, f.listStart
	f.mu.Unlock()
	if listStart != start || list.size() == 0 {
		parts, err := tree.LoadList(f.ctx, f.load, part)
		if err != nil {
			return part, start, tell(fmt.Errorf("read %q: %w", f.entry.Name, err))
		}
		list, listStart = newSpans(parts), start
		f.mu.Lock()
		f.list, f.listStart = list, listStart
		f.mu.Unlock()
	}
	part, start = list.find(off - listStart)
	return part, listStart + start, nil
}

// fetch loads the chunk of a part that is no hole.
func (f *FileReader) fetch(ctx context.Context, part tree.Part) ([]byte, error) {
	chunk, err := f.load(ctx, pack.KindData, part.ID)
	if err == nil && int64(len(chunk)) != part.Length {
		err = fmt.Errorf("%w: chunk %s of %d bytes, want %d", tree.ErrCorrupt, part.ID, len(chunk), part.Length)
	}
	if err != nil {
		return nil, tell(fmt.Errorf("read %q: %w", f.entry.Name, err))
	}
	return chunk, nil
}

// spans are parts with the offsets at which they end.
type spans struct {
	parts []tree.Part
	ends  []int64
}

func newSpans(parts []tree.Part) spans {
	s := spans{parts: parts, ends: make([]int64, len(parts))}
	end := int64(0)
	for i, p := range parts {
		end += p.Length
		s.ends[i] = end
	}
	return s
}

func (s *spans) size() int64 {
	if len(s.ends) == 0 {
		return 0
	}
	return s.ends[len(s.ends)-1]
}

// find returns the part that holds off, which must be below the size, and where it begins.
func (s *spans) find(off int64) (tree.Part, int64) {
	i := sort.Search(len(s.ends), func(i int) bool { return s.ends[i] > off })
	return s.parts[i], s.ends[i] - s.parts[i].Length
}

// readAhead is how many chunks WriteTo loads before it needs them. A chunk has up to 16 MiB, and
// 1 MiB as a rule.
const readAhead = 3

// piece is a part of a file on its way to a writer.
type piece struct {
	length int64
	data   []byte // nil for a hole
	err    error
}

// WriteTo writes the rest of the file to w and loads ahead of it. It implements io.WriterTo.
func (f *FileReader) WriteTo(w io.Writer) (written int64, err error) {
	ctx, cancel := context.WithCancel(f.ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	queue := make(chan chan piece, readAhead)
	wg.Go(func() {
		defer close(queue)
		f.loadAhead(ctx, &wg, queue)
	})
	for next := range queue {
		p := <-next
		n, err := p.writeTo(w)
		written += n
		f.offset += n
		if err != nil {
			return written, err
		}
	}
	return written, f.ctx.Err()
}

// loadAhead sends the parts from the offset of Read on, each as a channel that it will arrive at.
func (f *FileReader) loadAhead(ctx context.Context, wg *sync.WaitGroup, queue chan<- chan piece) {
	for off := f.offset; off < f.Size(); {
		part, start, err := f.find(off)
		skip := off - start
		arrival := make(chan piece, 1)
		select {
		case queue <- arrival:
		case <-ctx.Done():
			return
		}
		if err != nil || part.ID.IsZero() {
			arrival <- piece{length: part.Length - skip, err: err}
		} else {
			wg.Go(func() {
				chunk, err := f.fetch(ctx, part)
				if err == nil {
					chunk = chunk[skip:]
				}
				arrival <- piece{length: part.Length - skip, data: chunk, err: err}
			})
		}
		if err != nil {
			return
		}
		off = start + part.Length
	}
}

// zeros are what a hole reads as.
var zeros [64 << 10]byte

func (p *piece) writeTo(w io.Writer) (int64, error) {
	if p.err != nil {
		return 0, p.err
	}
	if p.data != nil {
		return writeAll(w, p.data)
	}
	done := int64(0)
	for done < p.length {
		n, err := writeAll(w, zeros[:min(p.length-done, int64(len(zeros)))])
		done += n
		if err != nil {
			return done, err
		}
	}
	return done, nil
}

func writeAll(w io.Writer, p []byte) (int64, error) {
	n, err := w.Write(p)
	if err == nil && n < len(p) {
		err = io.ErrShortWrite
	}
	return int64(n), err
}

var _ interface {
	io.ReadSeeker
	io.ReaderAt
	io.WriterTo
} = (*FileReader)(nil)
