package verifier

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/bits"
	"strconv"
	"strings"

	"filippo.io/age"
	"github.com/zeebo/blake3"
)

const (
	maxSmallFile  = 64 << 10 // snap.json, key slots, content keys
	maxCost       = 20
	maxSlots      = 64
	maxRecipients = 16 // of a slot's age file
)

// Credential opens key slots.
type Credential struct {
	slotType   string
	identities []age.Identity
}

// Passphrase returns the Credential of a passphrase.
func Passphrase(passphrase string) (*Credential, error) {
	id, err := age.NewScryptIdentity(passphrase)
	if err != nil {
		return nil, fmt.Errorf("passphrase: %w", err)
	}
	id.SetMaxWorkFactor(maxCost)
	return &Credential{"passphrase", []age.Identity{id}}, nil
}

// Identities returns the Credential of an age identity file.
func Identities(file io.Reader) (*Credential, error) {
	ids, err := age.ParseIdentities(file)
	if err != nil {
		return nil, errors.New("not an age identity file")
	}
	return &Credential{"age", ids}, nil
}

// config is snap.json.
type config struct {
	id  [16]byte
	sum [32]byte
}

// parseConfig parses snap.json, section 3.
func parseConfig(data []byte) (*config, error) {
	if len(data) > maxSmallFile {
		return nil, damaged("%d bytes", len(data))
	}
	o, err := parseObject(data)
	if err != nil {
		return nil, err
	}
	if format, err := need[string](o, "format"); err != nil || format != "snap" {
		return nil, damaged("format %.40q", format)
	}
	if err := o.version(); err != nil {
		return nil, err
	}
	required, err := need[[]*string](o, "required")
	if err != nil {
		return nil, err
	}
	if len(required) > 0 {
		if required[0] == nil {
			return nil, damaged("feature without a name")
		}
		return nil, newer("feature %.80q", *required[0])
	}
	if _, err := o.time("created"); err != nil {
		return nil, err
	}
	id, err := o.hexBytes("id", 16)
	if err != nil {
		return nil, err
	}
	return &config{[16]byte(id), blake3.Sum256(data)}, nil
}

// slot is a key slot, closed.
type slot struct {
	slotType, role, label, created string
	age                            []byte
}

// parseSlot parses a file of keys/, section 4.2. name is its name without the folder.
func parseSlot(name string, data []byte) (*slot, error) {
	if sum := blake3.Sum256(data); len(data) > maxSmallFile || hex.EncodeToString(sum[:16]) != name {
		return nil, damaged("bytes do not match the name")
	}
	o, err := parseObject(data)
	if err != nil {
		return nil, err
	}
	if err := o.version(); err != nil {
		return nil, err
	}
	s := &slot{}
	var file string
	for member, dst := range map[string]*string{"type": &s.slotType, "role": &s.role, "label": &s.label, "created": &s.created, "age": &file} {
		if *dst, err = need[string](o, member); err != nil {
			return nil, err
		}
	}
	if _, err := o.time("created"); err != nil {
		return nil, err
	}
	if s.role != "full" && s.role != "writer" {
		return nil, damaged("role %.40q", s.role)
	}
	recipient, err := may[string](o, "recipient")
	if err != nil || (recipient == "" && s.slotType != "passphrase") {
		return nil, damaged("no recipient")
	}
	if s.age, err = base64.StdEncoding.Strict().DecodeString(file); err != nil || strings.ContainsAny(file, "\r\n") {
		return nil, damaged("malformed base64")
	}
	return s, s.checkHeader()
}

// checkHeader looks at the stanzas of the age file: lines that begin with an arrow.
func (s *slot) checkHeader() error {
	lines := bytes.Split(s.age, []byte("\n"))
	if string(lines[0]) != "age-encryption.org/v1" {
		return damaged("no age file")
	}
	count := 0
	for _, line := range lines[1:] {
		if bytes.HasPrefix(line, []byte("---")) {
			break
		}
		words := strings.Split(string(line), " ")
		if words[0] != "->" || len(words) < 2 {
			continue
		}
		count++
		isScrypt, isSSH := words[1] == "scrypt", words[1] == "ssh-ed25519" || words[1] == "ssh-rsa"
		if isScrypt != (s.slotType == "passphrase") || (s.slotType == "ssh" && !isSSH) {
			return damaged("type %.40q does not fit the recipient %.40q", s.slotType, words[1])
		}
		if isScrypt {
			cost, err := strconv.Atoi(words[len(words)-1])
			if err != nil || cost < 1 || cost > maxCost {
				return damaged("scrypt work factor %.20q", words[len(words)-1])
			}
		}
	}
	if count == 0 || count > maxRecipients || (count > 1 && s.slotType == "passphrase") {
		return damaged("%d recipients", count)
	}
	return nil
}

// keys are the secrets of a repository.
type keys struct {
	repo     [16]byte
	idKey    [32]byte
	meta     *boxKey
	identity *age.HybridIdentity // nil for a writer
}

// open opens the slot. The error wraps ErrKey if the credential is not the slot's.
func (s *slot) open(c *config, credential *Credential) (*keys, error) {
	r, err := age.Decrypt(bytes.NewReader(s.age), credential.identities...)
	if err != nil {
		var noMatch *age.NoIdentityMatchError
		if errors.As(err, &noMatch) {
			return nil, ErrKey
		}
		return nil, damaged("%v", err)
	}
	plain, err := io.ReadAll(io.LimitReader(r, maxSmallFile+1))
	if err != nil || len(plain) > maxSmallFile {
		return nil, damaged("key slot's content: %v", err)
	}
	return s.parseSecrets(c, plain)
}

// parseSecrets parses the JSON object inside a slot.
func (s *slot) parseSecrets(c *config, plain []byte) (*keys, error) {
	o, err := parseObject(plain)
	if err != nil {
		return nil, err
	}
	if err := o.version(); err != nil {
		return nil, err
	}
	repository, err1 := o.hexBytes("repository", 16)
	sum, err2 := o.hexBytes("config", 32)
	structure, err3 := o.hexBytes("structure", 32)
	if err := errors.Join(err1, err2, err3, s.checkRepeated(o), checkChunkers(o)); err != nil {
		return nil, err
	}
	if !bytes.Equal(repository, c.id[:]) || !bytes.Equal(sum, c.sum[:]) {
		return nil, damaged("key slot of another snap.json")
	}
	k := &keys{repo: c.id, meta: newBoxKey(derive("snap v1 metadata", structure), c.id)}
	copy(k.idKey[:], derive("snap v1 chunk id", structure))
	return k, k.addIdentity(o, s.role)
}

// checkRepeated compares what stands both outside and inside.
func (s *slot) checkRepeated(o object) error {
	for member, want := range map[string]string{"role": s.role, "label": s.label, "created": s.created} {
		if got, err := need[string](o, member); err != nil || got != want {
			return damaged("%s differs inside and outside", member)
		}
	}
	return nil
}

// checkChunkers checks what only writers use.
func checkChunkers(o object) error {
	polynomial, err := need[string](o, "polynomial")
	if err != nil {
		return err
	}
	if p, err := strconv.ParseUint(polynomial, 16, 64); err != nil || bits.Len64(p) != 54 {
		return damaged("polynomial %.40q", polynomial)
	}
	chunkers, err := need[map[string]json.RawMessage](o, "chunkers")
	if err != nil {
		return err
	}
	for _, class := range []string{"files", "database"} {
		if _, ok := chunkers[class]; !ok {
			return damaged("no chunker of the class %s", class)
		}
	}
	return nil
}

func (k *keys) addIdentity(o object, role string) error {
	recipient, err := need[string](o, "recipient")
	if err != nil {
		return err
	}
	if _, err := age.ParseHybridRecipient(recipient); err != nil {
		return damaged("content recipient")
	}
	if role == "writer" {
		if _, ok := o["identity"]; ok {
			return damaged("a writer's slot has a content identity")
		}
		return nil
	}
	identity, err := need[string](o, "identity")
	if err != nil {
		return err
	}
	if k.identity, err = age.ParseHybridIdentity(identity); err != nil || k.identity.Recipient().String() != recipient {
		return damaged("content identity")
	}
	return nil
}

// unwrapContentKey opens the file content/<name>, section 4.3.
func (k *keys) unwrapContentKey(name string, data []byte) (*boxKey, error) {
	if k.identity == nil {
		return nil, ErrSealed
	}
	if len(data) > maxSmallFile {
		return nil, damaged("content key of %d bytes", len(data))
	}
	r, err := age.Decrypt(bytes.NewReader(data), k.identity)
	if err != nil {
		return nil, damaged("content key: %v", err)
	}
	secret, err := io.ReadAll(io.LimitReader(r, 33))
	if err != nil || len(secret) != 32 {
		return nil, damaged("content key of %d bytes: %v", len(secret), err)
	}
	key := newBoxKey(secret, k.repo)
	if hex.EncodeToString(key.id[:]) != name {
		return nil, damaged("content key does not match its name")
	}
	return key, nil
}
