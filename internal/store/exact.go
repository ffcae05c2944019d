package store

import (
	"context"
	"fmt"
	"io"
	"io/fs"
)

// ExactReader returns a reader of data that ends with io.EOF only if data ends
// after exactly size bytes. Data that ends early gives io.ErrUnexpectedEOF,
// and data that goes on gives an error in place of io.EOF; so whoever copies
// until io.EOF has exactly size bytes. It fails with the error of ctx once ctx
// is done. A negative size is an error at the first Read.
func ExactReader(ctx context.Context, data io.Reader, size int64) io.Reader {
	return &exactReader{ctx: ctx, data: data, left: size, size: size}
}

// exactReader is the one type that keeps a context: it lives only within the
// call whose context that is.
type exactReader struct {
	ctx  context.Context
	data io.Reader
	left int64
	size int64
}

func (r *exactReader) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, context.Cause(r.ctx)
	}
	if r.size < 0 {
		return 0, fmt.Errorf("negative size %d: %w", r.size, fs.ErrInvalid)
	}
	if len(p) == 0 {
		return 0, nil
	}
	if r.left == 0 {
		return 0, r.readEnd()
	}
	if int64(len(p)) > r.left {
		p = p[:r.left]
	}
	n, err := r.data.Read(p)
	r.left -= int64(n)
	if err == io.EOF {
		// The end is confirmed by the next Read, which finds left at zero.
		err = nil
		if r.left > 0 {
			err = fmt.Errorf("data ends after %d of %d bytes: %w", r.size-r.left, r.size, io.ErrUnexpectedEOF)
		}
	}
	return n, err
}

// readEnd returns io.EOF if no more data follows.
func (r *exactReader) readEnd() error {
	var one [1]byte
	n, err := io.ReadFull(r.data, one[:])
	if n > 0 {
		return fmt.Errorf("data goes on after %d bytes: %w", r.size, fs.ErrInvalid)
	}
	return err
}
