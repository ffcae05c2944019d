package agent

import (
	"net"
	"testing"
	"time"

	"github.com/snapkeep/snap/internal/protocol"
)

// TestBusyMachineIsNoSlowLine: one quick round trip of three is enough.
func TestBusyMachineIsNoSlowLine(t *testing.T) {
	const quick, late = 300 * time.Microsecond, 40 * time.Millisecond
	for _, tt := range []struct {
		rounds []time.Duration
		want   bool
	}{{[]time.Duration{late, quick, late}, false}, {[]time.Duration{quick, quick, quick}, false}, {[]time.Duration{late, late, late}, true}} {
		if got := slowLine(tt.rounds); got != tt.want {
			t.Errorf("%v: %v", tt.rounds, got)
		}
	}
}

// TestTimeInWhichNothingRanIsExcused lets a process stand still for an hour while a question waits for its answer.
func TestTimeInWhichNothingRanIsExcused(t *testing.T) {
	const idle, stall = time.Minute, 10 * time.Minute
	for _, excused := range []bool{false, true} {
		l := newLink(nil)
		now := time.Now()
		begun := now.Add(-time.Hour)
		here, there := net.Pipe()
		defer there.Close()
		l.conn, l.w, l.seen, l.pinged = here, protocol.NewWriter(here), begun, begun
		l.calls[1] = &pending{call: &ping{make(chan struct{})}, progress: begun}
		if excused {
			l.excuse(time.Hour)
		}
		err := l.check(now, idle, stall)
		if excused != (err == nil) {
			t.Errorf("excused: %v: %v", excused, err)
		}
	}
}
