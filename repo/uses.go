package repo

import (
	"fmt"
	"io/fs"
	"sync"

	"github.com/snapkeep/snap/index"
)

// uses counts the calls that look things up in the index, lest Close takes it from under one of them: to that it would seem that
// chunks and packs are missing.
type uses struct {
	mu     sync.Mutex // guards what follows
	calls  int        // under way, also within one another
	closed bool
}

// begin notes a call. It reports whether the index is there: after Close it is as long as another call is under way.
func (u *uses) begin() bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.calls++
	return !u.closed || u.calls > 1
}

// end ends a call, and after Close releases the index with the last one.
func (u *uses) end(c *index.Cache) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.calls--; u.closed && u.calls == 0 {
		return c.Close()
	}
	return nil
}

// use is the start of each method that needs the index; what it returns is the end.
func (r *Repo) use() (done func()) {
	r.uses.begin()
	return r.endUse
}

func (r *Repo) endUse() {
	if err := r.uses.end(r.cache); err != nil {
		r.log.Warn("the index was not released", "error", err)
	}
}

// errClosed says that a file is read after its Repo was closed.
var errClosed = fmt.Errorf("the repository was closed: %w", fs.ErrClosed)

// Close releases the index, or lets the last of the calls that are under way do so, which go on to their end. It does not close the
// store. Files that were opened before cannot be read any more: their errors wrap fs.ErrClosed.
func (r *Repo) Close() error {
	r.uses.begin()
	r.uses.mu.Lock()
	r.uses.closed = true
	r.uses.mu.Unlock()
	return r.uses.end(r.cache)
}
