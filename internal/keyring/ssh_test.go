package keyring

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"errors"
	"io"
	"math/big"
	"testing"

	"filippo.io/age"
	"filippo.io/age/agessh"
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

// What is wrapped for a fresh key is unwrapped by it, and by age's own identity.
func TestSSHEd25519RoundTrip(t *testing.T) {
	fileKey := bytes.Repeat([]byte{7}, 16)
	for range 20 {
		_, raw, err := ed25519.GenerateKey(rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		private := must(newSSHPrivate(raw))
		stanzas := must(private.public.Wrap(fileKey))
		for _, id := range []age.Identity{private, must(agessh.NewEd25519Identity(raw))} {
			if key, err := id.Unwrap(stanzas); err != nil || !bytes.Equal(key, fileKey) {
				t.Errorf("%T: %x, %v", id, key, err)
			}
		}
	}
}

// A public key that is no point, or a point of small order, gets no slot.
func TestSSHEd25519RefusesBadPoints(t *testing.T) {
	neutral := make([]byte, 32)
	neutral[0] = 1
	offCurve := make([]byte, 32)
	offCurve[0] = 2 // y = 2 has no x
	for name, point := range map[string][]byte{"neutral point": neutral, "off the curve": offCurve} {
		key := must(ssh.NewPublicKey(ed25519.PublicKey(point)))
		public, err := newSSHPublic(key)
		if err == nil {
			_, err = public.Wrap(make([]byte, 16))
		}
		if err == nil {
			t.Errorf("%s: accepted", name)
		}
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
			"short body":     func(s *age.Stanza) { s.Body = s.Body[:max(0, len(s.Body)-1)] },
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
