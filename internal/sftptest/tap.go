package sftptest

import (
	"io"
	"sync"
)

// Tap passes a client's connection on and counts what it asks for.
type Tap struct {
	io.ReadWriteCloser

	w    *io.PipeWriter
	wg   sync.WaitGroup
	mu   sync.Mutex // guards kinds
	kind map[byte]int
}

// NewTap returns a tap of a connection.
func NewTap(conn io.ReadWriteCloser) *Tap {
	r, w := io.Pipe()
	t := &Tap{ReadWriteCloser: conn, w: w, kind: map[byte]int{}}
	t.wg.Go(func() {
		for {
			q, err := read(r)
			if err != nil {
				r.CloseWithError(err)
				return
			}
			t.mu.Lock()
			t.kind[q.Kind]++
			t.mu.Unlock()
		}
	})
	return t
}

// Write passes on what the client sends.
func (t *Tap) Write(p []byte) (int, error) {
	n, err := t.ReadWriteCloser.Write(p)
	_, _ = t.w.Write(p[:n]) // fails only after the tap was closed
	return n, err
}

// Close closes the connection.
func (t *Tap) Close() error {
	err := t.ReadWriteCloser.Close()
	t.w.Close()
	t.wg.Wait()
	return err
}

// Asked returns how many requests of a kind were sent.
func (t *Tap) Asked(kind byte) int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.kind[kind]
}
