package verifier

import (
	"bytes"
	"crypto/cipher"

	"github.com/klauspost/compress/zstd"
	"github.com/zeebo/blake3"
	"golang.org/x/crypto/chacha20poly1305"
)

// Kinds of sealed boxes, section 5.
const (
	boxData      = 1
	boxTree      = 2
	boxRefs      = 3
	boxDirectory = 4
	boxIndex     = 5
	boxSnapshot  = 6
	boxLabel     = 7
	boxSettings  = 8
	boxPrune     = 9
	boxLog       = 10
	boxSession   = 11
)

// boxKey opens sealed boxes.
type boxKey struct {
	id   [8]byte
	repo [16]byte
	aead cipher.AEAD
}

func newBoxKey(secret []byte, repo [16]byte) *boxKey {
	aead, err := chacha20poly1305.NewX(secret)
	if err != nil {
		panic("verifier: internal error: " + err.Error()) // only a wrong length fails
	}
	return &boxKey{id: keyID(secret), repo: repo, aead: aead}
}

func keyID(secret []byte) (id [8]byte) {
	copy(id[:], derive("snap v1 key id", secret))
	return id
}

func derive(context string, key []byte) []byte {
	out := make([]byte, 32)
	blake3.DeriveKey(context, key, out)
	return out
}

// boxKeyID returns the id in front of a box.
func boxKeyID(box []byte) (id [8]byte, err error) {
	if len(box) < 8+24+16 {
		return id, damaged("box of %d bytes", len(box))
	}
	return [8]byte(box), nil
}

// open returns the plaintext of a box of the kind.
func (k *boxKey) open(kind byte, box []byte) ([]byte, error) {
	id, err := boxKeyID(box)
	if err != nil {
		return nil, err
	}
	if id != k.id {
		return nil, damaged("box is sealed with the key %x, not %x", id, k.id)
	}
	associated := []byte("snap/v1")
	associated = append(associated, k.repo[:]...)
	associated = append(associated, kind)
	associated = append(associated, k.id[:]...)
	plain, err := k.aead.Open(nil, box[8:32], box[32:], associated)
	if err != nil {
		return nil, damaged("box is not authentic")
	}
	return plain, nil
}

// unpack returns the body of a packed record of at most limit bytes.
func unpack(packed []byte, limit int) ([]byte, error) {
	in := &input{rest: packed}
	codec := in.byte()
	if in.err == nil && codec > 1 {
		return nil, newer("codec %d", codec)
	}
	size := in.upTo(limit)
	if in.err != nil {
		return nil, in.err
	}
	return decode(codec, in.rest, size)
}

// decode returns the size bytes that codec 0 or 1 made data of.
func decode(codec byte, data []byte, size int, dictionary ...zstd.DOption) ([]byte, error) {
	if codec == 0 {
		if len(data) != size {
			return nil, damaged("%d bytes, want %d", len(data), size)
		}
		return data, nil
	}
	if err := oneFrame(data, uint64(size), len(dictionary) == 0); err != nil {
		return nil, err
	}
	options := append(dictionary, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(maxPack),
		zstd.WithDecodeAllCapLimit(true), zstd.WithDecoderLowmem(true)) // no more than out has room for
	d, err := zstd.NewReader(bytes.NewReader(nil), options...)
	if err != nil {
		panic("verifier: internal error: " + err.Error()) // only wrong options fail
	}
	defer d.Close()
	out, err := d.DecodeAll(data, make([]byte, 0, size))
	if err != nil || len(out) != size {
		return nil, damaged("zstd frame of %d bytes, want %d: %v", len(out), size, err)
	}
	return out, nil
}

// oneFrame makes sure that data is one zstd frame (RFC 8878 section 3.1.1) of size bytes that names no
// dictionary: a decoder of zstd takes several, and skips some.
func oneFrame(data []byte, size uint64, mayHaveChecksum bool) error {
	var h zstd.Header
	if err := h.Decode(data); err != nil || (h.HasCheckSum && !mayHaveChecksum) || h.Skippable || h.DictionaryID != 0 || (h.HasFCS && h.FrameContentSize != size) {
		return damaged("no zstd frame of %d bytes", size)
	}
	in := &input{rest: data}
	in.take(min(h.HeaderSize, len(data)))
	for last := false; !last && in.err == nil; {
		b := in.take(3)
		header := uint32(b[0]) | uint32(b[1])<<8 | uint32(b[2])<<16
		last = header&1 == 1
		switch length := int(header >> 3); header >> 1 & 3 {
		case 0, 2:
			in.skip(length)
		case 1:
			in.skip(1)
		default:
			in.fail(damaged("zstd block of an unknown type"))
		}
	}
	if h.HasCheckSum {
		in.skip(4)
	}
	return in.end()
}

// skip leaves n bytes out.
func (in *input) skip(n int) {
	if n > len(in.rest) {
		in.fail(damaged("cut off"))
		return
	}
	in.rest = in.rest[n:]
}
