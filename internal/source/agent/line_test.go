package agent

import (
	"testing"
	"time"
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
