package keyring

import (
	"bytes"
	"crypto/ecdh"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha512"
	"encoding/base64"
	"errors"
	"io"
	"math/big"
	"testing"

	"filippo.io/age"
	"golang.org/x/crypto/ssh"
)

// The age files in testdata/ssh were made by the age project's own code.
func TestSSHStanzasOfAge(t *testing.T) {
	for _, name := range []string{"ed25519", "rsa"} {
		private := must(newSSHPrivate(must(ssh.ParseRawPrivateKey(testFile(t, "ssh/"+name)))))
		r, err := age.Decrypt(bytes.NewReader(testFile(t, "ssh/age-"+name+".age")), private)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if got, err := io.ReadAll(r); err != nil || string(got) != "made by age" {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
}

// The reference for the map between the curves is multiplication: the private key times the
// base point of curve25519 must be the mapped public key.
func TestMontgomery(t *testing.T) {
	for range 50 {
		public, private, err := ed25519.GenerateKey(rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		h := sha512.Sum512(private.Seed())
		want := must(ecdh.X25519().NewPrivateKey(h[:32])).PublicKey()
		got, err := montgomery(public)
		if err != nil || !got.Equal(want) {
			t.Errorf("%x: got %x, %v, want %x", public, got.Bytes(), err, want.Bytes())
		}
	}
}

func TestMontgomeryRefuses(t *testing.T) {
	neutral := make([]byte, 32)
	neutral[0] = 1
	tooLarge := bytes.Repeat([]byte{0xff}, 32)
	offCurve := make([]byte, 32)
	offCurve[0] = 2 // y = 2 has no x
	for name, key := range map[string][]byte{"neutral point": neutral, "not reduced": tooLarge, "off the curve": offCurve} {
		if _, err := montgomery(key); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	// About half of all strings are no point.
	refused := 0
	for range 200 {
		key := make([]byte, 32)
		rand.Read(key)
		key[31] &= 0x3f
		if _, err := montgomery(key); err != nil {
			refused++
		}
	}
	if refused < 50 || refused > 150 {
		t.Errorf("%d of 200 random strings were refused", refused)
	}
}

func TestSSHRefusesSmallRSA(t *testing.T) {
	for bits, ok := range map[int]bool{1024: false, 2047: false, 2048: true} {
		n := new(big.Int).Lsh(big.NewInt(1), uint(bits-1)) // need not be a product of primes
		key := must(ssh.NewPublicKey(&rsa.PublicKey{N: n.SetBit(n, 0, 1), E: 65537}))
		if _, err := newSSHPublic(key); (err == nil) != ok {
			t.Errorf("%d bits: %v", bits, err)
		}
	}
}

func TestSSHUnwrapRefusesMalformedStanzas(t *testing.T) {
	for _, name := range []string{"ed25519", "rsa"} {
		private := must(newSSHPrivate(must(ssh.ParseRawPrivateKey(testFile(t, "ssh/"+name)))))
		good := must(private.public.Wrap(bytes.Repeat([]byte{7}, 16)))[0]
		if key, err := private.Unwrap([]*age.Stanza{good}); err != nil || len(key) != 16 {
			t.Fatalf("%s: %x, %v", name, key, err)
		}
		edits := map[string]func(s *age.Stanza){
			"no argument":    func(s *age.Stanza) { s.Args = nil },
			"more arguments": func(s *age.Stanza) { s.Args = append(s.Args, "x") },
			"no body":        func(s *age.Stanza) { s.Body = nil },
			"short body":     func(s *age.Stanza) { s.Body = s.Body[1:] },
			"flipped body":   func(s *age.Stanza) { s.Body = flip(s.Body, 9) },
			"other key":      func(s *age.Stanza) { s.Args[0] = "AAAAAA" },
			"other type":     func(s *age.Stanza) { s.Type = "X25519" },
		}
		if name == "ed25519" {
			edits["no share"] = func(s *age.Stanza) { s.Args = s.Args[:1] }
			edits["share not base64"] = func(s *age.Stanza) { s.Args[1] = "!" }
			edits["short share"] = func(s *age.Stanza) { s.Args[1] = s.Args[1][:20] }
			edits["zero share"] = func(s *age.Stanza) { s.Args[1] = base64.RawStdEncoding.EncodeToString(make([]byte, 32)) }
		}
		for edit, do := range edits {
			s := &age.Stanza{Type: good.Type, Args: append([]string(nil), good.Args...), Body: bytes.Clone(good.Body)}
			do(s)
			if key, err := private.Unwrap([]*age.Stanza{s}); err == nil {
				t.Errorf("%s, %s: %x", name, edit, key)
			}
			// A stanza that is for another key does not hide the good one.
			if _, err := private.Unwrap([]*age.Stanza{{Type: good.Type, Args: []string{"AAAAAA"}}, good}); err != nil {
				t.Errorf("%s behind another: %v", name, err)
			}
		}
	}
}

// Four bytes of fingerprint may be those of another key.
func TestSSHFingerprintIsOnlyAHint(t *testing.T) {
	private := must(newSSHPrivate(must(ssh.ParseRawPrivateKey(testFile(t, "ssh/ed25519")))))
	other := sshKey(t, "ed25519-locked").recipient.age.(*sshPublic)
	s := must(other.Wrap(make([]byte, 16)))[0]
	s.Args[0] = private.public.fingerprint()
	if _, err := private.Unwrap([]*age.Stanza{s}); !errors.Is(err, age.ErrIncorrectIdentity) {
		t.Errorf("got %v", err)
	}
}
