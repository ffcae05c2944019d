// Package seal encrypts and authenticates: it makes and opens the sealed boxes of
// docs/format.md section 5, and computes chunk ids (section 6).
package seal

import (
	"crypto/cipher"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"

	"github.com/zeebo/blake3"
	"golang.org/x/crypto/chacha20poly1305"
)

// Overhead is how many bytes a box is longer than its plaintext.
const Overhead = keyIDSize + nonceSize + tagSize

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

// Key seals and opens boxes of one repository. It is safe for concurrent use.
type Key struct {
	id       KeyID
	repo     [16]byte
	aead     cipher.AEAD
	nonceKey [32]byte
	random   io.Reader
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

// Seal appends a box of the kind with plaintext to dst. dst and plaintext must not
// overlap. An error means that the random source failed.
func (k *Key) Seal(dst []byte, kind byte, plaintext []byte) ([]byte, error) {
	return k.SealDigest(dst, kind, plaintext, blake3.Sum256(plaintext))
}

// SealDigest is Seal for a caller that already holds a collision-resistant digest
// that determines the plaintext.
func (k *Key) SealDigest(dst []byte, kind byte, plaintext []byte, digest [32]byte) ([]byte, error) {
	var in [nonceSize + 1 + 32]byte
	if _, err := io.ReadFull(k.random, in[:nonceSize]); err != nil {
		return dst, fmt.Errorf("random source: %w", err)
	}
	in[nonceSize] = kind
	copy(in[nonceSize+1:], digest[:])
	nonce := keyed(&k.nonceKey, in[:])
	dst = append(dst, k.id[:]...)
	dst = append(dst, nonce[:nonceSize]...)
	return k.aead.Seal(dst, nonce[:nonceSize], plaintext, k.associated(kind)), nil
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
	out, err := k.aead.Open(dst, box[keyIDSize:keyIDSize+nonceSize], box[keyIDSize+nonceSize:], k.associated(kind))
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

func (k *Key) associated(kind byte) []byte {
	ad := make([]byte, 0, 7+16+1+keyIDSize)
	ad = append(ad, "snap/v1"...)
	ad = append(ad, k.repo[:]...)
	ad = append(ad, kind)
	return append(ad, k.id[:]...)
}

func keyed(key *[32]byte, data []byte) (out [32]byte) {
	h, err := blake3.NewKeyed(key[:])
	if err != nil {
		panic("seal: internal error: " + err.Error()) // only a wrong length fails
	}
	h.Write(data)
	h.Sum(out[:0])
	return out
}
