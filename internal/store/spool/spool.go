package spool

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"sync"

	"github.com/snapkeep/snap/internal/store"
)

// blockBytes is the unit in which memory is taken.
const blockBytes = 64 << 10

type block [blockBytes]byte

// Pool bounds the memory of buffers. It is safe for concurrent use.
type Pool struct {
	dir    string
	blocks sync.Pool

	mu   sync.Mutex
	free int // blocks that may still be taken; guarded by mu
}

// NewPool returns a pool whose buffers together take up to memoryBytes of
// memory, and files in the folder dir for more. An empty dir stands for the
// system's folder for temporary files.
func NewPool(memoryBytes int64, dir string) *Pool {
	return &Pool{
		dir:    dir,
		blocks: sync.Pool{New: func() any { return new(block) }},
		free:   int(memoryBytes / blockBytes),
	}
}

// take returns a block, or nil if the bound is reached.
func (p *Pool) take() *block {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.free <= 0 {
		return nil
	}
	p.free--
	return p.blocks.Get().(*block)
}

func (p *Pool) give(blocks []*block) {
	for _, b := range blocks {
		p.blocks.Put(b)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.free += len(blocks)
}

// New returns an empty buffer, which has to be closed.
func (p *Pool) New() *Buffer { return &Buffer{pool: p} }

// Collect returns a buffer with all of data, which has to be size bytes.
func (p *Pool) Collect(ctx context.Context, data io.Reader, size int64) (*Buffer, error) {
	b := p.New()
	chunk := p.blocks.Get().(*block)
	defer p.blocks.Put(chunk)
	_, err := io.CopyBuffer(struct{ io.Writer }{b}, store.ExactReader(ctx, data, size), chunk[:])
	if err != nil {
		b.Close()
		return nil, err
	}
	return b, nil
}

// Buffer is a file that is held. It is written by one goroutine and then read
// by any number. After Close all calls fail with fs.ErrClosed, also those that
// a transport makes late.
type Buffer struct {
	pool *Pool

	mu     sync.RWMutex // guards what follows
	blocks []*block     // the first bytes
	file   *tempFile    // the rest, nil if there is none
	size   int64
	closed bool
}

// Write implements io.Writer.
func (b *Buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return 0, fs.ErrClosed
	}
	written := 0
	for written < len(p) {
		if b.file == nil && b.size == b.memory() && !b.grow() {
			file, err := newTempFile(b.pool.dir)
			if err != nil {
				return written, err
			}
			b.file = file
		}
		n, err := b.append(p[written:])
		written += n
		b.size += int64(n)
		if err != nil {
			return written, err
		}
	}
	return written, nil
}

// memory returns how many bytes the blocks can hold.
func (b *Buffer) memory() int64 { return int64(len(b.blocks)) * blockBytes }

func (b *Buffer) grow() bool {
	next := b.pool.take()
	if next == nil {
		return false
	}
	b.blocks = append(b.blocks, next)
	return true
}

// append writes what fits in the last block, or all of p to the file.
func (b *Buffer) append(p []byte) (int, error) {
	if b.file != nil {
		return b.file.WriteAt(p, b.size-b.memory())
	}
	return copy(b.blocks[len(b.blocks)-1][b.size%blockBytes:], p), nil
}

// ReadAt implements io.ReaderAt.
func (b *Buffer) ReadAt(p []byte, off int64) (int, error) {
	b.mu.RLock()
	defer b.mu.RUnlock()
	if b.closed {
		return 0, fs.ErrClosed
	}
	if off < 0 {
		return 0, fs.ErrInvalid
	}
	n := 0
	for n < len(p) && off < b.size {
		var m int
		var err error
		want := p[n:min(int64(len(p)), int64(n)+b.size-off)]
		if off < b.memory() {
			m = copy(want, b.blocks[off/blockBytes][off%blockBytes:])
		} else {
			m, err = b.file.ReadAt(want, off-b.memory())
		}
		n += m
		off += int64(m)
		if err != nil && m < len(want) {
			return n, err
		}
	}
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// Size returns how many bytes the buffer holds.
func (b *Buffer) Size() int64 {
	b.mu.RLock()
	defer b.mu.RUnlock()
	return b.size
}

// Close gives memory and file back. It may be called again.
func (b *Buffer) Close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return nil
	}
	b.closed = true
	b.pool.give(b.blocks)
	b.blocks = nil
	if b.file != nil {
		return b.file.Close()
	}
	return nil
}

// Sender is what a store does for its files without a name.
type Sender struct {
	// Put stores a buffer under a name that is not taken.
	Put func(ctx context.Context, name string, data *Buffer) error
	// Wrap adds the operation and the file to an error; nil stays nil.
	Wrap func(op, name string, err error) error
}

// unnamed is a file being written; commit and Close end it.
type unnamed struct {
	Sender
	data  *Buffer
	ended bool
}

// Unnamed returns a file as store.Spooler has it. It is sent when it gets its name.
func (p *Pool) Unnamed(s Sender) (io.WriteCloser, func(ctx context.Context, name string) error) {
	w := &unnamed{Sender: s, data: p.New()}
	return w, w.commit
}

func (w *unnamed) Write(p []byte) (int, error) {
	n, err := w.data.Write(p)
	return n, w.Wrap("spool", "", err)
}

func (w *unnamed) commit(ctx context.Context, name string) error {
	if w.ended {
		return w.Wrap("create", name, fs.ErrClosed)
	}
	w.ended = true
	return w.Wrap("create", name, errors.Join(w.Put(ctx, name, w.data), w.data.Close()))
}

func (w *unnamed) Close() error {
	w.ended = true
	return w.Wrap("spool", "", w.data.Close())
}
