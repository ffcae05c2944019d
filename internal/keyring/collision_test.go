package keyring

import (
	"encoding/base64"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"testing"

	"filippo.io/age"
	"golang.org/x/crypto/chacha20"
	"golang.org/x/crypto/chacha20poly1305"
	"golang.org/x/crypto/scrypt"
)

// twoKeyBody returns 32 bytes that ChaCha20-Poly1305 opens with both keys, if there are
// some: 16 bytes of ciphertext c and a tag. With r and s the halves of a key's
// Poly1305 key, the tag is ((c+2^128)·r² + (lengths+2^128)·r mod 2^130-5) + s mod 2^128;
// to equate both keys' tags is one linear equation for c.
func twoKeyBody(a, b []byte) []byte {
	one := big.NewInt(1)
	p := new(big.Int).Sub(new(big.Int).Lsh(one, 130), big.NewInt(5))
	high := new(big.Int).Lsh(one, 128)
	lengths := new(big.Int).Add(high, new(big.Int).Lsh(big.NewInt(16), 64))
	ra, sa := polyKey(a)
	rb, sb := polyKey(b)
	den := new(big.Int).Sub(new(big.Int).Mul(ra, ra), new(big.Int).Mul(rb, rb))
	den.ModInverse(den.Mod(den, p), p)
	for k := int64(-5); k <= 5; k++ { // the tags may differ by multiples of 2^128 before they are cut
		c := new(big.Int).Sub(sb, sa)
		c.Add(c, new(big.Int).Mul(big.NewInt(k), high))
		c.Sub(c, new(big.Int).Mul(lengths, new(big.Int).Sub(ra, rb)))
		c.Mul(c, den).Mod(c, p).Sub(c, high)
		if c.Sign() < 0 || c.Cmp(high) >= 0 {
			continue
		}
		tag := func(r, s *big.Int) *big.Int {
			h := new(big.Int).Mul(new(big.Int).Add(c, high), r)
			h.Add(h, lengths).Mul(h, r).Mod(h, p)
			return h.Add(h, s).Mod(h, high)
		}
		if tag(ra, sa).Cmp(tag(rb, sb)) == 0 {
			return append(littleEndian(c), littleEndian(tag(ra, sa))...)
		}
	}
	return nil
}

func polyKey(key []byte) (r, s *big.Int) {
	block := make([]byte, 32)
	must(chacha20.NewUnauthenticatedCipher(key, make([]byte, 12))).XORKeyStream(block, block)
	for _, i := range []int{3, 7, 11, 15} {
		block[i] &= 15
	}
	for _, i := range []int{4, 8, 12} {
		block[i] &= 252
	}
	slices.Reverse(block)
	return new(big.Int).SetBytes(block[16:]), new(big.Int).SetBytes(block[:16])
}

func littleEndian(n *big.Int) []byte {
	b := n.FillBytes(make([]byte, 16))
	slices.Reverse(b)
	return b
}

// fixedBody is an age.Recipient that writes a prepared stanza.
type fixedBody struct{ stanza *age.Stanza }

func (f fixedBody) Wrap([]byte) ([]*age.Stanza, error) { return []*age.Stanza{f.stanza}, nil }

// A slot can be made to unwrap with two passphrases, so that one try rules out both.
// Such a slot must not open, and must not tell that a passphrase was one of them.
func TestTwoPassphraseSlotIsRefused(t *testing.T) {
	c, s := newConfig(t), newSecrets(t)
	passphrases := []string{"first", "second"}
	var body, salt []byte
	for i := 0; body == nil; i++ {
		salt = []byte(fmt.Sprintf("salt of 16 %05d", i))
		var keys [2][]byte
		for j, p := range passphrases {
			keys[j] = must(scrypt.Key([]byte(p), append([]byte("age-encryption.org/v1/scrypt"), salt...), 1<<WeakestCost, 8, 1, 32))
		}
		if body = twoKeyBody(keys[0], keys[1]); body == nil {
			continue
		}
		for _, key := range keys { // both must open it, or the test shows nothing
			if _, err := must(chacha20poly1305.New(key)).Open(nil, make([]byte, 12), body, nil); err != nil {
				t.Fatal("the construction is wrong")
			}
		}
	}
	stanza := &age.Stanza{Type: "scrypt", Args: []string{base64.RawStdEncoding.EncodeToString(salt), fmt.Sprint(WeakestCost)}, Body: body}
	r := &Recipient{typ: TypePassphrase, age: fixedBody{stanza}}
	f := newSlot(t, c, s, r, RoleFull)
	var says []string
	for _, p := range append(passphrases, "neither") {
		_, err := Open(t.Context(), c, []File{f}, must(Passphrase(p)))
		if !errors.Is(err, ErrWrongPassphrase) {
			t.Errorf("%s: %v", p, err)
		}
		says = append(says, fmt.Sprint(err))
	}
	if says[0] != says[2] || says[1] != says[2] {
		t.Errorf("the errors tell the passphrases apart: %q", says)
	}
}
