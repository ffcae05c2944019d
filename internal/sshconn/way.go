package sshconn

import (
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"strings"
)

// way returns a name for all that decides who logs in where and whose key is trusted, for each host of a route: connections of
// one name are the same in these things. Files count with what is in them, so that a key that was replaced is used by who comes after.
func (r route) way() string {
	var b strings.Builder
	for _, t := range r {
		fmt.Fprintf(&b, "host %q port %d known as %q user %q agent %q only %v given %v\n", t.host, t.port, t.knownAs(), t.user, t.agent, t.onlyIdentities, t.identitiesGiven)
		for _, name := range t.identities {
			fmt.Fprintf(&b, "identity %q %s %s %s\n", name, contentOf(name), contentOf(name+".pub"), contentOf(name+"-cert.pub"))
		}
		for _, name := range t.certificates {
			fmt.Fprintf(&b, "certificate %q %s\n", name, contentOf(name))
		}
		for _, name := range t.known {
			fmt.Fprintf(&b, "known %q %s\n", name, contentOf(name))
		}
	}
	return b.String()
}

// contentOf returns a word for what is in a file, or for why it cannot be read.
func contentOf(name string) string {
	info, err := os.Stat(name)
	if err != nil || !info.Mode().IsRegular() {
		return "none"
	}
	f, err := os.Open(name)
	if err != nil {
		return "unreadable"
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "unreadable"
	}
	return fmt.Sprintf("%x", h.Sum(nil))
}
