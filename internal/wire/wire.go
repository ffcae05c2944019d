package wire

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/bits"
)

// ErrCorrupt is the reason of every refusal of a Reader.
var ErrCorrupt = errors.New("corrupt encoding")

// AppendUvarint appends v as a varint.
func AppendUvarint(b []byte, v uint64) []byte { return binary.AppendUvarint(b, v) }

// AppendVarint appends v as an svarint.
func AppendVarint(b []byte, v int64) []byte { return binary.AppendVarint(b, v) }

// AppendBytes appends the length of s as a varint, and s.
func AppendBytes[T ~string | ~[]byte](b []byte, s T) []byte {
	b = binary.AppendUvarint(b, uint64(len(s)))
	return append(b, s...)
}

// UvarintLen returns how many bytes AppendUvarint takes for v.
func UvarintLen(v uint64) int { return (bits.Len64(v|1) + 6) / 7 }

// Reader takes a byte string apart. The zero Reader is empty. After an error all
// reads return zero values; Err tells the first one.
type Reader struct {
	data []byte
	err  error
}

// NewReader returns a Reader of data, which it does not copy.
func NewReader(data []byte) *Reader { return &Reader{data: data} }

// Err returns the first error, which wraps ErrCorrupt, or nil.
func (r *Reader) Err() error { return r.err }

// Len returns how many bytes are left.
func (r *Reader) Len() int { return len(r.data) }

// Failf makes the Reader fail, unless it already has.
func (r *Reader) Failf(format string, args ...any) {
	if r.err == nil {
		r.err = fmt.Errorf("%w: %s", ErrCorrupt, fmt.Sprintf(format, args...))
	}
	r.data = nil
}

// Uvarint reads a varint.
func (r *Reader) Uvarint() uint64 {
	d := r.data
	if len(d) > 0 && d[0] < 0x80 { // most are short
		r.data = d[1:]
		return uint64(d[0])
	}
	if len(d) > 1 && d[1]-1 < 0x7f { // 1 to 127: ends here, in the shortest form
		r.data = d[2:]
		return uint64(d[0]&0x7f) | uint64(d[1])<<7
	}
	v, n := binary.Uvarint(d)
	if n <= 0 || d[n-1] == 0 {
		r.Failf("varint cut off, too long or not in its shortest form")
		return 0
	}
	r.data = d[n:]
	return v
}

// Varint reads an svarint.
func (r *Reader) Varint() int64 {
	u := r.Uvarint()
	return int64(u>>1) ^ -int64(u&1)
}

// Count reads a varint of at most limit. A negative limit allows nothing.
func (r *Reader) Count(limit int) int {
	v := r.Uvarint()
	if limit < 0 || v > uint64(limit) {
		r.Failf("%d is over the limit of %d", v, limit)
		return 0
	}
	return int(v)
}

// Uint32 reads a varint that must fit 32 bits.
func (r *Reader) Uint32() uint32 {
	v := r.Uvarint()
	if v > math.MaxUint32 {
		r.Failf("%d is over 32 bits", v)
		return 0
	}
	return uint32(v)
}

// Next returns the next n bytes, a part of the input.
func (r *Reader) Next(n int) []byte {
	if n < 0 || n > len(r.data) {
		r.Failf("%d bytes wanted, %d left", n, len(r.data))
		return nil
	}
	b := r.data[:n:n]
	r.data = r.data[n:]
	return b
}

// Bytes reads a byte string of at most limit bytes, a part of the input.
func (r *Reader) Bytes(limit int) []byte { return r.Next(r.Count(limit)) }

// Byte reads one byte.
func (r *Reader) Byte() byte {
	if len(r.data) == 0 {
		r.Failf("a byte wanted, none left")
		return 0
	}
	b := r.data[0]
	r.data = r.data[1:]
	return b
}

// Fill reads len(dst) bytes into dst, zero bytes after an error.
func (r *Reader) Fill(dst []byte) {
	if copy(dst, r.Next(len(dst))) == 0 {
		clear(dst)
	}
}

// End fails the Reader if bytes are left, and returns Err.
func (r *Reader) End() error {
	if r.err == nil && len(r.data) > 0 {
		r.Failf("%d bytes behind the end", len(r.data))
	}
	return r.err
}
