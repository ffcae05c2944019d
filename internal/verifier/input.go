package verifier

import "math"

// input takes bytes apart by section 1. After an error all reads give zero values, and
// the first error stays.
type input struct {
	rest []byte
	err  error
}

func (in *input) fail(err error) {
	if in.err == nil {
		in.err = err
	}
	in.rest = nil
}

// varint reads an unsigned number: groups of seven bits, the least significant first, in the
// shortest form.
func (in *input) varint() uint64 {
	var v uint64
	for i, b := range in.rest {
		if i == 9 && b > 1 { // 63 bits are there, one fits
			break
		}
		v |= uint64(b&0x7f) << (7 * i)
		if b >= 0x80 {
			continue
		}
		if b == 0 && i > 0 {
			break
		}
		in.rest = in.rest[i+1:]
		return v
	}
	in.fail(damaged("bad varint"))
	return 0
}

func (in *input) svarint() int64 {
	u := in.varint()
	n := int64(u / 2)
	if u%2 == 1 {
		n = -n - 1
	}
	return n
}

// upTo reads a varint that must not be over limit.
func (in *input) upTo(limit int) int {
	v := in.varint()
	if v > uint64(limit) {
		in.fail(damaged("number %d is over %d", v, limit))
		return 0
	}
	return int(v)
}

// size reads a varint that fits a signed 64-bit integer.
func (in *input) size() int64 { return int64(in.upTo(math.MaxInt64)) }

// take reads n bytes.
func (in *input) take(n int) []byte {
	if n > len(in.rest) {
		in.fail(damaged("cut off: %d bytes, want %d", len(in.rest), n))
		return make([]byte, min(n, 64)) // fixed fields are at most 64 bytes
	}
	b := in.rest[:n]
	in.rest = in.rest[n:]
	return b
}

func (in *input) byte() byte { return in.take(1)[0] }

// text reads a byte string of at most limit bytes.
func (in *input) text(limit int) string {
	n := in.upTo(limit)
	if n > len(in.rest) {
		in.fail(damaged("cut off: %d bytes, want %d", len(in.rest), n))
		return ""
	}
	return string(in.take(n))
}

// all reads what is left.
func (in *input) all() []byte { return in.take(len(in.rest)) }

// end returns the first error; bytes that are left are one.
func (in *input) end() error {
	if in.err == nil && len(in.rest) > 0 {
		in.fail(damaged("%d bytes behind the end", len(in.rest)))
	}
	return in.err
}
