package agent

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/snapkeep/snap/internal/looptest"
	"github.com/snapkeep/snap/internal/protocol"
)

func TestAgentReadsOnlyWhatThePolicyAllows(t *testing.T) {
	dir := t.TempDir()
	build(t, dir, "srv/app/data/file=mine", "srv/app/hidden/file=secret", "outside/data/file=secret", "outside/file=secret",
		"srv/up->..", "srv/out->../outside", "srv/filelink->../outside/file", "srv/app/in->data", "srvx/file=secret")
	srv := dir + "/srv"
	for _, tt := range []struct {
		asked string
		code  protocol.Code // 0: it may be read
	}{
		{srv, 0}, {srv + "/app", 0}, {srv + "/app/data", 0}, {srv + "/app/data/file", 0},
		{"/", protocol.CodeRefused}, {dir, protocol.CodeRefused}, {dir + "/outside", protocol.CodeRefused}, {srv + "x", protocol.CodeRefused},
		{srv + "/../outside", protocol.CodeRefused}, {srv + "/", protocol.CodeRefused}, {"srv", protocol.CodeRefused}, {"", protocol.CodeRefused},
		{"/proc/self/root" + srv, protocol.CodeRefused},
		// A link below a root of the policy leads to no root.
		{srv + "/out/data", protocol.CodeRoot}, {srv + "/out/file", protocol.CodeRoot}, {srv + "/up/outside", protocol.CodeRoot}, {srv + "/app/in/file", protocol.CodeRoot},
		{srv + "/none", protocol.CodeRoot}, {srv + "/app/data/file/x", protocol.CodeRoot},
		// A root that is a link is that link, not what it leads to.
		{srv + "/out", 0}, {srv + "/filelink", 0},
	} {
		c, _ := start(t, &Policy{Roots: []string{srv}, Exclude: []string{"hidden"}})
		c.hello()
		bad, err := c.begin(protocol.BeginRequest{Roots: []string{tt.asked}})
		if err != nil {
			t.Errorf("%q: %v", tt.asked, err)
			continue
		}
		if e := bad[tt.asked]; (e == nil) != (tt.code == 0) || (e != nil && e.Code != tt.code) {
			t.Errorf("%q: %v, want code %d", tt.asked, e, tt.code)
		}
		for _, path := range []string{"/outside/file", "/outside/data/file", "/srvx/file", "/srv/out/file", "/srv/out/data/file", "/srv/up/outside/file", "/srv/filelink", "/srv/app/hidden/file", "/etc/passwd"} {
			whole := rel(dir, path)
			if path == "/etc/passwd" {
				whole = "etc/passwd"
			}
			if content, err := c.read(whole); err == nil || len(content) > 0 {
				t.Errorf("root %q: %q was read: %q", tt.asked, path, content)
			}
			if _, err := c.list(filepath.Dir(whole)); err == nil && !strings.HasPrefix(path, "/srv/app") && !strings.HasPrefix(path, "/srv/filelink") && path != "/etc/passwd" {
				t.Errorf("root %q: the folder of %q was listed", tt.asked, path)
			}
		}
	}
}

func TestExcludedRootIsNotRead(t *testing.T) {
	dir := t.TempDir()
	build(t, dir, "hidden/sub/file=secret", "file=mine")
	for _, asked := range []string{dir + "/hidden", dir + "/hidden/sub", dir + "/hidden/sub/file"} {
		c, _ := start(t, &Policy{Roots: []string{dir}, Exclude: []string{"hidden"}})
		c.hello()
		if bad, err := c.begin(protocol.BeginRequest{Roots: []string{asked, dir + "/file"}}); err != nil || len(bad) > 0 {
			t.Error(asked, bad, err)
		}
		if content, err := c.read(rel(dir, "hidden/sub/file")); err == nil || len(content) > 0 {
			t.Errorf("root %q: %q", asked, content)
		}
		if content, err := c.read(rel(dir, "file")); string(content) != "mine" {
			t.Errorf("root %q: %q, %v", asked, content, err)
		}
	}
}

// TestDeviceIsReadOnlyIfItIsAskedForAsOne plants a link to a block device below a root.
func TestDeviceIsReadOnlyIfItIsAskedForAsOne(t *testing.T) {
	image := filepath.Join(t.TempDir(), "image")
	if err := os.WriteFile(image, make([]byte, 64<<10), 0o600); err != nil {
		t.Fatal(err)
	}
	device, detach := looptest.Attach(t, image, true) // one that others use comes and goes
	t.Cleanup(detach)
	dir := t.TempDir()
	build(t, dir, "file=mine", "planted->"+device)
	c, _ := start(t, &Policy{Roots: []string{dir}, Devices: []string{device}})
	c.hello()
	bad, err := c.begin(protocol.BeginRequest{Roots: []string{dir + "/planted", dir + "/file"}, Devices: []string{device, dir + "/planted"}})
	if err != nil || bad[device] != nil || codeOf(orNil(bad[dir+"/planted"])) != protocol.CodeRefused {
		t.Fatal(bad, err)
	}
	for path, ok := range map[string]bool{rel(dir, "planted"): false, rel(device): true} {
		_, err := c.ask(protocol.Read, &protocol.ReadRequest{Files: []protocol.FileQuestion{{Path: path, Most: 1}}})
		if err != nil {
			t.Errorf("%q: %v", path, err)
		}
		b, err := c.ask(protocol.List, &protocol.ListRequest{Dirs: []protocol.DirQuestion{{Path: parentOf(path)}}})
		if err != nil {
			t.Fatal(err)
		}
		kind := ""
		if err := protocol.ParseDirAnswers(b, func(a *protocol.DirAnswer) error {
			for _, x := range a.Entries {
				if x.Name == filepath.Base(path) {
					kind = fmt.Sprint(x.Kind)
				}
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		if regular := kind == "1"; regular != ok {
			t.Errorf("%q is listed as %q", path, kind)
		}
	}
}

func orNil(e *protocol.Error) error {
	if e == nil {
		return nil
	}
	return e
}

func TestStreamsOfOthersAreRefused(t *testing.T) {
	c, _ := start(t, &Policy{Streams: map[string]Stream{"list": {Command: []string{"echo", "hello"}}, "gone": {Command: []string{"/nonexistent/program"}}, "fails": {Command: []string{"sh", "-c", "echo x; exit 3"}}}})
	h := c.hello()
	if got := fmt.Sprint(h.Streams); got != "[{fails } {gone } {list }]" {
		t.Errorf("streams: %s", got)
	}
	for name, code := range map[string]protocol.Code{"": protocol.CodeRefused, "List": protocol.CodeRefused, "echo": protocol.CodeRefused, "list; id": protocol.CodeRefused, "gone": protocol.CodeStream, "fails": protocol.CodeStream} {
		if data, err := c.stream(name); codeOf(err) != code {
			t.Errorf("%q: %q, %v, want code %d", name, data, err, code)
		}
	}
	if data, err := c.stream("list"); string(data) != "hello\n" || err != nil {
		t.Errorf("%q, %v", data, err)
	}
	// A handle of nothing, one that ended, and an offset that is not the next.
	if _, err := c.ask(protocol.StreamNext, &protocol.StreamNextRequest{Handle: 1, Most: 1}); codeOf(err) != protocol.CodeStream {
		t.Error(err)
	}
	if _, err := c.ask(protocol.StreamStop, &protocol.StreamHandle{Handle: 77}); codeOf(err) != protocol.CodeStream {
		t.Error(err)
	}
	b, err := c.ask(protocol.StreamStart, &protocol.StreamStartRequest{Name: "list"})
	if err != nil {
		t.Fatal(err)
	}
	s, _ := protocol.ParseStreamHandle(b)
	if _, err := c.ask(protocol.StreamNext, &protocol.StreamNextRequest{Handle: s.Handle, Offset: 1, Most: 1}); codeOf(err) != protocol.CodeStream {
		t.Error(err)
	}
	if _, err := c.ask(protocol.StreamStop, s); err != nil {
		t.Error(err)
	}
}

func TestNoMoreStreamsThanAllowed(t *testing.T) {
	c, _ := start(t, &Policy{Streams: map[string]Stream{"long": {Command: []string{"sleep", "1000"}}}})
	c.hello()
	var last *protocol.StreamHandle
	for i := range maxStreams + 1 {
		b, err := c.ask(protocol.StreamStart, &protocol.StreamStartRequest{Name: "long"})
		if (err == nil) != (i < maxStreams) || (err != nil && codeOf(err) != protocol.CodeLimit) {
			t.Errorf("stream %d: %v", i, err)
		}
		if err == nil {
			last, _ = protocol.ParseStreamHandle(b)
		}
	}
	if _, err := c.ask(protocol.StreamStop, last); err != nil {
		t.Error(err)
	}
	if _, err := c.ask(protocol.StreamStart, &protocol.StreamStartRequest{Name: "long"}); err != nil {
		t.Errorf("after one has ended: %v", err)
	}
}

// pidOf waits until a command has written its number to a file.
func pidOf(t *testing.T, file string) int {
	t.Helper()
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		data, err := os.ReadFile(file)
		if pid, convErr := strconv.Atoi(strings.TrimSpace(string(data))); err == nil && convErr == nil {
			return pid
		}
	}
	t.Fatalf("%s: no command", file)
	return 0
}

// gone waits for the end of a process.
func gone(t *testing.T, what string, pid int) {
	t.Helper()
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		status, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil || bytes.Contains(status, []byte(") Z ")) {
			return
		}
	}
	t.Errorf("%s: process %d still runs", what, pid)
}

// TestStreamsEndWithTheServer has a server go away in each way, while a command and a child of it run.
func TestStreamsEndWithTheServer(t *testing.T) {
	for what, leave := range map[string]func(*child){
		"closes":     func(c *child) { c.w.Close() },
		"closes all": func(c *child) { c.w.Close(); c.stdout.Close() },
		"closes in a frame": func(c *child) {
			c.w.Write([]byte{5, 0, 0})
			c.w.Close()
		},
		"sends garbage": func(c *child) { c.w.Write(bytes.Repeat([]byte{0xff}, 100)) },
		"does not read": func(c *child) {
			c.send(protocol.Ping, raw(nil))
			c.stdout.Close()
			c.w.Close()
		},
	} {
		dir := t.TempDir()
		c := startChild(t, fmt.Sprintf("streams:\n  long:\n    command: [sh, -c, 'echo $$ > %[1]s/shell; sh -c \"echo \\$\\$ > %[1]s/below; sleep 1000\" & sleep 1000']\nwritable: [%[1]s]\n", dir))
		c.hello()
		b, err := c.ask(protocol.StreamStart, &protocol.StreamStartRequest{Name: "long"})
		if err != nil {
			t.Fatal(err)
		}
		h, _ := protocol.ParseStreamHandle(b)
		c.send(protocol.StreamNext, &protocol.StreamNextRequest{Handle: h.Handle, Most: 10})
		shell, below := pidOf(t, dir+"/shell"), pidOf(t, dir+"/below")
		leave(c)
		c.wait()
		gone(t, what, shell)
		gone(t, what, below)
	}
}

// TestSessionEndsWithItsContext ends an agent whose server keeps the connection open and is silent, as a signal does.
func TestSessionEndsWithItsContext(t *testing.T) {
	in, out := io.Pipe()
	defer out.Close()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		done <- Serve(ctx, in, io.Discard, Options{Policy: &Policy{Roots: []string{"/"}}, Program: "test"})
	}()
	if err := protocol.NewWriter(out).Write(protocol.Frame{Type: protocol.Hello, Payload: (&protocol.HelloRequest{Version: 1}).Append(nil)}); err != nil {
		t.Fatal(err)
	}
	cancel()
	select {
	case err := <-done:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(patience):
		t.Fatal("the session does not end")
	}
}

func TestOrderOfQuestions(t *testing.T) {
	dir := t.TempDir()
	list := &protocol.ListRequest{Dirs: []protocol.DirQuestion{{}}}
	for _, kind := range []protocol.Type{protocol.Begin, protocol.List, protocol.Ping, protocol.StreamStart, 99, protocol.Answer | protocol.Hello, protocol.Failed} {
		c, end := start(t, &Policy{Roots: []string{dir}})
		if _, err := c.ask(kind, list); codeOf(err) != protocol.CodeMalformed {
			t.Errorf("type %d comes first: %v", kind, err)
		}
		if err := end(); err != nil {
			t.Errorf("type %d comes first: the session ends with %v", kind, err)
		}
	}
	c, end := start(t, &Policy{Roots: []string{dir}})
	c.hello()
	for _, kind := range []protocol.Type{protocol.List, protocol.Read, protocol.Fetch, protocol.Hash, 0, 99, protocol.Answer | protocol.List, protocol.Failed} {
		if _, err := c.ask(kind, list); codeOf(err) != protocol.CodeMalformed {
			t.Errorf("type %d before begin: %v", kind, err)
		}
	}
	c.id++
	if err := c.out.Write(protocol.Frame{ID: c.id, Type: protocol.Ping, More: true}); err != nil {
		t.Fatal(err)
	}
	if _, _, _, err := c.answer(); codeOf(err) != protocol.CodeMalformed {
		t.Errorf("a question of several frames: %v", err)
	}
	if bad, err := c.begin(protocol.BeginRequest{Roots: []string{dir}}); err != nil || len(bad) > 0 {
		t.Fatal(bad, err)
	}
	if _, err := c.begin(protocol.BeginRequest{Roots: []string{dir}}); codeOf(err) != protocol.CodeMalformed {
		t.Errorf("a second begin: %v", err)
	}
	for _, kind := range []protocol.Type{protocol.List, protocol.Read, protocol.Fetch, protocol.Hash, protocol.StreamStart, protocol.StreamNext, protocol.StreamStop, protocol.Inventory, protocol.Ping} {
		if _, err := c.ask(kind, raw{0xff, 0xff, 0xff}); codeOf(err) != protocol.CodeMalformed {
			t.Errorf("garbage of type %d: %v", kind, err)
		}
	}
	if _, err := c.list(rel(dir)); err != nil {
		t.Errorf("after all that: %v", err)
	}
	if _, err := c.ask(protocol.Hello, &protocol.HelloRequest{Version: 1}); codeOf(err) != protocol.CodeMalformed {
		t.Errorf("a second hello: %v", err)
	}
	if err := end(); err != nil {
		t.Errorf("after a second hello: %v", err)
	}
}

// TestRefusedBeginStandsOnceToo begins with a root that is not allowed, and then with others.
func TestRefusedBeginStandsOnceToo(t *testing.T) {
	dir := t.TempDir()
	c, _ := start(t, &Policy{Roots: []string{dir}})
	c.hello()
	if bad, err := c.begin(protocol.BeginRequest{Roots: []string{"/etc"}}); err != nil || bad["/etc"] == nil {
		t.Error(bad, err)
	}
	if _, err := c.begin(protocol.BeginRequest{Roots: []string{dir}}); codeOf(err) != protocol.CodeMalformed {
		t.Error(err)
	}
	if _, err := c.list(""); codeOf(err) != protocol.CodeMalformed {
		t.Errorf("a listing of nothing: %v", err)
	}
}

func TestGarbageEndsTheSession(t *testing.T) {
	noise := make([]byte, 1<<20)
	rand.NewChaCha8([32]byte{3}).Read(noise)
	hello := (&protocol.HelloRequest{Version: 1}).Append(nil)
	for what, b := range map[string][]byte{
		"noise": noise, "zeros": make([]byte, 1000), "text": []byte("GET / HTTP/1.1\r\n\r\n"), "nothing": nil, "half a header": {1, 2, 3}, "half a frame": {200, 0, 0, 0, 0, 0, 0, 0, 1, 0, 'x'},
		"the largest frame": {0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 1, 0}, "another hello": append([]byte{byte(len(hello)), 0, 0, 0, 0, 0, 0, 0, 1, 0}, bytes.ToUpper(hello)...),
	} {
		done := make(chan error, 1)
		go func() {
			done <- Serve(context.Background(), bytes.NewReader(b), io.Discard, Options{Policy: &Policy{Roots: []string{"/"}}, Program: "test"})
		}()
		select {
		case err := <-done:
			if (what == "nothing" || what == "zeros" || what == "another hello") != (err == nil) {
				t.Errorf("%s: %v", what, err)
			}
		case <-time.After(patience):
			t.Fatalf("%s: the session does not end", what)
		}
	}
}

// TestManyQuestionsAreAnswered asks more than may wait, without reading an answer before all are sent.
func TestManyQuestionsAreAnswered(t *testing.T) {
	dir := t.TempDir()
	build(t, dir, "file=mine")
	c, _ := start(t, &Policy{Roots: []string{dir}})
	c.hello()
	if _, err := c.begin(protocol.BeginRequest{Roots: []string{dir}}); err != nil {
		t.Fatal(err)
	}
	const all = 20 * maxRequests
	first := c.id + 1
	sent := make(chan bool)
	go func() {
		defer close(sent)
		q := &protocol.ReadRequest{Files: []protocol.FileQuestion{{Path: rel(dir, "file"), Most: 10, Send: true}}}
		for range all {
			c.send(protocol.Read, q)
		}
	}()
	seen, limited := map[uint32]bool{}, 0
	for len(seen) < all {
		id, _, _, err := c.answer()
		if id < first || id >= first+all || seen[id] {
			t.Fatalf("answer %d", id)
		}
		seen[id] = true
		if codeOf(err) == protocol.CodeLimit {
			limited++
		} else if err != nil {
			t.Fatal(err)
		}
	}
	<-sent
	if content, err := c.read(rel(dir, "file")); string(content) != "mine" {
		t.Errorf("after %d questions, %d over the limit: %q, %v", all, limited, content, err)
	}
}

// TestLargeQuestionsWaitTheirTurn asks with many large questions and reads nothing: the agent takes only so many in.
func TestLargeQuestionsWaitTheirTurn(t *testing.T) { synctest.Test(t, largeQuestionsWaitTheirTurn) }

func largeQuestionsWaitTheirTurn(t *testing.T) {
	s := &session{waiting: 1, bytes: maxWaiting - 10, ctx: t.Context(), jobs: make(chan job, 10)}
	s.room.L = &s.mu
	done := false
	go func() {
		s.dispatch(job{1, 11, nil}, protocol.Read, nil)
		done = true
	}()
	synctest.Wait()
	if done {
		t.Fatal("a question was taken in though there is no room")
	}
	s.mu.Lock()
	s.bytes, s.waiting = 0, 0
	s.room.Signal()
	s.mu.Unlock()
	synctest.Wait()
	if !done {
		t.Fatal("a question for which there is room was not taken in")
	}
	if s.bytes != 11 || s.waiting != 1 || len(s.jobs) != 1 {
		t.Errorf("%d bytes of %d questions, %d to be worked on", s.bytes, s.waiting, len(s.jobs))
	}
}

// TestSilentServerIsWaitedFor leaves a session alone for a while: it holds nothing but an open connection.
func TestSilentServerIsWaitedFor(t *testing.T) {
	c, end := start(t, &Policy{Roots: []string{"/etc"}})
	c.hello()
	time.Sleep(200 * time.Millisecond)
	if _, err := c.ask(protocol.Ping, raw(nil)); err != nil {
		t.Error(err)
	}
	c.w.Close()
	if err := end(); err != nil && !errors.Is(err, io.ErrClosedPipe) {
		t.Error(err)
	}
}

// TestServerThatDoesNotReadIsLeft closes a connection on which answers wait to be written.
func TestServerThatDoesNotReadIsLeft(t *testing.T) {
	dir := t.TempDir()
	build(t, dir, "file="+strings.Repeat("x", 2<<20))
	c, end := start(t, &Policy{Roots: []string{dir}})
	c.hello()
	if _, err := c.begin(protocol.BeginRequest{Roots: []string{dir}}); err != nil {
		t.Fatal(err)
	}
	for range 20 {
		c.send(protocol.Read, &protocol.ReadRequest{Files: []protocol.FileQuestion{{Path: rel(dir, "file"), Most: 2 << 20, Send: true}}})
	}
	c.w.Close()
	end()
}

func TestRateLimitHoldsAndFramesTrickle(t *testing.T) {
	const rate, size = 1 << 20, 600 << 10
	dir := t.TempDir()
	noise := make([]byte, size)
	rand.NewChaCha8([32]byte{4}).Read(noise)
	if err := os.WriteFile(dir+"/file", noise, 0o644); err != nil {
		t.Fatal(err)
	}
	c, _ := start(t, &Policy{Roots: []string{dir}, RateLimit: rate})
	c.hello()
	if _, err := c.begin(protocol.BeginRequest{Roots: []string{dir}}); err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	content, err := c.read(rel(dir, "file"))
	if took := time.Since(begin); !bytes.Equal(content, noise) || took < (size-rate/10)*time.Second/rate {
		t.Errorf("%d bytes at %d a second came in %v, %v", len(content), rate, took, err)
	}
	// A frame comes in pieces.
	var pieces []int
	p := paced(t.Context(), writerFunc(func(b []byte) (int, error) {
		pieces = append(pieces, len(b))
		return len(b), nil
	}), 100*minRate)
	if n, err := p.Write(make([]byte, 20*minRate)); n != 20*minRate || err != nil || len(pieces) != 4 {
		t.Errorf("%d bytes in pieces %v, %v", n, pieces, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	p = paced(ctx, io.Discard, minRate)
	if n, err := p.Write(make([]byte, 20*minRate)); n >= 20*minRate || !errors.Is(err, context.Canceled) {
		t.Errorf("after the end: %d bytes, %v", n, err)
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(b []byte) (int, error) { return f(b) }

// TestVersionsOfOthers lets servers of other versions say hello.
func TestVersionsOfOthers(t *testing.T) {
	for _, highest := range []int{1, 2, 1000, 1 << 16} {
		c, _ := start(t, &Policy{Roots: []string{"/etc"}})
		// A newer server may say more.
		b, err := c.ask(protocol.Hello, raw(append((&protocol.HelloRequest{Version: highest}).Append(nil), bytes.Repeat([]byte{7}, highest%10)...)))
		if err != nil {
			t.Errorf("a server of version %d: %v", highest, err)
			continue
		}
		if h, err := protocol.ParseHelloAnswer(b); err != nil || h.Version != 1 {
			t.Errorf("a server of version %d: %+v, %v", highest, h, err)
		}
		if _, err := c.ask(protocol.Ping, raw(nil)); err != nil {
			t.Errorf("a server of version %d: %v", highest, err)
		}
	}
	for _, bad := range [][]byte{[]byte("snapagent\x00"), []byte("snapagent"), []byte("snapagent\x81\x80\x04"), []byte("snapserver\x01")} {
		c, end := start(t, &Policy{Roots: []string{"/etc"}})
		if _, err := c.ask(protocol.Hello, raw(bad)); codeOf(err) != protocol.CodeMalformed {
			t.Errorf("hello %q: %v", bad, err)
		}
		if err := end(); err != nil {
			t.Errorf("hello %q: %v", bad, err)
		}
	}
}
