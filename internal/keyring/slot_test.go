package keyring

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/snapkeep/snap/internal/vectortest"
)

func TestSlotRoundTrip(t *testing.T) {
	c, s := newConfig(t), newSecrets(t)
	for _, k := range allKeys(t) {
		for _, role := range []Role{RoleFull, RoleWriter} {
			t.Run(k.name+"/"+string(role), func(t *testing.T) {
				f := newSlot(t, c, s, k.recipient, role)
				if !IsSlotName(f.Name) {
					t.Errorf("name %q", f.Name)
				}
				o, err := Open(t.Context(), c, []File{f}, k.credential())
				if err != nil {
					t.Fatal(err)
				}
				if len(o.Skipped) > 0 || o.Slot.Name != f.Name || o.Slot.Label != "laptop" || o.Slot.Role != role ||
					!o.Slot.Created.Equal(testTime) || o.Slot.Recipient != k.recipient.public {
					t.Errorf("got %+v", o)
				}
				checkSecrets(t, o.Secrets, s, role)
			})
		}
	}
}

func checkSecrets(t *testing.T, got, want *Secrets, role Role) {
	t.Helper()
	if got.Role() != role {
		t.Errorf("role %s, want %s", got.Role(), role)
	}
	if got.Fingerprint() != want.Fingerprint() || got.IDKey() != want.IDKey() || got.Polynomial() != want.Polynomial() ||
		got.Recipient() != want.Recipient() || got.Metadata([16]byte{1}).ID() != want.Metadata([16]byte{1}).ID() {
		t.Error("secrets differ")
	}
	if len(got.Chunkers()) != len(testChunkers) || got.Chunkers()[ClassDatabase] != testChunkers[ClassDatabase] {
		t.Errorf("chunkers %v", got.Chunkers())
	}
	if role == RoleFull && got.identity.String() != want.identity.String() {
		t.Error("content identity differs")
	}
	if role == RoleWriter && got.identity != nil {
		t.Error("a writer has the content identity")
	}
}

func TestWriterCannotMakeFullSlot(t *testing.T) {
	c, k := newConfig(t), x25519Key()
	f := newSlot(t, c, newSecrets(t), k.recipient, RoleWriter)
	writer := must(Open(t.Context(), c, []File{f}, k.credential())).Secrets
	if _, err := CreateSlot(c, writer, k.recipient, SlotOptions{Role: RoleFull, Created: testTime}); !errors.Is(err, ErrNoContentIdentity) {
		t.Errorf("got %v", err)
	}
	again := newSlot(t, c, writer, k.recipient, "")
	if s := must(ParseSlot(again)); s.Role != RoleWriter {
		t.Errorf("role %s", s.Role)
	}
}

func TestCreateSlotRefuses(t *testing.T) {
	c, s, r := newConfig(t), newSecrets(t), x25519Key().recipient
	for name, o := range map[string]SlotOptions{
		"role":       {Role: "reader"},
		"long label": {Label: strings.Repeat("x", maxLabel+1)},
		"raw label":  {Label: "\xff"},
	} {
		if _, err := CreateSlot(c, s, r, o); err == nil {
			t.Errorf("%s: created", name)
		}
	}
}

func TestSlotsAreNeverEqual(t *testing.T) {
	c, s, k := newConfig(t), newSecrets(t), passphraseKey("p")
	a, b := newSlot(t, c, s, k.recipient, RoleFull), newSlot(t, c, s, k.recipient, RoleFull)
	if a.Name == b.Name {
		t.Error("two slots have one name")
	}
}

func TestParseSlotRefuses(t *testing.T) {
	c, s, k := newConfig(t), newSecrets(t), x25519Key()
	good := newSlot(t, c, s, k.recipient, RoleFull)
	pass := newSlot(t, c, s, passphraseKey("p").recipient, RoleFull)
	set := func(f File, name string, value any) File {
		return editSlot(t, f, func(m map[string]any) { m[name] = value })
	}
	drop := func(f File, name string) File {
		return editSlot(t, f, func(m map[string]any) { delete(m, name) })
	}
	ageText := func(f File, old, new string) File {
		raw := ageOf(t, f)
		if !bytes.Contains(raw, []byte(old)) {
			t.Fatalf("no %q in the age file", old)
		}
		raw = bytes.Replace(raw, []byte(old), []byte(new), 1)
		return set(f, "age", base64.StdEncoding.EncodeToString(raw))
	}
	for name, tt := range map[string]struct {
		f    File
		want error
		says string
	}{
		"other name":            {File{Name: SlotPrefix + strings.Repeat("0", 32), Data: good.Data}, ErrDamagedSlot, "name"},
		"cut off":               {File{Name: good.Name, Data: good.Data[:100]}, ErrDamagedSlot, "name"},
		"empty":                 {rename(nil), ErrDamagedSlot, "JSON"},
		"too long":              {rename(append(bytes.Repeat([]byte(" "), maxFileSize), good.Data...)), ErrDamagedSlot, "limit"},
		"version 2":             {set(good, "version", 2), ErrNewer, "version 2"},
		"version 2, others":     {rename([]byte(`{"version":2}`)), ErrNewer, "version 2"},
		"version missing":       {drop(good, "version"), ErrDamagedSlot, "version"},
		"type":                  {set(good, "type", "tpm"), ErrDamagedSlot, "tpm"},
		"type of another":       {set(good, "type", "ssh"), ErrDamagedSlot, "does not fit"},
		"type passphrase":       {set(good, "type", "passphrase"), ErrDamagedSlot, "does not fit"},
		"scrypt as age":         {editSlot(t, pass, func(m map[string]any) { m["type"], m["recipient"] = "age", "age1" }), ErrDamagedSlot, "does not fit"},
		"role":                  {set(good, "role", "root"), ErrDamagedSlot, "root"},
		"role missing":          {drop(good, "role"), ErrDamagedSlot, "role"},
		"label missing":         {drop(good, "label"), ErrDamagedSlot, "label"},
		"created":               {set(good, "created", "yesterday"), ErrDamagedSlot, "created"},
		"recipient missing":     {drop(good, "recipient"), ErrDamagedSlot, "recipient"},
		"age missing":           {drop(good, "age"), ErrDamagedSlot, "age"},
		"age not base64":        {set(good, "age", "!"), ErrDamagedSlot, "base64"},
		"age with a line end":   {set(good, "age", "\n"+base64.StdEncoding.EncodeToString(ageOf(t, good))), ErrDamagedSlot, "base64"},
		"age empty":             {set(good, "age", ""), ErrDamagedSlot, "age header"},
		"age of version 2":      {ageText(good, "/v1\n", "/v2\n"), ErrDamagedSlot, "age header"},
		"many recipients":       {ageText(good, "-> ", strings.Repeat("-> x\n\n", 16)+"-> "), ErrDamagedSlot, "limit"},
		"scrypt among others":   {ageText(good, "-> ", "-> scrypt a 10\n\n-> "), ErrDamagedSlot, "does not fit"},
		"two scrypt":            {ageText(pass, "-> ", "-> scrypt a 10\n\n-> "), ErrDamagedSlot, "does not fit"},
		"cost over the limit":   {ageText(pass, " 10\n", " 21\n"), ErrDamagedSlot, "2^21"},
		"cost of 2^62":          {ageText(pass, " 10\n", " 62\n"), ErrDamagedSlot, "2^62"},
		"cost not a number":     {ageText(pass, " 10\n", " 1e1\n"), ErrDamagedSlot, "work factor"},
		"cost with a zero":      {ageText(pass, " 10\n", " 010\n"), ErrDamagedSlot, "work factor"},
		"cost zero":             {ageText(pass, " 10\n", " 0\n"), ErrDamagedSlot, "work factor"},
		"cost beyond all ints":  {ageText(pass, " 10\n", " 99999999999999999999\n"), ErrDamagedSlot, "work factor"},
		"cost and another word": {ageText(pass, " 10\n", " 10 10\n"), ErrDamagedSlot, "scrypt"},
	} {
		t.Run(name, func(t *testing.T) {
			s, err := ParseSlot(tt.f)
			if s != nil || !errors.Is(err, tt.want) || errors.Is(err, ErrNewer) == errors.Is(err, ErrDamagedSlot) {
				t.Fatalf("got %v, want %v", err, tt.want)
			}
			if !strings.Contains(err.Error(), tt.says) || !strings.HasPrefix(err.Error(), tt.f.Name) {
				t.Errorf("%q does not say %q", err, tt.says)
			}
		})
	}
}

func ageOf(t testing.TB, f File) []byte {
	t.Helper()
	var s slotFile
	if err := json.Unmarshal(f.Data, &s); err != nil {
		t.Fatal(err)
	}
	return must(base64.StdEncoding.DecodeString(s.Age))
}

func TestOpenRefusesPayload(t *testing.T) {
	c, s, k := newConfig(t), newSecrets(t), x25519Key()
	envelope := slotFile{Version: 1, Role: RoleFull, Label: "l", Created: "2024-02-29T12:00:00Z"}
	good := string(must(s.encode(c, &envelope)))
	other := newSecrets(t)
	edit := func(old, new string) string {
		if !strings.Contains(good, old) {
			t.Fatalf("no %q", old)
		}
		return strings.Replace(good, old, new, 1)
	}
	for name, tt := range map[string]struct {
		plain string
		want  error
	}{
		"good":                     {good, nil},
		"unknown member":           {edit(`{`, `{"x":1,`), nil},
		"third class":              {edit(`"chunkers":{`, `"chunkers":{"mail":{"algorithm":9,"min":1,"max":2,"bits":1},`), nil},
		"empty":                    {"", ErrDamagedSlot},
		"too long":                 {good + strings.Repeat(" ", maxFileSize), ErrDamagedSlot},
		"newer":                    {edit(`"version":1`, `"version":2`), ErrNewer},
		"other repository":         {edit(between(good, `"repository":"`), strings.Repeat("00", 16)), ErrConfigSwapped},
		"repository missing":       {edit(`"repository"`, `"x"`), ErrDamagedSlot},
		"other config":             {edit(between(good, `"config":"`), strings.Repeat("00", 32)), ErrConfigSwapped},
		"role differs":             {edit(`"role":"full"`, `"role":"writer"`), ErrDamagedSlot},
		"label differs":            {edit(`"label":"l"`, `"label":"m"`), ErrDamagedSlot},
		"creation differs":         {edit(`12:00:00Z`, `12:00:01Z`), ErrDamagedSlot},
		"creation written else":    {edit(`12:00:00Z`, `12:00:00+00:00`), ErrDamagedSlot},
		"structure short":          {edit(`"structure":"`+between(good, `"structure":"`)[:2], `"structure":"`), ErrDamagedSlot},
		"polynomial of degree 52":  {edit(`"polynomial":"3`, `"polynomial":"1`), ErrDamagedSlot},
		"polynomial of degree 57":  {edit(`"polynomial":"3`, `"polynomial":"33`), ErrDamagedSlot},
		"polynomial with a zero":   {edit(`"polynomial":"`, `"polynomial":"0`), ErrDamagedSlot},
		"polynomial in capitals":   {edit(`"polynomial":"3da3`, `"polynomial":"3DA3`), ErrDamagedSlot},
		"polynomial a number":      {edit(`"polynomial":"3da3358b4dc173"`, `"polynomial":3`), ErrDamagedSlot},
		"class missing":            {edit(`"database":`, `"databases":`), ErrDamagedSlot},
		"minimum over maximum":     {edit(`"min":65536`, `"min":6553600`), ErrDamagedSlot},
		"minimum zero":             {edit(`"min":65536`, `"min":0`), ErrDamagedSlot},
		"maximum too large":        {edit(`"max":8388608`, `"max":16777217`), ErrDamagedSlot},
		"maximum text":             {edit(`"max":8388608`, `"max":"8388608"`), ErrDamagedSlot},
		"bits too many":            {edit(`"bits":20`, `"bits":64`), ErrDamagedSlot},
		"algorithm zero":           {edit(`"algorithm":1`, `"algorithm":0`), ErrDamagedSlot},
		"chunkers a list":          {edit(`"chunkers":{`, `"chunkers":[],"x":{`), ErrDamagedSlot},
		"class twice":              {edit(`"chunkers":{`, `"chunkers":{"files":{},`), ErrDamagedSlot},
		"recipient of another":     {edit(s.Recipient(), other.Recipient()), ErrDamagedSlot},
		"recipient malformed":      {edit(s.Recipient(), s.Recipient()[:100]), ErrDamagedSlot},
		"recipient not hybrid":     {edit(s.Recipient(), k.recipient.public), ErrDamagedSlot},
		"identity missing":         {edit(`"identity"`, `"x"`), ErrDamagedSlot},
		"identity malformed":       {edit(s.identity.String(), s.identity.String()[:30]), ErrDamagedSlot},
		"identity and more behind": {good + "{}", ErrDamagedSlot},
	} {
		t.Run(name, func(t *testing.T) {
			f := craftSlot(t, k.recipient, envelope, tt.plain)
			_, err := Open(t.Context(), c, []File{f}, k.credential())
			if !errors.Is(err, tt.want) || (err == nil) != (tt.want == nil) {
				t.Fatalf("got %v, want %v", err, tt.want)
			}
			if err != nil && strings.Contains(err.Error(), s.identity.String()[20:40]) {
				t.Errorf("the error tells a secret: %v", err)
			}
		})
	}
	t.Run("identity for a writer", func(t *testing.T) {
		e := envelope
		e.Role = RoleWriter
		f := craftSlot(t, k.recipient, e, edit(`"role":"full"`, `"role":"writer"`))
		if _, err := Open(t.Context(), c, []File{f}, k.credential()); !errors.Is(err, ErrDamagedSlot) {
			t.Errorf("got %v", err)
		}
	})
}

func between(s, before string) string {
	_, rest, _ := strings.Cut(s, before)
	value, _, _ := strings.Cut(rest, `"`)
	return value
}

func TestSlotRefusesTruncation(t *testing.T) {
	c, k := newConfig(t), x25519Key()
	f := newSlot(t, c, newSecrets(t), k.recipient, RoleFull)
	for n := range len(f.Data) - 1 { // the last byte is a line end
		for _, cut := range []File{{Name: f.Name, Data: f.Data[:n]}, rename(f.Data[:n])} {
			if _, err := ParseSlot(cut); !errors.Is(err, ErrDamagedSlot) {
				t.Errorf("cut off at %d: %v", n, err)
			}
		}
	}
	slot, credential := must(ParseSlot(f)), k.credential()
	raw := slot.age
	for n := range raw {
		slot.age = raw[:n]
		if _, err := slot.open(c, credential); !errors.Is(err, ErrDamagedSlot) {
			t.Errorf("age file cut off at %d: %v", n, err)
		}
	}
}

// withAge is editSlot for the age file alone, fast.
func withAge(f File, old, new []byte) File {
	enc := base64.StdEncoding.EncodeToString
	return rename(bytes.Replace(f.Data, []byte(enc(old)), []byte(enc(new)), 1))
}

func TestSlotRefusesBitFlips(t *testing.T) {
	c, s := newConfig(t), newSecrets(t)
	random := rand.New(rand.NewPCG(1, 2))
	for _, k := range []key{x25519Key(), hybridKey(), sshKey(t, "ed25519"), sshKey(t, "rsa")} {
		f := newSlot(t, c, s, k.recipient, RoleFull)
		raw, credential := ageOf(t, f), k.credential()
		for range 80 {
			bit := random.IntN(8 * len(f.Data))
			damaged := File{Name: f.Name, Data: flip(f.Data, bit)}
			if _, err := Open(t.Context(), c, []File{damaged}, credential); !errors.Is(err, ErrDamagedSlot) {
				t.Errorf("%s: flip of bit %d: %v", k.name, bit, err)
			}
			bit = random.IntN(8 * len(raw))
			damaged = withAge(f, raw, flip(raw, bit))
			if o, err := Open(t.Context(), c, []File{damaged}, credential); err == nil {
				t.Errorf("%s: flip of bit %d of the age file: opened %v", k.name, bit, o)
			}
		}
	}
}

// Every member of the envelope but the public key is repeated inside.
func TestEnvelopeIsBoundToContent(t *testing.T) {
	c, s, k := newConfig(t), newSecrets(t), x25519Key()
	f := newSlot(t, c, s, k.recipient, RoleFull)
	skip := bytes.Index(f.Data, []byte(k.recipient.public))
	for bit := range 8 * bytes.Index(f.Data, []byte(`"age":"`)) {
		if i := bit/8 - skip; i >= 0 && i < len(k.recipient.public) {
			continue
		}
		damaged := rename(flip(f.Data, bit))
		if o, err := Open(t.Context(), c, []File{damaged}, k.credential()); err == nil {
			t.Errorf("flip of bit %d: opened %+v from %s", bit, o.Slot, damaged.Data)
		}
	}
}

func flip(data []byte, bit int) []byte {
	data = bytes.Clone(data)
	data[bit/8] ^= 1 << (bit % 8)
	return data
}

func TestPrintingShowsNoSecret(t *testing.T) {
	s := newSecrets(t)
	k := must(NewContentKey(strings.NewReader(strings.Repeat("S", 32))))
	r, c := must(ForPassphrase("hush-hush", weak)), must(Passphrase("hush-hush"))
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%d", "%q"} {
		for _, v := range []any{s, *s, k, *k, []any{s, k}, struct{ S *Secrets }{s}, r, c, struct{ C Credential }{*c}} {
			text := fmt.Sprintf(verb, v)
			for _, secret := range []string{"hush", fmt.Sprintf("%x", "hush"), "SSSS", "5353", "83 83", "0x53",
				fmt.Sprint(s.polynomial), fmt.Sprintf("%x", s.polynomial), fmt.Sprintf("%x", s.structure[:4]), fmt.Sprint(s.structure[:4])[1:8]} {
				if strings.Contains(text, secret) {
					t.Errorf("%s of %T shows %q: %.200s", verb, v, secret, text)
				}
			}
		}
	}
}

func FuzzParseSlot(f *testing.F) {
	c, s := newConfig(f), newSecrets(f)
	for _, k := range allKeys(f) {
		f.Add(newSlot(f, c, s, k.recipient, RoleWriter).Data)
	}
	k := x25519Key()
	f.Add(newSlot(f, c, s, k.recipient, RoleFull).Data)
	credential := k.credential()
	for _, v := range vectortest.Load(f, "slot") {
		f.Add(v.Data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		slot, err := ParseSlot(rename(data))
		if err != nil {
			if slot != nil || errors.Is(err, ErrDamagedSlot) == errors.Is(err, ErrNewer) {
				t.Fatalf("slot %v with error %v", slot, err)
			}
			return
		}
		if slot.Type == TypeAge {
			if _, err := slot.open(c, credential); err != nil && !errors.Is(err, ErrWrongPassphrase) &&
				!errors.Is(err, ErrDamagedSlot) && !errors.Is(err, ErrNewer) && !errors.Is(err, ErrConfigSwapped) {
				t.Fatal(err)
			}
		}
	})
}

func FuzzDecodeSecrets(f *testing.F) {
	c, s := newConfig(f), newSecrets(f)
	full := slotFile{Version: 1, Role: RoleFull, Label: "l", Created: "2024-02-29T12:00:00Z"}
	writer := full
	writer.Role = RoleWriter
	f.Add(must(s.encode(c, &full)))
	f.Add(must(s.encode(c, &writer)))
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, e := range []*slotFile{&full, &writer} {
			got, err := decodeSecrets(data, c, e, false)
			if err != nil {
				continue
			}
			again, err := decodeSecrets(must(got.encode(c, e)), c, e, false)
			if err != nil || again.Fingerprint() != got.Fingerprint() || again.Role() != got.Role() {
				t.Fatalf("%q is read and not written: %v", data, err)
			}
		}
	})
}
