package nss

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"
)

// noDNS is a dialer whose resolver reaches nobody.
func noDNS() *net.Dialer {
	return &net.Dialer{Timeout: time.Minute, Resolver: &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) {
		return nil, errors.New("no DNS here")
	}}}
}

// listen returns the port of a listener on 127.0.0.1 that takes connections.
func listen(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return port
}

func TestHostThatOnlyModulesKnow(t *testing.T) {
	port := listen(t)
	const mdns = "hosts: files mdns4_minimal [NOTFOUND=return] dns\n"
	for _, tt := range []struct {
		what, nsswitch, host, script string
		found                        bool
		calls                        string
	}{
		{"mDNS knows it", mdns, "nas.local", "echo '127.0.0.1 STREAM nas.local'; echo '127.0.0.1 DGRAM'", true, "ahosts nas.local"},
		{"the second address answers", mdns, "nas.local", "echo 'x STREAM'; echo '::ffff:127.0.0.2%9 STREAM'; echo '127.0.0.1 STREAM'", true, "ahosts nas.local"},
		{"nobody knows it", mdns, "nas.local", "exit 2", false, "ahosts nas.local"},
		{"the line is cut off", mdns, "nas.local", "printf '127.0.0.1 STREAM'", false, "ahosts nas.local"},
		{"files and DNS are all", "hosts: files dns\n", "nas.local", "echo '127.0.0.1 STREAM'", false, ""},
		{"an option", mdns, "-s.local", "echo '127.0.0.1 STREAM'", false, ""},
		{"an odd name", mdns, "nas local", "echo '127.0.0.1 STREAM'", false, ""},
	} {
		f := newFake(t, tt.nsswitch, tt.script)
		conn, err := f.dial(t.Context(), noDNS(), "tcp", net.JoinHostPort(tt.host, port))
		if err == nil {
			conn.Close()
		}
		var unknown *net.DNSError
		if (err == nil) != tt.found || (err != nil && !errors.As(err, &unknown)) {
			t.Errorf("%s: %v", tt.what, err)
		}
		if got := f.calls(); got != tt.calls {
			t.Errorf("%s: calls %q, want %q", tt.what, got, tt.calls)
		}
	}
}

func TestHostThatIsKnownIsNotAskedFor(t *testing.T) {
	f := newFake(t, "hosts: files mdns\n", "echo '127.0.0.1 STREAM'")
	conn, err := f.dial(t.Context(), noDNS(), "tcp", "127.0.0.1:"+listen(t))
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := f.dial(ctx, noDNS(), "tcp", "nas.local:22"); err == nil {
		t.Error("a call that was cancelled connects")
	}
	if f.calls() != "" {
		t.Errorf("calls %s", f.calls())
	}
}

func TestAddressesAreBounded(t *testing.T) {
	var lines strings.Builder
	for i := range 100 {
		fmt.Fprintf(&lines, "10.0.0.%d STREAM\n", i)
	}
	if got := parseAddresses([]byte(lines.String())); len(got) != maxAddresses || got[0].String() != "10.0.0.0" {
		t.Errorf("%d addresses: %v", len(got), got)
	}
}
