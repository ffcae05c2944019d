package sshconn

import (
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/snapkeep/snap/internal/nss"
)

const defaultPort = 22

// maxJumps bounds a chain of hosts.
const maxJumps = 8

// Address is a host as the user names it.
type Address struct {
	User string // empty: as configured, or the user of this process
	Host string // a name, an address, or an alias of the configuration
	Port int    // zero: as configured, or 22
}

// String returns user@host:port, without what was not given.
func (a Address) String() string {
	s := a.Host
	if strings.Contains(s, ":") {
		s = "[" + s + "]"
	}
	if a.User != "" {
		s = a.User + "@" + s
	}
	if a.Port != 0 {
		s += ":" + strconv.Itoa(a.Port)
	}
	return s
}

// check refuses what could be taken for an option or corrupt a message.
func (a Address) check() error {
	for what, s := range map[string]string{"host": a.Host, "user": a.User} {
		if strings.HasPrefix(s, "-") {
			return fmt.Errorf("%w: %s %q begins with a dash", ErrConfig, what, s)
		}
		if strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r == 0x7f || strings.ContainsRune("/\\'\"`$;&|<>(){}", r) }) {
			return fmt.Errorf("%w: %s %q has a character that does not belong there", ErrConfig, what, s)
		}
	}
	if a.Host == "" {
		return fmt.Errorf("%w: no host given", ErrConfig)
	}
	if strings.Contains(a.Host, ":") {
		if _, err := netip.ParseAddr(a.Host); err != nil {
			return fmt.Errorf("%w: host %q is no address", ErrConfig, a.Host)
		}
	}
	if a.Port < 0 || a.Port > 65535 {
		return fmt.Errorf("%w: port %d", ErrConfig, a.Port)
	}
	return nil
}

// target is a host with all that is needed to reach it.
type target struct {
	address         Address // as it was named
	host, user      string
	port            int
	hostKeyAlias    string
	jumps           []Address
	identities      []string // files
	identitiesGiven bool     // and not the usual ones
	certificates    []string // files that the configuration names
	onlyIdentities  bool
	agent           string // socket
	known           []string
}

// place returns what to dial.
func (t *target) place() string { return net.JoinHostPort(t.host, strconv.Itoa(t.port)) }

// knownAs returns the address under which the host's key is kept.
func (t *target) knownAs() string {
	if t.hostKeyAlias != "" {
		return net.JoinHostPort(strings.ToLower(t.hostKeyAlias), strconv.Itoa(defaultPort))
	}
	return net.JoinHostPort(strings.ToLower(t.host), strconv.Itoa(t.port))
}

// resolve finds out how to reach an address.
func (d *Dialer) resolve(a Address) (*target, error) {
	if err := a.check(); err != nil {
		return nil, err
	}
	var s settings
	r := configReader{host: a.Host, user: a.User, home: d.opts.Home, into: &s}
	for _, name := range d.opts.ConfigFiles {
		if err := r.file(name, 0); err != nil {
			return nil, err
		}
	}
	t := &target{address: a, host: hostName(a.Host, s.hostName), user: first(a.User, s.user, nss.Current()), port: a.Port, hostKeyAlias: s.hostKeyAlias}
	if t.port == 0 {
		port, err := parsePort(first(s.port, strconv.Itoa(defaultPort)))
		if err != nil {
			return nil, err
		}
		t.port = port
	}
	if err := (Address{User: t.user, Host: t.host, Port: t.port}).check(); err != nil {
		return nil, err
	}
	if s.proxyJump == "" && s.proxyCommand != "" && !strings.EqualFold(s.proxyCommand, "none") {
		return nil, fmt.Errorf("%w: %s is reached through a ProxyCommand: use ProxyJump, or ssh itself as external command", ErrConfig, a.Host)
	}
	var err error
	t.jumps, err = parseJumps(s.proxyJump)
	d.fill(t, &s)
	return t, err
}

// route is the way to a host: those that are gone through, and the host itself as the last one.
type route []*target

// route finds out how to reach an address through the hosts that its configuration names: the first of them in its own way, each
// further one through the one before.
func (d *Dialer) route(a Address, depth int) (route, error) {
	if depth > maxJumps {
		return nil, fmt.Errorf("%w: more than %d hosts on the way", ErrConfig, maxJumps)
	}
	t, err := d.resolve(a)
	if err != nil {
		return nil, err
	}
	var r route
	for i, jump := range t.jumps {
		var on route
		if i == 0 {
			on, err = d.route(jump, depth+1)
		} else {
			var next *target
			next, err = d.resolve(jump)
			on = route{next}
		}
		if err != nil {
			return nil, fmt.Errorf("by way of %s: %w", jump, err)
		}
		r = append(r, on...)
	}
	return append(r, t), nil
}

// fill adds what serves authentication, in either direction.
func (d *Dialer) fill(t *target, s *settings) {
	t.identities, t.identitiesGiven = d.opts.Identities, true
	if len(t.identities) == 0 {
		t.identities = s.identityFiles
	}
	if len(t.identities) == 0 {
		t.identitiesGiven = false
		for _, name := range []string{"id_ed25519", "id_ecdsa", "id_rsa"} {
			t.identities = append(t.identities, filepath.Join(d.opts.Home, ".ssh", name))
		}
	}
	t.onlyIdentities = strings.EqualFold(s.identitiesOnly, "yes")
	t.agent = d.opts.Agent
	switch agent := s.identityAgent; {
	case strings.EqualFold(agent, "none"):
		t.agent = ""
	case agent != "" && agent != "SSH_AUTH_SOCK":
		t.agent = t.expand(agent, d.opts.Home)
	}
	known := d.opts.KnownHosts
	if len(known) == 0 {
		user, global := s.userKnown, s.globalKnown
		if user == nil {
			user = []string{"~/.ssh/known_hosts", "~/.ssh/known_hosts2"}
		}
		if global == nil {
			global = []string{"/etc/ssh/ssh_known_hosts", "/etc/ssh/ssh_known_hosts2"}
		}
		known = append(append(known, user...), global...)
	}
	t.identities = t.expandAll(t.identities, d.opts.Home)
	t.certificates = t.expandAll(s.certificates, d.opts.Home)
	t.known = t.expandAll(known, d.opts.Home)
}

func (t *target) expandAll(names []string, home string) []string {
	var out []string
	for _, name := range names {
		if !strings.EqualFold(name, "none") {
			out = append(out, t.expand(name, home))
		}
	}
	return out
}

// parseJumps takes the value of ProxyJump apart.
func parseJumps(list string) ([]Address, error) {
	if list == "" || strings.EqualFold(list, "none") {
		return nil, nil
	}
	var jumps []Address
	for item := range strings.SplitSeq(list, ",") {
		a, err := ParseAddress(strings.TrimPrefix(strings.TrimSpace(item), "ssh://"))
		if err != nil {
			return nil, fmt.Errorf("ProxyJump: %w", err)
		}
		jumps = append(jumps, a)
		if len(jumps) > maxJumps {
			return nil, fmt.Errorf("%w: ProxyJump names more than %d hosts", ErrConfig, maxJumps)
		}
	}
	return jumps, nil
}

// ParseAddress takes [user@]host[:port] apart.
func ParseAddress(s string) (Address, error) {
	u, err := url.Parse("ssh://" + s)
	if err != nil || u.Path != "" || u.RawQuery != "" || u.Fragment != "" {
		return Address{}, fmt.Errorf("%w: want user@host:port", ErrConfig)
	}
	return AddressOf(u)
}

// AddressOf returns the user, host and port of a URL. A URL with a password is
// refused.
func AddressOf(u *url.URL) (Address, error) {
	if _, ok := u.User.Password(); ok {
		return Address{}, fmt.Errorf("%w: an address has no place for a password: use a key", ErrConfig)
	}
	a := Address{User: u.User.Username(), Host: u.Hostname()}
	if u.Port() != "" {
		port, err := parsePort(u.Port())
		if err != nil {
			return Address{}, err
		}
		a.Port = port
	}
	return a, a.check()
}

func parsePort(s string) (int, error) {
	port, err := strconv.Atoi(s)
	if err != nil || port < 1 || port > 65535 {
		return 0, fmt.Errorf("%w: %q is no port", ErrConfig, s)
	}
	return port, nil
}

func first(values ...string) string {
	for _, v := range values {
		if v != "" {
			return v
		}
	}
	return ""
}
