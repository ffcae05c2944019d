package agent_test

import (
	"io"
	"testing"
	"time"

	"github.com/snapkeep/snap/internal/agenttest"
	"github.com/snapkeep/snap/internal/source/agent"
)

// TestWhoIsAskedToCompress has a slow line, by pings that take 30 ms each, and sources with and without a past.
func TestWhoIsAskedToCompress(t *testing.T) {
	for _, tt := range []struct {
		what         string
		compress     agent.Compression
		slow, before bool
		want         bool
	}{
		{"a slow line", agent.CompressAuto, true, false, true},
		{"a slow line, switched off", agent.CompressOff, true, true, false},
		{"a past", agent.CompressAuto, false, true, true},
		{"a past, switched off", agent.CompressOff, false, true, false},
		{"switched on", agent.CompressOn, false, false, true},
	} {
		r := vault(t)
		if tt.before {
			if out := attempt(t, r, &agenttest.Agent{}, "x", "", agent.Options{}); out.err != nil {
				t.Fatal(out.err)
			}
		}
		asked := false
		a := &agenttest.Agent{Answer: func(q *agenttest.Question, _ io.Writer) (bool, error) {
			if q.Kind == agenttest.Ping && tt.slow {
				time.Sleep(30 * time.Millisecond)
			}
			if q.Kind == agenttest.Begin {
				asked = q.Options&agenttest.CompressAnswers != 0
			}
			return false, nil
		}}
		if out := attempt(t, r, a, "x", "", agent.Options{Compress: tt.compress}); out.err != nil {
			t.Fatal(out.err)
		}
		if asked != tt.want {
			t.Errorf("%s: %v", tt.what, asked)
		}
	}
}
