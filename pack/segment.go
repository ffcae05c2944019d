package pack

import (
	"bytes"
	"errors"
	"fmt"
	"slices"

	"github.com/snapkeep/snap/internal/compress"
	"github.com/snapkeep/snap/internal/seal"
	"github.com/snapkeep/snap/internal/wire"
	"github.com/zeebo/blake3"
)

// IDKey computes chunk ids. It is safe for concurrent use.
type IDKey [32]byte

// Hasher computes the chunk ids of one IDKey without allocating. It serves one
// goroutine.
type Hasher struct {
	keyed *blake3.Hasher
	in    [33]byte
	out   [32]byte
}

// NewHasher returns a Hasher for k.
func (k *IDKey) NewHasher() *Hasher {
	h, err := blake3.NewKeyed(k[:])
	if err != nil {
		panic("pack: internal error: " + err.Error()) // only a wrong length fails
	}
	return &Hasher{keyed: h}
}

// Sum returns the id of a chunk of the kind, and the plain hash of its bytes.
func (h *Hasher) Sum(kind Kind, chunk []byte) (ChunkID, [32]byte) {
	plain := blake3.Sum256(chunk)
	return h.FromHash(kind, plain), plain
}

// FromHash returns the id of the chunk of the kind whose plain hash is known.
func (h *Hasher) FromHash(kind Kind, plain [32]byte) (id ChunkID) {
	h.in[0] = byte(kind)
	copy(h.in[1:], plain[:])
	h.keyed.Reset()
	h.keyed.Write(h.in[:])
	h.keyed.Sum(h.out[:0])
	copy(id[:], h.out[:])
	return id
}

// errLengths says that a caller's chunks do not add up.
var errLengths = errors.New("pack: lengths of chunks are not those of the segment's bytes")

// Encoder makes segments. It is safe for concurrent use.
type Encoder struct {
	key        *seal.Key
	compressor *compress.Compressor
}

// NewEncoder returns an Encoder that compresses with c and seals with key.
func NewEncoder(key *seal.Key, c *compress.Compressor) *Encoder {
	return &Encoder{key: key, compressor: c}
}

// Append appends to dst a segment of the kind with the chunks whose bytes, joined,
// are body and whose lengths are given. dst and body must not overlap. digest MUST be collision resistant and
// determine body (the plain hashes of the chunks, hashed, will do); it enters the
// nonce.
//
//	codec ‖ chunk count ‖ lengths ‖ body
func (e *Encoder) Append(dst []byte, kind Kind, lengths []uint32, body []byte, digest [32]byte) ([]byte, error) {
	dst, _, err := e.append(dst, kind, lengths, body, digest, codecZstd, e.compressor.Append)
	return dst, err
}

// AppendPrimed is Append of a segment of file data that may have the dictionary with which primed compresses; the result tells whether it has.
func (e *Encoder) AppendPrimed(dst []byte, lengths []uint32, body []byte, digest [32]byte, primed *compress.Primed) ([]byte, bool, error) {
	return e.append(dst, KindData, lengths, body, digest, codecDictionary, primed.Append)
}

// append appends a segment of the codec if press makes it smaller, and else one that is not compressed.
func (e *Encoder) append(dst []byte, kind Kind, lengths []uint32, body []byte, digest [32]byte, codec byte,
	press func(dst, src []byte) ([]byte, bool)) ([]byte, bool, error) {
	if len(lengths) == 0 || len(lengths) > MaxSegmentChunks || len(body) > MaxChunkSize {
		return dst, false, fmt.Errorf("pack: segment of %d chunks and %d bytes is over the limit", len(lengths), len(body))
	}
	start := len(dst) // the box is made in its place
	p := slices.Grow(dst, seal.Overhead+headSize)[:start+seal.Front]
	p = append(p, codec)
	p = wire.AppendUvarint(p, uint64(len(lengths)))
	sum := 0
	for _, n := range lengths {
		if sum += int(n); n == 0 || sum > len(body) {
			return dst, false, errLengths
		}
		p = wire.AppendUvarint(p, uint64(n))
	}
	if sum != len(body) {
		return dst, false, errLengths
	}
	head := len(p)
	p, smaller := press(p, body)
	if smaller {
		// Another compressor may make other bytes of the same body: the nonce
		// has to depend on what is sealed.
		digest = blake3.Sum256(p[start+seal.Front:])
	} else {
		p = append(p[:head], body...)
		p[start+seal.Front] = codecRaw
		digest = rawDigest(p[start+seal.Front:head], digest)
	}
	out, err := e.key.SealInPlace(p, start, byte(kind), digest)
	return out, smaller, err
}

// headSize is about what stands before the body of a segment of one chunk.
const headSize = 16

// rawDigest binds the head of an uncompressed segment to the digest of its body.
func rawDigest(head []byte, digest [32]byte) [32]byte {
	b := make([]byte, 0, 256)
	b = append(b, digest[:]...)
	return blake3.Sum256(append(b, head...))
}

// Decoder opens segments. It keeps buffers between calls and serves one goroutine.
type Decoder struct {
	decompressor *compress.Decompressor
	hasher       *Hasher
	plain, body  []byte
	chunks       [][]byte
	keepsLarge   bool
	primed       compress.PrimedReader
	primedWith   *Dictionary // what primed decompresses with
}

// Dictionary is what a segment has for dictionary: the chunks of another segment, joined. It does not change.
type Dictionary struct{ body []byte }

// NewDictionary returns the Dictionary of the chunks of a segment, of at most MaxDictionarySize bytes together, which it copies.
func NewDictionary(chunks [][]byte) (*Dictionary, error) {
	d := &Dictionary{bytes.Join(chunks, nil)}
	if len(d.body) == 0 || len(d.body) > MaxDictionarySize {
		return nil, fmt.Errorf("%w: dictionary of %d bytes", ErrCorrupt, len(d.body))
	}
	return d, nil
}

// Bytes returns the bytes of the dictionary, which must not be changed.
func (d *Dictionary) Bytes() []byte { return d.body }

// NewDecoder returns a Decoder that computes chunk ids with k.
func NewDecoder(k *IDKey, d *compress.Decompressor) *Decoder {
	return &Decoder{decompressor: d, hasher: k.NewHasher()}
}

// Open returns the chunks of the segment in box. They are valid until the next call.
// Their ids have not been compared with anything: see Check.
func (d *Decoder) Open(key *seal.Key, kind Kind, box []byte) ([][]byte, error) {
	return d.open(key, kind, box, nil)
}

// OpenPrimed is Open for a segment of file data that has a dictionary.
func (d *Decoder) OpenPrimed(key *seal.Key, box []byte, with *Dictionary) ([][]byte, error) {
	return d.open(key, KindData, box, with)
}

func (d *Decoder) open(key *seal.Key, kind Kind, box []byte, with *Dictionary) ([][]byte, error) {
	if len(box) > MaxSegmentBoxSize {
		return nil, fmt.Errorf("%w: segment of %d bytes", ErrCorrupt, len(box))
	}
	d.trim()
	plain, err := key.Open(d.plain[:0], byte(kind), box)
	if err != nil {
		return nil, fmt.Errorf("%w: segment: %w", ErrCorrupt, err)
	}
	d.plain = plain
	r := wire.NewReader(plain)
	codec, count := r.Byte(), r.Count(min(MaxSegmentChunks, r.Len()))
	if codec > codecDictionary {
		return nil, fmt.Errorf("%w: codec %d", ErrNewer, codec)
	}
	if (codec == codecDictionary) != (with != nil) {
		return nil, fmt.Errorf("%w: codec %d", ErrCorrupt, codec)
	}
	lengths := *r // read twice: first the sum, then each
	sum := 0
	for range count {
		n := r.Count(MaxChunkSize)
		if sum += n; n == 0 || sum > MaxChunkSize {
			r.Failf("chunk of %d bytes", n)
		}
	}
	if r.Err() != nil || count == 0 {
		return nil, fmt.Errorf("%w: segment's head", ErrCorrupt)
	}
	body := r.Next(r.Len())
	if codec != codecRaw {
		if body, err = d.decompress(body, sum, with); err != nil {
			return nil, fmt.Errorf("%w: segment: %w", ErrCorrupt, err)
		}
		d.body = body
	} else if len(body) != sum {
		return nil, fmt.Errorf("%w: segment of %d bytes, want %d", ErrCorrupt, len(body), sum)
	}
	d.chunks = d.chunks[:0]
	for range count {
		n := lengths.Count(MaxChunkSize)
		d.chunks = append(d.chunks, body[:n:n])
		body = body[n:]
	}
	return d.chunks, nil
}

// decompress returns the size bytes that a frame decodes to, in d.body.
func (d *Decoder) decompress(frame []byte, size int, with *Dictionary) ([]byte, error) {
	if with == nil {
		return d.decompressor.Append(d.body[:0], frame, size)
	}
	if d.primedWith != with {
		d.primed.Prime(with.body)
		d.primedWith = with
	}
	return d.primed.Append(d.body[:0], frame, size)
}

// maxKept is up to which capacity a Decoder keeps a buffer, in bytes: more than the segments that small files share, and less than the
// longest chunks, which are few.
const maxKept = 3 << 20

// KeepLarge lets the Decoder keep buffers for segments of any size, 16 MiB each at most: for who opens one segment after the other, and makes none
// beside that.
func (d *Decoder) KeepLarge() { d.keepsLarge = true }

// trim drops large buffers.
func (d *Decoder) trim() {
	clear(d.chunks) // they refer to body
	if d.keepsLarge {
		return
	}
	if cap(d.plain) > maxKept {
		d.plain = nil
	}
	if cap(d.body) > maxKept {
		d.body = nil
	}
}

// Check returns an error that wraps ErrChunkMismatch unless chunk has the id.
func (d *Decoder) Check(kind Kind, id ChunkID, chunk []byte) error {
	if got, _ := d.hasher.Sum(kind, chunk); got != id {
		return fmt.Errorf("%w: %s holds the bytes of %s", ErrChunkMismatch, id, got)
	}
	return nil
}
