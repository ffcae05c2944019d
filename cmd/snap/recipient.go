package main

import (
	"bufio"
	"bytes"
	"errors"
	"os"
	"strings"

	"filippo.io/age"
	"github.com/snapkeep/snap/repo"
	"golang.org/x/crypto/ssh"
)

// parseRecipient returns the recipient of a public key: age1…, a line of a .pub file, or the
// name of a file that holds either.
func parseRecipient(word string) (*repo.Recipient, error) {
	word = strings.TrimSpace(word)
	switch {
	case strings.HasPrefix(word, "age1"):
		return repo.ForAge(word)
	case strings.HasPrefix(word, "ssh-"):
		return repo.ForSSH(word)
	}
	data, err := os.ReadFile(word)
	if errors.Is(err, os.ErrNotExist) {
		return nil, usageError("recipient %q is no age or SSH public key and no file that holds one", word)
	}
	if err != nil {
		return nil, err
	}
	for line := range strings.Lines(string(data)) {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "age1") || strings.HasPrefix(line, "ssh-") {
			return parseRecipient(line)
		}
	}
	return nil, usageError("recipient file %q holds no age or SSH public key", word)
}

// recipientOf returns the recipient that a secret opens the slot of.
func recipientOf(s *secret) (*repo.Recipient, error) {
	if s.identity == nil {
		return repo.ForPassphrase(s.passphrase)
	}
	if isSSHKey(s.identity) {
		return sshRecipient(s)
	}
	lines := bufio.NewScanner(bytes.NewReader(s.identity))
	for lines.Scan() {
		line := strings.TrimSpace(lines.Text())
		if id, err := age.ParseX25519Identity(line); err == nil {
			return repo.ForAge(id.Recipient().String())
		}
		if id, err := age.ParseHybridIdentity(line); err == nil {
			return repo.ForAge(id.Recipient().String())
		}
	}
	return nil, usageError("identity file %q: the public key is not known from it", s.file).
		withHint("give the public key with --recipient")
}

// sshRecipient takes the public key from the private key, or from the .pub file beside it.
func sshRecipient(s *secret) (*repo.Recipient, error) {
	private, err := ssh.ParsePrivateKey(s.identity)
	if err == nil {
		return repo.ForSSH(string(ssh.MarshalAuthorizedKey(private.PublicKey())))
	}
	var locked *ssh.PassphraseMissingError
	if errors.As(err, &locked) && locked.PublicKey != nil {
		return repo.ForSSH(string(ssh.MarshalAuthorizedKey(locked.PublicKey)))
	}
	return parseRecipient(s.file + ".pub")
}
