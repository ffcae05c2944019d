package agent

import (
	"context"
	"errors"
	"io"
	"testing"
)

// endedConn is a connection to a command that has ended before it was spoken to.
type endedConn struct{ why error }

func (endedConn) Write([]byte) (int, error)  { return 0, io.EOF }
func (c endedConn) Read([]byte) (int, error) { return 0, c.why }
func (endedConn) Close() error               { return nil }

// TestHelloTellsWhyTheCommandEnded: that nothing can be written any more says nothing.
func TestHelloTellsWhyTheCommandEnded(t *testing.T) {
	why := errors.New("not found")
	s := New(func(context.Context) (io.ReadWriteCloser, error) { return endedConn{why}, nil }, Options{Roots: []string{"/"}})
	defer s.Close()
	if _, err := s.Connect(t.Context()); !errors.Is(err, why) {
		t.Errorf("connect: %v", err)
	}
}
