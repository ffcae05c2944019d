package sshconn

import (
	"context"
	"errors"
	"os"
	"testing"
	"time"
)

// late is a context whose deadline has passed, and which has not ended so far.
type late struct{ context.Context }

func (late) Deadline() (time.Time, bool) { return time.Now().Add(-time.Second), true }

// TestTimeIsUpForWhoDialsFirst: the system's answer to a deadline comes before the context ends, and says less.
func TestTimeIsUpForWhoDialsFirst(t *testing.T) {
	t.Parallel()
	why := errors.New("no connection after some time")
	ctx, cancel := context.WithCancelCause(t.Context())
	go cancel(why)
	if err := causeOr(late{ctx}, os.ErrDeadlineExceeded); err != why {
		t.Errorf("got %v, want %v", err, why)
	}
	if err := causeOr(t.Context(), os.ErrClosed); err != os.ErrClosed {
		t.Errorf("without a deadline: %v", err)
	}
}
