package sshconn

import (
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"
)

// readKnown reads known_hosts files. Lines with a key that cannot be read are passed over, as OpenSSH does: a newer OpenSSH notes keys of kinds that are
// not known here. The host that such a line is of stays unknown. A line that revokes a key is never passed over.
func (k *hostKeys) readKnown() error {
	var err error
	if k.check, err = knownhosts.New(k.known...); err == nil {
		return nil
	}
	dir, tempErr := os.MkdirTemp("", "snap-known-hosts-")
	if tempErr != nil {
		return errors.Join(err, tempErr)
	}
	defer os.RemoveAll(dir)
	k.origin = map[string]string{}
	var copies []string
	for i, name := range k.known {
		data, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		copied := filepath.Join(dir, fmt.Sprint(i))
		if err := os.WriteFile(copied, []byte(k.readable(name, string(data))), 0o600); err != nil {
			return err
		}
		k.origin[copied] = name
		copies = append(copies, copied)
	}
	if k.check, err = knownhosts.New(copies...); err != nil {
		text := err.Error()
		for copied, name := range k.origin {
			text = strings.ReplaceAll(text, copied+":", name+":")
		}
		return errors.New(text)
	}
	return nil
}

// readable returns the lines of a file, empty where the key cannot be read, and notes which these are.
func (k *hostKeys) readable(name, data string) string {
	lines := strings.Split(data, "\n")
	for i, line := range lines {
		fields := strings.Fields(line)
		if len(fields) == 0 || strings.HasPrefix(fields[0], "#") {
			continue
		}
		if fields[0] == "@cert-authority" {
			fields = fields[1:]
		}
		if len(fields) > 0 && strings.HasPrefix(fields[0], "@") {
			continue // it revokes a key, or means what is not known here
		}
		if !readableKey(fields) {
			lines[i] = ""
			k.unread = append(k.unread, fmt.Sprintf("%s:%d", name, i+1))
		}
	}
	return strings.Join(lines, "\n")
}

// readableKey reports whether the words of a line have a key, behind its hosts and its kind.
func readableKey(fields []string) bool {
	if len(fields) < 3 {
		return false
	}
	blob, err := base64.StdEncoding.DecodeString(fields[2])
	if err != nil {
		return false
	}
	key, err := ssh.ParsePublicKey(blob)
	return err == nil && key.Type() == fields[1]
}
