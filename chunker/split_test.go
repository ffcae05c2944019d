package chunker

import (
	"bytes"
	"errors"
	"io"
	"testing"
	"testing/iotest"
)

// split returns the lengths of the chunks of r and all their bytes.
func split(c *Cutter, r io.Reader, buf []byte) (cuts []int, data []byte, err error) {
	err = c.Split(r, buf, func(chunk []byte) error {
		cuts = append(cuts, len(chunk))
		data = append(data, chunk...)
		return nil
	})
	return cuts, data, err
}

func TestSplitEqualsNext(t *testing.T) {
	t.Parallel()
	p := Params{Rabin, testPolynomial, 8 << 10, 64 << 10, 14}
	c := newCutter(t, p)
	readers := map[string]func(io.Reader) io.Reader{
		"plain":          func(r io.Reader) io.Reader { return r },
		"one byte":       iotest.OneByteReader,
		"half":           iotest.HalfReader,
		"data with EOF":  iotest.DataErrReader,
		"half, with EOF": func(r io.Reader) io.Reader { return iotest.DataErrReader(iotest.HalfReader(r)) },
	}
	for _, size := range []int{0, 1, 8 << 10, 8<<10 + 1, 64 << 10, readSize, readSize + 1, 800_000} {
		data := padded(1, size)
		want := allCuts(c, data)
		for name, wrap := range readers {
			for _, bufSize := range []int{0, p.MaxSize - 1, p.MaxSize, 3 * p.MaxSize} {
				cuts, got, err := split(c, wrap(bytes.NewReader(data)), make([]byte, bufSize))
				if err != nil || !bytes.Equal(got, data) {
					t.Fatalf("%s, %d bytes, buffer %d: %d other bytes, %v", name, size, bufSize, len(got), err)
				}
				sameCuts(t, name, cuts, want)
			}
		}
	}
}

func TestSplitReturnsReadError(t *testing.T) {
	t.Parallel()
	c := newCutter(t, Database(testPolynomial))
	data := randomBytes(1, 3<<20)
	// A truncated stream announces itself by io.ErrUnexpectedEOF: that is no end.
	for _, want := range []error{io.ErrUnexpectedEOF, io.ErrClosedPipe} {
		_, got, err := split(c, io.MultiReader(bytes.NewReader(data), iotest.ErrReader(want)), nil)
		if err != want {
			t.Errorf("Split = %v, want %v", err, want)
		}
		if !bytes.HasPrefix(data, got) || len(got) == 0 {
			t.Errorf("%d bytes before the error are not those of the input", len(got))
		}
	}
}

func TestSplitReturnsCallbackError(t *testing.T) {
	t.Parallel()
	c := newCutter(t, Database(testPolynomial))
	want := errors.New("enough")
	calls := 0
	err := c.Split(bytes.NewReader(randomBytes(1, 3<<20)), nil, func([]byte) error {
		calls++
		if calls == 3 {
			return want
		}
		return nil
	})
	if err != want || calls != 3 {
		t.Errorf("Split = %v after %d calls, want %v after 3", err, calls, want)
	}
}

func TestSplitGuardsBytesBehindChunk(t *testing.T) {
	t.Parallel()
	c := newCutter(t, Database(testPolynomial))
	data := randomBytes(1, 1<<20)
	var got []byte
	err := c.Split(bytes.NewReader(data), nil, func(chunk []byte) error {
		got = append(got, chunk...)
		clear(append(chunk, 1, 2, 3)) // must not reach the next chunk
		return nil
	})
	if err != nil || !bytes.Equal(got, data) {
		t.Errorf("bytes differ, %v", err)
	}
}
