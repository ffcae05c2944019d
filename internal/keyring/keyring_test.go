package keyring

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"filippo.io/age"
)

const testPolynomial = 0x3da3358b4dc173

var testTime = time.Date(2024, 2, 29, 12, 0, 0, 0, time.UTC)

var testChunkers = map[string]Chunker{
	ClassFiles:    {Algorithm: 1, Min: 512 << 10, Max: 8 << 20, Bits: 20},
	ClassDatabase: {Algorithm: 1, Min: 64 << 10, Max: 1 << 20, Bits: 16},
}

// weak keeps the key derivation of tests short.
var weak = PassphraseOptions{Cost: WeakestCost, AllowWeak: true}

func newConfig(t testing.TB) *Config {
	t.Helper()
	c, err := NewConfig(rand.Reader, testTime)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func newSecrets(t testing.TB) *Secrets {
	t.Helper()
	s, err := NewSecrets(rand.Reader, testPolynomial, testChunkers)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func newSlot(t testing.TB, c *Config, s *Secrets, r *Recipient, role Role) File {
	t.Helper()
	f, err := CreateSlot(c, s, r, SlotOptions{Role: role, Label: "laptop", Created: testTime})
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func testFile(t testing.TB, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// key is a way to make slots and to open them.
type key struct {
	name       string
	recipient  *Recipient
	credential func() *Credential
}

func passphraseKey(p string) key {
	return key{"passphrase", must(ForPassphrase(p, weak)), func() *Credential { return must(Passphrase(p)) }}
}

func x25519Key() key {
	id := must(age.GenerateX25519Identity())
	return key{"x25519", must(ForAge(id.Recipient().String(), nil)),
		func() *Credential { return must(AgeIdentities([]byte(id.String()+"\n"), nil)) }}
}

func hybridKey() key {
	id := must(age.GenerateHybridIdentity())
	return key{"hybrid", must(ForAge(id.Recipient().String(), nil)),
		func() *Credential { return must(AgeIdentities([]byte("# comment\n\n "+id.String()), nil)) }}
}

func sshKey(t testing.TB, name string) key {
	t.Helper()
	public, private := testFile(t, "ssh/"+name+".pub"), testFile(t, "ssh/"+name)
	return key{name, must(ForSSH(string(public))), func() *Credential {
		return must(SSHKey(private, func() ([]byte, error) { return []byte("key passphrase"), nil }))
	}}
}

func allKeys(t testing.TB) []key {
	return []key{passphraseKey("correct horse"), x25519Key(), hybridKey(), sshKey(t, "ed25519"),
		sshKey(t, "rsa"), sshKey(t, "ed25519-locked"), sshKey(t, "rsa-pem-locked")}
}

// editSlot returns the slot f with its JSON changed, under the name that fits.
func editSlot(t testing.TB, f File, edit func(m map[string]any)) File {
	t.Helper()
	var m map[string]any
	if err := json.Unmarshal(f.Data, &m); err != nil {
		t.Fatal(err)
	}
	edit(m)
	return rename(must(json.Marshal(m)))
}

func rename(data []byte) File { return File{Name: slotName(data), Data: data} }

// craftSlot returns a slot around any payload and envelope, as a hostile storage could make it.
func craftSlot(t testing.TB, r *Recipient, envelope slotFile, plain string) File {
	t.Helper()
	envelope.Age = base64.StdEncoding.EncodeToString(must(encrypt([]byte(plain), r.age)))
	envelope.Type, envelope.Recipient = r.typ, r.public
	return rename(must(json.Marshal(envelope)))
}

// bech32Payload returns the bytes that a bech32 string holds, without its checksum,
// and the characters that spell them.
func bech32Payload(t testing.TB, s string) (payload []byte, spelled string) {
	t.Helper()
	const charset = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
	s = strings.ToLower(s)
	spelled = s[strings.LastIndexByte(s, '1')+1 : len(s)-6]
	acc, n := uint(0), 0
	for _, c := range spelled {
		acc, n = acc<<5|uint(strings.IndexRune(charset, c)), n+5
		if n >= 8 {
			n -= 8
			payload = append(payload, byte(acc>>n))
		}
	}
	return payload, spelled
}

func TestBech32PayloadOfTests(t *testing.T) {
	id := must(age.GenerateHybridIdentity())
	seed, _ := bech32Payload(t, id.String())
	if len(seed) != 32 || bytes.Equal(seed, make([]byte, 32)) {
		t.Fatalf("%d bytes of payload", len(seed))
	}
}
