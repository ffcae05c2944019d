package keyring

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/bits"
	"strconv"

	"filippo.io/age"
	"github.com/snapkeep/snap/internal/seal"
	"github.com/zeebo/blake3"
)

// The classes of content that every repository has chunkers for.
const (
	ClassFiles    = "files"    // files, dumps
	ClassDatabase = "database" // what is changed in place
)

// Chunker says how content of one class is cut. What the numbers mean, and most of
// their limits, are the chunker's business.
type Chunker struct {
	Algorithm int `json:"algorithm"`
	Min       int `json:"min"` // bytes
	Max       int `json:"max"` // bytes, at most 16 MiB
	Bits      int `json:"bits"`
}

const (
	maxChunkSize     = 16 << 20
	maxAverageBits   = 24
	maxChunkers      = 64
	polynomialDegree = 53
)

// Secrets are what a program must know to work with a repository. They are
// immutable. The zero Secrets are of no use.
type Secrets struct {
	structure  [32]byte
	polynomial uint64
	chunkers   map[string]Chunker
	recipient  *age.HybridRecipient
	identity   *age.HybridIdentity // nil for a writer
}

// NewSecrets returns fresh Secrets. The structure key comes from random, the content
// identity from the system. polynomial is the chunker's, of degree 53; chunkers has
// at least the classes ClassFiles and ClassDatabase.
func NewSecrets(random io.Reader, polynomial uint64, chunkers map[string]Chunker) (*Secrets, error) {
	s := &Secrets{polynomial: polynomial, chunkers: maps.Clone(chunkers)}
	if err := s.validate(); err != nil {
		return nil, err
	}
	if _, err := io.ReadFull(random, s.structure[:]); err != nil {
		return nil, fmt.Errorf("random source: %w", err)
	}
	identity, err := age.GenerateHybridIdentity()
	if err != nil {
		return nil, fmt.Errorf("content identity: %w", err)
	}
	s.identity, s.recipient = identity, identity.Recipient()
	return s, nil
}

func (s *Secrets) validate() error {
	if bits.Len64(s.polynomial) != polynomialDegree+1 {
		return fmt.Errorf("chunker polynomial is not of degree %d", polynomialDegree)
	}
	for _, class := range []string{ClassFiles, ClassDatabase} {
		if _, ok := s.chunkers[class]; !ok {
			return fmt.Errorf("no chunker for the class %q", class)
		}
	}
	if len(s.chunkers) > maxChunkers {
		return fmt.Errorf("%d chunkers are over the limit of %d", len(s.chunkers), maxChunkers)
	}
	for class, c := range s.chunkers {
		if c.Algorithm < 1 || c.Min < 1 || c.Max <= c.Min || c.Max > maxChunkSize || c.Bits < 1 || c.Bits > maxAverageBits {
			return fmt.Errorf("chunker of the class %.40q is outside the limits", class)
		}
	}
	return nil
}

// Polynomial returns the chunker's polynomial.
func (s *Secrets) Polynomial() uint64 { return s.polynomial }

// Chunkers returns how the content of each class is cut.
func (s *Secrets) Chunkers() map[string]Chunker { return maps.Clone(s.chunkers) }

// IDKey returns the key of chunk ids.
func (s *Secrets) IDKey() [32]byte { return s.derive("snap v1 chunk id") }

// Metadata returns the key that seals all but file data in the repository repo.
func (s *Secrets) Metadata(repo [16]byte) *seal.Key {
	secret := s.derive("snap v1 metadata")
	return seal.NewKey(&secret, repo, nil)
}

// Recipient returns the public key that content keys are wrapped for.
func (s *Secrets) Recipient() string { return s.recipient.String() }

// Role returns what these Secrets allow: RoleFull with the content identity,
// RoleWriter without.
func (s Secrets) Role() Role {
	if s.identity == nil {
		return RoleWriter
	}
	return RoleFull
}

// Fingerprint returns 32 hex digits that stand for the secrets of a repository and do not
// give them away. They are the same for both roles. A caller that keeps them where
// the storage cannot reach notices when it is offered forged secrets.
func (s *Secrets) Fingerprint() string {
	chunkers, _ := json.Marshal(s.chunkers) // cannot fail; keys are sorted
	key := s.derive("snap v1 fingerprint")
	h, _ := blake3.NewKeyed(key[:]) // fails by length only
	fmt.Fprintf(h, "%x\n%s\n%s", s.polynomial, s.recipient, chunkers)
	return hex.EncodeToString(h.Sum(nil)[:16])
}

// SourceStream returns an endless stream of bytes that only this repository's machines can make, another for each source:
// the source's own chunker polynomial is made of it (docs/format.md section 8.7).
func (s *Secrets) SourceStream(source [16]byte) io.Reader {
	h := blake3.NewDeriveKey("snap v1 source polynomial")
	h.Write(s.structure[:])
	h.Write(source[:])
	return h.Digest()
}

func (s *Secrets) derive(context string) (key [32]byte) {
	blake3.DeriveKey(context, s.structure[:], key[:])
	return key
}

// Format implements fmt.Formatter: no verb shows a secret.
func (s Secrets) Format(f fmt.State, _ rune) {
	fmt.Fprintf(f, "keyring.Secrets(%s)", s.Role())
}

// payload is the JSON inside a slot, section 4.2.
type payload struct {
	Version    int                `json:"version"`
	Repository string             `json:"repository"`
	Config     string             `json:"config"`
	Role       Role               `json:"role"`
	Label      string             `json:"label"`
	Created    string             `json:"created"`
	Structure  string             `json:"structure"`
	Polynomial string             `json:"polynomial"`
	Chunkers   map[string]Chunker `json:"chunkers"`
	Recipient  string             `json:"recipient"`
	Identity   string             `json:"identity,omitempty"`
}

// encode returns the content of a slot for the config. The envelope is what stands outside.
func (s *Secrets) encode(config *Config, envelope *slotFile) ([]byte, error) {
	sum := config.Sum()
	p := payload{
		Version:    1,
		Repository: hex.EncodeToString(config.ID[:]),
		Config:     hex.EncodeToString(sum[:]),
		Role:       envelope.Role,
		Label:      envelope.Label,
		Created:    envelope.Created,
		Structure:  hex.EncodeToString(s.structure[:]),
		Polynomial: strconv.FormatUint(s.polynomial, 16),
		Chunkers:   s.chunkers,
		Recipient:  s.recipient.String(),
	}
	if envelope.Role == RoleFull {
		if s.identity == nil {
			return nil, ErrNoContentIdentity
		}
		p.Identity = s.identity.String()
	}
	return json.Marshal(p)
}

// decodeSecrets reverses encode and compares with the config and the envelope. Errors are
// ErrNewer, ErrConfigSwapped, or tell of damage. For a writer the content identity is not looked at.
func decodeSecrets(data []byte, config *Config, envelope *slotFile, writer bool) (*Secrets, error) {
	o, err := parseObject(data)
	if err != nil {
		return nil, err
	}
	if err := o.checkVersion("a key slot"); err != nil {
		return nil, err
	}
	var repository [16]byte
	var sum [32]byte
	o.hex("repository", repository[:])
	o.hex("config", sum[:])
	if o.err == nil && (repository != config.ID || sum != config.Sum()) {
		return nil, ErrConfigSwapped
	}
	if role := Role(o.text("role")); o.err == nil &&
		(role != envelope.Role || o.text("label") != envelope.Label || o.text("created") != envelope.Created) {
		return nil, errors.New("role, label or creation differ inside and outside")
	}
	s := &Secrets{polynomial: o.polynomial(), chunkers: o.chunkers()}
	o.hex("structure", s.structure[:])
	if s.recipient, err = age.ParseHybridRecipient(o.text("recipient")); err != nil {
		o.failf("content recipient is malformed")
	}
	if !writer || envelope.Role == RoleWriter {
		s.identity = o.identity(envelope.Role, s.recipient)
	} else if !o.has("identity") {
		o.failf("a full slot holds no content identity")
	}
	if o.err != nil {
		return nil, o.err
	}
	return s, s.validate()
}

// blankIdentity overwrites the content identity in the content of a slot, before others make copies of it.
func blankIdentity(plain []byte) {
	_, value, found := bytes.Cut(plain, []byte(`"identity"`))
	value = bytes.TrimLeft(value, " \t\r\n:")
	if !found || len(value) == 0 || value[0] != '"' {
		return
	}
	value, _, _ = bytes.Cut(value[1:], []byte(`"`))
	for i := range value {
		value[i] = 'x'
	}
}

func (o *object) polynomial() uint64 {
	s := o.text("polynomial")
	p, err := strconv.ParseUint(s, 16, 64)
	if err != nil || strconv.FormatUint(p, 16) != s {
		o.failf("polynomial is malformed")
	}
	return p
}

func (o *object) chunkers() map[string]Chunker {
	classes := o.object("chunkers")
	if len(classes.members) > maxChunkers {
		o.failf("%d chunkers are over the limit of %d", len(classes.members), maxChunkers)
		return nil
	}
	m := make(map[string]Chunker)
	for class := range classes.members {
		c := classes.object(class)
		m[class] = Chunker{c.integer("algorithm"), c.integer("min"), c.integer("max"), c.integer("bits")}
		if c.err != nil {
			classes.failf("chunker %.40q: %w", class, c.err)
		}
	}
	if classes.err != nil {
		o.failf("%w", classes.err)
	}
	return m
}

// identity returns the content identity, nil if the role is the writer's, and makes
// sure that it is the one of the recipient.
func (o *object) identity(role Role, recipient *age.HybridRecipient) *age.HybridIdentity {
	if role == RoleWriter {
		if o.has("identity") {
			o.failf("a writer's slot holds a content identity")
		}
		return nil
	}
	identity, err := age.ParseHybridIdentity(o.text("identity"))
	if err != nil {
		o.failf("content identity is malformed")
		return nil
	}
	if recipient != nil && identity.Recipient().String() != recipient.String() {
		o.failf("content identity and recipient do not match")
	}
	return identity
}
