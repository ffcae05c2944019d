package sshconn

import (
	"fmt"
	"io"
	"io/fs"
	"sync"

	"github.com/snapkeep/snap/internal/freelist"
	"golang.org/x/crypto/ssh"
)

const (
	relayBytes   = 64 << 10  // of each of the two buffers of an outlet
	waitingBytes = 256 << 10 // that an inlet takes beyond what is being written
)

// errLeft says that who used a session has closed it.
var errLeft = fmt.Errorf("this end was closed: %w", fs.ErrClosed)

// relayBuffers are those of sessions that have ended. 16 of them are 1 MiB.
var relayBuffers = freelist.List[[]byte]{Max: 16}

func relayBuffer() []byte {
	if b, ok := relayBuffers.Get(); ok {
		return b
	}
	return make([]byte, relayBytes)
}

// outlet hands on what a session says to who reads, who may leave at any time: a channel that is stuck keeps the goroutine that
// reads it until the connection ends, and nobody else. What is not read stays in the channel's window.
type outlet struct {
	mu    sync.Mutex // guards what follows
	moved sync.Cond  // ready, err or left has changed
	ready []byte     // to be read
	err   error      // behind ready
	left  bool
}

// newOutlet reads from a channel until that ends. The goroutine ends then.
func newOutlet(from io.Reader) *outlet {
	o := &outlet{}
	o.moved.L = &o.mu
	go o.fill(from)
	return o
}

func (o *outlet) fill(from io.Reader) {
	into, other := relayBuffer(), relayBuffer()
	defer func() {
		relayBuffers.Put(into)
		relayBuffers.Put(other)
	}()
	for {
		n, err := from.Read(into)
		if there := o.offer(into[:n], nil); !there {
			return
		}
		if err != nil {
			o.offer(nil, err) // when all else was read, so that the buffers are free
			return
		}
		into, other = other, into
	}
}

// offer waits until all was read that was there, so that its buffer is free, and has further bytes read. It reports whether there is still somebody who does.
func (o *outlet) offer(b []byte, err error) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	for len(o.ready) > 0 && !o.left {
		o.moved.Wait()
	}
	if o.left {
		return false
	}
	o.ready, o.err = b, err
	o.moved.Broadcast()
	return true
}

// Read reads what the session said.
func (o *outlet) Read(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for len(o.ready) == 0 && o.err == nil && !o.left {
		o.moved.Wait()
	}
	switch {
	case o.left:
		return 0, errLeft
	case len(o.ready) == 0:
		return 0, o.err
	}
	n := copy(p, o.ready)
	if o.ready = o.ready[n:]; len(o.ready) == 0 {
		o.moved.Broadcast()
	}
	return n, nil
}

// leave ends reading.
func (o *outlet) leave() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.left, o.ready = true, nil
	o.moved.Broadcast()
}

// inlet takes what is to be written to a session, and writes it behind the caller's back, many writes as one. A command that does not read
// keeps the goroutine that writes, and nobody else. An error is that of an earlier write.
type inlet struct {
	mu      sync.Mutex // guards what follows
	moved   sync.Cond  // any of it has changed
	waiting []byte
	ended   bool // nothing more will be written
	left    bool
	err     error
}

// newInlet writes to a channel until it is closed or left, and then ends the channel's input. The goroutine ends then, or with the channel.
func newInlet(to ssh.Channel) *inlet {
	i := &inlet{}
	i.moved.L = &i.mu
	go i.drain(to)
	return i
}

func (i *inlet) drain(to ssh.Channel) {
	var b []byte
	for {
		if b = i.take(b); b == nil {
			_ = to.CloseWrite() // the channel may have ended
			return
		}
		if _, err := to.Write(b); err != nil {
			i.fail(err)
			return
		}
	}
}

// take returns what is to be written, nil if there will be nothing, and keeps the buffer that was.
func (i *inlet) take(was []byte) []byte {
	i.mu.Lock()
	defer i.mu.Unlock()
	for len(i.waiting) == 0 && !i.ended && !i.left {
		i.moved.Wait()
	}
	if i.left || len(i.waiting) == 0 {
		return nil
	}
	if cap(was) > 2*waitingBytes {
		was = nil
	}
	b := i.waiting
	i.waiting = was[:0]
	i.moved.Broadcast()
	return b
}

func (i *inlet) fail(err error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.err = err
	i.moved.Broadcast()
}

// Write takes bytes, once there is room for them.
func (i *inlet) Write(p []byte) (int, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	for len(i.waiting) > waitingBytes && i.err == nil && !i.left && !i.ended {
		i.moved.Wait()
	}
	switch {
	case i.left || i.ended:
		return 0, errLeft
	case i.err != nil:
		return 0, i.err
	}
	i.waiting = append(i.waiting, p...)
	i.moved.Broadcast()
	return len(p), nil
}

// Close ends the input behind what was written.
func (i *inlet) Close() error {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.ended = true
	i.moved.Broadcast()
	return nil
}

// leave drops what is not written.
func (i *inlet) leave() {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.left, i.waiting = true, nil
	i.moved.Broadcast()
}
