package sshconn

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"testing"
)

func writeFile(t *testing.T, name, data string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(data), 0o600); err != nil {
		t.Fatal(err)
	}
}

// resolveWith resolves an address with a configuration in a home of its own.
func resolveWith(t *testing.T, config string, a Address) (*target, string, error) {
	t.Helper()
	home := t.TempDir()
	writeFile(t, filepath.Join(home, ".ssh", "config"), config)
	d, err := New(a, Options{Home: home, ConfigFiles: []string{filepath.Join(home, ".ssh", "config")}, Agent: "/agent"})
	if err != nil {
		return nil, home, err
	}
	target, err := d.resolve(a)
	return target, home, err
}

func TestResolve(t *testing.T) {
	t.Parallel()
	const config = `# comment
User early
Host nas nas-*  !nas-old
	HostName = %h.example.net
	Port 2222
	IdentityFile ~/.ssh/nas key
	IdentityFile "~/.ssh/second key"
	User late
Host "old*" nas-old
	HostName=192.0.2.7
	ProxyJump admin@gate:2200,second
	UserKnownHostsFile /known/one ~/two
	GlobalKnownHostsFile none
Match host whatever
	HostName evil
Match all
	IdentitiesOnly yes
	IdentityAgent ~/agent-%r
`
	tests := []struct {
		address          Address
		host, user       string
		port             int
		jumps            []Address
		firstIdentity    string
		identities       int
		knownFirst, addr string
	}{
		{Address{Host: "nas"}, "nas.example.net", "early", 2222, nil, "~/.ssh/nas", 2, "~/.ssh/known_hosts", "nas.example.net:2222"},
		{Address{Host: "NAS-7", User: "me", Port: 5}, "NAS-7.example.net", "me", 5, nil, "~/.ssh/nas", 2, "~/.ssh/known_hosts", "NAS-7.example.net:5"},
		{Address{Host: "nas-old"}, "192.0.2.7", "early", 22, []Address{{"admin", "gate", 2200}, {Host: "second"}},
			"~/.ssh/id_ed25519", 3, "/known/one", "192.0.2.7:22"},
		{Address{Host: "older"}, "192.0.2.7", "early", 22, []Address{{"admin", "gate", 2200}, {Host: "second"}},
			"~/.ssh/id_ed25519", 3, "/known/one", "192.0.2.7:22"},
		{Address{Host: "2001:db8::1"}, "2001:db8::1", "early", 22, nil, "~/.ssh/id_ed25519", 3, "~/.ssh/known_hosts", "[2001:db8::1]:22"},
	}
	for _, test := range tests {
		got, home, err := resolveWith(t, config, test.address)
		if err != nil {
			t.Errorf("%v: %v", test.address, err)
			continue
		}
		inHome := func(name string) string { return expandHome(name, home) }
		if got.host != test.host || got.user != test.user || got.port != test.port || got.place() != test.addr {
			t.Errorf("%v: reached as %s@%s port %d, %s", test.address, got.user, got.host, got.port, got.place())
		}
		if !reflect.DeepEqual(got.jumps, test.jumps) {
			t.Errorf("%v: by way of %v, want %v", test.address, got.jumps, test.jumps)
		}
		if len(got.identities) != test.identities || got.identities[0] != inHome(test.firstIdentity) {
			t.Errorf("%v: identities %q", test.address, got.identities)
		}
		if got.known[0] != inHome(test.knownFirst) {
			t.Errorf("%v: known hosts %q", test.address, got.known)
		}
		if !got.onlyIdentities || got.agent != filepath.Join(home, "agent-"+test.user) {
			t.Errorf("%v: only identities: %v, agent %q", test.address, got.onlyIdentities, got.agent)
		}
	}
}

// TestAliasesAsSSHReadsThem compares with what ssh itself makes of a configuration as people have it.
func TestAliasesAsSSHReadsThem(t *testing.T) {
	t.Parallel()
	program, err := exec.LookPath("ssh")
	if err != nil {
		t.Skip("ssh is not installed: needs openssh-client")
	}
	home := t.TempDir()
	config := filepath.Join(home, ".ssh", "config")
	writeFile(t, config, `Include `+home+`/.ssh/more/*.conf
Host web? !web9
	HostName %h.example.org
Match host *.example.org,!web2.*
	Port 2201
	ProxyJump gate
Match originalhost web* user root
	Port 2202
Match !host web1.example.org user deploy
	Port 2203
Match host web2.example.org localuser nobody-has-this-name
	Port 2204
Match exec false
	Port 2206
Match host other exec false
	Port 2207
Host direct
	ProxyCommand none
Host direct other
	HostName 192.0.2.9
Match host 192.0.2.9
	User viaaddress
Match all
	ProxyJump last
	User deploy
`)
	writeFile(t, filepath.Join(home, ".ssh", "more", "a.conf"), "Host inc\nHostName included\nPort 2301\n")
	for _, a := range []Address{{Host: "web1"}, {Host: "web1", User: "root"}, {Host: "web2"}, {Host: "web2", User: "root"}, {Host: "web9"}, {Host: "web9", User: "root"},
		{Host: "web2", User: "deploy"}, {Host: "direct"}, {Host: "other"}, {Host: "other", User: "me"}, {Host: "inc"}, {Host: "x.example.org"}, {Host: "192.0.2.9"}} {
		d, err := New(a, Options{Home: home, ConfigFiles: []string{config}, Agent: "/agent"})
		if err != nil {
			t.Fatal(err)
		}
		got, err := d.resolve(a)
		if err != nil {
			t.Errorf("%v: %v", a, err)
			continue
		}
		said, err := exec.Command(program, "-G", "-F", config, a.String()).Output()
		if err != nil {
			t.Fatal(err)
		}
		want := map[string]string{}
		for line := range strings.Lines(string(said)) {
			key, value, _ := strings.Cut(strings.TrimSpace(line), " ")
			want[key] = value
		}
		jump := ""
		for _, j := range got.jumps {
			jump = j.String()
		}
		if !strings.EqualFold(got.host, want["hostname"]) || got.user != want["user"] || strconv.Itoa(got.port) != want["port"] || jump != want["proxyjump"] {
			t.Errorf("%v: %s@%s port %d by way of %q; ssh: %s@%s port %s by way of %q", a, got.user, got.host, got.port, jump, want["user"], want["hostname"], want["port"], want["proxyjump"])
		}
	}
}

func TestResolveRefuses(t *testing.T) {
	t.Parallel()
	tests := []struct {
		config  string
		address Address
	}{
		{"", Address{Host: ""}},
		{"", Address{Host: "-oProxyCommand=evil"}},
		{"", Address{Host: "host", User: "-l"}},
		{"", Address{Host: "a b"}},
		{"", Address{Host: "a\nb"}},
		{"", Address{Host: "a;b"}},
		{"", Address{Host: "a", Port: 70000}},
		{"", Address{Host: "a:b"}},
		{"HostName -oProxyCommand=evil", Address{Host: "a"}},
		{"HostName $(evil)", Address{Host: "a"}},
		{"User -evil", Address{Host: "a"}},
		{"Port 0", Address{Host: "a"}},
		{"Port many", Address{Host: "a"}},
		{"ProxyCommand nc %h %p", Address{Host: "a"}},
		{"ProxyJump a,b,c,d,e,f,g,h,i", Address{Host: "a"}},
		{"ProxyJump user:secret@gate", Address{Host: "a"}},
		{"ProxyJump gate/path", Address{Host: "a"}},
		{"Include config", Address{Host: "a"}},
		{"User \"open", Address{Host: "a"}},
	}
	for _, test := range tests {
		_, _, err := resolveWith(t, test.config, test.address)
		if !errors.Is(err, ErrConfig) {
			t.Errorf("%q, %v: error %v, want ErrConfig", test.config, test.address, err)
		} else if strings.Contains(err.Error(), "secret") {
			t.Errorf("%q: the error shows the password: %v", test.config, err)
		}
	}
	for _, config := range []string{"ProxyCommand none", "ProxyJump none\nProxyCommand evil", "Match exec evil\nProxyCommand evil", "#User \"open"} {
		if _, _, err := resolveWith(t, config, Address{Host: "a"}); err != nil {
			t.Errorf("%q: %v", config, err)
		}
	}
}

func TestInclude(t *testing.T) {
	t.Parallel()
	home := t.TempDir()
	config := filepath.Join(home, ".ssh", "config")
	writeFile(t, config, "Include conf.d/* ~/more missing\nHost other\nInclude conf.d/never\n")
	writeFile(t, filepath.Join(home, ".ssh", "conf.d", "10"), "Host nas\nHostName ten\n")
	writeFile(t, filepath.Join(home, ".ssh", "conf.d", "20"), "HostName twenty\nPort 20\n")
	writeFile(t, filepath.Join(home, "more"), "User more")
	a := Address{Host: "nas"}
	d, err := New(a, Options{Home: home, ConfigFiles: []string{config}})
	if err != nil {
		t.Fatal(err)
	}
	got, err := d.resolve(a)
	if err != nil || got.host != "ten" || got.port != 20 || got.user != "more" {
		t.Errorf("resolved %+v, error %v", got, err)
	}
}

func TestMatchPattern(t *testing.T) {
	t.Parallel()
	tests := []struct {
		pattern, host string
		want          bool
	}{
		{"*", "", true}, {"*", "abc", true}, {"", "", true}, {"", "a", false}, {"a", "A", true}, {"a?c", "abc", true}, {"a?c", "ac", false},
		{"*.example.net", "www.example.net", true}, {"*.example.net", "example.net", false}, {"a*b*c", "axxbyybzzc", true},
		{"a*b*c", "axxbyybzz", false}, {"**a**", "bab", true}, {"?*", "", false}, {"192.168.0.?", "192.168.0.7", true},
		{strings.Repeat("a*", 50) + "b", strings.Repeat("a", 5000), false},
	}
	for _, test := range tests {
		if got := matchPattern(test.pattern, test.host); got != test.want {
			t.Errorf("matchPattern(%q, %q) = %v", test.pattern, test.host, got)
		}
	}
}

func TestSplitWords(t *testing.T) {
	t.Parallel()
	tests := []struct {
		line string
		want []string
	}{
		{"", nil}, {"  ", nil}, {"ssh -p 22", []string{"ssh", "-p", "22"}}, {`ssh -i "my key" -o'A B'c`, []string{"ssh", "-i", "my key", "-oA Bc"}},
		{`a "" b`, []string{"a", "", "b"}}, {`$(x) ;y`, []string{"$(x)", ";y"}},
	}
	for _, test := range tests {
		if got, err := SplitWords(test.line); err != nil || !reflect.DeepEqual(got, test.want) {
			t.Errorf("SplitWords(%q) = %q, %v", test.line, got, err)
		}
	}
	if _, err := SplitWords(`a "b`); !errors.Is(err, ErrConfig) {
		t.Errorf("a quotation mark that is not closed: %v", err)
	}
}

func TestParseAddress(t *testing.T) {
	t.Parallel()
	for _, s := range []string{"host", "user@host", "user@host:22", "[2001:db8::1]:22", "user@[::1]:1"} {
		a, err := ParseAddress(s)
		if err != nil || a.String() != s {
			t.Errorf("ParseAddress(%q) = %v, %v", s, a, err)
		}
	}
}

func FuzzConfig(f *testing.F) {
	f.Add("Host a !b\nHostName = \"x y\"\nMatch all\nProxyJump u@h:1,k\n", "a")
	f.Add("Include conf.d/*\nPort 5", "b")
	f.Fuzz(func(t *testing.T, config, host string) {
		if strings.Contains(strings.ToLower(config), "include") {
			t.Skip() // reads other files
		}
		var s settings
		r := configReader{host: host, home: "/home", into: &s}
		err := r.lines("config", []byte(config), 0)
		if err != nil && !errors.Is(err, ErrConfig) {
			t.Errorf("error %v, want ErrConfig", err)
		}
		if jumps, err := parseJumps(s.proxyJump); err == nil {
			for _, jump := range jumps {
				if err := jump.check(); err != nil {
					t.Errorf("ProxyJump %q gives %v: %v", s.proxyJump, jump, err)
				}
			}
		}
	})
}
