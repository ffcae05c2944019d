package agent_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	server "github.com/snapkeep/snap/internal/agent"
	"github.com/snapkeep/snap/internal/protocol"
	"github.com/snapkeep/snap/internal/source"
	"github.com/snapkeep/snap/internal/source/agent"
)

// scripted returns a dial to an agent that answers each frame as script says, and never if that returns no type. n counts
// the dials.
func scripted(t testing.TB, n *int, script func(protocol.Frame) (protocol.Type, []byte)) agent.Dial {
	return func(context.Context) (io.ReadWriteCloser, error) {
		*n++
		here, there := net.Pipe()
		done := make(chan struct{})
		go func() {
			defer close(done)
			defer there.Close()
			in, out := protocol.NewReader(bufio.NewReader(there), protocol.MaxQuestion), protocol.NewWriter(there)
			for {
				f, err := in.Read()
				if err != nil {
					return
				}
				kind, payload := script(f)
				if kind != 0 && out.Write(protocol.Frame{ID: f.ID, Type: kind, Payload: payload}) != nil {
					return
				}
			}
		}()
		t.Cleanup(func() {
			here.Close()
			<-done
		})
		return here, nil
	}
}

var greeting = (&protocol.HelloAnswer{Version: 1, Program: "test", Requests: 512, Roots: []string{"/srv"}}).Append(nil)

// polite answers hello, begin and ping, and nothing else.
func polite(f protocol.Frame) (protocol.Type, []byte) {
	switch f.Type {
	case protocol.Hello:
		return f.Type | protocol.Answer, greeting
	case protocol.Begin:
		return f.Type | protocol.Answer, (&protocol.BeginAnswer{}).Append(nil)
	case protocol.Ping:
		return f.Type | protocol.Answer, nil
	}
	return 0, nil
}

// TestAgentsOfOtherVersionsAreRefusedByName connects to agents that speak what this server does not. It does not dial again.
func TestAgentsOfOtherVersionsAreRefusedByName(t *testing.T) {
	refusal := (&protocol.Error{Code: protocol.CodeVersion, Text: "this agent speaks versions 4 to 5"}).Append(nil)
	for _, tt := range []struct {
		what, says string
		kind       protocol.Type
		payload    []byte
	}{
		{"a newer version", "version 2", protocol.Hello | protocol.Answer, []byte{2}},
		{"a newer version of another layout", "version 300", protocol.Hello | protocol.Answer, []byte("\xac\x02 something else")},
		{"no version in common", "versions 4 to 5", protocol.Failed, refusal},
	} {
		dials := 0
		s := agent.New(scripted(t, &dials, func(protocol.Frame) (protocol.Type, []byte) { return tt.kind, tt.payload }), agent.Options{Backoff: time.Millisecond})
		_, err := s.Connect(t.Context())
		if !errors.Is(err, protocol.ErrVersion) || !errors.Is(err, source.ErrBroken) || !strings.Contains(err.Error(), tt.says) || dials != 1 {
			t.Errorf("%s: %v, after %d dials", tt.what, err, dials)
		}
		s.Close()
	}
}

// TestAgentThatWasReplacedMeanwhile cuts the connection; on the next one an agent of a newer version answers.
func TestAgentThatWasReplacedMeanwhile(t *testing.T) {
	dials := 0
	dial := scripted(t, &dials, func(f protocol.Frame) (protocol.Type, []byte) {
		if dials > 1 {
			return protocol.Hello | protocol.Answer, []byte{9}
		}
		return polite(f)
	})
	var first io.Closer
	o := agent.Options{Roots: []string{"/srv"}, Backoff: time.Millisecond}
	o.Files, o.Database = params(t)
	s := agent.New(func(ctx context.Context) (io.ReadWriteCloser, error) {
		c, err := dial(ctx)
		first = c
		return c, err
	}, o)
	defer s.Close()
	if _, err := s.Root(t.Context()); err != nil {
		t.Fatal(err)
	}
	first.Close()
	_, err := s.Inventory(t.Context())
	if !errors.Is(err, protocol.ErrVersion) || !strings.Contains(err.Error(), "version 9") || dials != 2 {
		t.Errorf("%v after %d dials", err, dials)
	}
}

func TestWhatAnswersIsNoAgent(t *testing.T) {
	wrong := greeting[:len(greeting)-1]
	for what, answer := range map[string]func(protocol.Frame) (protocol.Type, []byte){
		"another type":   func(protocol.Frame) (protocol.Type, []byte) { return protocol.Ping | protocol.Answer, nil },
		"no answer":      func(protocol.Frame) (protocol.Type, []byte) { return protocol.Hello, greeting },
		"a cut greeting": func(protocol.Frame) (protocol.Type, []byte) { return protocol.Hello | protocol.Answer, wrong },
		"a longer one": func(protocol.Frame) (protocol.Type, []byte) {
			return protocol.Hello | protocol.Answer, append(greeting[:len(greeting):len(greeting)], 0)
		},
		"no error":       func(protocol.Frame) (protocol.Type, []byte) { return protocol.Failed, nil },
		"nothing at all": func(protocol.Frame) (protocol.Type, []byte) { return protocol.Hello | protocol.Answer, nil },
		"no room for asks": func(protocol.Frame) (protocol.Type, []byte) {
			return protocol.Hello | protocol.Answer, (&protocol.HelloAnswer{Version: 1}).Append(nil)
		},
	} {
		dials := 0
		s := agent.New(scripted(t, &dials, answer), agent.Options{Backoff: time.Millisecond})
		if _, err := s.Connect(t.Context()); !errors.Is(err, agent.ErrProtocol) || dials != 1 {
			t.Errorf("%s: %v, after %d dials", what, err, dials)
		}
		s.Close()
	}
	// A shell that greets its user.
	s := agent.New(func(context.Context) (io.ReadWriteCloser, error) {
		here, there := net.Pipe()
		go io.Copy(io.Discard, there)
		go there.Write([]byte("Welcome to Debian GNU/Linux on web1, last login: today"))
		t.Cleanup(func() { there.Close() })
		return here, nil
	}, agent.Options{})
	defer s.Close()
	if _, err := s.Connect(t.Context()); !errors.Is(err, agent.ErrProtocol) || !strings.Contains(err.Error(), `"Welcome to Debian GNU/Linux on web1, las"`) {
		t.Errorf("a shell: %v", err)
	}
}

// TestSilentAgentIsLeft has an agent that greets and then says nothing, not even to a ping.
func TestSilentAgentIsLeft(t *testing.T) { synctest.Test(t, silentAgentIsLeft) }

func silentAgentIsLeft(t *testing.T) {
	dials := 0
	o := agent.Options{Roots: []string{"/srv"}, Redials: 2, Backoff: time.Millisecond, Limits: agent.Limits{Idle: 200 * time.Millisecond}}
	o.Files, o.Database = params(t)
	s := agent.New(scripted(t, &dials, func(f protocol.Frame) (protocol.Type, []byte) {
		if f.Type == protocol.Hello {
			return polite(f)
		}
		return 0, nil
	}), o)
	defer s.Close()
	if _, err := s.Root(t.Context()); !errors.Is(err, agent.ErrConnection) || dials != 3 {
		t.Errorf("%v, after %d dials", err, dials)
	}
}

// TestAgentThatReadsNothingIsLeft greets and then reads no question: they cannot be written.
func TestAgentThatReadsNothingIsLeft(t *testing.T) { synctest.Test(t, agentThatReadsNothingIsLeft) }

func agentThatReadsNothingIsLeft(t *testing.T) {
	dials := 0
	o := agent.Options{Roots: []string{"/srv"}, Redials: 1, Backoff: time.Millisecond, Limits: agent.Limits{Idle: 200 * time.Millisecond}}
	o.Files, o.Database = params(t)
	s := agent.New(func(context.Context) (io.ReadWriteCloser, error) {
		dials++
		here, there := net.Pipe()
		go func() {
			protocol.NewReader(there, protocol.MaxQuestion).Read()
			protocol.NewWriter(there).Write(protocol.Frame{Type: protocol.Hello | protocol.Answer, Payload: greeting})
		}()
		t.Cleanup(func() { there.Close() })
		return here, nil
	}, o)
	defer s.Close()
	if _, err := s.Root(t.Context()); !errors.Is(err, agent.ErrConnection) || dials != 2 {
		t.Errorf("%v, after %d dials", err, dials)
	}
}

// TestAgentThatDoesNotGetOnIsLeft answers pings and no question.
func TestAgentThatDoesNotGetOnIsLeft(t *testing.T) { synctest.Test(t, agentThatDoesNotGetOnIsLeft) }

func agentThatDoesNotGetOnIsLeft(t *testing.T) {
	dials := 0
	o := agent.Options{Roots: []string{"/srv"}, Limits: agent.Limits{Idle: 6 * time.Second, Stall: time.Second}}
	o.Files, o.Database = params(t)
	s := agent.New(scripted(t, &dials, polite), o)
	defer s.Close()
	root, err := s.Root(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := root.List(t.Context()); !errors.Is(err, agent.ErrLimit) || dials != 1 {
		t.Errorf("%v, after %d dials", err, dials)
	}
}

// TestSlowAgentIsNoSilentOne pulls a file that takes longer on its way than an agent may be silent.
func TestSlowAgentIsNoSilentOne(t *testing.T) {
	// An agent asks for signals. What the runtime makes for that the first time must not belong to the bubble.
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGPIPE)
	defer signal.Stop(signals)
	synctest.Test(t, slowAgentIsNoSilentOne)
}

func slowAgentIsNoSilentOne(t *testing.T) {
	root := t.TempDir()
	write(t, rand.New(rand.NewPCG(7, 7)), filepath.Join(root, "file"), 300_000)
	dial := serve(t, &server.Policy{Roots: []string{root}, RateLimit: 64 << 10})
	r := vault(t)
	res, _, err := pull(t, r, dial, "web1", agent.Options{Roots: []string{root}, Backoff: time.Millisecond, Limits: agent.Limits{Idle: 3 * time.Second, Stall: 3 * time.Second}})
	if err != nil {
		t.Fatal(err)
	}
	if got := restored(t, r, res.Snapshot, root); !strings.Contains(fmt.Sprint(got), " 300000 bytes") {
		t.Errorf("%v", got)
	}
}
