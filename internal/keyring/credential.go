package keyring

import (
	"bufio"
	"bytes"
	"crypto/x509"
	"errors"
	"fmt"
	"strings"

	"filippo.io/age"
	"filippo.io/age/plugin"
	"golang.org/x/crypto/ssh"
)

// maxKeyFileSize is the largest identity file or private key file, in bytes.
const maxKeyFileSize = 1 << 20

// Credential opens slots of one type. It belongs to one goroutine at a time.
type Credential struct {
	typ        SlotType
	identities []*identity // those that need neither a program nor a person come first
	writer     bool        // of a full slot only a writer's secrets are taken
}

// AsWriter returns a Credential that opens the same slots, and takes of a full one only what is in a writer's: the content identity is
// not kept, nor even parsed. It belongs to the same goroutine as c.
func (c *Credential) AsWriter() *Credential {
	w := *c
	w.writer = true
	return &w
}

// identity is an age identity and what is known about it.
type identity struct {
	age.Identity
	public   string // the public key, if it is known
	external bool   // a plugin or a person answers; its errors are not the slot's fault
}

// Passphrase returns the Credential that a passphrase is.
func Passphrase(passphrase string) (*Credential, error) {
	id, err := age.NewScryptIdentity(passphrase)
	if err != nil {
		return nil, fmt.Errorf("%w: empty passphrase", ErrKeyFile)
	}
	id.SetMaxWorkFactor(maxCost)
	return &Credential{typ: TypePassphrase, identities: []*identity{{Identity: id}}}, nil
}

// AgeIdentities returns the Credential that the content of an age identity file is:
// one identity a line, empty lines and lines that begin with # aside. Identities of
// plugins run the plugin's program when a slot is tried; ui talks to the user for
// it and may be nil. The error wraps ErrKeyFile.
func AgeIdentities(file []byte, ui *plugin.ClientUI) (*Credential, error) {
	if len(file) > maxKeyFileSize {
		return nil, fmt.Errorf("%w: identity file is over %d bytes", ErrKeyFile, maxKeyFileSize)
	}
	var native, external []*identity
	lines := bufio.NewScanner(bytes.NewReader(file))
	lines.Buffer(nil, maxKeyFileSize+1)
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || line[0] == '#' {
			continue
		}
		id, err := parseIdentity(line, ui)
		if err != nil { // not wrapped: it could quote the secret
			return nil, fmt.Errorf("%w: line %d is no age identity", ErrKeyFile, n)
		}
		if id.external {
			external = append(external, id)
		} else {
			native = append(native, id)
		}
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrKeyFile, err)
	}
	if len(native)+len(external) == 0 {
		return nil, fmt.Errorf("%w: no age identity in the file", ErrKeyFile)
	}
	return &Credential{typ: TypeAge, identities: append(native, external...)}, nil
}

func parseIdentity(line string, ui *plugin.ClientUI) (*identity, error) {
	switch {
	case strings.HasPrefix(line, "AGE-PLUGIN-"):
		id, err := plugin.NewIdentity(line, orSilent(ui))
		return &identity{Identity: id, external: true}, err
	case strings.HasPrefix(line, "AGE-SECRET-KEY-PQ-1"):
		id, err := age.ParseHybridIdentity(line)
		if err != nil {
			return nil, err
		}
		return &identity{Identity: id, public: id.Recipient().String()}, nil
	}
	id, err := age.ParseX25519Identity(line)
	if err != nil {
		return nil, err
	}
	return &identity{Identity: id, public: id.Recipient().String()}, nil
}

// SSHKey returns the Credential that the content of an SSH private key file is. If
// the file is encrypted, passphrase is asked for its passphrase, at most once and only
// when a slot may be for the key; its error comes back from Open. The error of SSHKey wraps ErrKeyFile.
func SSHKey(file []byte, passphrase func() ([]byte, error)) (*Credential, error) {
	if len(file) > maxKeyFileSize {
		return nil, fmt.Errorf("%w: private key file is over %d bytes", ErrKeyFile, maxKeyFileSize)
	}
	id := &identity{}
	raw, err := ssh.ParseRawPrivateKey(file)
	var encrypted *ssh.PassphraseMissingError
	if errors.As(err, &encrypted) {
		locked := &lockedSSH{file: bytes.Clone(file), passphrase: passphrase}
		if encrypted.PublicKey != nil { // unknown in files of the old formats
			if locked.public, err = newSSHPublic(encrypted.PublicKey); err != nil {
				return nil, fmt.Errorf("%w: %w", ErrKeyFile, err)
			}
			id.public = authorizedLine(encrypted.PublicKey)
		}
		id.Identity, id.external = locked, true
		return &Credential{typ: TypeSSH, identities: []*identity{id}}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("%w: not an SSH private key", ErrKeyFile)
	}
	private, err := newSSHPrivate(raw)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrKeyFile, err)
	}
	id.Identity, id.public = private, authorizedLine(private.public.key)
	return &Credential{typ: TypeSSH, identities: []*identity{id}}, nil
}

// lockedSSH is an encrypted SSH private key. It asks for the passphrase once.
type lockedSSH struct {
	file       []byte
	public     *sshPublic // nil if unknown
	passphrase func() ([]byte, error)

	asked   bool
	private *sshPrivate
	err     error
}

// Unwrap implements age.Identity.
func (l *lockedSSH) Unwrap(stanzas []*age.Stanza) ([]byte, error) {
	if !l.mayOpen(stanzas) {
		return nil, age.ErrIncorrectIdentity
	}
	if !l.asked {
		l.asked = true
		l.private, l.err = l.unlock()
	}
	if l.err != nil {
		return nil, l.err
	}
	return l.private.Unwrap(stanzas)
}

func (l *lockedSSH) mayOpen(stanzas []*age.Stanza) bool {
	for _, s := range stanzas {
		if l.public == nil || l.public.matches(s) {
			return true
		}
	}
	return false
}

func (l *lockedSSH) unlock() (*sshPrivate, error) {
	if l.passphrase == nil {
		return nil, fmt.Errorf("%w: the private key file is encrypted", ErrKeyFilePassphrase)
	}
	passphrase, err := l.passphrase()
	if err != nil {
		return nil, err
	}
	raw, err := ssh.ParseRawPrivateKeyWithPassphrase(l.file, passphrase)
	if errors.Is(err, x509.IncorrectPasswordError) {
		return nil, ErrKeyFilePassphrase
	}
	if err != nil {
		return nil, fmt.Errorf("%w: private key file: %v", ErrKeyFile, err)
	}
	private, err := newSSHPrivate(raw)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrKeyFile, err)
	}
	return private, nil
}

// ownsPublic reports whether the public key is that of one of the identities.
func (c *Credential) ownsPublic(public string) bool {
	for _, id := range c.identities {
		if public != "" && id.public == public {
			return true
		}
	}
	return false
}

// unwrap returns the file key of an age header. The error wraps ErrWrongPassphrase,
// ErrDamagedSlot, or is that of an external identity.
func (c *Credential) unwrap(header []byte) (fileKey []byte, err error) {
	var failed error
	for _, id := range c.identities {
		probe := &probe{inner: id.Identity}
		fileKey, err := age.DecryptHeader(header, probe)
		if err == nil {
			return fileKey, nil
		}
		switch {
		case errors.Is(probe.err, age.ErrIncorrectIdentity):
		case probe.err != nil && id.external:
			failed = probe.err
		case probe.err == nil && c.typ == TypePassphrase:
			// The passphrase unwraps a file key, and the header is not authentic under
			// it: a slot made to unwrap with many passphrases. Whether one of them was tried
			// must not show.
		default:
			failed = fmt.Errorf("%w: %v", ErrDamagedSlot, err)
		}
	}
	if failed != nil {
		return nil, failed
	}
	return nil, ErrWrongPassphrase
}

// probe is an age.Identity that remembers the error of another.
type probe struct {
	inner age.Identity
	err   error
}

func (p *probe) Unwrap(stanzas []*age.Stanza) (fileKey []byte, err error) {
	fileKey, p.err = p.inner.Unwrap(stanzas)
	return fileKey, p.err
}
