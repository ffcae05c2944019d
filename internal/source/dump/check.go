package dump

import (
	"bytes"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/snapkeep/snap/internal/source"
)

// sampleSize is how many bytes at the beginning and at the end of a dump its marks are looked for in.
const sampleSize = 1 << 10

// Check returns a reader of the dump in that fails, instead of ending, if the end mark of its kind is not there: with an
// error that satisfies errors.Is(err, source.ErrStream). A kind without a mark is read as it is.
func Check(kind string, in io.ReadCloser) io.ReadCloser {
	k := kinds[kind]
	if len(k.marks) == 0 {
		return in
	}
	return &checked{ReadCloser: in, kind: kind, marks: k.marks}
}

type checked struct {
	io.ReadCloser
	kind  string
	marks []mark
	head  []byte // the first bytes
	tail  []byte // the last bytes, at most 2 * sampleSize
	err   error
}

// Read reads from the dump.
func (c *checked) Read(p []byte) (int, error) {
	if c.err != nil {
		return 0, c.err
	}
	n, err := c.ReadCloser.Read(p)
	c.keep(p[:n])
	if err == io.EOF {
		if end := c.wanted(); !c.endsWith(end) {
			err = fmt.Errorf("%w: the %s dump is cut off: its end mark %q is missing", source.ErrStream, c.kind, end)
		}
	}
	c.err = err
	return n, err
}

func (c *checked) keep(p []byte) {
	if missing := sampleSize - len(c.head); missing > 0 {
		c.head = append(c.head, p[:min(len(p), missing)]...)
	}
	if len(p) > sampleSize {
		p = p[len(p)-sampleSize:]
	}
	if len(c.tail)+len(p) > 2*sampleSize {
		c.tail = append(c.tail[:0], c.tail[len(c.tail)-min(len(c.tail), sampleSize):]...)
	}
	c.tail = append(c.tail, p...)
}

// wanted returns the end mark that belongs to the beginning of the dump.
func (c *checked) wanted() string {
	for _, m := range c.marks {
		if m.begin == "" {
			return m.end
		}
		for line := range bytes.Lines(c.head) {
			if strings.TrimSpace(string(line)) == m.begin {
				return m.end
			}
		}
	}
	return c.marks[len(c.marks)-1].end
}

// endsWith reports whether the last line that says something begins with the mark. Data in front of it cannot pretend to
// be the end.
func (c *checked) endsWith(mark string) bool {
	for _, line := range slices.Backward(strings.Split(string(c.tail), "\n")) {
		line = strings.TrimSpace(line)
		// pg_dump ends a psql session that is restricted behind its mark.
		if line == "" || line == "--" || strings.HasPrefix(line, `\unrestrict `) {
			continue
		}
		return strings.HasPrefix(line, mark)
	}
	return false
}
