package keyring

import (
	"bytes"
	"crypto/ecdh"
	"crypto/ed25519"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"errors"
	"fmt"
	"math/big"
	"slices"

	"filippo.io/age"
	"golang.org/x/crypto/chacha20poly1305"
	"golang.org/x/crypto/ssh"
)

// This file has the two kinds of age stanzas for SSH keys, ssh-ed25519 and ssh-rsa,
// compatible with the age command:
//
//	-> ssh-ed25519 <fingerprint> <ephemeral X25519 share>    body: wrapped file key
//	-> ssh-rsa <fingerprint>                                 body: RSA-OAEP of the file key

const (
	sshEd25519Label = "age-encryption.org/v1/ssh-ed25519"
	sshRSALabel     = "age-encryption.org/v1/ssh-rsa"
	minRSABits      = 2048
	ageFileKeySize  = 16
)

// sshPublic is an SSH public key that age can encrypt for. It is an age.Recipient.
type sshPublic struct {
	key ssh.PublicKey
	x   *ecdh.PublicKey // for ssh-ed25519, the same point on the Montgomery curve
	rsa *rsa.PublicKey  // for ssh-rsa
}

func newSSHPublic(key ssh.PublicKey) (*sshPublic, error) {
	crypto, ok := key.(ssh.CryptoPublicKey)
	if !ok {
		return nil, fmt.Errorf("SSH key of type %s: want ssh-ed25519 or ssh-rsa", key.Type())
	}
	switch k := crypto.CryptoPublicKey().(type) {
	case ed25519.PublicKey:
		x, err := montgomery(k)
		return &sshPublic{key: key, x: x}, err
	case *rsa.PublicKey:
		if k.N.BitLen() < minRSABits {
			return nil, fmt.Errorf("RSA key of %d bits, want at least %d", k.N.BitLen(), minRSABits)
		}
		return &sshPublic{key: key, rsa: k}, nil
	}
	return nil, fmt.Errorf("SSH key of type %s: want ssh-ed25519 or ssh-rsa", key.Type())
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

// Wrap implements age.Recipient.
func (p *sshPublic) Wrap(fileKey []byte) ([]*age.Stanza, error) {
	s := &age.Stanza{Type: p.key.Type(), Args: []string{p.fingerprint()}}
	var err error
	if p.rsa != nil {
		s.Body, err = rsa.EncryptOAEP(sha256.New(), rand.Reader, p.rsa, fileKey, []byte(sshRSALabel))
		return []*age.Stanza{s}, err
	}
	ephemeral, err := ecdh.X25519().GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	shared, err := ephemeral.ECDH(p.x)
	if err != nil {
		return nil, err
	}
	share := ephemeral.PublicKey().Bytes()
	key, err := p.wrapKey(shared, share)
	if err != nil {
		return nil, err
	}
	aead, err := chacha20poly1305.New(key)
	if err != nil {
		return nil, err
	}
	s.Args = append(s.Args, base64.RawStdEncoding.EncodeToString(share))
	s.Body = aead.Seal(nil, make([]byte, aead.NonceSize()), fileKey, nil) // the key is used once
	return []*age.Stanza{s}, nil
}

// wrapKey derives what encrypts the file key in an ssh-ed25519 stanza. The shared
// secret is first multiplied by a tweak, which binds it to the SSH key.
func (p *sshPublic) wrapKey(shared, share []byte) ([]byte, error) {
	tweakBytes, err := hkdf.Key(sha256.New, nil, p.key.Marshal(), sshEd25519Label, 32)
	if err != nil {
		return nil, err
	}
	tweak, err := ecdh.X25519().NewPrivateKey(tweakBytes)
	if err != nil {
		return nil, err
	}
	point, err := ecdh.X25519().NewPublicKey(shared)
	if err != nil {
		return nil, err
	}
	tweaked, err := tweak.ECDH(point)
	if err != nil {
		return nil, err
	}
	salt := slices.Concat(share, p.x.Bytes())
	return hkdf.Key(sha256.New, tweaked, salt, sshEd25519Label, chacha20poly1305.KeySize)
}

// sshPrivate is an SSH private key that is not encrypted. It is an age.Identity.
type sshPrivate struct {
	public *sshPublic
	x      *ecdh.PrivateKey
	rsa    *rsa.PrivateKey
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
	public, err := newSSHPublic(signer.PublicKey())
	if err != nil {
		return nil, err
	}
	p := &sshPrivate{public: public}
	switch k := raw.(type) {
	case ed25519.PrivateKey:
		h := sha512.Sum512(k.Seed())
		p.x, err = ecdh.X25519().NewPrivateKey(h[:32])
	case *rsa.PrivateKey:
		p.rsa = k
	default:
		err = fmt.Errorf("unexpected private key %T", raw)
	}
	return p, err
}

// Unwrap implements age.Identity.
func (p *sshPrivate) Unwrap(stanzas []*age.Stanza) ([]byte, error) {
	for _, s := range stanzas {
		if !p.public.matches(s) {
			continue
		}
		key, err := p.unwrap(s)
		if err == nil || !errors.Is(err, age.ErrIncorrectIdentity) {
			return key, err
		}
	}
	return nil, age.ErrIncorrectIdentity
}

// unwrap takes a decryption that fails for another key's stanza, because four
// bytes of fingerprint are only a hint.
func (p *sshPrivate) unwrap(s *age.Stanza) ([]byte, error) {
	if p.rsa != nil {
		if len(s.Args) != 1 {
			return nil, errors.New("malformed ssh-rsa stanza")
		}
		key, err := rsa.DecryptOAEP(sha256.New(), nil, p.rsa, s.Body, []byte(sshRSALabel))
		if err != nil {
			return nil, age.ErrIncorrectIdentity
		}
		return key, nil
	}
	if len(s.Args) != 2 || len(s.Body) != ageFileKeySize+chacha20poly1305.Overhead {
		return nil, errors.New("malformed ssh-ed25519 stanza")
	}
	share, err := base64.RawStdEncoding.Strict().DecodeString(s.Args[1])
	if err != nil {
		return nil, errors.New("malformed ssh-ed25519 stanza")
	}
	theirs, err := ecdh.X25519().NewPublicKey(share)
	if err != nil {
		return nil, errors.New("malformed ssh-ed25519 stanza")
	}
	shared, err := p.x.ECDH(theirs)
	if err != nil {
		return nil, errors.New("malformed ssh-ed25519 stanza")
	}
	wrap, err := p.public.wrapKey(shared, share)
	if err != nil {
		return nil, err
	}
	aead, err := chacha20poly1305.New(wrap)
	if err != nil {
		return nil, err
	}
	key, err := aead.Open(nil, make([]byte, aead.NonceSize()), s.Body, nil)
	if err != nil {
		return nil, age.ErrIncorrectIdentity
	}
	return key, nil
}

// montgomery maps a point of edwards25519 to curve25519: u = (1+y) / (1-y) modulo
// 2^255 - 19. It works on public keys only, where timing tells nothing.
func montgomery(key ed25519.PublicKey) (*ecdh.PublicKey, error) {
	one := big.NewInt(1)
	p := new(big.Int).Lsh(one, 255)
	p.Sub(p, big.NewInt(19))
	be := bytes.Clone(key)
	slices.Reverse(be)
	be[0] &= 0x7f // the sign of x
	y := new(big.Int).SetBytes(be)
	if y.Cmp(p) >= 0 || !onEdwards(y, p) {
		return nil, errors.New("SSH key is no point of its curve")
	}
	u := new(big.Int).Sub(one, y)
	if u.ModInverse(u.Mod(u, p), p) == nil {
		return nil, errors.New("SSH key is the neutral point")
	}
	u.Mul(u, y.Add(y, one)).Mod(u, p)
	le := u.FillBytes(make([]byte, 32))
	slices.Reverse(le)
	return ecdh.X25519().NewPublicKey(le)
}

// onEdwards reports whether some x has -x² + y² = 1 + d·x²·y², which is so if
// (y²-1) / (d·y²+1) is a square.
func onEdwards(y, p *big.Int) bool {
	one := big.NewInt(1)
	d := new(big.Int).ModInverse(big.NewInt(121666), p)
	d.Mul(d, big.NewInt(-121665)).Mod(d, p)
	y2 := new(big.Int).Mul(y, y)
	den := d.Mul(d, y2)
	den.Add(den, one).ModInverse(den.Mod(den, p), p) // never zero: -1/d is no square
	x2 := y2.Sub(y2, one)
	x2.Mul(x2, den).Mod(x2, p)
	return big.Jacobi(x2, p) >= 0
}
