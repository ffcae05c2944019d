package sftp

import (
	"bufio"
	"errors"
	"io"
	"testing"
)

// endedConn is a connection to a command that has ended before it was spoken to.
type endedConn struct{ why error }

func (endedConn) Write([]byte) (int, error)  { return 0, io.EOF }
func (c endedConn) Read([]byte) (int, error) { return 0, c.why }
func (endedConn) Close() error               { return nil }

// TestGreetingTellsWhyTheCommandEnded: that nothing can be written any more says nothing.
func TestGreetingTellsWhyTheCommandEnded(t *testing.T) {
	why := errors.New("not found")
	conn := endedConn{why}
	s := &Source{limits: Limits{}.withDefaults()}
	c := &client{conn: conn, out: &s.outBytes}
	if err := c.greet(bufio.NewReader(conn)); !errors.Is(err, why) {
		t.Errorf("greet: %v", err)
	}
}
