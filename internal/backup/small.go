package backup

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/snapkeep/snap/internal/chunks"
	"github.com/snapkeep/snap/internal/source"
	"github.com/snapkeep/snap/internal/tree"
	"github.com/snapkeep/snap/pack"
)

// dispatch hands a file to a reader, or holds it back until the window is full.
func (r *run) dispatch(ctx context.Context, j *job) error {
	if !r.isSmall(j.entry.Size) {
		select {
		case r.large <- j:
			return nil
		case <-ctx.Done():
			j.done()
			return context.Cause(ctx)
		}
	}
	r.window = append(r.window, j)
	r.windowed += j.entry.Size
	if len(r.window) >= windowFiles || r.windowed >= windowBytes {
		return r.flushWindow(ctx)
	}
	return nil
}

// smallest is the size in bytes up to which a file is one chunk.
func (r *run) smallest() int64 { return int64(r.Files.Params().MinSize) }

// isSmall reports whether a file of so many bytes is one chunk. The size of a stream is not known, and negative.
func (r *run) isSmall(size int64) bool { return size >= 0 && size <= r.smallest() }

// flushWindow orders the files that were held back, so that alike ones compress
// together, and hands them to the workers in batches of about a segment.
func (r *run) flushWindow(ctx context.Context) error {
	files := r.window
	r.window, r.windowed = nil, 0
	slices.SortStableFunc(files, func(a, b *job) int {
		if c := strings.Compare(path.Ext(a.entry.Name), path.Ext(b.entry.Name)); c != 0 {
			return c
		}
		return strings.Compare(a.entry.Name, b.entry.Name)
	})
	for _, j := range files {
		if p, ok := j.dir.Dir.(source.Prefetcher); ok {
			p.Prefetch(&j.entry.Stat)
		}
	}
	for len(files) > 0 {
		n, size := 0, int64(0)
		for n < len(files) && n < batchFiles && (n == 0 || size+files[n].entry.Size <= chunks.SegmentSize) {
			size += files[n].entry.Size
			n++
		}
		select {
		case r.batches <- files[:n]:
			files = files[n:]
		case <-ctx.Done():
			for _, j := range files {
				j.done()
			}
			return context.Cause(ctx)
		}
	}
	return nil
}

// saveBatch reads and saves small files.
func (r *run) saveBatch(ctx context.Context, saver *chunks.Saver, batch []*job) (err error) {
	for _, j := range batch {
		if err == nil {
			err = r.saveSmall(ctx, saver, j)
		}
		j.end(err)
	}
	return err
}

// saveSmall reads a file that was small when it was listed. Errors of the source end up
// in the entry; an error that is returned ends the run.
func (r *run) saveSmall(ctx context.Context, saver *chunks.Saver, j *job) error {
	f, err := r.open(ctx, j)
	if err != nil || f == nil {
		return err
	}
	defer f.Close()
	before, err := r.begin(ctx, j, f)
	if err != nil || before == nil {
		return err
	}
	if !r.isSmall(before.Size) {
		return r.saveLarge(ctx, saver, j, f, before) // it grew meanwhile
	}
	var parts []tree.Part
	for {
		region, err := f.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return r.unreadable(ctx, j, err)
		}
		if region.Hole {
			parts = appendPart(parts, tree.Part{Length: region.Length})
			continue
		}
		if !region.Chunk.IsZero() {
			if !r.Writer.Has(region.Chunk) {
				return errNotStored(j.path(), region.Chunk)
			}
			parts = append(parts, tree.Part{ID: region.Chunk, Length: region.Length})
			continue
		}
		if !r.isSmall(region.Length) {
			return r.saveLargeJob(ctx, saver, j) // it was larger when it was opened than just now
		}
		p, err := saveRegion(ctx, saver, f, region)
		if err != nil {
			var repository repositoryError
			if errors.As(err, &repository) {
				return repository.error
			}
			return r.unreadable(ctx, j, err)
		}
		r.saved(region, p)
		parts = append(parts, p...)
	}
	return r.end(ctx, j, f, before, parts, false)
}

// errNotStored says that a source named a chunk that nobody told it of.
func errNotStored(path string, id pack.ChunkID) error {
	return fmt.Errorf("backup: internal error: %q: the source refers to chunk %s, which is not stored", path, id)
}

// saved tells a source that cuts its files what is stored of them by now.
func (r *run) saved(region source.Region, parts []tree.Part) {
	if !region.Whole || r.Past == nil {
		return
	}
	for _, p := range parts {
		r.Past.Saved(p.ID)
	}
}

// repositoryError marks an error that is not the source's.
type repositoryError struct{ error }

// saveRegion saves a region of data of at most the chunker's minimum as one chunk.
func saveRegion(ctx context.Context, saver *chunks.Saver, f source.File, region source.Region) ([]tree.Part, error) {
	buf, err := saver.Tail(ctx, pack.KindData, int(region.Length))
	if err != nil {
		return nil, repositoryError{err}
	}
	n, err := io.ReadFull(f, buf[:region.Length])
	if err != nil && err != io.EOF && err != io.ErrUnexpectedEOF {
		return nil, err
	}
	if n == 0 {
		return nil, nil
	}
	id, err := saver.SaveTail(ctx, pack.KindData, n)
	if err != nil {
		return nil, repositoryError{err}
	}
	return []tree.Part{{ID: id, Length: int64(n)}}, nil
}

func appendPart(parts []tree.Part, p tree.Part) []tree.Part {
	if n := len(parts); n > 0 && p.ID.IsZero() && parts[n-1].ID.IsZero() {
		parts[n-1].Length += p.Length
		return parts
	}
	return append(parts, p)
}

// open opens a job's file. A file that went away leaves an entry of no kind, which the
// emitter drops.
func (r *run) open(ctx context.Context, j *job) (source.File, error) {
	f, err := j.dir.Open(ctx, &j.entry.Stat)
	if err == nil {
		return f, nil
	}
	// The program of a stream that does not exist is no file that went away.
	if sourceError(ctx, err) == nil && errors.Is(err, fs.ErrNotExist) {
		j.entry.Kind = 0
		return nil, nil
	}
	return nil, r.unreadable(ctx, j, err)
}

// begin describes an open file and returns its stat before it is read, or nil if that
// failed.
func (r *run) begin(ctx context.Context, j *job, f source.File) (*tree.Stat, error) {
	r.note(j.path())
	st, err := f.Stat()
	if err != nil {
		return nil, r.unreadable(ctx, j, err)
	}
	st.Name = j.entry.Name
	j.entry.Stat = st
	if err := describe(ctx, j.dir, j.entry, f); err != nil {
		// Its content counts; the next backup looks again.
		j.entry.Marks, j.entry.Problem = j.entry.Marks|tree.MarkUnproven, err.Error()
		r.problem(j.path(), err, false)
	}
	return &st, nil
}

// end completes an entry whose content was read.
func (r *run) end(ctx context.Context, j *job, f source.File, before *tree.Stat, parts []tree.Part, listed bool) error {
	after, err := f.Stat()
	if err != nil {
		return r.unreadable(ctx, j, err)
	}
	x := j.entry
	x.Parts, x.Listed, x.Size = parts, listed, 0
	for _, p := range parts {
		x.Size += p.Length
	}
	r.Progress.BytesRead.Add(x.Size)
	changed := after.ModTime != before.ModTime || after.ChangeTime != before.ChangeTime || after.Size != before.Size
	if changed || (before.Size >= 0 && x.Size != before.Size) {
		x.Marks |= tree.MarkChanged
		r.problem(j.path(), errors.New("changed while it was read"), true)
	}
	r.markRacy(x)
	return nil
}

// unreadable completes an entry whose content could not be read.
func (r *run) unreadable(ctx context.Context, j *job, err error) error {
	if fatal := sourceError(ctx, err); fatal != nil {
		return fatal
	}
	x := j.entry
	x.Marks |= tree.MarkUnreadable
	x.Problem, x.Parts, x.Listed, x.Size = err.Error(), nil, false, max(x.Size, 0)
	r.problem(j.path(), err, false)
	return nil
}
