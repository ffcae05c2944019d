package agent

import (
	"context"
	"errors"
	"io"
	"testing"

	"github.com/snapkeep/snap/internal/proxytest"
)

// TestHelloTellsWhyTheCommandEnded: that nothing can be written any more says nothing.
func TestHelloTellsWhyTheCommandEnded(t *testing.T) {
	why := errors.New("not found")
	s := New(func(context.Context) (io.ReadWriteCloser, error) { return proxytest.Ended{Why: why}, nil }, Options{Roots: []string{"/"}})
	defer s.Close()
	if _, err := s.Connect(t.Context()); !errors.Is(err, why) {
		t.Errorf("connect: %v", err)
	}
}
