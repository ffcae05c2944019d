package pull_test

import (
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/snapkeep/snap/internal/agenttest"
	"github.com/snapkeep/snap/internal/config"
	"github.com/snapkeep/snap/internal/guard"
	"github.com/snapkeep/snap/repo"
)

const evilAgent = "SNAP_TEST_EVIL" // names the attack of this program as an agent

// standard is the connection of an agent that is a process.
type standard struct{}

func (standard) Read(p []byte) (int, error)  { return os.Stdin.Read(p) }
func (standard) Write(p []byte) (int, error) { return os.Stdout.Write(p) }
func (standard) Close() error                { return os.Stdout.Close() }

// evilCase is an agent that lies, and what a pull says of it: an error, or why the snapshot is suspicious.
type evilCase struct {
	agent  *agenttest.Agent
	fields string // of the configuration
	says   string
	why    string
}

const mark = "-- PostgreSQL database dump complete\n"

// evil are attacks on what a Puller does beside reading files. Those on files are in package source/agent.
func evil() map[string]evilCase {
	tree := agenttest.Tree{"data/file": {Data: "text"}}
	sql := "streams: [{name: a.sql, kind: postgresql}]"
	dump := func(text string) *agenttest.Agent {
		return &agenttest.Agent{Tree: tree, Streams: map[string]string{"a.sql": text}}
	}
	answers := func(kind byte, frame func(q *agenttest.Question) []byte) *agenttest.Agent {
		return &agenttest.Agent{Tree: tree, Answer: func(q *agenttest.Question, w io.Writer) (bool, error) {
			if q.Kind != kind {
				return false, nil
			}
			_, err := w.Write(frame(q))
			return true, err
		}}
	}
	with := func(a *agenttest.Agent, name, text string) *agenttest.Agent {
		a.Streams = map[string]string{name: text}
		return a
	}
	answer := func(q *agenttest.Question, p ...[]byte) []byte {
		return agenttest.Frame(q.ID, q.Kind|agenttest.Answer, 0, agenttest.Join(p...))
	}
	greet := func(g agenttest.Greeting) *agenttest.Agent { return &agenttest.Agent{Tree: tree, Greeting: g.Encode()} }
	mount := agenttest.Join(agenttest.Text("/"), agenttest.Text("ext4"), agenttest.Text("\x1b[2J"))
	return map[string]evilCase{
		"an inventory of a billion file systems": {agent: answers(agenttest.Inventory, func(q *agenttest.Question) []byte {
			return answer(q, agenttest.Varint(1<<30))
		}), says: "inventory: corrupt encoding"},
		"an inventory of 16 MiB": {agent: answers(agenttest.Inventory, func(q *agenttest.Question) []byte {
			return answer(q, agenttest.Varint(5000), agenttest.Join(make([]byte, 16<<20)))
		}), says: "inventory: corrupt encoding"},
		"an inventory of the same file system 4,096 times": {agent: answers(agenttest.Inventory, func(q *agenttest.Question) []byte {
			return answer(q, agenttest.Varint(4096), []byte(strings.Repeat(string(mount), 4096)), agenttest.Varint(0))
		})},
		"an inventory that never comes":          {agent: answers(agenttest.Inventory, func(*agenttest.Question) []byte { return nil }), fields: "limits: {time: 2s}", says: "the pull took more than 2s"},
		"a dump without an end mark":             {agent: dump("-- some text\n"), fields: sql, says: "its end mark"},
		"a dump with its end mark in the middle": {agent: dump("-- some text\n" + mark + "INSERT INTO x VALUES (1);\n"), fields: sql, says: "its end mark"},
		"a dump of nothing but spaces":           {agent: dump(strings.Repeat(" ", 100_000)), fields: sql, says: "its end mark"},
		"a dump that fails behind its end mark": {agent: with(answers(agenttest.StreamNext, func(q *agenttest.Question) []byte {
			if q.Offset == 0 {
				return answer(q, []byte{0}, agenttest.Text("-- PostgreSQL database dump\n"+mark))
			}
			return agenttest.Frame(q.ID, agenttest.Failed, 0, agenttest.Error(agenttest.CodeStream, "exit status 1"))
		}), "a.sql", ""), fields: sql, says: "exit status 1"},
		"a stream that is not there": {agent: dump(""), fields: "streams: [{name: other}]", says: "there is no such stream"},
		"a root that is refused": {agent: answers(agenttest.Begin, func(q *agenttest.Question) []byte {
			return answer(q, agenttest.Varint(1), agenttest.Text("/data"), agenttest.Error(6, "no"))
		}), says: `root "/data"`},
		"all roots missing": {agent: answers(agenttest.Begin, func(q *agenttest.Question) []byte {
			return answer(q, agenttest.Varint(1), agenttest.Text("/data"), agenttest.Error(agenttest.CodeRoot, "gone"))
		}), says: `root "/data"`},
		"nothing in the roots": {agent: &agenttest.Agent{Tree: agenttest.Tree{"data": {Kind: agenttest.Directory}}}, why: "no files"},
		"a name of 4 KiB":      {agent: greet(agenttest.Greeting{Machine: strings.Repeat("m", 4096)})},
		"a name of 5 KiB":      {agent: greet(agenttest.Greeting{Machine: strings.Repeat("m", 5000)}), says: "hello: corrupt encoding"},
		"a clock of 9999":      {agent: greet(agenttest.Greeting{Clock: 253402300799})},
		"silence":              {agent: answers(agenttest.List, func(*agenttest.Question) []byte { return nil }), fields: "limits: {idle: 10s, time: 15s}", says: "the pull took more than 15s"},
		"a folder without end": {agent: &agenttest.Agent{Answer: func(q *agenttest.Question, w io.Writer) (bool, error) {
			if q.Kind != agenttest.List {
				return false, nil
			}
			for i := 0; ; i += 500 {
				var entries []agenttest.Entry
				for k := range 500 {
					entries = append(entries, agenttest.Entry{Name: fmt.Sprintf("data%09d", i+k), File: agenttest.File{Kind: agenttest.Fifo}})
				}
				if _, err := w.Write(agenttest.Frame(q.ID, q.Kind|agenttest.Answer, agenttest.More, agenttest.Listing(agenttest.Part, entries...))); err != nil {
					return true, err
				}
			}
		}}, fields: "limits: {memory: 10MiB}", says: "outside of the roots"},
	}
}

// TestEvilSourcesBesideAGoodOne pulls from processes that lie, all beside each other and beside one that does not. Each ends in an error that
// says what was wrong, or in a snapshot whose time, host and name are the server's.
func TestEvilSourcesBesideAGoodOne(t *testing.T) {
	t.Parallel()
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	s := newSite(t, "roots: [ROOT]")
	cases, sources, names := evil(), map[string]config.Source{"good": s.source(t, "paths: [ROOT]")}, []string{"good"}
	for name, c := range cases {
		names = append(names, name)
		sources[name] = parse(t, fmt.Sprintf("address: nobody@localhost\nhost: h\nssh: {command: %q}\npaths: [/data]\n%s", fmt.Sprintf("env '%s=%s' %s", evilAgent, name, program), c.fields))
	}
	now := time.Date(2026, 5, 1, 0, 0, 0, 0, time.UTC)
	r := vault(t, repo.CreateOptions{Options: repo.Options{Now: func() time.Time { return now }}})
	for _, res := range puller(t, r, sources).Run(t.Context(), names, nil) {
		c := cases[res.Source]
		t.Logf("%s: %.300v %s", res.Source, res.Err, res.Why)
		switch {
		case c.says != "":
			if res.Err == nil || !strings.Contains(res.Err.Error(), c.says) || res.Snapshot != nil {
				t.Errorf("%s: %v, want %q", res.Source, res.Err, c.says)
			}
			continue
		case res.Err != nil:
			t.Errorf("%s: %v", res.Source, res.Err)
			continue
		case (c.why == "") != (res.Guard == guard.None):
			t.Errorf("%s: guard %d: %s", res.Source, res.Guard, res.Why)
		}
		if x := res.Snapshot; !x.Time.Equal(now) || string(x.SourceName) != res.Source || (res.Source != "good" && string(x.Host) != "h") {
			t.Errorf("%s: %v, %q, %q", res.Source, x.Time, x.SourceName, x.Host)
		}
	}
}
