// Package seal encrypts and authenticates: it makes and opens the sealed boxes of
// docs/format.md section 5.
//
// A box is sealed with XChaCha20-Poly1305. Its associated data binds it to the
// format, the repository, a kind and the key, never to a place, so that boxes may be
// copied as they are. The nonce is a keyed hash of fresh random bytes, the kind and a
// digest of the plaintext: should the random source repeat itself, different
// plaintexts still get different nonces.
//
// The key id in front of a box is 8 bytes of a hash of the key, so that a box opens
// with one key only. A [Key] is safe for concurrent use and starts no goroutine.
package seal
