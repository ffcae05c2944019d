package proxytest

import "io"

// Ended is a connection to a command that has ended before it was spoken to: nothing can be written, and reading tells Why.
type Ended struct{ Why error }

// Write fails with io.EOF, which says nothing.
func (Ended) Write([]byte) (int, error) { return 0, io.EOF }

// Read fails with Why.
func (e Ended) Read([]byte) (int, error) { return 0, e.Why }

// Close does nothing.
func (Ended) Close() error { return nil }
