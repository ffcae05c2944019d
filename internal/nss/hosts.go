package nss

import (
	"bytes"
	"context"
	"errors"
	"net"
	"net/netip"
	"strings"
)

// Bounds of what is asked about hosts, and of what is tried.
const (
	maxHost      = 253 // bytes of a name
	maxAddresses = 8
)

// Dial connects to host:port as d does. If d finds no such host, and /etc/nsswitch.conf names others than files and dns for
// hosts, getent is asked, and its addresses are tried one after the other. The error is that of d if nobody knows the host.
func Dial(ctx context.Context, d *net.Dialer, network, address string) (net.Conn, error) {
	return thisMachine.dial(ctx, d, network, address)
}

func (m *machine) dial(ctx context.Context, d *net.Dialer, network, address string) (net.Conn, error) {
	conn, err := d.DialContext(ctx, network, address)
	if lookup, isLookup := errors.AsType[*net.DNSError](err); !isLookup || lookup.Name == "" || ctx.Err() != nil {
		return conn, err
	}
	host, port, splitErr := net.SplitHostPort(address)
	if splitErr != nil {
		return nil, err
	}
	for _, a := range m.hosts(ctx, host) {
		if conn, err = d.DialContext(ctx, network, net.JoinHostPort(a.String(), port)); err == nil {
			return conn, nil
		}
	}
	return nil, err
}

// hosts asks getent for the addresses of a host.
func (m *machine) hosts(ctx context.Context, name string) []netip.Addr {
	if !isHost(name) || !othersKnow(m.etc, "hosts", "files", "dns") {
		return nil
	}
	out, err := m.ask(ctx, "ahosts", name)
	if err != nil {
		return nil
	}
	return parseAddresses(out)
}

// isHost reports whether a name can be that of a host, and no option of a program.
func isHost(name string) bool {
	return name != "" && len(name) <= maxHost && name[0] != '-' && !strings.ContainsFunc(name, func(r rune) bool {
		return r != '-' && r != '.' && r != '_' && (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z')
	})
}

// parseAddresses parses lines "ADDRESS STREAM …", of which the last may be cut off. Lines of other kinds of sockets repeat them.
func parseAddresses(out []byte) (all []netip.Addr) {
	for line := range bytes.Lines(out) {
		fields := strings.Fields(string(line))
		if len(fields) < 2 || fields[1] != "STREAM" || !bytes.HasSuffix(line, []byte("\n")) {
			continue
		}
		if a, err := netip.ParseAddr(fields[0]); err == nil && len(all) < maxAddresses {
			all = append(all, a)
		}
	}
	return all
}
