// Package record packs and unpacks the plaintext of the boxes that hold records:
// index files, snapshots, labels, settings, prune records and log entries
// (docs/format.md section 5, packing of records). It knows nothing of what stands in them.
package record

import (
	"errors"
	"fmt"

	"github.com/snapkeep/snap/internal/compress"
	"github.com/snapkeep/snap/internal/wire"
)

// Errors that Unpack returns.
var (
	// ErrCorrupt says that a packed record is damaged or over its limit.
	ErrCorrupt = errors.New("corrupt record")
	// ErrNewer says that a record was packed by a codec that is not known here.
	ErrNewer = errors.New("record of a newer format version")
)

// The codecs. They are on disk.
const (
	codecRaw  = 0
	codecZstd = 1
)

// Codec packs and unpacks records. It is safe for concurrent use.
type Codec struct {
	compressor   *compress.Compressor
	decompressor compress.Decompressor
}

// NewCodec returns a Codec that compresses to the level.
func NewCodec(level compress.Level) (*Codec, error) {
	c, err := compress.NewSmallCompressor(level)
	if err != nil {
		return nil, err
	}
	return &Codec{compressor: c}, nil
}

// Pack appends the packed record of body to dst. They must not overlap.
//
//	codec (1) ‖ length of body (varint) ‖ body, or a zstd frame of it
func (c *Codec) Pack(dst, body []byte) []byte {
	start := len(dst)
	dst = append(dst, codecZstd)
	dst = wire.AppendUvarint(dst, uint64(len(body)))
	out, ok := c.compressor.Append(dst, body)
	if ok {
		return out
	}
	dst[start] = codecRaw
	return append(dst, body...)
}

// Unpack returns the body of a packed record, which must not be longer than limit
// bytes. The body may be a part of packed.
func (c *Codec) Unpack(packed []byte, limit int) ([]byte, error) {
	r := wire.NewReader(packed)
	codec := r.Byte()
	if r.Err() == nil && codec > codecZstd {
		return nil, fmt.Errorf("%w: codec %d", ErrNewer, codec)
	}
	size := r.Count(limit)
	if err := r.Err(); err != nil {
		return nil, fmt.Errorf("%w: %v", ErrCorrupt, err)
	}
	rest := r.Next(r.Len())
	if codec == codecRaw {
		if len(rest) != size {
			return nil, fmt.Errorf("%w: %d bytes, want %d", ErrCorrupt, len(rest), size)
		}
		return rest, nil
	}
	body, err := c.decompressor.Append(nil, rest, size)
	if err != nil {
		return nil, fmt.Errorf("%w: %v", ErrCorrupt, err)
	}
	return body, nil
}
