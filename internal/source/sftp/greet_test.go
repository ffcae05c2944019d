package sftp

import (
	"bufio"
	"errors"
	"testing"

	"github.com/snapkeep/snap/internal/proxytest"
)

// TestGreetingTellsWhyTheCommandEnded: that nothing can be written any more says nothing.
func TestGreetingTellsWhyTheCommandEnded(t *testing.T) {
	why := errors.New("not found")
	conn := proxytest.Ended{Why: why}
	s := &Source{limits: Limits{}.withDefaults()}
	c := &client{conn: conn, out: &s.outBytes}
	if err := c.greet(bufio.NewReader(conn)); !errors.Is(err, why) {
		t.Errorf("greet: %v", err)
	}
}
