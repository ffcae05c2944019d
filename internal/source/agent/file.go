package agent

import (
	"context"
	"fmt"
	"io"

	"github.com/snapkeep/snap/internal/source"
	"github.com/snapkeep/snap/internal/tree"
	"github.com/zeebo/blake3"
)

// openLarge begins to read a large file, or goes on with one that turned out to be large.
func (f *fetcher) openLarge(ctx context.Context, x *file) (source.File, error) {
	f.pumpLarge(x)
	err := x.waitFor(ctx, func() bool { return x.begun })
	if err != nil {
		x.Close()
		return nil, err
	}
	return x, nil
}

// waitFor waits until there is what is wanted, and returns the error of the file if there is one, or that of the context
// or the source.
func (x *file) waitFor(ctx context.Context, there func() bool) error {
	wake := func() {
		x.mu.Lock()
		x.moved.Broadcast()
		x.mu.Unlock()
	}
	defer context.AfterFunc(ctx, wake)()
	defer context.AfterFunc(x.f.s.ctx, wake)()
	x.mu.Lock()
	defer x.mu.Unlock()
	for !there() {
		switch {
		case x.err != nil:
			return x.err
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case x.f.s.ctx.Err() != nil:
			return context.Cause(x.f.s.ctx)
		}
		x.moved.Wait()
	}
	return nil
}

// describe fills in what came with the file.
func (x *file) describe(e *tree.Entry) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	b := &x.before
	e.User, e.Group, e.Xattrs, e.Flags, e.Access = b.User, b.Group, b.Xattrs, b.Flags, b.Access
	if x.flaw != nil {
		return x.flaw
	}
	return nil
}

// Next implements source.File.
func (x *file) Next() (source.Region, error) {
	for {
		if x.current != nil {
			x.consumed()
		}
		if err := x.waitFor(context.Background(), x.usable); err != nil {
			return source.Region{}, err
		}
		x.mu.Lock()
		if len(x.parts) == 0 {
			x.ended = true
			x.mu.Unlock()
			return source.Region{}, io.EOF
		}
		p := x.parts[0]
		x.mu.Unlock()
		x.current, x.data = p, p.data
		region := source.Region{Offset: p.offset, Length: p.length, Hole: p.hole, Chunk: p.known}
		if p.hole || !p.known.IsZero() {
			return region, nil
		}
		if p.hash != [32]byte{} && blake3.Sum256(p.data) != p.hash {
			x.torn = true
		}
		if len(p.data) == 0 {
			continue
		}
		region.Length, region.Whole = int64(len(p.data)), true
		return region, nil
	}
}

// usable reports whether the next part can be used, or that there is none. x.mu is held.
func (x *file) usable() bool {
	if x.err != nil {
		return false
	}
	if len(x.parts) == 0 {
		return x.whole
	}
	return x.parts[0].state == partReady
}

// consumed takes off the part that was read.
func (x *file) consumed() {
	x.mu.Lock()
	x.held -= int64(len(x.current.data))
	x.current.data = nil
	x.parts = x.parts[1:]
	x.current, x.data = nil, nil
	more := !x.small || !x.whole
	x.mu.Unlock()
	if more {
		x.f.pumpLarge(x)
	}
}

// Read implements source.File.
func (x *file) Read(p []byte) (int, error) {
	if len(x.data) == 0 {
		return 0, io.EOF
	}
	n := copy(p, x.data)
	x.data = x.data[n:]
	return n, nil
}

// Stat implements source.File: the look before the first byte was read, and at the end the one after the last.
func (x *file) Stat() (tree.Stat, error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if !x.ended {
		st := x.before.Stat
		st.Name = x.stat.Name
		return st, nil
	}
	if x.after == nil {
		return tree.Stat{}, fmt.Errorf("%w: a file without an end", ErrProtocol)
	}
	st := *x.after
	st.Name = x.stat.Name
	if x.torn {
		st.ChangeTime = tree.Time{} // so that it shows as changed
	}
	return st, nil
}

// Close implements source.File.
func (x *file) Close() error {
	x.mu.Lock()
	there := x.closed
	x.closed = true
	x.parts, x.data, x.current = nil, nil, nil
	x.giveBack()
	x.mu.Unlock()
	if !there && x.size > 0 {
		x.f.release(x)
	}
	return nil
}
