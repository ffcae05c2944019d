package sftp

import (
	"bytes"
	"context"
	"errors"
	"io"
	"sync"

	"github.com/snapkeep/snap/internal/source"
	"github.com/snapkeep/snap/internal/tree"
)

// Bounds of large files.
const (
	fileAhead = 4 << 20 // bytes of one file that are asked for
	holeBytes = 1 << 20 // zeros that count as a hole, in line with reads
	holeFile  = 4 << 20 // size of files that may have holes
)

// piece is a stretch of a file that is asked for.
type piece struct {
	offset int64
	call   *call
	buf    []byte
	data   []byte // of buf; set when it was waited for
	ready  bool
	last   bool // the file ends behind data
	zero   bool // a whole stretch of zeros
}

var zeros [largeRead]byte

var buffers = sync.Pool{New: func() any { return new([largeRead]byte) }}

// file is a large file. It is read by many requests at a time, in order.
type file struct {
	s    *Source
	real string
	st   tree.Stat // as listed
	size int64     // when it was opened

	c      *client
	handle string
	before tree.Stat
	begun  bool // a byte was read

	asked  int64 // behind the last piece
	pieces []*piece
	at     int  // bytes of the first piece that were read
	inData bool // the region is data and goes on
	short  bool // the file ended before its size
}

// openLarge opens a file that is read as it is asked for.
func openLarge(ctx context.Context, s *Source, real string, st *tree.Stat) (source.File, error) {
	f := &file{s: s, real: real, st: *st}
	if err := f.open(ctx); err != nil {
		return nil, err
	}
	f.before = f.st
	f.size = f.st.Size
	return f, nil
}

// open opens the file, or opens it again on another connection. What is opened again may have changed: the look at the end
// tells.
func (f *file) open(ctx context.Context) error {
	return f.s.do(ctx, func(ctx context.Context, c *client, again bool) error {
		o, err := f.s.openFile(ctx, c, again, f.real, &f.st, 0)
		if err != nil {
			return err
		}
		f.c, f.handle, f.st = c, o.handle, o.stat
		return nil
	})
}

// ask keeps requests in flight.
func (f *file) ask() {
	for !f.short && f.asked < f.size && (len(f.pieces) == 0 || f.asked-f.pieces[0].offset < fileAhead) {
		n := min(int64(f.c.readLength), f.size-f.asked)
		p := &piece{offset: f.asked, buf: buffers.Get().(*[largeRead]byte)[:n]}
		p.call = f.c.start(readRequest(f.handle, p.offset, len(p.buf)), p.buf)
		f.asked += n
		f.pieces = append(f.pieces, p)
	}
}

// piece returns the i-th piece from here, nil behind the end of the file.
func (f *file) piece(i int) (*piece, error) {
	f.ask()
	if i >= len(f.pieces) {
		return nil, nil
	}
	for k := 0; k <= i; k++ { // in order, so that the end is known
		p := f.pieces[k]
		for !p.ready {
			if err := f.wait(p); errors.Is(err, errLost) {
				if err := f.reopen(); err != nil {
					return nil, err
				}
			} else if err != nil {
				return nil, err
			}
		}
		if p.last {
			f.short = true
			f.pieces = f.pieces[:k+1] // those behind it are of no use
			if k < i || len(p.data) == 0 {
				return nil, nil
			}
		}
	}
	return f.pieces[i], nil
}

// wait waits for a piece, and for the rest of it if the server gave less than was asked for.
func (f *file) wait(p *piece) error {
	n, err := p.call.data(f.s.ctx)
	for err == nil && n < len(p.buf) {
		var k int
		k, err = f.c.start(readRequest(f.handle, p.offset+int64(n), len(p.buf)-n), p.buf[n:]).data(f.s.ctx)
		n += k
	}
	if err != nil && err != io.EOF {
		if errors.Is(err, ErrProtocol) {
			f.s.broken(err)
		}
		return err
	}
	if err := f.s.count(0, int64(n)); err != nil {
		f.s.broken(err)
		return err
	}
	f.c.served.Store(true)
	p.data, p.ready, p.last = p.buf[:n], true, err == io.EOF
	p.zero = n == f.c.readLength && p.offset%int64(n) == 0 && bytes.Equal(p.data, zeros[:n])
	return nil
}

// reopen opens the file on another connection and asks again for what is not there.
func (f *file) reopen() error {
	if err := f.open(f.s.ctx); err != nil {
		return err
	}
	for i, p := range f.pieces {
		if !p.ready {
			// Nothing is written to the old buffer any more once its call has ended; the new one is not shared.
			q := &piece{offset: p.offset, buf: make([]byte, len(p.buf))}
			q.call = f.c.start(readRequest(f.handle, q.offset, len(q.buf)), q.buf)
			*p = *q
			f.pieces[i] = p
		}
	}
	return nil
}

// drop lets go of the first piece.
func (f *file) drop() {
	p := f.pieces[0]
	f.pieces = f.pieces[1:]
	f.at = 0
	if cap(p.buf) == largeRead {
		buffers.Put((*[largeRead]byte)(p.buf[:largeRead]))
	}
}

// hole reports whether so many zeros follow that they count as a hole.
func (f *file) hole() (bool, error) {
	if f.size < holeFile || f.at > 0 {
		return false, nil
	}
	for i, n := 0, 0; n < holeBytes; i++ {
		p, err := f.piece(i)
		if err != nil || p == nil || !p.zero {
			return false, err
		}
		n += len(p.data)
	}
	return true, nil
}

// Next implements source.File. The length of data is not known before it is read.
func (f *file) Next() (source.Region, error) {
	for f.inData { // it was not read to its end
		if _, err := f.Read(make([]byte, 64<<10)); err == io.EOF {
			break
		} else if err != nil {
			return source.Region{}, err
		}
	}
	p, err := f.piece(0)
	if err != nil {
		return source.Region{}, err
	}
	if p == nil {
		return source.Region{}, io.EOF
	}
	r := source.Region{Offset: p.offset, Length: -1}
	if r.Hole, err = f.hole(); err != nil {
		return source.Region{}, err
	}
	if !r.Hole {
		f.inData = true
		return r, nil
	}
	f.begun = true
	for r.Length = 0; p != nil && p.zero; {
		r.Length += int64(len(p.data))
		f.drop()
		if p, err = f.piece(0); err != nil {
			return source.Region{}, err
		}
	}
	return r, nil
}

// Read implements source.File. A region of data ends where a hole begins.
func (f *file) Read(b []byte) (int, error) {
	if !f.inData {
		return 0, io.EOF
	}
	p, err := f.piece(0)
	if err != nil {
		return 0, err
	}
	if p == nil {
		f.inData = false
		return 0, io.EOF
	}
	if f.begun = true; f.at == 0 && p.zero {
		hole, err := f.hole()
		if err != nil {
			return 0, err
		}
		if hole {
			f.inData = false
			return 0, io.EOF
		}
	}
	n := copy(b, p.data[f.at:])
	if f.at += n; f.at == len(p.data) {
		f.drop()
	}
	return n, nil
}

// Stat implements source.File.
func (f *file) Stat() (tree.Stat, error) {
	if !f.begun {
		return f.before, nil
	}
	a, err := f.c.start(newRequest(fxpFstat).text(f.handle), nil).attrs(f.s.ctx)
	if errors.Is(err, errLost) {
		if err = f.open(f.s.ctx); err == nil {
			return f.st, nil
		}
	}
	if err != nil {
		return tree.Stat{}, err
	}
	return a.stat(f.st.Name)
}

// Close implements source.File. What is still asked for goes nowhere.
func (f *file) Close() error {
	f.pieces = nil
	f.c.release(f.handle)
	return nil
}
