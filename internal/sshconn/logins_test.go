package sshconn_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/snapkeep/snap/internal/proxytest"
	"github.com/snapkeep/snap/internal/sshconn"
	"github.com/snapkeep/snap/internal/sshdtest"
	"golang.org/x/crypto/ssh"
)

const long = 10 * time.Minute // that nothing here takes

// newLogins returns a set that nothing on a slow machine makes impatient.
func newLogins(t *testing.T) *sshconn.Logins {
	t.Helper()
	l := sshconn.NewLogins()
	l.SetPatience(long)
	t.Cleanup(l.Close)
	return l
}

// sharing returns a dialer that shares connections.
func sharing(t *testing.T, l *sshconn.Logins, a sshconn.Address, o sshconn.Options) *sshconn.Dialer {
	t.Helper()
	o.Logins = l
	d, err := sshconn.New(a, o)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// cat starts a command that says what it is told.
func cat(t *testing.T, d *sshconn.Dialer) *sshconn.Conn {
	t.Helper()
	c, err := d.Exec(t.Context(), "cat")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	echo(t, c)
	return c
}

// echo lets cat say something.
func echo(t *testing.T, c *sshconn.Conn) {
	t.Helper()
	if err := tryEcho(c); err != nil {
		t.Fatal(err)
	}
}

func tryEcho(c *sshconn.Conn) error {
	if _, err := io.WriteString(c, "hello\n"); err != nil {
		return err
	}
	answer := make([]byte, 6)
	if _, err := io.ReadFull(c, answer); err != nil || string(answer) != "hello\n" {
		return fmt.Errorf("%q: %w", answer, err)
	}
	return nil
}

// eventually waits until something is so.
func eventually(t *testing.T, what string, so func() bool) {
	t.Helper()
	for begin := time.Now(); !so(); time.Sleep(5 * time.Millisecond) {
		if time.Since(begin) > long {
			t.Fatal("not after a long time: ", what)
		}
	}
}

func TestOneLoginServesManySessions(t *testing.T) {
	t.Parallel()
	s := sshdtest.Start(t, sshdtest.Options{})
	l := newLogins(t)
	var wg sync.WaitGroup
	for range 12 {
		wg.Go(func() {
			o := s.Client()
			o.ConfigFiles, o.Logins = []string{}, l
			d, err := sshconn.New(s.Address(), o)
			if err != nil {
				t.Error(err)
				return
			}
			for range 3 {
				c, err := d.Exec(t.Context(), "cat")
				if err == nil {
					err = tryEcho(c)
				}
				if err != nil {
					t.Error(err)
					return
				}
				c.Close()
				c.Close() // is nothing
				if _, err := c.Read(make([]byte, 1)); !errors.Is(err, fs.ErrClosed) {
					t.Errorf("reading after the end: %v", err)
				}
				if _, err := c.Write([]byte("x")); !errors.Is(err, fs.ErrClosed) {
					t.Errorf("writing after the end: %v", err)
				}
			}
		})
	}
	wg.Wait()
	if n := s.Logins(); n != 1 {
		t.Errorf("%d logins for 36 sessions", n)
	}
	o := s.Client()
	o.ConfigFiles = []string{}
	d := sharing(t, l, s.Address(), o)
	last := cat(t, d)
	l.SetLinger(time.Second)
	last.Close()
	eventually(t, "the connection ends when nobody has used it for some time", func() bool { return s.Open() == 0 })
	if n := s.Logins(); n != 1 {
		t.Errorf("%d logins for 37 sessions", n)
	}
	l.SetLinger(long)
	cat(t, d)
	if n := s.Logins(); n != 2 {
		t.Errorf("%d logins, want another one", n)
	}
	l.Close()
	eventually(t, "connections end with the run", func() bool { return s.Open() == 0 })
	if _, err := d.Exec(t.Context(), "cat"); !errors.Is(err, fs.ErrClosed) {
		t.Errorf("a session after the end: %v", err)
	}
}

// TestFewSessionsOfAConnection holds six sessions at servers that take few of a connection.
func TestFewSessionsOfAConnection(t *testing.T) {
	t.Parallel()
	for most, want := range map[int]int{1: 6, 2: 3, 6: 1} {
		s := sshdtest.Start(t, sshdtest.Options{MaxSessions: most})
		d := sharing(t, newLogins(t), s.Address(), s.Client())
		var all []*sshconn.Conn
		for range 6 {
			all = append(all, cat(t, d))
		}
		for _, c := range all {
			echo(t, c)
		}
		if n := s.Logins(); n != want {
			t.Errorf("at most %d sessions: %d logins, want %d", most, n, want)
		}
		// It is found out once, by asking twice.
		if n := s.Logged("no more sessions"); n > 2 {
			t.Errorf("at most %d sessions: %d were refused", most, n)
		}
	}
}

// TestManyAtOnceAtAServerOfFewSessions: nobody gets an error, and nobody logs in more than once.
func TestManyAtOnceAtAServerOfFewSessions(t *testing.T) {
	t.Parallel()
	s := sshdtest.Start(t, sshdtest.Options{MaxSessions: 1})
	d := sharing(t, newLogins(t), s.Address(), s.Client())
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 5 {
				c, err := d.Exec(t.Context(), "cat")
				if err == nil {
					err = tryEcho(c)
					c.Close()
				}
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if n := s.Logins(); n > 20 {
		t.Errorf("%d logins for 20 sessions", n)
	}
}

// TestConnectionsOfOthersAreNotUsed has a connection that works, and looks that nobody gets on it who would not log in in the same way.
func TestConnectionsOfOthersAreNotUsed(t *testing.T) {
	t.Parallel()
	s := sshdtest.Start(t, sshdtest.Options{})
	file := func(name string) string { return filepath.Join(s.Home, ".ssh", name) }
	sshdtest.WriteKey(t, file("stranger"), "")
	key, err := os.ReadFile(file("id_ed25519"))
	if err != nil {
		t.Fatal(err)
	}
	writeConfig(t, s, "same", string(key))
	writeConfig(t, s, "nobody_known", "")
	config := func(name, more string) string {
		writeConfig(t, s, name, fmt.Sprintf("Host *\nHostName 127.0.0.1\nPort %d\n%s", s.Port, more))
		return file(name)
	}
	usual := s.Client()
	l := newLogins(t)
	held := cat(t, sharing(t, l, s.Address(), usual))
	logins := s.Logins()
	for _, tt := range []struct {
		what   string
		change func(a *sshconn.Address, o *sshconn.Options)
		want   error // nil is an error of any kind
	}{
		{"another user", func(a *sshconn.Address, _ *sshconn.Options) { a.User = "nobody-of-this-name" }, sshconn.ErrRefused},
		{"another key", func(_ *sshconn.Address, o *sshconn.Options) { o.Identities = []string{file("stranger")} }, sshconn.ErrRefused},
		{"another key by configuration", func(_ *sshconn.Address, o *sshconn.Options) {
			o.ConfigFiles = []string{config("key", "IdentityFile ~/.ssh/stranger\n")}
		}, sshconn.ErrRefused},
		{"other known hosts", func(_ *sshconn.Address, o *sshconn.Options) { o.KnownHosts = []string{file("nobody_known")} }, sshconn.ErrHostUnknown},
		{"other known hosts by configuration", func(_ *sshconn.Address, o *sshconn.Options) {
			o.ConfigFiles = []string{config("hosts", "UserKnownHostsFile ~/.ssh/nobody_known\nGlobalKnownHostsFile none\n")}
		}, sshconn.ErrHostUnknown},
		{"known under another name", func(_ *sshconn.Address, o *sshconn.Options) {
			o.ConfigFiles = []string{config("alias", "HostKeyAlias other\n")}
		}, sshconn.ErrHostUnknown},
		{"another port", func(a *sshconn.Address, _ *sshconn.Options) { a.Port = 1 }, nil},
		{"another host", func(a *sshconn.Address, _ *sshconn.Options) { a.Host = "127.0.0.2" }, nil},
		{"by way of a host", func(a *sshconn.Address, o *sshconn.Options) {
			// Not for all hosts: it would go by way of itself.
			*a = sshconn.Address{User: s.User, Host: "far"}
			o.ConfigFiles = []string{file("jump")}
			writeConfig(t, s, "jump", fmt.Sprintf("Host far\nHostName 127.0.0.1\nPort %d\nProxyJump nobody@127.0.0.1:1\n", s.Port))
		}, nil},
	} {
		a, o := s.Address(), usual
		tt.change(&a, &o)
		c, err := sharing(t, l, a, o).Exec(t.Context(), "cat")
		if err == nil {
			c.Close()
		}
		if err == nil || (tt.want != nil && !errors.Is(err, tt.want)) {
			t.Errorf("%s: %v, want %v", tt.what, err, tt.want)
		}
	}
	if n := s.Logins(); n != logins {
		t.Errorf("%d logins of those who were to be refused", n-logins)
	}

	// One who is accepted just as well gets a connection of its own if something differs that decides, and else not.
	for _, tt := range []struct {
		what   string
		change func(a *sshconn.Address, o *sshconn.Options)
		more   int
	}{
		{"the same", func(*sshconn.Address, *sshconn.Options) {}, 0},
		{"another name for the same", func(a *sshconn.Address, o *sshconn.Options) {
			*a = sshconn.Address{Host: "nas"}
			o.ConfigFiles = []string{config("name", "User "+s.User+"\n")}
		}, 0},
		{"the same key in another file", func(_ *sshconn.Address, o *sshconn.Options) { o.Identities = []string{file("same")} }, 1},
		{"another agent", func(_ *sshconn.Address, o *sshconn.Options) { o.Agent = "/nonexistent/either" }, 1},
		{"by way of itself", func(a *sshconn.Address, o *sshconn.Options) {
			*a = sshconn.Address{Host: "behind"}
			o.ConfigFiles = []string{config("itself", "User "+s.User+"\nHost behind\nProxyJump gate\n")}
		}, 2},
	} {
		a, o := s.Address(), usual
		tt.change(&a, &o)
		before := s.Logins()
		cat(t, sharing(t, l, a, o))
		if n := s.Logins() - before; n != tt.more {
			t.Errorf("%s: %d logins, want %d", tt.what, n, tt.more)
		}
	}

	// A name under which several hosts are known makes them no single host.
	cluster := sshconn.Options{Home: s.Home, Agent: "/nonexistent", ConfigFiles: []string{file("cluster")}, KnownHosts: []string{file("cluster_hosts")}}
	writeConfig(t, s, "cluster", fmt.Sprintf("Host one\nHostName 127.0.0.1\nHost two\nHostName 127.0.0.2\nHost *\nHostKeyAlias cluster\nUser %s\nPort %d\n", s.User, s.Port))
	writeConfig(t, s, "cluster_hosts", "cluster "+string(ssh.MarshalAuthorizedKey(s.HostKey)))
	cat(t, sharing(t, l, sshconn.Address{Host: "one"}, cluster))
	if _, err := sharing(t, l, sshconn.Address{Host: "two"}, cluster).Exec(t.Context(), "cat"); err == nil {
		t.Error("another host of a cluster: the connection of the first one was used")
	}

	// What is in the files counts.
	o := usual
	o.Identities = []string{file("changing")}
	writeConfig(t, s, "changing", string(key))
	d := sharing(t, l, s.Address(), o)
	cat(t, d)
	if key, err = os.ReadFile(file("stranger")); err != nil {
		t.Fatal(err)
	}
	writeConfig(t, s, "changing", string(key))
	if _, err := d.Exec(t.Context(), "cat"); !errors.Is(err, sshconn.ErrRefused) {
		t.Errorf("with a key that was replaced: %v", err)
	}
	known, err := os.ReadFile(file("known_hosts"))
	if err != nil {
		t.Fatal(err)
	}
	writeConfig(t, s, "known_hosts", strings.Split(string(known), " ")[0]+" "+string(ssh.MarshalAuthorizedKey(sshdtest.WriteKey(t, file("another_host"), ""))))
	if _, err := sharing(t, l, s.Address(), usual).Exec(t.Context(), "cat"); !errors.Is(err, sshconn.ErrHostKey) {
		t.Errorf("with another key of the host: %v", err)
	}
	echo(t, held)
}

// TestAllWhoWaitFailAlike: there is one attempt for all.
func TestAllWhoWaitFailAlike(t *testing.T) {
	t.Parallel()
	s := sshdtest.Start(t, sshdtest.Options{})
	const n = 6
	all := func(d *sshconn.Dialer, fail func()) (errs []error) {
		answers := make(chan error, n)
		for range n {
			go func() {
				_, err := d.Exec(t.Context(), "cat")
				answers <- err
			}()
		}
		fail()
		for range n {
			errs = append(errs, <-answers)
		}
		return errs
	}
	proxy := proxytest.Start(t, s.Addr(), func(int) proxytest.Fault { return proxytest.Fault{StallAfter: 100} })
	s.AddKnownPort(proxy.Port())
	address := s.Address()
	address.Port = proxy.Port()
	l := newLogins(t)
	for _, err := range all(sharing(t, l, address, s.Client()), func() {
		eventually(t, "all wait", func() bool { return l.Waiting() == n })
		eventually(t, "there is a connection", func() bool { return proxy.Connections() == 1 })
		proxy.CutAll()
	}) {
		if err == nil || sshconn.IsPermanent(err) || errors.Is(err, context.Canceled) {
			t.Errorf("cut: %v", err)
		}
	}
	if n := proxy.Connections(); n != 1 {
		t.Errorf("%d connections", n)
	}
	o := s.Client()
	o.KnownHosts = []string{filepath.Join(t.TempDir(), "none")}
	for _, err := range all(sharing(t, newLogins(t), s.Address(), o), func() {}) {
		if !errors.Is(err, sshconn.ErrHostUnknown) {
			t.Errorf("unknown host: %v", err)
		}
	}
	o = s.Client()
	o.Identities = []string{filepath.Join(t.TempDir(), "stranger")}
	sshdtest.WriteKey(t, o.Identities[0], "")
	for _, err := range all(sharing(t, newLogins(t), s.Address(), o), func() {}) {
		if !errors.Is(err, sshconn.ErrRefused) {
			t.Errorf("stranger: %v", err)
		}
	}
	if n := s.Connections(); n != 3 {
		t.Errorf("%d connections in all, want one each", n)
	}
	// Who comes later is told the same, without another attempt.
	l = newLogins(t)
	for range 3 {
		if _, err := sharing(t, l, s.Address(), o).Exec(t.Context(), "cat"); !errors.Is(err, sshconn.ErrRefused) {
			t.Errorf("stranger: %v", err)
		}
	}
	if n := s.Connections(); n != 4 {
		t.Errorf("%d connections in all, want one more", n)
	}
}

// TestWhoGoesDoesNotTakeTheConnectionAlong: others wait for the connection that somebody has begun to make.
func TestWhoGoesDoesNotTakeTheConnectionAlong(t *testing.T) {
	t.Parallel()
	s := sshdtest.Start(t, sshdtest.Options{})
	open := make(chan struct{})
	proxy := proxytest.Start(t, s.Addr(), func(int) proxytest.Fault { return proxytest.Fault{Until: open} })
	s.AddKnownPort(proxy.Port())
	address := s.Address()
	address.Port = proxy.Port()
	l := newLogins(t)
	d := sharing(t, l, address, s.Client())
	ctx, cancel := context.WithCancel(t.Context())
	first, second := make(chan error, 1), make(chan error, 1)
	go func() {
		_, err := d.Exec(ctx, "cat")
		first <- err
	}()
	eventually(t, "the first one waits", func() bool { return l.Waiting() == 1 })
	go func() {
		c, err := d.Exec(t.Context(), "cat")
		if err == nil {
			err = tryEcho(c)
			c.Close()
		}
		second <- err
	}()
	eventually(t, "both wait", func() bool { return l.Waiting() == 2 })
	cancel()
	if err := <-first; !errors.Is(err, context.Canceled) {
		t.Errorf("who went: %v", err)
	}
	close(open)
	if err := <-second; err != nil {
		t.Errorf("who waited on: %v", err)
	}
	if n := proxy.Connections(); n != 1 {
		t.Errorf("%d connections", n)
	}
	proxy.SetFault(func(int) proxytest.Fault { return proxytest.Fault{Until: make(chan struct{})} })
	ctx, cancel = context.WithCancel(t.Context())
	stranger := sharing(t, l, sshconn.Address{User: "other", Host: "127.0.0.1", Port: proxy.Port()}, s.Client())
	go func() {
		_, err := stranger.Exec(ctx, "cat")
		first <- err
	}()
	eventually(t, "one waits", func() bool { return l.Waiting() == 1 })
	cancel()
	if err := <-first; !errors.Is(err, context.Canceled) {
		t.Errorf("who was the only one: %v", err)
	}
	eventually(t, "nobody makes a connection for nobody", func() bool { return l.Waiting() == 0 })
}

// TestSessionsDoNotWaitForEachOther has sessions on one connection that do not read, or are not read.
func TestSessionsDoNotWaitForEachOther(t *testing.T) {
	t.Parallel()
	s := sshdtest.Start(t, sshdtest.Options{Config: "Subsystem noisy head -c 8000000 /dev/zero >&2; exec cat"})
	d := sharing(t, newLogins(t), s.Address(), s.Client())
	good := cat(t, d)
	deaf, err := d.Exec(t.Context(), "exec sleep 1000")
	if err != nil {
		t.Fatal(err)
	}
	unheard, err := d.Exec(t.Context(), "exec cat /dev/zero")
	if err != nil {
		t.Fatal(err)
	}
	noisy, err := d.Dial(t.Context(), "noisy")
	if err != nil {
		t.Fatal(err)
	}
	defer noisy.Close()
	writing, reading := make(chan error, 1), make(chan error, 1)
	var sent int
	go func() {
		for {
			n, err := deaf.Write(make([]byte, 64<<10))
			if sent += n; err != nil {
				writing <- err
				return
			}
		}
	}()
	go func() {
		_, err := deaf.Read(make([]byte, 1))
		reading <- err
	}()
	echo(t, noisy)
	complaining, err := d.Exec(t.Context(), "head -c 8000000 /dev/zero >&2; exec cat") // four windows of a channel, which nobody reads
	if err != nil {
		t.Fatal(err)
	}
	defer complaining.Close()
	echo(t, complaining)
	for range 100 {
		echo(t, good)
	}
	deaf.Close()
	unheard.Close()
	if err := <-writing; !errors.Is(err, fs.ErrClosed) {
		t.Errorf("writing: %v", err)
	}
	if err := <-reading; !errors.Is(err, fs.ErrClosed) {
		t.Errorf("reading: %v", err)
	}
	if sent > 16<<20 {
		t.Errorf("%d bytes were taken that nobody reads", sent)
	}
	for range 100 {
		echo(t, good)
	}
	if n := s.Logins(); n != 1 {
		t.Errorf("%d logins", n)
	}
	// Without others the same holds.
	alone, err := sshconn.New(s.Address(), s.Client())
	if err != nil {
		t.Fatal(err)
	}
	c, err := alone.Dial(t.Context(), "noisy")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	echo(t, c)
}

// TestCutConnectionIsMadeOnceForAll cuts the connection of two sessions, which then share another one.
func TestCutConnectionIsMadeOnceForAll(t *testing.T) {
	t.Parallel()
	s := sshdtest.Start(t, sshdtest.Options{})
	proxy := proxytest.Start(t, s.Addr(), nil)
	s.AddKnownPort(proxy.Port())
	address := s.Address()
	address.Port = proxy.Port()
	d := sharing(t, newLogins(t), address, s.Client())
	one, two := cat(t, d), cat(t, d)
	proxy.CutAll()
	for _, c := range []*sshconn.Conn{one, two} {
		if _, err := c.Read(make([]byte, 1)); err == nil || errors.Is(err, fs.ErrClosed) {
			t.Errorf("after the cut: %v", err)
		}
	}
	one, two = cat(t, d), cat(t, d)
	echo(t, one)
	echo(t, two)
	if n := proxy.Connections(); n != 2 {
		t.Errorf("%d connections, want 2", n)
	}
}

// TestSilentConnectionIsLeft: who comes to a connection that stands still gets another one, and those on it notice after the time that they can bear.
func TestSilentConnectionIsLeft(t *testing.T) {
	t.Parallel()
	s := sshdtest.Start(t, sshdtest.Options{})
	for answer := time.Second; ; answer *= 3 { // what a busy machine keeps from answering in time is left as well
		n := leavesSilent(t, s, answer)
		if n == 2 {
			return
		}
		if t.Logf("%v to answer: %d connections", answer, n); n < 2 || answer > time.Minute {
			t.Fatalf("%d connections, want 2", n)
		}
	}
}

// leavesSilent lets a connection stand still, and returns how many there have been when a stream of another one is used.
func leavesSilent(t *testing.T, s *sshdtest.Server, answer time.Duration) int {
	proxy := proxytest.Start(t, s.Addr(), func(n int) proxytest.Fault {
		if n > 0 {
			return proxytest.Fault{}
		}
		return proxytest.Fault{StallAfter: 200_000}
	})
	s.AddKnownPort(proxy.Port())
	address := s.Address()
	address.Port = proxy.Port()
	l := newLogins(t)
	l.SetKeepalive(200 * time.Millisecond)
	l.SetAnswerTime(answer)
	d := sharing(t, l, address, s.Client())
	stuck := cat(t, d)
	if _, err := stuck.Write(make([]byte, 400_000)); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() {
		_, err := io.Copy(io.Discard, stuck)
		ended <- err
	}()
	eventually(t, "it stands still", func() bool { return proxy.Stalled() == 1 })
	echo(t, cat(t, d))
	n := proxy.Connections()
	l.SetSilence(time.Second)
	select {
	case err := <-ended:
		if errors.Is(err, fs.ErrClosed) {
			t.Error(err)
		}
	case <-time.After(long):
		t.Error("a connection that stands still was kept")
	}
	return n
}

// TestCloseEndsWhatNobodyTakesAnyMore: also a connection that was left because it stands still, with a session that nobody closed.
func TestCloseEndsWhatNobodyTakesAnyMore(t *testing.T) {
	t.Parallel()
	s := sshdtest.Start(t, sshdtest.Options{})
	proxy := proxytest.Start(t, s.Addr(), func(n int) proxytest.Fault {
		if n > 0 {
			return proxytest.Fault{}
		}
		return proxytest.Fault{StallAfter: 100_000}
	})
	s.AddKnownPort(proxy.Port())
	address := s.Address()
	address.Port = proxy.Port()
	l := sshconn.NewLogins()
	d := sharing(t, l, address, s.Client())
	stuck := cat(t, d)
	if _, err := stuck.Write(make([]byte, 400_000)); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it stands still", func() bool { return proxy.Stalled() == 1 })
	cat(t, d)
	if n := proxy.Connections(); n != 2 {
		t.Errorf("%d connections, want 2", n)
	}
	closed := make(chan bool)
	go func() {
		defer close(closed)
		l.Close()
	}()
	select {
	case <-closed:
	case <-time.After(long):
		t.Fatal("a connection outlives the run")
	}
	if _, err := io.Copy(io.Discard, stuck); err != nil && errors.Is(err, fs.ErrClosed) {
		t.Errorf("what was under way: %v", err)
	}
}

// TestExternalCommandIsNotShared: what the system's ssh does is its own affair.
func TestExternalCommandIsNotShared(t *testing.T) {
	t.Parallel()
	s := sshdtest.Start(t, sshdtest.Options{})
	o := s.Client()
	o.Command = []string{"ssh", "-F", "none", "-i", s.Home + "/.ssh/id_ed25519", "-o", "UserKnownHostsFile=" + s.Home + "/.ssh/known_hosts", "-o", "BatchMode=yes"}
	d := sharing(t, newLogins(t), s.Address(), o)
	cat(t, d)
	cat(t, d)
	if n := s.Logins(); n != 2 {
		t.Errorf("%d logins, want 2", n)
	}
}

// TestSharedConnectionKnowsItsRoundTrip measures before anything else is on the way.
func TestSharedConnectionKnowsItsRoundTrip(t *testing.T) {
	t.Parallel()
	const latency = 20 * time.Millisecond
	s := sshdtest.Start(t, sshdtest.Options{})
	proxy := proxytest.Start(t, s.Addr(), func(int) proxytest.Fault { return proxytest.Fault{Latency: latency} })
	s.AddKnownPort(proxy.Port())
	address := s.Address()
	address.Port = proxy.Port()
	l := newLogins(t)
	first := cat(t, sharing(t, l, address, s.Client()))
	second := cat(t, sharing(t, l, address, s.Client()))
	if first.RoundTrip() < 2*latency || second.RoundTrip() != first.RoundTrip() {
		t.Errorf("%v and %v, with a latency of %v each way", first.RoundTrip(), second.RoundTrip(), latency)
	}
	alone, err := sshconn.New(address, s.Client())
	if err != nil {
		t.Fatal(err)
	}
	if c := cat(t, alone); c.RoundTrip() != 0 {
		t.Errorf("%v of a connection of its own", c.RoundTrip())
	}
}
