package keyring

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"

	"filippo.io/age"
	"filippo.io/age/plugin"
)

// damaged returns f with content that does not match its name.
func damaged(f File) File { return File{Name: f.Name, Data: flip(f.Data, 100)} }

func TestOpenErrors(t *testing.T) {
	c, s := newConfig(t), newSecrets(t)
	pass, pass2, x, x2 := passphraseKey("one"), passphraseKey("two"), x25519Key(), x25519Key()
	ssh := sshKey(t, "ed25519")
	full := func(k key) File { return newSlot(t, c, s, k.recipient, RoleFull) }
	newer := rename([]byte(`{"version":2}`))
	foreign := newSlot(t, newConfig(t), newSecrets(t), pass.recipient, RoleFull) // same passphrase, another repository
	all := []error{ErrWrongPassphrase, ErrNoSlot, ErrDamagedSlot, ErrNewer, ErrConfigSwapped, ErrConflict}
	for name, tt := range map[string]struct {
		files   []File
		with    key
		want    error
		skipped int
	}{
		"opens":                        {[]File{full(pass)}, pass, nil, 0},
		"opens among others":           {[]File{full(x), full(ssh), full(pass2), full(pass)}, pass, nil, 0},
		"opens though one is damaged":  {[]File{damaged(full(x2)), full(x)}, x, nil, 1},
		"opens though one is newer":    {[]File{newer, full(x)}, x, nil, 1},
		"opens though one is foreign":  {[]File{newSlot(t, newConfig(t), s, x.recipient, RoleFull), full(x)}, x, nil, 1},
		"no slot at all":               {nil, pass, ErrNoSlot, 0},
		"no slot for a passphrase":     {[]File{full(x), full(ssh)}, pass, ErrNoSlot, 0},
		"no slot for age":              {[]File{full(pass), full(ssh)}, x, ErrNoSlot, 0},
		"no slot for SSH":              {[]File{full(pass), full(x)}, ssh, ErrNoSlot, 0},
		"wrong passphrase":             {[]File{full(pass)}, pass2, ErrWrongPassphrase, 0},
		"wrong age identity":           {[]File{full(x)}, x2, ErrWrongPassphrase, 0},
		"wrong kind of age identity":   {[]File{full(x)}, hybridKey(), ErrWrongPassphrase, 0},
		"wrong SSH key":                {[]File{full(ssh)}, sshKey(t, "rsa"), ErrWrongPassphrase, 0},
		"damaged":                      {[]File{damaged(full(pass))}, pass, ErrDamagedSlot, 0},
		"wrong and damaged":            {[]File{damaged(full(pass)), full(pass2)}, pass, ErrWrongPassphrase, 0},
		"damaged and of another kind":  {[]File{damaged(full(x)), full(ssh)}, pass, ErrDamagedSlot, 0},
		"newer":                        {[]File{newer}, pass, ErrNewer, 0},
		"newer and damaged":            {[]File{newer, damaged(full(pass))}, pass, ErrDamagedSlot, 0},
		"foreign slot":                 {[]File{foreign}, pass, ErrConfigSwapped, 0},
		"foreign slot beside another":  {[]File{foreign, full(pass2)}, pass, ErrConfigSwapped, 0},
		"forged beside a genuine slot": {[]File{newSlot(t, c, newSecrets(t), x.recipient, RoleFull), full(x)}, x, ErrConflict, 0},
	} {
		t.Run(name, func(t *testing.T) {
			o, err := Open(t.Context(), c, tt.files, tt.with.credential())
			if (o == nil) == (err == nil) || (err == nil) != (tt.want == nil) {
				t.Fatalf("got %v and %v, want %v", o, err, tt.want)
			}
			for _, other := range all {
				if errors.Is(err, other) != (other == tt.want) {
					t.Errorf("%v: is %q: %v", err, other, errors.Is(err, other))
				}
			}
			if err == nil && len(o.Skipped) != tt.skipped {
				t.Errorf("skipped %v, want %d", o.Skipped, tt.skipped)
			}
		})
	}
}

func TestOpenTellsOfDamageBesideWrongPassphrase(t *testing.T) {
	c, s := newConfig(t), newSecrets(t)
	f := damaged(newSlot(t, c, s, x25519Key().recipient, RoleFull))
	_, err := Open(t.Context(), c, []File{f, newSlot(t, c, s, passphraseKey("a").recipient, RoleFull)}, passphraseKey("b").credential())
	if err == nil || !strings.Contains(err.Error(), f.Name) {
		t.Errorf("%v does not name %s", err, f.Name)
	}
}

// The config of another repository, or one that was edited, is noticed by every slot.
func TestOpenRefusesSwappedConfig(t *testing.T) {
	c, s := newConfig(t), newSecrets(t)
	edited := must(ParseConfig(append([]byte(" "), c.Bytes()...)))
	if edited.ID != c.ID {
		t.Fatal("not the same id")
	}
	for _, k := range allKeys(t) {
		f := newSlot(t, c, s, k.recipient, RoleWriter)
		for _, other := range []*Config{edited, newConfig(t)} {
			if _, err := Open(t.Context(), other, []File{f}, k.credential()); !errors.Is(err, ErrConfigSwapped) {
				t.Errorf("%s: %v", k.name, err)
			}
		}
	}
}

func TestOpenPrefersFullSlot(t *testing.T) {
	c, s, k := newConfig(t), newSecrets(t), x25519Key()
	files := []File{newSlot(t, c, s, k.recipient, RoleWriter), newSlot(t, c, s, k.recipient, RoleFull), newSlot(t, c, s, k.recipient, RoleWriter)}
	o := must(Open(t.Context(), c, files, k.credential()))
	if o.Secrets.Role() != RoleFull || o.Slot.Name != files[1].Name {
		t.Errorf("opened %+v", o.Slot)
	}
}

func TestOpenWithSeveralIdentities(t *testing.T) {
	c, s := newConfig(t), newSecrets(t)
	x, h := must(age.GenerateX25519Identity()), must(age.GenerateHybridIdentity())
	file := fmt.Sprintf("# two keys\r\n%s\r\n\n%s", x, h)
	for _, r := range []string{x.Recipient().String(), h.Recipient().String()} {
		f := newSlot(t, c, s, must(ForAge(r, nil)), RoleFull)
		if _, err := Open(t.Context(), c, []File{f}, must(AgeIdentities([]byte(file), nil))); err != nil {
			t.Errorf("%.10s: %v", r, err)
		}
	}
}

// countingIdentity opens nothing and counts how often it was asked.
type countingIdentity int

func (c *countingIdentity) Unwrap([]*age.Stanza) ([]byte, error) {
	*c++
	return nil, age.ErrIncorrectIdentity
}

func TestOpenTriesNoMoreThan64Slots(t *testing.T) {
	c, s, k := newConfig(t), newSecrets(t), x25519Key()
	var files []File
	for range 70 {
		files = append(files, newSlot(t, c, s, k.recipient, RoleWriter))
	}
	var count countingIdentity
	_, err := Open(t.Context(), c, files, &Credential{typ: TypeAge, identities: []*identity{{Identity: &count}}})
	if !errors.Is(err, ErrWrongPassphrase) || !strings.Contains(err.Error(), "64") || count != 64 {
		t.Errorf("%d tries, %v", count, err)
	}
	// The one that names the key is tried first wherever it stands.
	mine := x25519Key()
	if _, err := Open(t.Context(), c, append(files, newSlot(t, c, s, mine.recipient, RoleFull)), mine.credential()); err != nil {
		t.Error(err)
	}
}

func TestOpenStopsWhenCanceled(t *testing.T) {
	c, k := newConfig(t), x25519Key()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Open(ctx, c, []File{newSlot(t, c, newSecrets(t), k.recipient, RoleFull)}, k.credential()); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestMissingPluginIsNamed(t *testing.T) {
	c, s := newConfig(t), newSecrets(t)
	x := x25519Key()
	id := plugin.EncodeIdentity("snaptestabsent", []byte{1})
	mixed := must(AgeIdentities([]byte(id), nil))
	_, err := Open(t.Context(), c, []File{newSlot(t, c, s, x.recipient, RoleFull)}, mixed)
	var missing *plugin.NotFoundError
	if !errors.As(err, &missing) || missing.Name != "snaptestabsent" {
		t.Errorf("got %v", err)
	}
	r := must(ForAge(plugin.EncodeRecipient("snaptestabsent", []byte{1}), nil))
	if _, err := CreateSlot(c, s, r, SlotOptions{}); !errors.As(err, &missing) {
		t.Errorf("got %v", err)
	}
}

func TestPassphraseOptions(t *testing.T) {
	for _, tt := range []struct {
		passphrase string
		options    PassphraseOptions
		ok         bool
	}{
		{"p", PassphraseOptions{}, true},
		{"p", PassphraseOptions{Cost: 15}, true},
		{"p", PassphraseOptions{Cost: 20}, true},
		{"p", PassphraseOptions{Cost: 10, AllowWeak: true}, true},
		{"", PassphraseOptions{}, false},
		{"p", PassphraseOptions{Cost: 14}, false},
		{"p", PassphraseOptions{Cost: 21}, false},
		{"p", PassphraseOptions{Cost: 9, AllowWeak: true}, false},
		{"p", PassphraseOptions{Cost: 21, AllowWeak: true}, false},
		{"p", PassphraseOptions{Cost: -1}, false},
	} {
		if _, err := ForPassphrase(tt.passphrase, tt.options); (err == nil) != tt.ok {
			t.Errorf("%q, %+v: %v", tt.passphrase, tt.options, err)
		}
	}
	if _, err := Passphrase(""); !errors.Is(err, ErrKeyFile) {
		t.Errorf("empty passphrase: %v", err)
	}
}

func TestUnusableKeys(t *testing.T) {
	x, h := must(age.GenerateX25519Identity()), must(age.GenerateHybridIdentity())
	recipients := map[string]func() error{
		"empty":                 func() error { _, err := ForAge("", nil); return err },
		"secret key":            func() error { _, err := ForAge(x.String(), nil); return err },
		"hybrid secret key":     func() error { _, err := ForAge(h.String(), nil); return err },
		"typing error":          func() error { _, err := ForAge(x.Recipient().String()[:60]+"x", nil); return err },
		"hybrid cut off":        func() error { _, err := ForAge(h.Recipient().String()[:1000], nil); return err },
		"SSH line as age":       func() error { _, err := ForAge(string(testFile(t, "ssh/ed25519.pub")), nil); return err },
		"age as SSH line":       func() error { _, err := ForSSH(x.Recipient().String()); return err },
		"ECDSA":                 func() error { _, err := ForSSH(string(testFile(t, "ssh/ecdsa.pub"))); return err },
		"SSH secret as line":    func() error { _, err := ForSSH(string(testFile(t, "ssh/ed25519"))); return err },
		"no identity":           func() error { _, err := AgeIdentities([]byte("# none\n"), nil); return err },
		"recipient as identity": func() error { _, err := AgeIdentities([]byte(x.Recipient().String()), nil); return err },
		"identity cut off":      func() error { _, err := AgeIdentities([]byte(x.String()[:70]), nil); return err },
		"plugin malformed":      func() error { _, err := AgeIdentities([]byte("AGE-PLUGIN-X"), nil); return err },
		"identities too long":   func() error { _, err := AgeIdentities(make([]byte, maxKeyFileSize+1), nil); return err },
		"not a private key":     func() error { _, err := SSHKey([]byte("hello"), nil); return err },
		"public as private key": func() error { _, err := SSHKey(testFile(t, "ssh/rsa.pub"), nil); return err },
		"ECDSA private key":     func() error { _, err := SSHKey(testFile(t, "ssh/ecdsa"), nil); return err },
		"private key too long":  func() error { _, err := SSHKey(make([]byte, maxKeyFileSize+1), nil); return err },
	}
	for name, do := range recipients {
		err := do()
		if !errors.Is(err, ErrKeyFile) {
			t.Errorf("%s: %v", name, err)
			continue
		}
		for _, secret := range []string{x.String(), h.String(), string(testFile(t, "ssh/ed25519"))} {
			if strings.Contains(err.Error(), secret[20:50]) {
				t.Errorf("%s: the error tells a secret: %v", name, err)
			}
		}
	}
}

func TestEncryptedSSHKeyAsks(t *testing.T) {
	c, s := newConfig(t), newSecrets(t)
	locked, other := sshKey(t, "ed25519-locked"), sshKey(t, "ed25519")
	mine, others := newSlot(t, c, s, locked.recipient, RoleFull), newSlot(t, c, s, other.recipient, RoleFull)
	canceled := errors.New("canceled")
	for name, tt := range map[string]struct {
		files  []File
		answer string
		err    error
		want   error
		asked  int
	}{
		"right":                     {[]File{others, mine}, "key passphrase", nil, nil, 1},
		"asks once for two slots":   {[]File{mine, newSlot(t, c, s, locked.recipient, RoleFull)}, "key passphrase", nil, nil, 1},
		"wrong":                     {[]File{mine, newSlot(t, c, s, locked.recipient, RoleFull)}, "key", nil, ErrKeyFilePassphrase, 1},
		"canceled":                  {[]File{mine}, "", canceled, canceled, 1},
		"does not ask in vain":      {[]File{others}, "key passphrase", nil, ErrWrongPassphrase, 0},
		"does not ask without slot": {nil, "key passphrase", nil, ErrNoSlot, 0},
	} {
		asked := 0
		cred := must(SSHKey(testFile(t, "ssh/ed25519-locked"), func() ([]byte, error) { asked++; return []byte(tt.answer), tt.err }))
		if _, err := Open(t.Context(), c, tt.files, cred); !errors.Is(err, tt.want) || (err == nil) != (tt.want == nil) || asked != tt.asked {
			t.Errorf("%s: %v, asked %d times", name, err, asked)
		}
	}
	for _, file := range []string{"ssh/ed25519-locked", "ssh/rsa-pem-locked"} {
		k := sshKey(t, file[4:])
		f := newSlot(t, c, s, k.recipient, RoleFull)
		if _, err := Open(t.Context(), c, []File{f}, must(SSHKey(testFile(t, file), nil))); !errors.Is(err, ErrKeyFilePassphrase) {
			t.Errorf("%s with nobody to ask: %v", file, err)
		}
	}
}

func TestOpenKeepsNoMemory(t *testing.T) {
	c := newConfig(t)
	const cost = 15 // 32 MiB
	f := newSlot(t, c, newSecrets(t), must(ForPassphrase("p", PassphraseOptions{Cost: cost})), RoleFull)
	var before, after runtime.MemStats
	cred := must(Passphrase("p"))
	runtime.GC()
	runtime.ReadMemStats(&before)
	o := must(Open(t.Context(), c, []File{f}, cred))
	runtime.GC()
	runtime.ReadMemStats(&after)
	if took := after.TotalAlloc - before.TotalAlloc; took < 1<<(cost+10) {
		t.Fatalf("the key derivation took %d bytes, less than it must", took)
	}
	if kept := int64(after.HeapAlloc) - int64(before.HeapAlloc); kept > 4<<20 {
		t.Errorf("%d bytes are kept", kept)
	}
	runtime.KeepAlive(o)
	runtime.KeepAlive(cred)
}
