package local

import (
	"container/list"
	"io/fs"
	"os"
	"sync"
)

// maxHandles bounds the descriptors that are kept open for reading. Restore
// and check read a few packs at a time, each in many ranges.
const maxHandles = 16

// handles keeps the descriptors of the files that were read last. Descriptors
// in use are never closed, so there may be more of them than the limit for as
// long as more reads are under way.
type handles struct {
	max int

	mu     sync.Mutex
	byName map[string]*handle // guarded by mu, as is all below and in handle
	recent *list.List         // of *handle, the last used first
	closed bool
}

// handle is an open file. It is closed when it is not kept and has no users.
type handle struct {
	name  string
	f     *os.File
	users int
	place *list.Element // in recent; nil if it is not kept
}

func newHandles(limit int) *handles {
	return &handles{max: limit, byName: make(map[string]*handle), recent: list.New()}
}

// get returns an open file for name, which has to be given back with put. A
// file that was removed since it was opened, by whomever, is opened anew, for
// there may be another of its name.
func (c *handles) get(name string, open func() (*os.File, error)) (*handle, error) {
	h, err := c.lookup(name)
	if err != nil {
		return nil, err
	}
	if h != nil {
		if isLinked(h.f) {
			return h, nil
		}
		c.forget(h)
		c.put(h)
	}
	f, err := open()
	if err != nil {
		return nil, err
	}
	return c.add(&handle{name: name, f: f, users: 1}), nil
}

func (c *handles) lookup(name string) (*handle, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil, fs.ErrClosed
	}
	h := c.byName[name]
	if h != nil {
		h.users++
		c.recent.MoveToFront(h.place)
	}
	return h, nil
}

// add keeps h, in place of another of its name, and lets go of the handle that
// was not used for longest.
func (c *handles) add(h *handle) *handle {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return h
	}
	if other := c.byName[h.name]; other != nil {
		c.release(other)
	}
	h.place = c.recent.PushFront(h)
	c.byName[h.name] = h
	if c.recent.Len() > c.max {
		c.release(c.recent.Back().Value.(*handle))
	}
	return h
}

// put gives back a handle.
func (c *handles) put(h *handle) {
	c.mu.Lock()
	defer c.mu.Unlock()
	h.users--
	h.closeIfUnused()
}

// drop lets go of the handle of a name.
func (c *handles) drop(name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if h := c.byName[name]; h != nil {
		c.release(h)
	}
}

// forget lets go of h.
func (c *handles) forget(h *handle) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.release(h)
}

// close lets go of all handles and makes get fail from here on.
func (c *handles) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	for _, h := range c.byName {
		c.release(h)
	}
}

// release takes h out of those kept; c.mu is held.
func (c *handles) release(h *handle) {
	if h.place == nil {
		return
	}
	c.recent.Remove(h.place)
	h.place = nil
	delete(c.byName, h.name)
	h.closeIfUnused()
}

func (h *handle) closeIfUnused() {
	if h.users == 0 && h.place == nil {
		// Nothing was written, so nothing can be lost by an error.
		_ = h.f.Close()
	}
}
