package local

import (
	"context"
	"sync"
	"time"

	"github.com/snapkeep/snap/internal/inode"
	"github.com/snapkeep/snap/internal/source"
	"github.com/snapkeep/snap/internal/tree"
)

// Bounds of what Begin lists.
const (
	scoutEntries = 32 << 10         // in memory, some 200 bytes each
	scoutLife    = 10 * time.Second // an older listing is made anew
)

// scout lists folders in path order before somebody walks through them.
type scout struct {
	cancel context.CancelFunc
	ended  chan struct{} // closed when it has listed its last folder

	left int // entries that may still be found

	mu    sync.Mutex // guards what follows
	found map[string]*scouted
}

// scouted is a folder that was listed.
type scouted struct {
	identity           // before it was listed
	at       time.Time // when the listing began, with its monotonic part
	early
}

// identity tells whether an open folder is the one that was listed, and as it was: a number may be that of a folder that was removed.
type identity struct {
	device, inode uint64
	changed       tree.Time
}

func (d *dir) identity() (identity, error) {
	var at inode.Look
	var st tree.Stat
	if err := at.Fd(d.fd); err != nil {
		return identity{}, err
	}
	at.Stat(&st)
	return identity{st.Device, st.Inode, st.ChangeTime}, nil
}

// Begin lists folders on the side until Root is called, or some 30,000 entries are found: the first walk takes these over, unless they
// are older than ten seconds by then or the folder is another one. It is for the time in which the repository is opened. It ends with ctx.
func (s *Source) Begin(ctx context.Context) {
	if s.o.ExcludeFunc != nil {
		return // which may tell somebody what it excludes
	}
	ctx, cancel := context.WithCancel(ctx)
	c := &scout{cancel: cancel, ended: make(chan struct{}), left: scoutEntries, found: map[string]*scouted{}}
	if !s.scout.CompareAndSwap(nil, c) {
		cancel()
		return
	}
	go func() { // ends when it is cancelled by Root, or with ctx
		defer close(c.ended)
		root, err := s.open(ctx, &walk{Source: s})
		if err != nil {
			return // Root says why
		}
		c.list(ctx, root)
	}()
}

// list lists a folder and those in it, and closes it.
func (c *scout) list(ctx context.Context, d source.Dir) {
	defer d.Close()
	stats, err := c.look(ctx, d)
	if err != nil {
		return
	}
	for i := range stats {
		if ctx.Err() != nil {
			return
		}
		if stats[i].Kind != tree.Directory {
			continue
		}
		if below, err := d.OpenDir(ctx, &stats[i]); err == nil {
			c.list(ctx, below)
		}
	}
}

// look lists one folder, and keeps what it finds of one within the roots. The error is errLarge if there is no room for it.
func (c *scout) look(ctx context.Context, in source.Dir) ([]tree.Stat, error) {
	d, within := in.(*dir)
	if !within {
		stats, _, err := in.List(ctx)
		return stats, err
	}
	at := time.Now()
	which, err := d.identity()
	if err != nil {
		return nil, err
	}
	found := &scouted{identity: which, at: at, early: early{done: closed}}
	if found.stats, found.problems, err = d.list(ctx, c.left); err != nil {
		return nil, err
	}
	if c.left -= 1 + len(found.stats); c.left <= 0 {
		c.cancel()
	}
	c.mu.Lock()
	c.found[d.path] = found
	c.mu.Unlock()
	return found.stats, nil
}

// closed is a channel that is.
var closed = func() chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}()

// take returns the listing of a folder, nil if there is none, once.
func (c *scout) take(d *dir) *early {
	c.mu.Lock()
	e := c.found[d.path]
	delete(c.found, d.path)
	c.mu.Unlock()
	if e == nil || time.Since(e.at) >= scoutLife {
		return nil
	}
	if which, err := d.identity(); err != nil || which != e.identity {
		return nil
	}
	return &e.early
}
