package agent_test

import (
	"context"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/snapkeep/snap/internal/agenttest"
	"github.com/snapkeep/snap/internal/protocol"
	"github.com/snapkeep/snap/internal/source/agent"
)

// TestWhoIsAskedToCompress has a slow line, by pings that take 30 ms each, and sources with and without a past. Time is that of a bubble,
// in which a line that is not slow takes none.
func TestWhoIsAskedToCompress(t *testing.T) {
	synctest.Test(t, whoIsAskedToCompress)
}

func whoIsAskedToCompress(t *testing.T) {
	for _, tt := range []struct {
		what         string
		compress     agent.Compression
		slow, before bool
		want         bool
	}{
		{"a slow line", agent.CompressAuto, true, false, true},
		{"a slow line, switched off", agent.CompressOff, true, true, false},
		{"a quick line", agent.CompressAuto, false, false, false},
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

// measured is a connection that knows how long an answer takes.
type measured struct {
	io.ReadWriteCloser
	round time.Duration
}

func (m measured) RoundTrip() time.Duration { return m.round }

// TestConnectionKnowsWhetherItIsSlow: what a shared connection was measured to take counts, and not what others keep its answers waiting for.
func TestConnectionKnowsWhetherItIsSlow(t *testing.T) {
	synctest.Test(t, connectionKnowsWhetherItIsSlow)
}

func connectionKnowsWhetherItIsSlow(t *testing.T) {
	for _, tt := range []struct {
		what  string
		round time.Duration
		late  bool // answers to pings
		want  bool
	}{
		{"a quick line that others fill", 300 * time.Microsecond, true, false},
		{"a slow line", 50 * time.Millisecond, false, true},
		{"a line that was not measured", 0, true, true},
		{"a quick line that was not measured", 0, false, false},
	} {
		dials, asked := 0, false
		dial := scripted(t, &dials, func(f protocol.Frame) (protocol.Type, []byte) {
			switch f.Type {
			case protocol.Ping:
				if tt.late {
					time.Sleep(30 * time.Millisecond)
				}
			case protocol.Begin:
				q, err := protocol.ParseBeginRequest(f.Payload)
				if err != nil {
					t.Error(err)
					return 0, nil
				}
				asked = q.Options&protocol.CompressAnswers != 0
			}
			return polite(f)
		})
		o := agent.Options{Roots: []string{"/srv"}}
		o.Files, o.Database = params(t)
		s := agent.New(func(ctx context.Context) (io.ReadWriteCloser, error) {
			c, err := dial(ctx)
			return measured{c, tt.round}, err
		}, o)
		if _, err := s.Root(t.Context()); err != nil {
			t.Errorf("%s: %v", tt.what, err)
		}
		s.Close()
		if asked != tt.want {
			t.Errorf("%s: asked to compress: %v", tt.what, asked)
		}
	}
}
