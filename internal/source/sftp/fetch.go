package sftp

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/snapkeep/snap/internal/source"
	"github.com/snapkeep/snap/internal/tree"
)

// Bounds of files that are fetched before they are opened.
const (
	fetchAhead = 256      // files that are being fetched; at most a quarter of the handles that the server has
	heldBytes  = 48 << 20 // of files that are being fetched, or were and are not opened so far
	smallFile  = 1 << 20  // up to which a file is fetched as a whole
	queueFiles = 16 << 10
)

// fetch is a small file that is fetched, or will be.
type fetch struct {
	real    string
	st      tree.Stat
	done    chan struct{} // closed when content or err is set
	content *content
	err     error

	// Guarded by the fetcher's mutex.
	started, taken bool
}

// content is a small file as it was read.
type content struct {
	before, after tree.Stat
	data          []byte
}

// fetcher fetches small files, many at a time.
type fetcher struct {
	s *Source

	mu      sync.Mutex        // guards what follows
	files   map[string]*fetch // not taken, by real path
	queue   []*fetch
	running int
	held    int64
}

// prefetch says that a file will be opened.
func (f *fetcher) prefetch(real string, st *tree.Stat) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if st.Size > smallFile || f.files[real] != nil || len(f.queue) >= queueFiles {
		return
	}
	x := &fetch{real: real, st: *st, done: make(chan struct{})}
	f.files[real] = x
	f.queue = append(f.queue, x)
	f.pump()
}

// pump begins to fetch as far as there is room. The mutex is held.
func (f *fetcher) pump() {
	for len(f.queue) > 0 && f.running < min(fetchAhead, f.s.handles(4)) && f.held < heldBytes {
		x := f.queue[0]
		f.queue[0] = nil
		if f.queue = f.queue[1:]; !x.started {
			f.start(x)
		}
	}
}

// start begins to fetch a file. The mutex is held.
func (f *fetcher) start(x *fetch) {
	x.started = true
	f.running++
	f.held += x.st.Size
	f.s.group.Go(func() {
		x.err = f.s.do(f.s.ctx, func(ctx context.Context, c *client, again bool) (err error) {
			x.content, err = f.s.fetch(ctx, c, again, x.real, &x.st)
			return err
		})
		f.mu.Lock()
		defer f.mu.Unlock()
		close(x.done)
		if f.running--; x.taken {
			f.held -= x.st.Size
		}
		f.pump()
	})
}

// take returns the fetching of a file, begun if it was not. It serves one caller.
func (f *fetcher) take(real string, st *tree.Stat) *fetch {
	f.mu.Lock()
	defer f.mu.Unlock()
	x := f.files[real]
	if x == nil || x.st != *st {
		x = &fetch{real: real, st: *st, done: make(chan struct{})}
	} else {
		delete(f.files, real)
	}
	x.taken = true
	if !x.started {
		f.start(x)
		return x
	}
	select {
	case <-x.done:
		f.held -= x.st.Size
		f.pump()
	default:
	}
	return x
}

var errNotSmall = errors.New("not a small file any more")

// open opens a file.
func (f *fetcher) open(ctx context.Context, real string, st *tree.Stat) (source.File, error) {
	if st.Size > smallFile {
		return openLarge(ctx, f.s, real, st)
	}
	x := f.take(real, st)
	select {
	case <-x.done:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	if errors.Is(x.err, errNotSmall) {
		return openLarge(ctx, f.s, real, st)
	}
	if x.err != nil {
		return nil, x.err
	}
	return &smallReader{content: *x.content}, nil
}

// opening is an open file whose identity was checked.
type opening struct {
	handle string
	stat   tree.Stat
	first  []byte // of the file
	ended  bool   // first goes to the end of the file
	fresh  *attrs // a look after first was read
}

// openFile opens a file and makes sure that it is the one that was listed. With read > 0 it reads so many bytes on the way,
// and looks at the file again.
func (s *Source) openFile(ctx context.Context, c *client, again bool, real string, st *tree.Stat, read int) (*opening, error) {
	if again {
		// What lies there may be what made the server hang: a FIFO, in place of the file.
		a, err := c.start(pathRequest(fxpLstat, real), nil).attrs(ctx)
		if err == nil {
			err = a.same(st)
		}
		if err != nil {
			return nil, err
		}
	}
	handle, err := c.start(openRequest(real), nil).handle(ctx)
	if err != nil {
		return nil, err
	}
	o := &opening{handle: handle}
	if err := o.check(ctx, c, real, st, read); err != nil {
		c.release(handle)
		return nil, err
	}
	return o, nil
}

func (o *opening) check(ctx context.Context, c *client, real string, st *tree.Stat, read int) error {
	look := func() *call { return c.start(newRequest(fxpFstat).text(o.handle), nil) }
	first, path := look(), c.start(pathRequest(fxpRealpath, real), nil)
	var data, second *call
	if read > 0 {
		data, second = c.start(readRequest(o.handle, 0, read), make([]byte, read)), look()
	}
	a, err := first.attrs(ctx)
	if err == nil {
		err = a.same(st)
	}
	if err == nil {
		err = resolves(ctx, path, real)
	}
	if err == nil {
		o.stat, err = a.stat(st.Name)
	}
	if err == nil && (o.stat.Size != st.Size || o.stat.ModTime != st.ModTime) {
		err = o.confirm(ctx, c, real, a)
	}
	if err != nil || read == 0 {
		return err
	}
	n, err := data.data(ctx)
	if err != nil && err != io.EOF {
		return err
	}
	o.first, o.ended = data.into[:n], err == io.EOF
	last, err := second.attrs(ctx)
	o.fresh = &last
	return err
}

// confirm makes sure that a file which has changed since it was listed is the one that its path leads to without a link.
// It may go on changing: then looks at the path and at the file alternate until they agree.
func (o *opening) confirm(ctx context.Context, c *client, real string, before attrs) error {
	for range 4 {
		byPath, byHandle := c.start(pathRequest(fxpLstat, real), nil), c.start(newRequest(fxpFstat).text(o.handle), nil)
		a, err := byPath.attrs(ctx)
		if err != nil {
			return err
		}
		b, err := byHandle.attrs(ctx)
		if err != nil {
			return err
		}
		a.access, before.access, b.access = 0, 0, 0
		if a == before || a == b {
			return nil
		}
		before = b
	}
	return fmt.Errorf("%w: what was opened is not what its path leads to", source.ErrReplaced)
}

// fetch reads a small file.
func (s *Source) fetch(ctx context.Context, c *client, again bool, real string, st *tree.Stat) (*content, error) {
	o, err := s.openFile(ctx, c, again, real, st, min(int(st.Size), c.readLength))
	if err != nil {
		return nil, err
	}
	defer c.release(o.handle)
	if o.stat.Size > smallFile {
		return nil, errNotSmall
	}
	x := &content{before: o.stat, after: o.stat}
	if x.data, err = c.readRest(ctx, o, int(o.stat.Size)); err != nil {
		return nil, err
	}
	if err := s.count(0, int64(len(x.data))); err != nil {
		return nil, err
	}
	a := o.fresh
	if a == nil || len(x.data) != len(o.first) {
		last, err := c.start(newRequest(fxpFstat).text(o.handle), nil).attrs(ctx)
		if err != nil {
			return nil, err
		}
		a = &last
	}
	x.after, err = a.stat(st.Name)
	return x, err
}

// readRest reads a file of a size to its end, after what was read of it.
func (c *client) readRest(ctx context.Context, o *opening, size int) ([]byte, error) {
	if len(o.first) >= size || o.ended {
		return o.first[:min(size, len(o.first))], nil
	}
	all := make([]byte, size)
	copy(all, o.first)
	var calls []*call
	for at := len(o.first); at < size; at += c.readLength {
		n := min(c.readLength, size-at)
		calls = append(calls, c.start(readRequest(o.handle, int64(at), n), all[at:at+n]))
	}
	at := len(o.first)
	for _, x := range calls {
		n, err := x.data(ctx)
		for err == nil && n < len(x.into) { // less than was asked for says nothing yet
			var k int
			k, err = c.start(readRequest(o.handle, int64(at+n), len(x.into)-n), x.into[n:]).data(ctx)
			n += k
		}
		at += n
		if err == io.EOF {
			break // it became shorter
		}
		if err != nil {
			return nil, err
		}
	}
	return all[:at], nil
}

// readHead reads the beginning of a file.
func (s *Source) readHead(ctx context.Context, real string, st *tree.Stat, n int) (head []byte, err error) {
	if st.Kind != tree.Regular || st.Size < int64(n) {
		return nil, source.ErrReplaced
	}
	err = s.do(ctx, func(ctx context.Context, c *client, again bool) error {
		o, err := s.openFile(ctx, c, again, real, st, min(n, c.readLength))
		if err != nil {
			return err
		}
		defer c.release(o.handle)
		head, err = c.readRest(ctx, o, n)
		return err
	})
	return head, err
}

// smallReader is a file that was read as a whole.
type smallReader struct {
	content
	next, begun bool // a region was given, and read from
	at          int
}

// Next implements source.File.
func (f *smallReader) Next() (source.Region, error) {
	if f.next || f.before.Size == 0 {
		f.at, f.next = len(f.data), true
		return source.Region{}, io.EOF
	}
	f.next = true
	return source.Region{Length: f.before.Size}, nil
}

// Read implements source.File.
func (f *smallReader) Read(p []byte) (int, error) {
	f.begun = true
	if !f.next || f.at >= len(f.data) {
		return 0, io.EOF
	}
	n := copy(p, f.data[f.at:])
	f.at += n
	return n, nil
}

// Stat implements source.File: before the first byte was read the look before it, else that after the last one.
func (f *smallReader) Stat() (tree.Stat, error) {
	if f.begun {
		return f.after, nil
	}
	return f.before, nil
}

// Close implements source.File.
func (f *smallReader) Close() error { return nil }
