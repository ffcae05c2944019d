package chunker

import "io"

// readSize is how much Split reads before it searches, in bytes.
const readSize = 512 << 10

// Split reads r to its end and calls fn for each chunk in order. The slice given
// to fn is valid until fn returns. An empty input has no chunks.
//
// buf is memory to work in; if it is shorter than MaxSize, nil for example,
// Split allocates. Split stops at the first error of r or fn and returns it as
// it is; chunks not yet given to fn are then lost.
func (c *Cutter) Split(r io.Reader, buf []byte, fn func(chunk []byte) error) error {
	if len(buf) < c.params.MaxSize {
		buf = make([]byte, c.params.MaxSize+readSize)
	}
	start, end, scanned := 0, 0, 0 // buf[start:end] is read and not yet given to fn
	final := false
	for {
		n := c.Resume(buf[start:end], scanned, final)
		if n > 0 {
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
		m, err := io.ReadFull(r, buf[end:min(end+readSize, len(buf))])
		end += m
		switch err {
		case nil:
		case io.EOF, io.ErrUnexpectedEOF:
			final = true
		default:
			return err
		}
	}
}
