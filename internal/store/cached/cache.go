package cached

import (
	"context"
	"errors"
	"io"
	"sync"

	"github.com/snapkeep/snap/internal/store"
	"github.com/snapkeep/snap/pack"
)

// DefaultMaxBytes is how much a folder may take if nothing says otherwise.
const DefaultMaxBytes = 1 << 30

const (
	// wholeBytes is the size up to which a file is fetched whole when a part of it is wanted. A larger one
	// is when an eighth of it was asked for: who looks at one folder needs no pack of 32 MiB.
	wholeBytes    = 4 << 20
	wholeShare    = 8
	pieceBytes    = 20 << 20 // in which a file is fetched; so much memory is needed for each that is
	fetchesAtOnce = 2
	// recordBytes is the size up to which a file that is written whole is kept.
	recordBytes = 16 << 20
)

// Options say what is kept, and where.
type Options struct {
	// Dir is the folder. It is made when something is to be kept.
	Dir string
	// MaxBytes bounds what is kept; 0 means DefaultMaxBytes. What was not used for longest goes first. Processes
	// that write at the same time may exceed it until one of them looks again.
	MaxBytes int64
	// Named returns the hash that the name of a file is, and whether the file may be kept. Required.
	Named func(name string) (pack.ID, bool)
	// Size returns the size in bytes of a file, if it is known without asking the store. Such a file is
	// fetched whole. Required.
	Size func(id pack.ID) (int64, bool)
	// Warn is told once if nothing can be kept any more; nil for nobody.
	Warn func(err error)
}

// Cache keeps files of a store. It is safe for concurrent use.
type Cache struct {
	inner   store.Store
	opts    Options
	folder  folder
	fetches chan struct{} // one element for each that goes on

	mu    sync.Mutex // guards what follows
	files map[string]*file
}

// file is what this process knows of a file.
type file struct {
	name string
	id   pack.ID

	lock  chan struct{} // has an element while the file is read, hashed or fetched; guards what follows
	good  bool          // what is in the folder was hashed by this process
	size  int64         // of what was hashed
	asked int64         // bytes that were read from the store in parts
}

// New returns a Cache of inner. It touches no file.
func New(inner store.Store, opts Options) *Cache {
	if opts.MaxBytes <= 0 {
		opts.MaxBytes = DefaultMaxBytes
	}
	c := &Cache{inner: inner, opts: opts, fetches: make(chan struct{}, fetchesAtOnce), files: map[string]*file{}}
	c.folder = folder{dir: opts.Dir, maxBytes: opts.MaxBytes, warn: opts.Warn}
	return c
}

// Drop removes the kept files of a folder of the store, such as "meta", that are not there any more: all but those
// for which is reports true.
func (c *Cache) Drop(folder string, is func(id pack.ID) bool) { c.folder.drop(folder, is) }

func (c *Cache) file(name string, id pack.ID) *file {
	c.mu.Lock()
	defer c.mu.Unlock()
	f := c.files[name]
	if f == nil {
		f = &file{name: name, id: id, lock: make(chan struct{}, 1)}
		c.files[name] = f
	}
	return f
}

// readAt reads a file that may be kept.
func (c *Cache) readAt(ctx context.Context, name string, p []byte, off int64) (int, error) {
	id, ok := c.opts.Named(name)
	if !ok || len(p) == 0 || off < 0 {
		return c.inner.ReadAt(ctx, name, p, off)
	}
	n, err, ok := c.readNear(ctx, c.file(name, id), p, off)
	if ok {
		return n, err
	}
	n, err = c.inner.ReadAt(ctx, name, p, off)
	if off == 0 && n < len(p) && errors.Is(err, io.EOF) && pack.SumID(p[:n]) == id {
		c.folder.put(name, p[:n])
	}
	return n, err
}

// readNear reads from the folder, into which it fetches the file if that is worth it, and reports whether it could.
func (c *Cache) readNear(ctx context.Context, f *file, p []byte, off int64) (n int, err error, ok bool) {
	select {
	case f.lock <- struct{}{}:
		defer func() { <-f.lock }()
	case <-ctx.Done():
		return 0, context.Cause(ctx), true
	}
	if n, err, ok = c.readKept(f, p, off); ok {
		return n, err, ok
	}
	fetched, err := c.fetch(ctx, f, len(p))
	if err != nil {
		return 0, err, true
	}
	if fetched {
		return c.readKept(f, p, off)
	}
	return 0, nil, false
}

// readKept reads from the folder, and reports whether it could. The lock is held.
func (c *Cache) readKept(f *file, p []byte, off int64) (n int, err error, ok bool) {
	kept, err := c.folder.open(f.name)
	if err != nil {
		f.good = false
		return 0, nil, false
	}
	defer kept.Close()
	if !f.good {
		if f.size, f.good = hashes(kept, f.id); !f.good {
			c.folder.remove(f.name)
			return 0, nil, false
		}
		c.folder.used(f.name)
	}
	n, err = kept.ReadAt(p, off)
	if want := max(0, min(int64(len(p)), f.size-off)); int64(n) != want || (err != nil && err != io.EOF) {
		f.good = false
		c.folder.remove(f.name) // somebody has cut it off
		return 0, nil, false
	}
	return n, err, true
}

// fetch brings a file into the folder if that is worth it now that n bytes of it are wanted, and reports whether it did. The error is one of the store. The
// lock is held.
func (c *Cache) fetch(ctx context.Context, f *file, n int) (bool, error) {
	size, ok := c.opts.Size(f.id)
	if !ok || size <= 0 || size > c.opts.MaxBytes/2 || c.folder.isOff() {
		return false, nil
	}
	if f.asked += int64(n); size > wholeBytes && f.asked < size/wholeShare {
		return false, nil
	}
	select {
	case c.fetches <- struct{}{}:
		defer func() { <-c.fetches }()
	case <-ctx.Done():
		return false, context.Cause(ctx)
	}
	var err error
	f.good, err = c.copy(ctx, f, size)
	f.size = size
	return f.good, err
}

// copy copies a file of the store into the folder. One whose bytes do not match its name is not kept. The error is one of the store.
func (c *Cache) copy(ctx context.Context, f *file, size int64) (bool, error) {
	w := c.folder.begin()
	defer w.drop()
	sum := newSum()
	buffer := make([]byte, min(size, pieceBytes))
	for off := int64(0); off < size; {
		piece := buffer[:min(size-off, pieceBytes)]
		n, err := c.inner.ReadAt(ctx, f.name, piece, off)
		if err != nil && err != io.EOF {
			return false, err
		}
		sum.Write(piece[:n])
		if w.write(piece[:n]); w.failed() || n < len(piece) {
			return false, nil
		}
		off += int64(n)
	}
	return sum.is(f.id) && w.keep(f.name), nil
}
