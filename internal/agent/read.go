package agent

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"

	"github.com/snapkeep/snap/chunker"
	"github.com/snapkeep/snap/internal/content"
	"github.com/snapkeep/snap/internal/protocol"
	"github.com/snapkeep/snap/internal/source"
	"github.com/snapkeep/snap/internal/tree"
	"github.com/zeebo/blake3"
)

// readBlock is how much of a large file is in memory; a chunk without a cut in it makes it grow up to the
// largest chunk. Each worker holds one at most, and only one of them a larger one.
const readBlock = 2 << 20

// blocks are kept for reuse.
var blocks = sync.Pool{New: func() any { b := make([]byte, readBlock); return &b }}

// opened is an open file of a question.
type opened struct {
	source.File
	dir  *openDir
	stat tree.Stat // before it is read
}

// openFile opens a regular file, which must be the one that was listed.
func (s *session) openFile(ctx context.Context, path string, inode uint64) (*opened, error) {
	d, err := s.dirs.acquire(ctx, parentOf(path))
	if err != nil {
		return nil, err
	}
	o := &opened{dir: d}
	if err := o.open(ctx, path[strings.LastIndexByte(path, '/')+1:], inode); err != nil {
		s.dirs.release(d)
		return nil, err
	}
	return o, nil
}

func (o *opened) open(ctx context.Context, name string, inode uint64) error {
	st, err := o.dir.Look(name)
	if err != nil {
		return err
	}
	if st.Kind != tree.Regular || (inode != 0 && st.Inode != inode) {
		return fmt.Errorf("%w: %q", source.ErrReplaced, name)
	}
	if o.File, err = o.dir.Open(ctx, &st); err != nil {
		return err
	}
	if o.stat, err = o.Stat(); err != nil {
		return errors.Join(err, o.File.Close())
	}
	o.stat.Name = name
	return nil
}

func (s *session) closeFile(o *opened) {
	o.File.Close()
	s.dirs.release(o.dir)
}

// readFiles answers for the content of files.
func (s *session) readFiles(ctx context.Context, m *protocol.ReadRequest, a *answer) error {
	for i := range m.Files {
		if err := s.readFile(ctx, i, &m.Files[i], a); err != nil {
			if a.broken != nil || ctx.Err() != nil {
				return err
			}
			a.buf = protocol.AppendItem(a.buf, &protocol.Item{File: i, Kind: protocol.ItemFailed, Err: protocol.ErrorOf(err)})
		}
		if err := a.grown(); err != nil {
			return err
		}
	}
	return nil
}

func (s *session) readFile(ctx context.Context, number int, q *protocol.FileQuestion, a *answer) error {
	o, err := s.openFile(ctx, q.Path, q.Inode)
	if err != nil {
		return err
	}
	defer s.closeFile(o)
	begin := protocol.Item{File: number, Kind: protocol.ItemBegin, Entry: tree.Entry{Stat: o.stat}}
	if err := o.dir.Describe(ctx, &begin.Entry.Stat, &begin.Entry, o.File); err != nil {
		begin.Err = protocol.ErrorOf(err)
	}
	a.buf = protocol.AppendItem(a.buf, &begin)
	r := &fileReader{s: s, ctx: ctx, number: number, q: q, o: o, a: a, left: q.Most}
	whole, err := r.read()
	if err != nil {
		return err
	}
	end := protocol.Item{File: number, Kind: protocol.ItemEnd, Whole: whole}
	if end.Entry.Stat, err = o.Stat(); err != nil {
		return err
	}
	a.buf = protocol.AppendItem(a.buf, &end)
	return nil
}

// fileReader reads a part of a file.
type fileReader struct {
	s      *session
	ctx    context.Context
	number int
	q      *protocol.FileQuestion
	o      *opened
	a      *answer
	left   int64 // bytes that may still be told of
	cutter *chunker.Cutter
	block  *[]byte
	grown  bool // block is larger than others: s.large has room for one
}

// read goes through the regions of the file and reports whether it came to the end.
func (r *fileReader) read() (whole bool, err error) {
	defer r.giveBack()
	for {
		region, err := r.o.Next()
		if err == io.EOF {
			return true, nil
		}
		if err != nil {
			return false, err
		}
		from := max(region.Offset, r.q.From)
		length := region.Offset + region.Length - from
		if length <= 0 {
			continue // it was told of in an earlier answer
		}
		if r.left <= 0 {
			return false, nil
		}
		if region.Hole {
			r.left -= length
			err = r.tell(&protocol.Item{Kind: protocol.ItemHole, Length: length})
		} else {
			whole, err = r.cut(from, length)
			if err == nil && !whole {
				return false, nil
			}
		}
		if err != nil {
			return false, err
		}
	}
}

// grow returns a block with room for the largest chunk that begins as buf does. It waits until no other worker has one.
func (r *fileReader) grow(buf []byte) ([]byte, error) {
	if err := r.s.takeLarge(r.ctx); err != nil {
		return nil, err
	}
	bigger := make([]byte, max(r.cutter.Params().MaxSize, 2*len(buf)))
	copy(bigger, buf)
	blocks.Put(r.block)
	r.block, r.grown = &bigger, true
	return bigger, nil
}

// takeLarge waits until this worker may hold a block larger than readBlock.
func (s *session) takeLarge(ctx context.Context) error {
	select {
	case s.large <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (s *session) giveLarge() { <-s.large }

// giveBack gives the block back.
func (r *fileReader) giveBack() {
	switch {
	case r.grown:
		r.block, r.grown = nil, false
		r.s.giveLarge()
	case r.block != nil:
		blocks.Put(r.block)
	}
}

func (r *fileReader) tell(it *protocol.Item) error {
	it.File = r.number
	r.a.buf = protocol.AppendItem(r.a.buf, it)
	return r.a.grown()
}

// cut cuts length bytes of data at an offset into chunks, until enough is told. It reports whether it came to their end,
// or to that of the file.
func (r *fileReader) cut(offset, length int64) (whole bool, err error) {
	file, ok := r.o.File.(io.ReaderAt)
	if !ok {
		return false, errors.New("agent: internal error: a file that cannot be read at an offset")
	}
	if r.block == nil {
		r.block = blocks.Get().(*[]byte)
	}
	if err := r.sniff(file); err != nil {
		return false, err
	}
	buf, filled, end := (*r.block)[:cap(*r.block)], 0, offset+length
	for r.left > 0 && offset < end {
		want := min(int64(len(buf)), end-offset)
		n, err := readFull(file, buf[filled:want], offset+int64(filled))
		if err != nil {
			return false, err
		}
		filled += n
		final := int64(filled) < want || offset+int64(filled) >= end
		pos := 0
		for r.left > 0 && pos < filled {
			size := r.cutter.Next(buf[pos:filled], final)
			if size == 0 {
				break
			}
			if err := r.chunk(buf[pos : pos+size]); err != nil {
				return false, err
			}
			pos += size
		}
		if final && pos == filled {
			return true, nil
		}
		if r.left <= 0 {
			return false, nil
		}
		if pos == 0 {
			if buf, err = r.grow(buf); err != nil {
				return false, err
			}
			continue
		}
		offset += int64(pos)
		filled = copy(buf, buf[pos:filled])
	}
	return offset >= end, nil
}

// chunk tells of one chunk.
func (r *fileReader) chunk(data []byte) error {
	r.left -= int64(len(data))
	if r.q.Send {
		return r.tell(&protocol.Item{Kind: protocol.ItemChunk, Data: data})
	}
	return r.tell(&protocol.Item{Kind: protocol.ItemHash, Length: int64(len(data)), Hash: blake3.Sum256(data)})
}

// sniff chooses the cutter by what the file looks like.
func (r *fileReader) sniff(file io.ReaderAt) error {
	if r.cutter != nil {
		return nil
	}
	r.cutter = r.s.files
	if r.o.stat.Size <= int64(r.s.files.Params().MinSize) {
		return nil // one chunk, whatever it is
	}
	head := (*r.block)[:min(content.HeadSize, cap(*r.block))]
	n, err := readFull(file, head, 0)
	if err == nil && content.IsDatabase(r.o.stat.Name, head[:n]) {
		r.cutter = r.s.database
	}
	return err
}

// readFull fills p from an offset and returns how much there was.
func readFull(file io.ReaderAt, p []byte, offset int64) (n int, err error) {
	for n < len(p) {
		k, err := file.ReadAt(p[n:], offset+int64(n))
		n += k
		if err == io.EOF || (err == nil && k == 0) {
			return n, nil
		}
		if err != nil {
			return n, err
		}
	}
	return n, nil
}

// fetch answers with chunks of a file.
func (s *session) fetch(ctx context.Context, m *protocol.FetchRequest, a *answer) error {
	o, err := s.openFile(ctx, m.Path, m.Inode)
	if err != nil {
		return err
	}
	defer s.closeFile(o)
	file, ok := o.File.(io.ReaderAt)
	if !ok {
		return errors.New("agent: internal error: a file that cannot be read at an offset")
	}
	longest := int64(0)
	for _, p := range m.Pieces {
		longest = max(longest, p.Length)
	}
	if longest > readBlock {
		if err := s.takeLarge(ctx); err != nil {
			return err
		}
		defer s.giveLarge()
	}
	buf := make([]byte, longest)
	for i, p := range m.Pieces {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		n, err := readFull(file, buf[:p.Length], p.Offset)
		it := protocol.Item{File: i, Kind: protocol.ItemChunk, Data: buf[:n]}
		if err == nil && n == 0 {
			err = fmt.Errorf("%w: it is shorter by now", source.ErrReplaced)
		}
		if err != nil {
			it = protocol.Item{File: i, Kind: protocol.ItemFailed, Err: protocol.ErrorOf(err)}
		}
		a.buf = protocol.AppendItem(a.buf, &it)
		if err := a.grown(); err != nil {
			return err
		}
	}
	return nil
}

// hash answers with the hashes of whole files.
func (s *session) hash(ctx context.Context, m *protocol.HashRequest, a *answer) error {
	for _, path := range m.Paths {
		h, err := s.hashFile(ctx, path)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			h = &protocol.FileHash{Err: protocol.ErrorOf(err)}
		}
		a.buf = protocol.AppendFileHash(a.buf, h)
		if err := a.grown(); err != nil {
			return err
		}
	}
	return nil
}

func (s *session) hashFile(ctx context.Context, path string) (*protocol.FileHash, error) {
	o, err := s.openFile(ctx, path, 0)
	if err != nil {
		return nil, err
	}
	defer s.closeFile(o)
	file, ok := o.File.(io.ReaderAt)
	if !ok {
		return nil, errors.New("agent: internal error: a file that cannot be read at an offset")
	}
	hasher := blake3.New()
	block := blocks.Get().(*[]byte)
	defer blocks.Put(block)
	for offset := int64(0); offset < o.stat.Size; {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		n, err := readFull(file, (*block)[:min(int64(len(*block)), o.stat.Size-offset)], offset)
		if err != nil {
			return nil, err
		}
		if n == 0 {
			break
		}
		hasher.Write((*block)[:n])
		offset += int64(n)
	}
	h := &protocol.FileHash{}
	if h.Stat, err = o.Stat(); err != nil {
		return nil, err
	}
	hasher.Sum(h.Hash[:0])
	return h, nil
}
