package snapshot

import (
	"bytes"
	"encoding/json"
	"errors"
	"testing"

	"github.com/snapkeep/snap/internal/vectortest"
	"github.com/snapkeep/snap/pack"
)

// named makes sure that damaged and newer are told apart.
func named(t *testing.T, err error) {
	t.Helper()
	if errors.Is(err, ErrCorrupt) == errors.Is(err, ErrNewer) {
		t.Fatalf("an error of no single kind: %v", err)
	}
}

// What is read, written and read again is the same.
func FuzzDecode(f *testing.F) {
	for _, v := range vectortest.Load(f, "snapshot") {
		f.Add(v.Data)
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		s, err := Decode(pack.ID{1}, body)
		if err != nil {
			named(t, err)
			return
		}
		if root, err := s.RootID(); err != nil || root.IsZero() || s.ID != (pack.ID{1}) {
			t.Fatalf("accepted %q with the root %q", body, s.Root)
		}
		encoded, err := s.Encode(bytes.NewReader(make([]byte, 8)))
		if err != nil {
			return // a year that no time in JSON can have
		}
		again, err := Decode(pack.ID{1}, encoded)
		if err != nil {
			t.Fatalf("%s: %v", encoded, err)
		}
		s.Salt = again.Salt
		if a, b := asJSON(t, s), asJSON(t, again); a != b {
			t.Fatalf("%s became %s", a, b)
		}
	})
}

func FuzzDecodeLabel(f *testing.F) {
	for _, v := range vectortest.Load(f, "label") {
		f.Add(v.Data)
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		l, err := DecodeLabel(pack.ID{1}, body)
		if err != nil {
			named(t, err)
			return
		}
		encoded, err := l.Encode()
		if err != nil {
			return
		}
		again, err := DecodeLabel(pack.ID{1}, encoded)
		if err != nil {
			t.Fatalf("%s: %v", encoded, err)
		}
		if a, b := asJSON(t, l), asJSON(t, again); a != b {
			t.Fatalf("%s became %s", a, b)
		}
	})
}

func asJSON(t *testing.T, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
