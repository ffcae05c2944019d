package keyring

import (
	"bytes"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"filippo.io/age"
	"github.com/snapkeep/snap/pack"
	"golang.org/x/crypto/chacha20poly1305"
)

// SlotPrefix is what the names of all slots in the store begin with.
const SlotPrefix = "keys/"

// Limits of slots.
const (
	maxCost     = 20  // log2 of scrypt's N that is not refused
	maxStanzas  = 16  // of an age header; a slot has one recipient
	maxLabel    = 256 // bytes that an encoder writes
	slotNameLen = 16  // bytes of the hash in a slot's name
)

// Role says what the secrets in a slot allow.
type Role string

// The roles.
const (
	RoleFull   Role = "full"   // everything
	RoleWriter Role = "writer" // all but reading file data that others sealed
)

// SlotType says what opens a slot.
type SlotType string

// The types of slots.
const (
	TypePassphrase SlotType = "passphrase"
	TypeAge        SlotType = "age"
	TypeSSH        SlotType = "ssh"
)

// Slot is a parsed key slot, still closed. Nobody vouches for its fields until it is opened.
type Slot struct {
	Name      string // in the store
	Type      SlotType
	Role      Role
	Label     string
	Created   time.Time
	Recipient string // public key, empty for a passphrase

	file slotFile
	age  []byte
}

// slotFile is the JSON of a slot, section 4.2.
type slotFile struct {
	Version   int      `json:"version"`
	Type      SlotType `json:"type"`
	Role      Role     `json:"role"`
	Label     string   `json:"label"`
	Created   string   `json:"created"`
	Recipient string   `json:"recipient,omitempty"`
	Age       string   `json:"age"`
}

// File is a file of the store.
type File struct {
	Name string
	Data []byte
	Err  error // why the file could not be read, nil if it could
}

// SlotOptions are what a new slot says about itself.
type SlotOptions struct {
	Role    Role      // of the slot; empty means the role of the secrets
	Label   string    // for people, at most 256 bytes
	Created time.Time // rounded to seconds
}

// CreateSlot returns a slot that wraps secrets for recipient. The error is
// ErrNoContentIdentity if a full slot is wanted from the secrets of a writer.
func CreateSlot(config *Config, secrets *Secrets, recipient *Recipient, options SlotOptions) (File, error) {
	if recipient == nil || recipient.age == nil {
		return File{}, errors.New("no recipient")
	}
	role := options.Role
	if role == "" {
		role = secrets.Role()
	}
	if role != RoleFull && role != RoleWriter {
		return File{}, fmt.Errorf("role %q: want full or writer", role)
	}
	if len(options.Label) > maxLabel || !utf8.ValidString(options.Label) {
		return File{}, fmt.Errorf("label: want at most %d bytes of UTF-8", maxLabel)
	}
	out := slotFile{
		Version: 1, Type: recipient.typ, Role: role, Label: options.Label,
		Created: options.Created.UTC().Format(time.RFC3339), Recipient: recipient.public,
	}
	plain, err := secrets.encode(config, &out)
	if err != nil {
		return File{}, err
	}
	wrapped, err := encrypt(plain, recipient.age)
	clear(plain)
	if err != nil {
		return File{}, fmt.Errorf("wrap secrets: %w", err)
	}
	out.Age = base64.StdEncoding.EncodeToString(wrapped)
	data, err := json.Marshal(out)
	if err != nil {
		return File{}, err
	}
	data = append(data, '\n')
	if len(data) > maxFileSize {
		return File{}, fmt.Errorf("key slot of %d bytes is over the limit of %d", len(data), maxFileSize)
	}
	return File{Name: slotName(data), Data: data}, nil
}

func encrypt(plain []byte, recipient age.Recipient) ([]byte, error) {
	var b bytes.Buffer
	w, err := age.Encrypt(&b, recipient)
	if err != nil {
		return nil, err
	}
	if _, err := w.Write(plain); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil { // writes the last part
		return nil, err
	}
	return b.Bytes(), nil
}

func slotName(data []byte) string {
	sum := pack.SumID(data)
	return SlotPrefix + hex.EncodeToString(sum[:slotNameLen])
}

// IsSlotName reports whether name is that of a slot in the store.
func IsSlotName(name string) bool {
	digits, ok := strings.CutPrefix(name, SlotPrefix)
	return ok && len(digits) == 2*slotNameLen && strings.Trim(digits, "0123456789abcdef") == ""
}

// ParseSlot parses a slot and checks its name. The error wraps ErrNewer or
// ErrDamagedSlot, or is that of the file. A slot that asks for too costly a key
// derivation is refused here.
func ParseSlot(f File) (*Slot, error) {
	if f.Err != nil {
		return nil, fmt.Errorf("read key slot %s: %w", f.Name, f.Err)
	}
	s, err := parseSlot(f)
	if err != nil && !errors.Is(err, ErrNewer) {
		err = fmt.Errorf("%w: %w", ErrDamagedSlot, err)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", f.Name, err)
	}
	return s, nil
}

func parseSlot(f File) (*Slot, error) {
	if len(f.Data) > maxFileSize {
		return nil, fmt.Errorf("%d bytes are over the limit of %d", len(f.Data), maxFileSize)
	}
	if slotName(f.Data) != f.Name {
		return nil, errors.New("content does not match the name")
	}
	o, err := parseObject(f.Data)
	if err != nil {
		return nil, err
	}
	if err := o.checkVersion("a key slot"); err != nil {
		return nil, err
	}
	s := &Slot{Name: f.Name, Created: o.time("created")}
	s.file = slotFile{
		Version: 1, Type: SlotType(o.text("type")), Role: Role(o.text("role")),
		Label: o.text("label"), Created: o.text("created"), Age: o.text("age"),
	}
	if s.file.Type != TypePassphrase || o.has("recipient") {
		s.file.Recipient = o.text("recipient")
	}
	if o.err != nil {
		return nil, o.err
	}
	if s.file.Role != RoleFull && s.file.Role != RoleWriter {
		return nil, fmt.Errorf("role %.40q", s.file.Role)
	}
	if s.age, err = base64.StdEncoding.Strict().DecodeString(s.file.Age); err != nil || strings.ContainsAny(s.file.Age, "\r\n") {
		return nil, errors.New("malformed base64")
	}
	s.Type, s.Role, s.Label, s.Recipient = s.file.Type, s.file.Role, s.file.Label, s.file.Recipient
	s.file.Age = ""
	return s, s.checkHeader()
}

// stanzaTaker is an age.Identity that opens nothing and keeps the stanzas it is shown.
type stanzaTaker struct{ stanzas []*age.Stanza }

func (t *stanzaTaker) Unwrap(stanzas []*age.Stanza) ([]byte, error) {
	t.stanzas = stanzas
	return nil, age.ErrIncorrectIdentity
}

// checkHeader looks at what kind of key the age file asks for, without a key.
func (s *Slot) checkHeader() error {
	var taker stanzaTaker
	_, err := age.Decrypt(bytes.NewReader(s.age), &taker)
	if taker.stanzas == nil {
		return fmt.Errorf("malformed age header: %v", err)
	}
	if len(taker.stanzas) > maxStanzas {
		return fmt.Errorf("%d recipients are over the limit of %d", len(taker.stanzas), maxStanzas)
	}
	is := func(types ...string) bool {
		return !slices.ContainsFunc(taker.stanzas, func(st *age.Stanza) bool { return !slices.Contains(types, st.Type) })
	}
	switch {
	case s.Type == TypePassphrase && is("scrypt") && len(taker.stanzas) == 1:
		return checkCost(taker.stanzas[0])
	case s.Type == TypeSSH && is("ssh-ed25519", "ssh-rsa"):
		return nil
	case s.Type == TypeAge && !slices.ContainsFunc(taker.stanzas, func(st *age.Stanza) bool { return st.Type == "scrypt" }):
		return nil
	}
	return fmt.Errorf("type %.40q does not fit the age header", s.Type)
}

func checkCost(s *age.Stanza) error {
	if len(s.Args) != 2 {
		return errors.New("malformed scrypt recipient")
	}
	cost, err := strconv.Atoi(s.Args[1])
	if err != nil || cost < 1 || strconv.Itoa(cost) != s.Args[1] {
		return errors.New("malformed scrypt work factor")
	}
	if cost > maxCost {
		return fmt.Errorf("scrypt work factor 2^%d is over the limit of 2^%d", cost, maxCost)
	}
	return nil
}

// open decrypts the slot. The error wraps ErrWrongPassphrase, ErrDamagedSlot,
// ErrConfigSwapped or ErrNewer, or is the identity's own.
func (s *Slot) open(config *Config, credential *Credential) (*Secrets, error) {
	header, err := age.ExtractHeader(bytes.NewReader(s.age))
	if err != nil {
		return nil, fmt.Errorf("%w: %v", ErrDamagedSlot, err)
	}
	fileKey, err := credential.unwrap(header)
	if err != nil {
		return nil, err
	}
	plain, err := openPayload(fileKey, header, s.age)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrDamagedSlot, err)
	}
	defer clear(plain)
	if credential.writer {
		blankIdentity(plain)
	}
	secrets, err := decodeSecrets(plain, config, &s.file, credential.writer)
	if err != nil && !errors.Is(err, ErrNewer) && !errors.Is(err, ErrConfigSwapped) {
		err = fmt.Errorf("%w: %w", ErrDamagedSlot, err)
	}
	if err != nil {
		return nil, err
	}
	return secrets, nil
}

// payloadNonce is how many bytes of an age file's payload come before its first chunk.
const payloadNonce = 16

// openPayload decrypts the payload of an age file, of which header is the beginning, whose file key is known from it. It takes one chunk of age's STREAM, 64 KiB
// at most, which is more than a slot has. The library would leave the secrets in two buffers of its own (age specification, C2SP, section "Payload").
func openPayload(fileKey, header, file []byte) ([]byte, error) {
	payload, ok := bytes.CutPrefix(file, header)
	if !ok || len(payload) < payloadNonce+chacha20poly1305.Overhead {
		return nil, errors.New("age file is cut off")
	}
	nonce, box := payload[:payloadNonce], payload[payloadNonce:]
	key, err := hkdf.Key(sha256.New, fileKey, nonce, "payload", chacha20poly1305.KeySize)
	if err != nil {
		return nil, err
	}
	defer clear(key)
	aead, err := chacha20poly1305.New(key)
	if err != nil {
		return nil, err
	}
	last := [chacha20poly1305.NonceSize]byte{chacha20poly1305.NonceSize - 1: 1} // the first chunk, and the last
	return aead.Open(make([]byte, 0, len(box)), last[:], box, nil)
}
