package keyring

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"flag"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"filippo.io/age"
	"github.com/snapkeep/snap/internal/seal"
)

var update = flag.Bool("update", false, "make the vectors in testdata/vectors anew")

// vectors are a whole set of files of sections 3 and 4 and what they must give.
const vectorFolder = "testdata/vectors"

// vectorFacts is facts.json.
type vectorFacts struct {
	Repository  string             `json:"repository"`
	ConfigSum   string             `json:"config_sum"`
	IDKey       string             `json:"id_key"`
	MetadataID  string             `json:"metadata_key_id"`
	Polynomial  uint64             `json:"polynomial"`
	Chunkers    map[string]Chunker `json:"chunkers"`
	Recipient   string             `json:"recipient"`
	Identity    string             `json:"identity"`
	Fingerprint string             `json:"fingerprint"`
	ContentKey  string             `json:"content_key"`

	Passphrase  string          `json:"passphrase"`
	AgeIdentity []string        `json:"age_identities"` // SSH keys are those of testdata/ssh
	Roles       map[string]Role `json:"roles"`          // by slot
}

func TestVectors(t *testing.T) {
	if *update {
		makeVectors(t)
	}
	var facts vectorFacts
	if err := json.Unmarshal(testFile(t, "vectors/facts.json"), &facts); err != nil {
		t.Fatal(err)
	}
	c := must(ParseConfig(testFile(t, "vectors/snap.json")))
	sum := c.Sum()
	if hex.EncodeToString(c.ID[:]) != facts.Repository || hex.EncodeToString(sum[:]) != facts.ConfigSum {
		t.Errorf("repository %x, sum %x", c.ID, sum)
	}
	var files []File
	for _, name := range slices.Sorted(maps.Keys(facts.Roles)) {
		files = append(files, File{Name: name, Data: testFile(t, "vectors/"+name)})
	}
	if len(files) != 8 {
		t.Fatalf("%d slots", len(files))
	}
	for _, f := range files {
		slot, err := ParseSlot(f)
		if err != nil {
			t.Fatal(err)
		}
		o, err := Open(t.Context(), c, []File{f}, facts.credential(t, slot))
		if err != nil {
			t.Errorf("%s (%s): %v", f.Name, slot.Label, err)
			continue
		}
		facts.check(t, c, o, facts.Roles[f.Name])
		if slot.Label == "passphrase" && !bytes.Contains(slot.age, []byte(" 15\n")) {
			t.Errorf("%s: not of the cost it was made with", f.Name)
		}
	}
}

func (f *vectorFacts) credential(t *testing.T, s *Slot) *Credential {
	t.Helper()
	switch s.Type {
	case TypePassphrase:
		return must(Passphrase(f.Passphrase))
	case TypeSSH:
		return sshKey(t, s.Label).credential()
	}
	return must(AgeIdentities([]byte(f.AgeIdentity[0]+"\n"+f.AgeIdentity[1]+"\n"), nil))
}

func (f *vectorFacts) check(t *testing.T, c *Config, o *Opened, role Role) {
	t.Helper()
	s, idKey := o.Secrets, o.Secrets.IDKey()
	if hex.EncodeToString(idKey[:]) != f.IDKey || s.Metadata(c.ID).ID().String() != f.MetadataID || s.Polynomial() != f.Polynomial ||
		s.Recipient() != f.Recipient || s.Fingerprint() != f.Fingerprint || !maps.Equal(s.Chunkers(), f.Chunkers) || s.Role() != role {
		t.Errorf("%s: other secrets", o.Slot.Name)
	}
	if role != RoleFull {
		return
	}
	if s.identity.String() != f.Identity {
		t.Errorf("%s: other identity", o.Slot.Name)
	}
	secret := must(hex.DecodeString(f.ContentKey))
	id := seal.IDOf((*[32]byte)(secret))
	k, err := s.UnwrapContentKey(id, testFile(t, "vectors/"+ContentKeyName(id)))
	if err != nil || !bytes.Equal(k.secret[:], secret) {
		t.Errorf("%s: content key: %v", o.Slot.Name, err)
	}
}

func makeVectors(t *testing.T) {
	if err := os.RemoveAll(vectorFolder); err != nil {
		t.Fatal(err)
	}
	put := func(name string, data []byte) { write(t, filepath.Join(vectorFolder, name), data) }
	c, s := newConfig(t), newSecrets(t)
	sum, idKey := c.Sum(), s.IDKey()
	x, h := must(age.GenerateX25519Identity()), must(age.GenerateHybridIdentity())
	content := must(NewContentKey(rand.Reader))
	wrapped := must(s.WrapContentKey(content))
	facts := vectorFacts{
		Repository: hex.EncodeToString(c.ID[:]), ConfigSum: hex.EncodeToString(sum[:]),
		IDKey: hex.EncodeToString(idKey[:]), MetadataID: s.Metadata(c.ID).ID().String(),
		Polynomial: s.Polynomial(), Chunkers: s.Chunkers(), Recipient: s.Recipient(), Identity: s.identity.String(),
		Fingerprint: s.Fingerprint(), ContentKey: hex.EncodeToString(content.secret[:]),
		Passphrase: "zwölf Boxkämpfer", AgeIdentity: []string{x.String(), h.String()}, Roles: map[string]Role{},
	}
	put(ConfigName, c.Bytes())
	put(wrapped.Name, wrapped.Data)
	add := func(r *Recipient, role Role, label string) {
		f := must(CreateSlot(c, s, r, SlotOptions{Role: role, Label: label, Created: testTime}))
		facts.Roles[f.Name] = role
		put(f.Name, f.Data)
	}
	add(must(ForPassphrase(facts.Passphrase, PassphraseOptions{Cost: MinCost})), RoleFull, "passphrase")
	add(must(ForPassphrase(facts.Passphrase, weak)), RoleWriter, "weak passphrase")
	add(must(ForAge(x.Recipient().String(), nil)), RoleFull, "X25519")
	add(must(ForAge(x.Recipient().String(), nil)), RoleWriter, `label "with" <signs> & ü`)
	add(must(ForAge(h.Recipient().String(), nil)), RoleFull, "hybrid")
	for _, name := range []string{"ed25519", "rsa", "ed25519-locked"} {
		add(sshKey(t, name).recipient, RoleFull, name)
	}
	put("facts.json", append(must(json.MarshalIndent(facts, "", "  ")), '\n'))
}
