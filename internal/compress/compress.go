// Package compress turns bytes into zstd frames and back, with bounded memory on
// both sides (docs/format.md sections 5 and 6).
package compress

import (
	"errors"
	"fmt"
	"sync"

	"github.com/klauspost/compress/zstd"
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

// windowSize bounds how far a match reaches back, and with it an encoder's memory.
const windowSize = 2 << 20

// Compressor compresses. It is safe for concurrent use; each concurrent call holds
// one encoder, and encoders are kept for later calls.
type Compressor struct {
	level    Level
	encoders sync.Pool
}

// NewCompressor returns a Compressor of the level.
func NewCompressor(level Level) (*Compressor, error) {
	level, err := ParseLevel(string(level))
	if err != nil {
		return nil, err
	}
	return &Compressor{level: level}, nil
}

// Append appends a zstd frame of src to dst and returns it with true, or returns
// dst unchanged and false if that would not be smaller than src by a 32nd.
func (c *Compressor) Append(dst, src []byte) ([]byte, bool) {
	if c.level == Off || len(src) < 32 {
		return dst, false
	}
	enc, _ := c.encoders.Get().(*zstd.Encoder)
	if enc == nil {
		enc = newEncoder(c.level)
	}
	defer c.encoders.Put(enc)
	out := enc.EncodeAll(src, dst)
	if len(out)-len(dst) > len(src)-len(src)/32 {
		return dst, false
	}
	return out, true
}

func newEncoder(level Level) *zstd.Encoder {
	speed := zstd.SpeedDefault
	switch level {
	case Fastest:
		speed = zstd.SpeedFastest
	case Better:
		speed = zstd.SpeedBetterCompression
	case Max:
		speed = zstd.SpeedBestCompression
	}
	enc, err := zstd.NewWriter(nil,
		zstd.WithEncoderLevel(speed),
		zstd.WithEncoderConcurrency(1),
		zstd.WithWindowSize(windowSize),
		zstd.WithEncoderCRC(false),
		zstd.WithZeroFrames(true),
		zstd.WithLowerEncoderMem(true))
	if err != nil {
		panic("compress: internal error: " + err.Error()) // only wrong options fail
	}
	return enc
}

// Decompressor decompresses. The zero Decompressor is ready and safe for
// concurrent use.
type Decompressor struct {
	decoders sync.Pool
}

// maxDecoded is the most that a frame may decode to: the largest structure of the format.
const maxDecoded = 256 << 20

// Append appends what the one zstd frame src decodes to, which must be size bytes,
// to dst. It never takes more memory than size and a window.
func (d *Decompressor) Append(dst, src []byte, size int) ([]byte, error) {
	if size < 0 || size > maxDecoded {
		return dst, fmt.Errorf("%w: %d bytes are over the limit", ErrCorrupt, size)
	}
	dec, _ := d.decoders.Get().(*zstd.Decoder)
	if dec == nil {
		var err error
		dec, err = zstd.NewReader(nil, zstd.WithDecoderConcurrency(1),
			zstd.WithDecoderMaxMemory(maxDecoded), zstd.WithDecodeAllCapLimit(true), zstd.WithDecoderLowmem(true))
		if err != nil {
			panic("compress: internal error: " + err.Error())
		}
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
	return out, nil
}
