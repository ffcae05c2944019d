package seal

import (
	"crypto/cipher"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"

	"github.com/zeebo/blake3"
	"golang.org/x/crypto/chacha20poly1305"
)

// Overhead is how many bytes a box is longer than its plaintext.
const Overhead = Front + tagSize

// Front is how many bytes of a box stand before what was its plaintext.
const Front = keyIDSize + nonceSize

const (
	keyIDSize = 8
	nonceSize = chacha20poly1305.NonceSizeX
	tagSize   = chacha20poly1305.Overhead
)

// The kinds of boxes beside those of segments (pack.Kind, 1 to 3). They are on disk.
const (
	KindDirectory = 4
	KindIndex     = 5
	KindSnapshot  = 6
	KindLabel     = 7
	KindSettings  = 8
	KindPrune     = 9
	KindLog       = 10
	KindSession   = 11
)

// Errors that Open returns.
var (
	// ErrOtherKey says that a box was sealed with another key than the one at hand.
	ErrOtherKey = errors.New("sealed with another key")
	// ErrCorrupt says that a box is damaged, forged, or of another kind or repository.
	ErrCorrupt = errors.New("not authentic")
)

// KeyID names a sealing key and commits to it.
type KeyID [keyIDSize]byte

// String returns id as 16 lower-case hex digits.
func (id KeyID) String() string { return hex.EncodeToString(id[:]) }

// associatedPrefix begins the associated data of every box.
const associatedPrefix = "snap/v1"

// Where things stand in the associated data and in what the nonce is hashed from.
const (
	kindOffset     = len(associatedPrefix) + 16
	associatedSize = kindOffset + 1 + keyIDSize
	seedSize       = nonceSize + 1 + 32
)

// Key seals and opens boxes of one repository. It is safe for concurrent use if its
// random source is. Printing one shows its id.
type Key struct {
	id       KeyID
	repo     [16]byte
	aead     cipher.AEAD
	nonceKey [32]byte
	random   io.Reader
	scratch  sync.Pool // of *scratch
}

// scratch is what one call needs, kept because a hasher takes 10 KiB.
type scratch struct {
	hasher     *blake3.Hasher // keyed for nonces, nil before the first
	seed       [seedSize]byte
	nonce      [32]byte
	associated [associatedSize]byte // all but the kind is there
}

// NewKey returns a Key of the 32 secret bytes for the repository repo. random gives
// the random part of nonces; nil means the system's.
func NewKey(secret *[32]byte, repo [16]byte, random io.Reader) *Key {
	aead, err := chacha20poly1305.NewX(secret[:])
	if err != nil {
		panic("seal: internal error: " + err.Error()) // only a wrong length fails
	}
	if random == nil {
		random = rand.Reader
	}
	k := &Key{id: IDOf(secret), repo: repo, aead: aead, random: random}
	blake3.DeriveKey("snap v1 nonce", secret[:], k.nonceKey[:])
	return k
}

// IDOf returns the key id of 32 secret bytes.
func IDOf(secret *[32]byte) (id KeyID) {
	var out [32]byte
	blake3.DeriveKey("snap v1 key id", secret[:], out[:])
	copy(id[:], out[:])
	return id
}

// ID returns the key's id.
func (k *Key) ID() KeyID { return k.id }

// Format implements fmt.Formatter: every verb shows the id and nothing else.
func (k *Key) Format(f fmt.State, _ rune) { io.WriteString(f, k.id.String()) }

// Seal appends a box of the kind with plaintext to dst. dst and plaintext must not
// overlap. An error means that the random source failed.
func (k *Key) Seal(dst []byte, kind byte, plaintext []byte) ([]byte, error) {
	start := len(dst)
	dst = slices.Grow(dst, len(plaintext)+Overhead)
	dst = append(dst[:start+Front], plaintext...)
	return k.SealInPlace(dst, start, kind, blake3.Sum256(plaintext))
}

// SealInPlace is Seal of the plaintext that stands at buf[start+Front:], for a caller that already holds a collision-resistant digest that
// determines the plaintext. The box takes its place, from buf[start:]; the Front bytes
// before the plaintext may hold anything. It returns buf, longer by what the box is longer.
func (k *Key) SealInPlace(buf []byte, start int, kind byte, digest [32]byte) ([]byte, error) {
	sc := k.getScratch()
	defer k.scratch.Put(sc)
	if err := k.makeNonce(sc, kind, &digest); err != nil {
		return buf[:start], err
	}
	sc.associated[kindOffset] = kind
	buf = slices.Grow(buf, tagSize)
	copy(buf[start:], k.id[:])
	copy(buf[start+keyIDSize:], sc.nonce[:nonceSize])
	return k.aead.Seal(buf[:start+Front], sc.nonce[:nonceSize], buf[start+Front:], sc.associated[:]), nil
}

// Open appends the plaintext of a box of the kind to dst. box is left as it is and
// must not overlap dst.
func (k *Key) Open(dst []byte, kind byte, box []byte) ([]byte, error) {
	id, err := BoxKey(box)
	if err != nil {
		return dst, err
	}
	if id != k.id {
		return dst, fmt.Errorf("%w: %s", ErrOtherKey, id)
	}
	sc := k.getScratch()
	defer k.scratch.Put(sc)
	sc.associated[kindOffset] = kind
	out, err := k.aead.Open(dst, box[keyIDSize:keyIDSize+nonceSize], box[keyIDSize+nonceSize:], sc.associated[:])
	if err != nil {
		return dst, ErrCorrupt
	}
	return out, nil
}

// BoxKey returns the id of the key that box says it was sealed with.
func BoxKey(box []byte) (id KeyID, err error) {
	if len(box) < Overhead {
		return id, fmt.Errorf("%w: %d bytes are too few", ErrCorrupt, len(box))
	}
	copy(id[:], box)
	return id, nil
}

func (k *Key) getScratch() *scratch {
	if sc, ok := k.scratch.Get().(*scratch); ok {
		return sc
	}
	sc := new(scratch)
	n := copy(sc.associated[:], associatedPrefix)
	copy(sc.associated[n:], k.repo[:])
	copy(sc.associated[kindOffset+1:], k.id[:])
	return sc
}

// makeNonce puts the nonce in front of sc.nonce.
func (k *Key) makeNonce(sc *scratch, kind byte, digest *[32]byte) error {
	if _, err := io.ReadFull(k.random, sc.seed[:nonceSize]); err != nil {
		return fmt.Errorf("random source: %w", err)
	}
	sc.seed[nonceSize] = kind
	copy(sc.seed[nonceSize+1:], digest[:])
	if sc.hasher == nil {
		h, err := blake3.NewKeyed(k.nonceKey[:])
		if err != nil {
			panic("seal: internal error: " + err.Error()) // only a wrong length fails
		}
		sc.hasher = h
	} else {
		sc.hasher.Reset()
	}
	sc.hasher.Write(sc.seed[:])
	sc.hasher.Sum(sc.nonce[:0])
	return nil
}
