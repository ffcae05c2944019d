package compress

import (
	"errors"
	"fmt"
	"math/bits"
	"slices"

	"github.com/klauspost/compress/zstd"
)

// Primed compresses with a dictionary: raw content, to which matches may reach back (RFC 8878, section 5). The zero Primed, after Prime, is
// of level Default. It serves one goroutine, and holds an encoder of up to twice the size of the level's.
type Primed struct {
	level Level
	enc   *zstd.Encoder
}

// NewPrimed returns a Primed of the level, which is not Max, or Off.
func NewPrimed(level Level) *Primed { return &Primed{level: level} }

// Prime says what the dictionary is from here on. It is kept and must not be changed until the next Prime.
func (p *Primed) Prime(dictionary []byte) {
	option := zstd.WithEncoderDictRaw(0, dictionary)
	if p.enc == nil {
		p.enc = newEncoder(p.level, smallWindow, option)
		return
	}
	if err := p.enc.ResetWithOptions(nil, option); err != nil {
		panic("compress: internal error: " + err.Error()) // only wrong options fail
	}
}

// Append is Compressor.Append with the dictionary, which the frame does not name.
func (p *Primed) Append(dst, src []byte) ([]byte, bool) {
	if len(src) < minSize {
		return dst, false
	}
	return ifSmaller(dst, p.enc.EncodeAll(src, dst), src)
}

// PrimedReader decompresses with a dictionary. The zero PrimedReader is ready, after Prime. It serves one goroutine.
//
// It decodes one frame that begins with the dictionary in raw blocks and goes on with the blocks of the frame in question: that is the same by
// RFC 8878, and twice as fast, because the library has its assembly for frames without a dictionary alone.
type PrimedReader struct {
	dec    *zstd.Decoder
	joined []byte // header, and the dictionary in raw blocks; room for more
	prefix int    // bytes of these
	length int    // of the dictionary
	out    []byte
}

// maxPrimed is up to which capacity a PrimedReader keeps a buffer, in bytes: more than what is worth a dictionary takes.
const maxPrimed = 1 << 20

// Parts of a frame (RFC 8878, 3.1.1).
const (
	joinedHeader = 6 // magic, a descriptor of zero, window
	minWindowLog = 10
	maxBlock     = 128 << 10
)

// Prime says what the dictionary is from here on. It is not kept.
func (p *PrimedReader) Prime(dictionary []byte) {
	if p.dec == nil {
		p.dec = newDecoder()
	}
	p.joined = append(p.joined[:0], 0x28, 0xb5, 0x2f, 0xfd, 0, 0)
	for block := range slices.Chunk(dictionary, maxBlock) {
		n := len(block) << 3 // of type raw, and not the last
		p.joined = append(append(p.joined, byte(n), byte(n>>8), byte(n>>16)), block...)
	}
	p.prefix, p.length = len(p.joined), len(dictionary)
}

// Append is Decompressor.Append with the dictionary, for a frame without a checksum.
func (p *PrimedReader) Append(dst, src []byte, size int) ([]byte, error) {
	if size < 0 || size > maxDecoded {
		return dst, fmt.Errorf("%w: %d bytes are over the limit", ErrCorrupt, size)
	}
	h, err := checkFrame(src, size)
	if err == nil && h.HasCheckSum {
		err = errors.New("a checksum beside a dictionary")
	}
	if err != nil {
		return dst, fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	defer p.trim()
	total := p.length + size
	p.joined = append(p.joined[:p.prefix], src[h.HeaderSize:]...)
	p.joined[joinedHeader-1] = byte(max(bits.Len(uint(total-1)), minWindowLog)-minWindowLog) << 3
	if cap(p.out) < total {
		p.out = make([]byte, 0, total)
	}
	out, err := p.dec.DecodeAll(p.joined, p.out[:0:total])
	if err != nil {
		return dst, fmt.Errorf("%w: %v", ErrCorrupt, err)
	}
	if len(out) != total {
		return dst, fmt.Errorf("%w: %d bytes, want %d", ErrCorrupt, len(out)-p.length, size)
	}
	return append(dst, out[p.length:]...), nil
}

// trim gives up long buffers.
func (p *PrimedReader) trim() {
	if cap(p.joined) > maxPrimed || cap(p.out) > maxPrimed {
		p.joined, p.out = slices.Clone(p.joined[:p.prefix]), nil
	}
}
