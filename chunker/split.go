package chunker

import "io"

// readSize is how much Split reads before it searches, in bytes.
const readSize = 512 << 10

// Split reads r to its end and calls fn for each chunk in order. The chunk is
// valid until fn returns. An empty input has no chunks.
//
// buf is memory to work in. If it is shorter than MaxSize, for example nil,
// Split allocates its own.
//
// Split stops at the first error of r or fn and returns it as it is. Bytes that
// were read before an error of r and not yet given to fn are lost.
func (c *Cutter) Split(r io.Reader, buf []byte, fn func(chunk []byte) error) error {
	if len(buf) < c.params.MaxSize {
		buf = make([]byte, c.params.MaxSize+readSize)
	}
	start, end := 0, 0 // buf[start:end] is read and not yet given to fn
	scanned := 0       // bytes from start on that hold no cut
	for final := false; ; {
		if n := c.Resume(buf[start:end], scanned, final); n > 0 {
			if err := fn(buf[start : start+n : start+n]); err != nil {
				return err
			}
			start, scanned = start+n, 0
			continue
		}
		if final {
			return nil
		}
		scanned = end - start
		if end == len(buf) {
			copy(buf, buf[start:end])
			start, end = 0, scanned
		}
		n, err := readFull(r, buf[end:min(end+readSize, len(buf))])
		end += n
		if err != nil && err != io.EOF {
			return err
		}
		final = err == io.EOF
	}
}

// readFull reads until buf is full or r gives an error, which it returns as it
// is: io.ReadFull would hide an io.ErrUnexpectedEOF of r, that is, truncation.
func readFull(r io.Reader, buf []byte) (n int, err error) {
	for n < len(buf) && err == nil {
		var m int
		m, err = r.Read(buf[n:])
		n += m
	}
	return n, err
}
