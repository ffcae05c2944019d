package keyring

import (
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"

	"filippo.io/age"
	"filippo.io/age/agessh"
	"golang.org/x/crypto/ssh"
)

// sshPublic is an SSH public key that age can encrypt for. It is an age.Recipient.
type sshPublic struct {
	age.Recipient
	key ssh.PublicKey
}

func newSSHPublic(key ssh.PublicKey) (*sshPublic, error) {
	p := &sshPublic{key: key}
	var err error
	switch key.Type() {
	case ssh.KeyAlgoED25519:
		p.Recipient, err = agessh.NewEd25519Recipient(key)
	case ssh.KeyAlgoRSA:
		p.Recipient, err = agessh.NewRSARecipient(key)
	default:
		err = fmt.Errorf("SSH key of type %s: want ssh-ed25519 or ssh-rsa", key.Type())
	}
	if err != nil {
		return nil, err
	}
	return p, nil
}

// fingerprint is the short hint in a stanza that says which key it is for.
func (p *sshPublic) fingerprint() string {
	sum := sha256.Sum256(p.key.Marshal())
	return base64.RawStdEncoding.EncodeToString(sum[:4])
}

// matches reports whether s may be for the key.
func (p *sshPublic) matches(s *age.Stanza) bool {
	return s.Type == p.key.Type() && len(s.Args) > 0 && s.Args[0] == p.fingerprint()
}

// sshPrivate is an SSH private key that is not encrypted. It is an age.Identity.
type sshPrivate struct {
	public   *sshPublic
	identity age.Identity
}

// newSSHPrivate takes a key as ssh.ParseRawPrivateKey returns it.
func newSSHPrivate(raw any) (*sshPrivate, error) {
	if k, ok := raw.(*ed25519.PrivateKey); ok { // OpenSSH's own format gives a pointer
		raw = *k
	}
	signer, err := ssh.NewSignerFromKey(raw)
	if err != nil {
		return nil, errors.New("private key of a type that SSH does not know")
	}
	p := &sshPrivate{}
	if p.public, err = newSSHPublic(signer.PublicKey()); err != nil {
		return nil, err
	}
	switch k := raw.(type) {
	case ed25519.PrivateKey:
		p.identity, err = agessh.NewEd25519Identity(k)
	case *rsa.PrivateKey:
		p.identity, err = agessh.NewRSAIdentity(k)
	default:
		err = fmt.Errorf("unexpected private key %T", raw)
	}
	if err != nil {
		return nil, err
	}
	return p, nil
}

// Unwrap implements age.Identity. Stanzas of other keys are not looked at: a malformed
// one must not hide the good one behind it.
func (p *sshPrivate) Unwrap(stanzas []*age.Stanza) ([]byte, error) {
	for _, s := range stanzas {
		if !p.public.matches(s) {
			continue
		}
		key, err := p.identity.Unwrap([]*age.Stanza{s})
		if err == nil || !errors.Is(err, age.ErrIncorrectIdentity) {
			return key, err
		}
	}
	return nil, age.ErrIncorrectIdentity
}
