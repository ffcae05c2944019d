package protocol

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/snapkeep/snap/internal/compress"
	"github.com/snapkeep/snap/internal/wire"
)

// Limits of frames (docs/protocol.md section 2).
const (
	MaxPayload   = 17 << 20 // bytes of a payload, compressed or not
	MaxQuestion  = 4 << 20  // bytes of the payload of a question
	headerSize   = 10
	minCompress  = 512 // payloads under so many bytes are sent as they are
	answerTarget = 256 << 10
)

// AnswerTarget is about how many bytes a frame of a long answer has.
const AnswerTarget = answerTarget

// Type says what a frame is.
type Type uint8

// The types of questions. The answer has the same type with Answer set.
const (
	Hello       Type = 1
	Begin       Type = 2
	List        Type = 3
	Read        Type = 4
	Fetch       Type = 5
	StreamStart Type = 6
	StreamNext  Type = 7
	StreamStop  Type = 8
	Hash        Type = 9
	Inventory   Type = 10
	Ping        Type = 11

	Answer Type = 0x80
	Failed Type = 0xff // the answer to any question: an Error
)

// Flags of a frame.
const (
	flagCompressed = 1
	flagMore       = 2
	knownFlags     = flagCompressed | flagMore
)

// ErrMalformed says that a peer sent what the protocol does not allow.
var ErrMalformed = errors.New("malformed message")

// Frame is one message. Payload belongs to the reader of the frame until its next call.
type Frame struct {
	ID      uint32
	Type    Type
	More    bool // more frames of the same answer follow
	Payload []byte
}

// Writer writes frames.
type Writer struct {
	w        io.Writer
	compress *compress.Compressor // nil: payloads are sent as they are
	buf      []byte
}

// NewWriter returns a Writer to w.
func NewWriter(w io.Writer) *Writer { return &Writer{w: w} }

// Compress lets payloads be compressed from now on where that makes them smaller.
func (w *Writer) Compress() error {
	c, err := compress.NewCompressor(compress.Default)
	w.compress = c
	return err
}

// Write writes a frame in one call. It does not keep the payload.
func (w *Writer) Write(f Frame) error {
	if len(f.Payload) > MaxPayload {
		return fmt.Errorf("protocol: internal error: payload of %d bytes", len(f.Payload))
	}
	flags := byte(0)
	if f.More {
		flags |= flagMore
	}
	// Room for all of it at once: growing by and by would leave its steps behind for the collector.
	w.buf = append(slices.Grow(w.buf[:0], headerSize+4+len(f.Payload)+len(f.Payload)/64+64), make([]byte, headerSize)...)
	packed := false
	if w.compress != nil && len(f.Payload) >= minCompress {
		w.buf = binary.LittleEndian.AppendUint32(w.buf, uint32(len(f.Payload)))
		w.buf, packed = w.compress.Append(w.buf, f.Payload)
	}
	if packed {
		flags |= flagCompressed
	} else {
		w.buf = append(w.buf[:headerSize], f.Payload...)
	}
	binary.LittleEndian.PutUint32(w.buf, uint32(len(w.buf)-headerSize))
	binary.LittleEndian.PutUint32(w.buf[4:], f.ID)
	w.buf[8], w.buf[9] = byte(f.Type), flags
	_, err := w.w.Write(w.buf)
	if cap(w.buf) > 4<<20 {
		w.buf = nil
	}
	return err
}

// Reader reads frames.
type Reader struct {
	r        io.Reader
	limit    int
	unpack   compress.Decompressor
	buf, raw []byte
}

// NewReader returns a Reader of r, which should be buffered. It refuses frames whose payload has more bytes than limit,
// which is MaxQuestion or MaxPayload.
func NewReader(r io.Reader, limit int) *Reader { return &Reader{r: r, limit: limit} }

// Read returns the next frame. Its payload is valid until the next call. The error is io.EOF between two frames,
// io.ErrUnexpectedEOF within one, and wraps ErrMalformed for what is no frame.
func (r *Reader) Read() (Frame, error) {
	var header [headerSize]byte
	if _, err := io.ReadFull(r.r, header[:]); err != nil {
		return Frame{}, err
	}
	size := binary.LittleEndian.Uint32(header[:])
	f := Frame{ID: binary.LittleEndian.Uint32(header[4:]), Type: Type(header[8]), More: header[9]&flagMore != 0}
	if uint64(size) > uint64(r.limit) || header[9]&^knownFlags != 0 {
		return Frame{}, fmt.Errorf("%w: frame of %d bytes with flags %#x", ErrMalformed, size, header[9])
	}
	if err := r.fill(int(size)); err != nil {
		return Frame{}, err
	}
	f.Payload = r.buf
	if header[9]&flagCompressed != 0 {
		var err error
		if f.Payload, err = r.decompress(r.buf); err != nil {
			return Frame{}, err
		}
	}
	return f, nil
}

// fill reads a payload, and takes memory only as fast as bytes come.
func (r *Reader) fill(size int) error {
	r.buf = r.buf[:0]
	if cap(r.buf) > 4<<20 && size < 1<<20 {
		r.buf = nil
	}
	for len(r.buf) < size {
		n := min(size-len(r.buf), max(len(r.buf), 64<<10))
		start := len(r.buf)
		r.buf = append(r.buf, make([]byte, n)...)
		if _, err := io.ReadFull(r.r, r.buf[start:]); err != nil {
			if err == io.EOF {
				err = io.ErrUnexpectedEOF
			}
			return err
		}
	}
	return nil
}

func (r *Reader) decompress(packed []byte) ([]byte, error) {
	if len(packed) < 4 {
		return nil, fmt.Errorf("%w: compressed frame of %d bytes", ErrMalformed, len(packed))
	}
	size := binary.LittleEndian.Uint32(packed)
	if uint64(size) > uint64(r.limit) {
		return nil, fmt.Errorf("%w: compressed frame that claims %d bytes", ErrMalformed, size)
	}
	raw, err := r.unpack.Append(r.raw[:0], packed[4:], int(size))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	r.raw = raw
	return raw, nil
}

// done ends the parsing of a message.
func done(r *wire.Reader, what string) error {
	if err := r.End(); err != nil {
		return fmt.Errorf("%w: %s: %w", ErrMalformed, what, err)
	}
	return nil
}
