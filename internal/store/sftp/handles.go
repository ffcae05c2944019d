package sftp

import (
	"sync"
	"time"

	"github.com/pkg/sftp"
)

const (
	// maxHandles bounds the files that a connection keeps open for reading.
	maxHandles = 16
	// handleAge is how long a file is read without another look at its name.
	// It may have been removed by somebody else meanwhile; names are never
	// used twice, so what is read is right all the same.
	handleAge = 30 * time.Second
)

// handles keeps the files that were read last.
type handles struct {
	max int

	mu     sync.Mutex
	byPath map[string]*handle // guarded by mu, as is what is in a handle
}

// handle is a file that is open for reading.
type handle struct {
	file   *sftp.File
	size   int64
	opened time.Time
	used   time.Time
	users  int
	kept   bool
}

func newHandles(limit int) *handles { return &handles{max: limit, byPath: make(map[string]*handle)} }

// get returns an open file or nil. What is to be closed is returned, too.
func (k *handles) get(path string) (h, closing *handle) {
	k.mu.Lock()
	defer k.mu.Unlock()
	h = k.byPath[path]
	if h == nil {
		return nil, nil
	}
	now := time.Now()
	if now.Sub(h.opened) > handleAge {
		return nil, k.release(path)
	}
	h.users++
	h.used = now
	return h, nil
}

// add keeps a file that has one user, in place of another of its path and of
// the one that was not used for longest.
func (k *handles) add(path string, file *sftp.File, size int64) (h *handle, closing []*handle) {
	k.mu.Lock()
	defer k.mu.Unlock()
	closing = append(closing, k.release(path))
	if len(k.byPath) >= k.max {
		oldest := ""
		for p, other := range k.byPath {
			if oldest == "" || other.used.Before(k.byPath[oldest].used) {
				oldest = p
			}
		}
		closing = append(closing, k.release(oldest))
	}
	now := time.Now()
	h = &handle{file: file, size: size, opened: now, used: now, users: 1, kept: true}
	k.byPath[path] = h
	return h, closing
}

// put gives a file back and returns it if it is to be closed.
func (k *handles) put(h *handle) *handle {
	k.mu.Lock()
	defer k.mu.Unlock()
	h.users--
	if h.users == 0 && !h.kept {
		return h
	}
	return nil
}

// drop lets go of the file of a path and returns it if it is to be closed.
func (k *handles) drop(path string) *handle {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.release(path)
}

// release is drop; mu is held.
func (k *handles) release(path string) *handle {
	h := k.byPath[path]
	if h == nil {
		return nil
	}
	delete(k.byPath, path)
	h.kept = false
	if h.users > 0 {
		return nil
	}
	return h
}

// closeLater closes a file without waiting for the answer. Nothing was written
// to it, so nothing can be lost by an error.
func (c *conn) closeLater(hs ...*handle) {
	for _, h := range hs {
		if h != nil && !c.isEnded() {
			c.spawn(func() { _ = h.file.Close() })
		}
	}
}
