package dump

import (
	"bytes"
	"fmt"
	"io"
	"strings"

	"github.com/snapkeep/snap/internal/source"
)

// tailSize is how many bytes at the end of a dump its end mark is looked for in.
const tailSize = 1 << 10

// Check returns a reader of the dump in that fails, instead of ending, if the end mark of its kind is not there: with an
// error that satisfies errors.Is(err, source.ErrStream). A kind without a mark is read as it is.
func Check(kind string, in io.ReadCloser) io.ReadCloser {
	k := kinds[kind]
	if len(k.end) == 0 {
		return in
	}
	return &checked{ReadCloser: in, kind: kind, marks: k.end}
}

type checked struct {
	io.ReadCloser
	kind  string
	marks []string
	tail  []byte // the last bytes read, at most 2 * tailSize
	err   error
}

// Read reads from the dump.
func (c *checked) Read(p []byte) (int, error) {
	if c.err != nil {
		return 0, c.err
	}
	n, err := c.ReadCloser.Read(p)
	c.keep(p[:n])
	if err == io.EOF && !c.complete() {
		err = fmt.Errorf("%w: the %s dump is cut off: its end mark %q is missing", source.ErrStream, c.kind, c.marks[0])
	}
	c.err = err
	return n, err
}

func (c *checked) keep(p []byte) {
	if len(p) > tailSize {
		p = p[len(p)-tailSize:]
	}
	if len(c.tail)+len(p) > 2*tailSize {
		c.tail = append(c.tail[:0], c.tail[len(c.tail)-min(len(c.tail), tailSize):]...)
	}
	c.tail = append(c.tail, p...)
}

// complete reports whether a line at the end begins with a mark.
func (c *checked) complete() bool {
	for line := range bytes.Lines(c.tail) {
		for _, m := range c.marks {
			if strings.HasPrefix(string(line), m) {
				return true
			}
		}
	}
	return false
}
