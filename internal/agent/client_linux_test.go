package agent

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/snapkeep/snap/chunker"
	"github.com/snapkeep/snap/internal/protocol"
	"github.com/snapkeep/snap/internal/tree"
)

// patience is how long tests wait for what has to happen.
const patience = 10 * time.Minute

// client speaks the protocol, question by question.
type client struct {
	t   testing.TB
	in  *protocol.Reader
	out *protocol.Writer
	w   io.WriteCloser
	id  uint32
}

func newClient(t testing.TB, in io.Reader, out io.WriteCloser) *client {
	return &client{t: t, in: protocol.NewReader(bufio.NewReader(in), protocol.MaxPayload), out: protocol.NewWriter(out), w: out}
}

// start serves the policy in this process, and returns a client and a function that waits for the end of the session.
func start(t testing.TB, p *Policy) (*client, func() error) {
	t.Helper()
	if err := p.Check(); err != nil {
		t.Fatal(err)
	}
	here, there := net.Pipe()
	done := make(chan error, 1)
	go func() {
		defer there.Close()
		done <- Serve(context.Background(), there, there, Options{Policy: p, Place: "here", Program: "test", Enforced: []string{"nothing"}})
	}()
	ended := false
	var result error
	end := func() error {
		if ended {
			return result
		}
		select {
		case result = <-done:
		case <-time.After(patience):
			t.Fatal("the session does not end")
		}
		ended = true
		return result
	}
	t.Cleanup(func() {
		here.Close()
		end()
	})
	return newClient(t, here, here), end
}

type message interface{ Append([]byte) []byte }

type raw []byte

func (r raw) Append(b []byte) []byte { return append(b, r...) }

// send sends a question and returns its number.
func (c *client) send(kind protocol.Type, m message) uint32 {
	c.t.Helper()
	c.id++
	if err := c.out.Write(protocol.Frame{ID: c.id, Type: kind, Payload: m.Append(nil)}); err != nil {
		c.t.Fatal(err)
	}
	return c.id
}

// answer reads one whole answer, whatever it answers.
func (c *client) answer() (id uint32, kind protocol.Type, payload []byte, err error) {
	c.t.Helper()
	for {
		f, err := c.in.Read()
		if err != nil {
			c.t.Fatalf("no answer: %v", err)
		}
		payload = append(payload, f.Payload...)
		if f.Type == protocol.Failed {
			e, err := protocol.ParseError(f.Payload)
			if err != nil {
				c.t.Fatal(err)
			}
			return f.ID, f.Type, nil, e
		}
		if !f.More {
			return f.ID, f.Type, payload, nil
		}
	}
}

// ask asks a question and returns its answer. The error is that of the agent.
func (c *client) ask(kind protocol.Type, m message) ([]byte, error) {
	c.t.Helper()
	sent := c.send(kind, m)
	id, got, payload, err := c.answer()
	if id != sent || (err == nil && got != kind|protocol.Answer) {
		c.t.Fatalf("answer %d of type %#x to question %d of type %d", id, got, sent, kind)
	}
	return payload, err
}

func (c *client) hello() *protocol.HelloAnswer {
	c.t.Helper()
	b, err := c.ask(protocol.Hello, &protocol.HelloRequest{Version: protocol.Version})
	if err != nil {
		c.t.Fatal(err)
	}
	h, err := protocol.ParseHelloAnswer(b)
	if err != nil {
		c.t.Fatal(err)
	}
	return h
}

// params are the cuts of tests.
func params(t testing.TB) (files, database chunker.Params) {
	p, err := chunker.RandomPolynomial(rand.NewChaCha8([32]byte{1}))
	if err != nil {
		t.Fatal(err)
	}
	return chunker.Files(p), chunker.Database(p)
}

// begin begins with roots and returns the problems by root.
func (c *client) begin(m protocol.BeginRequest) (map[string]*protocol.Error, error) {
	c.t.Helper()
	m.Files, m.Database = params(c.t)
	b, err := c.ask(protocol.Begin, &m)
	if err != nil {
		return nil, err
	}
	a, err := protocol.ParseBeginAnswer(b)
	if err != nil {
		c.t.Fatal(err)
	}
	bad := map[string]*protocol.Error{}
	for _, p := range a.Problems {
		bad[p.Root] = p.Err
	}
	return bad, nil
}

// list lists a directory.
func (c *client) list(path string) (names []string, err error) {
	c.t.Helper()
	err = c.entries(path, func(e *tree.Entry) { names = append(names, e.Name) })
	return names, err
}

// entries lists a directory and calls each with its entries.
func (c *client) entries(path string, each func(*tree.Entry)) error {
	c.t.Helper()
	b, err := c.ask(protocol.List, &protocol.ListRequest{Dirs: []protocol.DirQuestion{{Path: path}}})
	if err != nil {
		return err
	}
	parseErr := protocol.ParseDirAnswers(b, func(a *protocol.DirAnswer) error {
		for i := range a.Entries {
			each(&a.Entries[i])
		}
		if a.Err != nil {
			err = a.Err
		}
		return nil
	})
	if parseErr != nil {
		c.t.Fatal(parseErr)
	}
	return err
}

// read reads a file.
func (c *client) read(path string) (content []byte, err error) {
	c.t.Helper()
	b, err := c.ask(protocol.Read, &protocol.ReadRequest{Files: []protocol.FileQuestion{{Path: path, Most: protocol.MaxReadSize, Send: true}}})
	if err != nil {
		return nil, err
	}
	parseErr := protocol.ParseItems(b, func(it *protocol.Item) error {
		switch it.Kind {
		case protocol.ItemChunk:
			content = append(content, it.Data...)
		case protocol.ItemHole:
			content = append(content, make([]byte, it.Length)...)
		case protocol.ItemFailed:
			err = it.Err
		}
		return nil
	})
	if parseErr != nil {
		c.t.Fatal(parseErr)
	}
	return content, err
}

// build makes files, folders (which end in a slash) and links (which have an arrow) with their content.
func build(t testing.TB, root string, files ...string) {
	t.Helper()
	for _, f := range files {
		name, content, _ := strings.Cut(f, "=")
		link, target, isLink := strings.Cut(f, "->")
		path := filepath.Join(root, name)
		if isLink {
			path = filepath.Join(root, link)
		}
		err := os.MkdirAll(filepath.Dir(path), 0o755)
		switch {
		case err != nil:
		case isLink:
			err = os.Symlink(target, path)
		case strings.HasSuffix(name, "/"):
			err = os.MkdirAll(path, 0o755)
		default:
			err = os.WriteFile(path, []byte(content), 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

func codeOf(err error) protocol.Code {
	var e *protocol.Error
	if errors.As(err, &e) {
		return e.Code
	}
	return 0
}

// rel returns the path of a file in the tree of the protocol.
func rel(elem ...string) string { return strings.TrimPrefix(filepath.Join(elem...), "/") }

// child is an agent in a process of its own, under a policy file.
type child struct {
	*client
	cmd    *exec.Cmd
	stdout io.ReadCloser
	stderr *strings.Builder
}

// startChild starts this test program as an agent.
func startChild(t testing.TB, policy string, env ...string) *child {
	t.Helper()
	return startChildIn(t, nil, policy, env...)
}

// startChildIn starts this test program as an agent, by a command such as the result of sshdtest.NewMachine.
func startChildIn(t testing.TB, inside []string, policy string, env ...string) *child {
	t.Helper()
	file := filepath.Join(t.TempDir(), "agent.yaml")
	if err := os.WriteFile(file, []byte(policy), 0o644); err != nil {
		t.Fatal(err)
	}
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	args := append(slices.Clone(inside), exe)
	c := &child{cmd: exec.Command(args[0], args[1:]...), stderr: &strings.Builder{}}
	c.cmd.Env = append(slices.Clone(os.Environ()), append(env, childPolicy+"="+file)...)
	c.cmd.Stderr = c.stderr
	stdin, err := c.cmd.StdinPipe()
	if err == nil {
		c.stdout, err = c.cmd.StdoutPipe()
	}
	if err == nil {
		err = c.cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		c.cmd.Process.Kill()
		c.cmd.Wait()
	})
	c.client = newClient(t, c.stdout, stdin)
	return c
}

// wait waits for the end of the process.
func (c *child) wait() error {
	c.t.Helper()
	done := make(chan error, 1)
	go func() { done <- c.cmd.Wait() }()
	select {
	case err := <-done:
		return err
	case <-time.After(patience):
		c.t.Fatal("the agent does not end")
	}
	return nil
}

// Names of variables that make this test program an agent.
const (
	childPolicy = "SNAP_AGENT_TEST_POLICY"
	childTries  = "SNAP_AGENT_TEST_TRIES"
)

func TestMain(m *testing.M) {
	if policy := os.Getenv(childPolicy); policy != "" {
		if err := beAgent(policy); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// beAgent does what the command does.
func beAgent(policy string) error {
	p, err := ReadPolicy(policy)
	if err != nil {
		return err
	}
	enforced, err := Restrict(p)
	if err != nil {
		return err
	}
	if dir := os.Getenv(childTries); dir != "" {
		return tryToWrite(dir)
	}
	return Serve(context.Background(), os.Stdin, os.Stdout, Options{Policy: p, Place: policy, Program: "test", Enforced: enforced})
}
