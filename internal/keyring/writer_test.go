package keyring

import (
	"errors"
	"testing"
)

// TestFullSlotOpenedAsWriter opens full and writer slots with the same key: what is opened is a writer's, and agrees with the rest.
func TestFullSlotOpenedAsWriter(t *testing.T) {
	c, s := newConfig(t), newSecrets(t)
	owner := x25519Identity()
	full, writer := newSlot(t, c, s, must(ForAge(owner.public, nil)), RoleFull), newSlot(t, c, s, must(ForAge(owner.public, nil)), RoleWriter)
	for what, files := range map[string][]File{"full": {full}, "writer": {writer}, "both": {writer, full}} {
		credential := must(AgeIdentities([]byte(owner.secret), nil))
		o, err := Open(t.Context(), c, files, credential.AsWriter())
		if err != nil || o.Secrets.Role() != RoleWriter || o.Secrets.Fingerprint() != s.Fingerprint() || o.Secrets.IDKey() != s.IDKey() {
			t.Fatalf("%s: %v, %v", what, o, err)
		}
		if _, err := CreateSlot(c, o.Secrets, must(ForAge(owner.public, nil)), SlotOptions{Role: RoleFull}); !errors.Is(err, ErrNoContentIdentity) {
			t.Errorf("%s: a full slot was made by a writer: %v", what, err)
		}
		if o, err := Open(t.Context(), c, files, credential); err != nil || (o.Secrets.Role() == RoleFull) != (what != "writer") {
			t.Errorf("%s: opened as it is: %v, %v", what, o, err)
		}
	}
}

func TestBlankIdentity(t *testing.T) {
	for in, want := range map[string]string{
		`{"identity":"AGE-SECRET"}`:               `{"identity":"xxxxxxxxxx"}`,
		"{\"identity\" :\n \"AGE\",\"b\":\"c\"}":  "{\"identity\" :\n \"xxx\",\"b\":\"c\"}",
		`{"label":"\"identity\"","identity":"A"}`: `{"label":"\"identity\"","identity":"x"}`,
		`{"identity":7}`:                          `{"identity":7}`,
		`{"identity":"`:                           `{"identity":"`,
		`{"identity"`:                             `{"identity"`,
		`{}`:                                      `{}`,
	} {
		b := []byte(in)
		if blankIdentity(b); string(b) != want {
			t.Errorf("%s: %s, want %s", in, b, want)
		}
	}
}
