package seal

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"

	"github.com/zeebo/blake3"
	"golang.org/x/crypto/chacha20poly1305"
)

var (
	testSecret = [32]byte{1, 2, 3}
	testRepo   = [16]byte{4, 5, 6}
)

// constant is a random source that repeats itself.
type constant byte

func (c constant) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = byte(c)
	}
	return len(p), nil
}

func mustSeal(t testing.TB, k *Key, kind byte, plain []byte) []byte {
	t.Helper()
	box, err := k.Seal(nil, kind, plain)
	if err != nil {
		t.Fatal(err)
	}
	return box
}

func TestRoundTrip(t *testing.T) {
	k := NewKey(&testSecret, testRepo, nil)
	for _, size := range []int{0, 1, 15, 16, 17, 63, 64, 65, 1 << 10, 1 << 20} {
		plain := bytes.Repeat([]byte{0xa5}, size)
		for _, kind := range []byte{0, 1, KindLog, 255} {
			box := mustSeal(t, k, kind, plain)
			if len(box) != size+Overhead {
				t.Errorf("%d bytes: box of %d", size, len(box))
			}
			if id, err := BoxKey(box); err != nil || id != k.ID() {
				t.Errorf("%d bytes: key %s, %v", size, id, err)
			}
			got, err := k.Open(nil, kind, box)
			if err != nil || !bytes.Equal(got, plain) {
				t.Errorf("%d bytes of kind %d: %v", size, kind, err)
			}
		}
	}
}

func TestAppends(t *testing.T) {
	k := NewKey(&testSecret, testRepo, nil)
	for _, room := range []int{0, 5, 1000} {
		dst := append(make([]byte, 0, 4+room), "head"...)
		box, err := k.Seal(dst, 1, []byte("plain"))
		if err != nil || string(box[:4]) != "head" {
			t.Fatalf("room %d: %q, %v", room, box, err)
		}
		if room == 1000 && &box[0] != &dst[0] {
			t.Error("Seal does not use the room there is")
		}
		keep := bytes.Clone(box)
		got, err := k.Open(append(make([]byte, 0, 4+room), "head"...), 1, box[4:])
		if err != nil || string(got) != "headplain" {
			t.Errorf("room %d: %q, %v", room, got, err)
		}
		if !bytes.Equal(box, keep) {
			t.Errorf("room %d: Open changed the box", room)
		}
	}
	if got, err := k.Open([]byte("head"), 1, make([]byte, 100)); err == nil || string(got) != "head" {
		t.Errorf("after an error: %q, %v", got, err)
	}
}

// referenceOpen opens a box by the words of docs/format.md section 5, with the libraries alone.
func referenceOpen(secret [32]byte, repo [16]byte, kind byte, box []byte) ([]byte, error) {
	var id [32]byte
	blake3.DeriveKey("snap v1 key id", secret[:], id[:])
	if !bytes.Equal(box[:8], id[:8]) {
		return nil, errors.New("another key")
	}
	aead, err := chacha20poly1305.NewX(secret[:])
	if err != nil {
		return nil, err
	}
	ad := append([]byte("snap/v1"), repo[:]...)
	ad = append(ad, kind)
	ad = append(ad, box[:8]...)
	return aead.Open(nil, box[8:32], box[32:], ad)
}

// referenceNonce is the nonce of the same section.
func referenceNonce(secret [32]byte, random []byte, kind byte, digest [32]byte) []byte {
	var key [32]byte
	blake3.DeriveKey("snap v1 nonce", secret[:], key[:])
	h, err := blake3.NewKeyed(key[:])
	if err != nil {
		panic(err)
	}
	h.Write(random)
	h.Write([]byte{kind})
	h.Write(digest[:])
	return h.Sum(nil)[:24]
}

func TestAgainstReference(t *testing.T) {
	random := rand.NewChaCha8([32]byte{9})
	for i := range 300 {
		var secret [32]byte
		var repo [16]byte
		random.Read(secret[:])
		random.Read(repo[:])
		plain, kind := make([]byte, i*7), byte(i)
		random.Read(plain)
		k := NewKey(&secret, repo, constant(i))
		for range 2 { // the second with a used scratch
			box := mustSeal(t, k, kind, plain)
			if got, err := referenceOpen(secret, repo, kind, box); err != nil || !bytes.Equal(got, plain) {
				t.Fatalf("%d bytes of kind %d: %v", len(plain), kind, err)
			}
			want := referenceNonce(secret, bytes.Repeat([]byte{byte(i)}, 24), kind, blake3.Sum256(plain))
			if !bytes.Equal(box[8:32], want) {
				t.Fatalf("%d bytes of kind %d: nonce %x, want %x", len(plain), kind, box[8:32], want)
			}
		}
	}
}

// A frozen box. The reference above says that it is right, this one that it stays so.
func TestVector(t *testing.T) {
	const want = "f06af1e2b8c305e1" + // key id
		"c646c22b85684a698e655a3c0e0da2831846e2c787fae87a" + // nonce
		"c967a4c30c6cd1aee0dbef9607c89ae2e0e3c6edb744ae6a" // ciphertext, tag
	k := NewKey(&testSecret, testRepo, constant(7))
	if got := hex.EncodeToString(mustSeal(t, k, KindSnapshot, []byte("snapshot"))); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestOpenRefuses(t *testing.T) {
	k := NewKey(&testSecret, testRepo, nil)
	plain := []byte("some plaintext that is longer than a block of the cipher, which has sixty-four bytes")
	box := mustSeal(t, k, KindIndex, plain)
	t.Run("truncation", func(t *testing.T) {
		for n := range box {
			if _, err := k.Open(nil, KindIndex, box[:n]); !errors.Is(err, ErrCorrupt) {
				t.Errorf("cut off at %d: %v", n, err)
			}
		}
	})
	t.Run("bit flips", func(t *testing.T) {
		for bit := range 8 * len(box) {
			damaged := bytes.Clone(box)
			damaged[bit/8] ^= 1 << (bit % 8)
			want := ErrCorrupt
			if bit < 64 {
				want = ErrOtherKey
			}
			if got, err := k.Open(nil, KindIndex, damaged); !errors.Is(err, want) || len(got) > 0 {
				t.Errorf("flip of bit %d: %v", bit, err)
			}
		}
	})
	t.Run("more behind", func(t *testing.T) {
		if _, err := k.Open(nil, KindIndex, append(bytes.Clone(box), 0)); !errors.Is(err, ErrCorrupt) {
			t.Error(err)
		}
	})
	t.Run("other kinds", func(t *testing.T) {
		for kind := range 256 {
			if _, err := k.Open(nil, byte(kind), box); (err == nil) != (kind == KindIndex) || (err != nil && !errors.Is(err, ErrCorrupt)) {
				t.Errorf("kind %d: %v", kind, err)
			}
		}
	})
	t.Run("other repository", func(t *testing.T) {
		if _, err := NewKey(&testSecret, [16]byte{4, 5, 7}, nil).Open(nil, KindIndex, box); !errors.Is(err, ErrCorrupt) {
			t.Error(err)
		}
	})
	t.Run("other key", func(t *testing.T) {
		other := NewKey(&[32]byte{1, 2, 4}, testRepo, nil)
		if _, err := other.Open(nil, KindIndex, box); !errors.Is(err, ErrOtherKey) || !strings.Contains(err.Error(), k.ID().String()) {
			t.Error(err)
		}
		copy(box, other.id[:]) // as a forger would claim
		if _, err := other.Open(nil, KindIndex, box); !errors.Is(err, ErrCorrupt) {
			t.Error(err)
		}
	})
}

// With a random source that repeats itself, no two different messages share a nonce, and
// equal messages of one kind share it: the digest alone decides.
func TestConstantRandomness(t *testing.T) {
	const messages = 100_000
	k := NewKey(&testSecret, testRepo, constant(0))
	random := rand.New(rand.NewPCG(3, 4))
	seen := make(map[[nonceSize]byte]bool, messages)
	var box, plain []byte
	for i := range messages {
		switch plain = plain[:0]; i % 3 { // a counter, a single bit, noise
		case 0:
			plain = fmt.Append(plain, i)
		case 1:
			plain = append(plain, make([]byte, i/3%500)...)
			plain = append(plain, byte(i), byte(i>>8), byte(i>>16), 1)
		default:
			plain = append(plain, 0xff, byte(random.Uint64()), byte(i), byte(i>>8), byte(i>>16))
		}
		var err error
		if box, err = k.Seal(box[:0], 1, plain); err != nil {
			t.Fatal(err)
		}
		nonce := [nonceSize]byte(box[8:32])
		if seen[nonce] {
			t.Fatalf("message %d has the nonce of another", i)
		}
		seen[nonce] = true
	}
	again := mustSeal(t, k, 1, plain)
	if !bytes.Equal(box, again) {
		t.Error("the source is not constant: this test shows nothing")
	}
	if other := mustSeal(t, k, 2, plain); bytes.Equal(other[8:32], box[8:32]) {
		t.Error("two kinds share a nonce")
	}
}

func TestFreshRandomness(t *testing.T) {
	k := NewKey(&testSecret, testRepo, nil)
	if bytes.Equal(mustSeal(t, k, 1, []byte("x")), mustSeal(t, k, 1, []byte("x"))) {
		t.Error("one message sealed twice gives one box")
	}
}

func TestSealReportsRandomSource(t *testing.T) {
	for _, source := range []io.Reader{bytes.NewReader(nil), bytes.NewReader(make([]byte, nonceSize-1))} {
		k := NewKey(&testSecret, testRepo, source)
		if box, err := k.Seal([]byte("head"), 1, []byte("x")); err == nil || string(box) != "head" {
			t.Errorf("%q, %v", box, err)
		}
	}
}

func TestConcurrentUse(t *testing.T) {
	k := NewKey(&testSecret, testRepo, nil)
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for n := range 200 {
				plain := bytes.Repeat([]byte{byte(i)}, n)
				box, err := k.Seal(nil, byte(i), plain)
				if err != nil {
					t.Error(err)
				}
				if got, err := k.Open(nil, byte(i), box); err != nil || !bytes.Equal(got, plain) {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
}

func TestPrintingShowsNoSecret(t *testing.T) {
	k := NewKey(&testSecret, testRepo, nil)
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%d"} {
		if got := fmt.Sprintf(verb, k); got != k.ID().String() {
			t.Errorf("%s: %s", verb, got)
		}
	}
}

func FuzzOpen(f *testing.F) {
	k := NewKey(&testSecret, testRepo, nil)
	f.Add(byte(1), mustSeal(f, k, 1, []byte("plain")))
	f.Add(byte(9), make([]byte, Overhead))
	f.Fuzz(func(t *testing.T, kind byte, box []byte) {
		keep := bytes.Clone(box)
		got, err := k.Open(nil, kind, box)
		if !bytes.Equal(box, keep) {
			t.Fatal("Open changed the box")
		}
		if err != nil {
			if errors.Is(err, ErrCorrupt) == errors.Is(err, ErrOtherKey) || got != nil {
				t.Fatal(got, err)
			}
			return
		}
		if want, err := referenceOpen(testSecret, testRepo, kind, box); err != nil || !bytes.Equal(got, want) {
			t.Fatalf("the reference refuses: %v", err)
		}
	})
}
