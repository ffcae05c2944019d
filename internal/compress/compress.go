package compress

import (
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/zstd"
	"github.com/snapkeep/snap/internal/freelist"
)

// ErrCorrupt says that a frame is damaged or decodes to another length than it should.
var ErrCorrupt = errors.New("corrupt compressed data")

// Level is a degree of compression, named in the settings of a repository.
type Level string

// The levels. The zero Level means Default.
const (
	Off     Level = "off"
	Fastest Level = "fastest"
	Default Level = "default"
	Better  Level = "better"
	Max     Level = "max"
)

// ParseLevel returns the level of that name, or an error that lists the levels.
func ParseLevel(s string) (Level, error) {
	switch l := Level(s); l {
	case "":
		return Default, nil
	case Off, Fastest, Default, Better, Max:
		return l, nil
	}
	return "", fmt.Errorf("compression %q: want off, fastest, default, better or max", s)
}

// How far a match reaches back at most, in bytes, which bounds an encoder's memory.
const (
	windowSize  = 2 << 20
	smallWindow = 512 << 10
)

// minSize is the shortest input worth a frame, in bytes.
const minSize = 32

// Compressor compresses. It is safe for concurrent use; each concurrent call holds
// one encoder, and encoders are kept for later calls.
type Compressor struct {
	level    Level
	window   int
	encoders freelist.List[*zstd.Encoder] // of the level
	probes   freelist.List[*zstd.Encoder] // of level Fastest, for level Max
}

// NewCompressor returns a Compressor of the level.
func NewCompressor(level Level) (*Compressor, error) { return withWindow(level, windowSize) }

// NewSmallCompressor returns a Compressor of the level that takes 1.5 MiB less for each concurrent call. It is for what is mostly shorter
// than 512 KiB: matches reach back no further.
func NewSmallCompressor(level Level) (*Compressor, error) { return withWindow(level, smallWindow) }

func withWindow(level Level, window int) (*Compressor, error) {
	level, err := ParseLevel(string(level))
	if err != nil {
		return nil, err
	}
	return &Compressor{level: level, window: window}, nil
}

// Append appends a zstd frame of src to dst and returns it with true, or returns
// dst unchanged and false if that would not be smaller than src by a 32nd, or does not look as if it would. dst and src must
// not overlap; what dst has room for beyond its length is overwritten in both cases.
func (c *Compressor) Append(dst, src []byte) ([]byte, bool) {
	if c.level == Off || len(src) < minSize || (c.level == Max && c.hopeless(dst, src)) {
		return dst, false
	}
	if (c.level == Fastest || c.level == Default) && len(src) >= minSampled && seemsRandom(src) {
		return dst, false
	}
	return ifSmaller(dst, c.encode(&c.encoders, c.level, dst, src), src)
}

// ifSmaller returns out, which is dst and a frame of src, unless the frame is not smaller by a 32nd.
func ifSmaller(dst, out, src []byte) ([]byte, bool) {
	if len(out)-len(dst) > len(src)-len(src)/32 {
		return dst, false
	}
	return out, true
}

// An input of minSampled bytes or more is tried by samples first: compressing all of it is among the most expensive things that happen to an
// archive. What shrinks in one stretch of an eighth of the input, or in more of it, has a sample.
const (
	minSampled  = 256 << 10
	samples     = 16
	sampleBytes = 2 << 10
)

// mostSquares is the sum of the squares of how often each byte value stands in a sample, ten standard deviations above what random bytes
// give: n + n(n-1)/256, and sqrt(2n(n-1)/256). Huffman coding gains one per cent there.
const mostSquares = sampleBytes + sampleBytes*(sampleBytes-1)/256 + 10*181

// seemsRandom reports whether the byte values in each sample of src are as frequent as in random bytes. What is compressed or encrypted
// already is like that, and hardly anything else.
func seemsRandom(src []byte) bool {
	step := (len(src) - sampleBytes) / (samples - 1)
	for i := range samples {
		var count [256]uint32
		for _, b := range src[i*step:][:sampleBytes] {
			count[b]++
		}
		squares := uint32(0)
		for _, n := range count {
			squares += n * n
		}
		if squares > mostSquares {
			return false
		}
	}
	return true
}

// hopeless reports whether src does not shrink at all at level Fastest. Level Max takes
// a hundred times as long to find that out, which matters: much of what is backed up has been compressed.
func (c *Compressor) hopeless(dst, src []byte) bool {
	return len(c.encode(&c.probes, Fastest, dst, src))-len(dst) >= len(src)
}

func (c *Compressor) encode(free *freelist.List[*zstd.Encoder], level Level, dst, src []byte) []byte {
	enc, ok := free.Get()
	if !ok {
		enc = newEncoder(level, c.window)
	}
	defer free.Put(enc)
	return enc.EncodeAll(src, dst)
}

func newEncoder(level Level, window int, more ...zstd.EOption) *zstd.Encoder {
	speed := zstd.SpeedDefault
	switch level {
	case Fastest:
		speed = zstd.SpeedFastest
	case Better:
		speed = zstd.SpeedBetterCompression
	case Max:
		speed = zstd.SpeedBestCompression
	}
	enc, err := zstd.NewWriter(nil, append([]zstd.EOption{
		zstd.WithEncoderLevel(speed),
		zstd.WithEncoderConcurrency(1),
		zstd.WithWindowSize(window),
		zstd.WithEncoderCRC(false),
		zstd.WithZeroFrames(true),
		zstd.WithLowerEncoderMem(true)}, more...)...)
	if err != nil {
		panic("compress: internal error: " + err.Error()) // only wrong options fail
	}
	return enc
}

// Decompressor decompresses. The zero Decompressor is ready and safe for
// concurrent use.
type Decompressor struct {
	decoders freelist.List[*zstd.Decoder]
}

// maxDecoded is the most that a frame may decode to: the largest structure of the format.
const maxDecoded = 256 << 20

// Append appends what the one zstd frame src decodes to, which must be size bytes,
// to dst, with no more memory than that. dst and src must not overlap. The error wraps ErrCorrupt.
func (d *Decompressor) Append(dst, src []byte, size int) ([]byte, error) {
	if size < 0 || size > maxDecoded {
		return dst, fmt.Errorf("%w: %d bytes are over the limit", ErrCorrupt, size)
	}
	if _, err := checkFrame(src, size); err != nil {
		return dst, fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	dec, ok := d.decoders.Get()
	if !ok {
		dec = newDecoder()
	}
	defer d.decoders.Put(dec)
	start := len(dst)
	if cap(dst)-start < size {
		dst = append(make([]byte, 0, start+size), dst...)
	}
	out, err := dec.DecodeAll(src, dst[:start:start+size])
	if err != nil {
		return dst[:start], fmt.Errorf("%w: %v", ErrCorrupt, err)
	}
	if len(out)-start != size {
		return dst[:start], fmt.Errorf("%w: %d bytes, want %d", ErrCorrupt, len(out)-start, size)
	}
	return dst[:len(out)], nil // out is the same bytes without the rest of the capacity
}

func newDecoder() *zstd.Decoder {
	dec, err := zstd.NewReader(nil,
		zstd.WithDecoderConcurrency(1),
		zstd.WithDecoderMaxMemory(maxDecoded),
		zstd.WithDecodeAllCapLimit(true),
		zstd.WithDecoderLowmem(true))
	if err != nil {
		panic("compress: internal error: " + err.Error()) // only wrong options fail
	}
	return dec
}

// checkFrame makes sure that src is one frame and nothing else: the library would
// also take several, and skip what is meant to be skipped. It looks at the headers of frame
// and blocks (RFC 8878, 3.1.1).
func checkFrame(src []byte, size int) (h zstd.Header, err error) {
	if err := h.Decode(src); err != nil {
		return h, err
	}
	if h.Skippable || h.DictionaryID != 0 {
		return h, errors.New("not a plain frame")
	}
	if h.HasFCS && h.FrameContentSize != uint64(size) {
		return h, fmt.Errorf("a frame of %d bytes, want %d", h.FrameContentSize, size)
	}
	rest := src[h.HeaderSize:]
	for last := false; !last; {
		if len(rest) < 3 {
			return h, io.ErrUnexpectedEOF
		}
		block := uint32(rest[0]) | uint32(rest[1])<<8 | uint32(rest[2])<<16
		last = block&1 != 0
		length := int(block >> 3)
		if block>>1&3 == 1 { // one byte, repeated
			length = 1
		}
		if len(rest)-3 < length {
			return h, io.ErrUnexpectedEOF
		}
		rest = rest[3+length:]
	}
	checksum := 0
	if h.HasCheckSum {
		checksum = 4
	}
	if len(rest) != checksum {
		return h, fmt.Errorf("%d bytes behind the frame", len(rest)-checksum)
	}
	return h, nil
}
