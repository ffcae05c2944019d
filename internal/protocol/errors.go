package protocol

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"unicode/utf8"

	"github.com/snapkeep/snap/internal/source"
	"github.com/snapkeep/snap/internal/wire"
)

// Code says what kind of failure an Error is.
type Code uint8

// The codes. Their numbers are in the protocol; one that a peer does not know stands for CodeOther.
const (
	CodeOther      Code = 1 // any other failure
	CodeNotExist   Code = 2
	CodePermission Code = 3
	CodeReplaced   Code = 4  // another file stands in the place of the one that was asked for
	CodeNotDir     Code = 5  // no directory, or a link
	CodeRefused    Code = 6  // the agent's policy does not allow it
	CodeMalformed  Code = 7  // the question is none
	CodeLimit      Code = 8  // over a limit of the agent
	CodeVersion    Code = 9  // no version in common
	CodeStream     Code = 10 // a stream failed: what it gave is no backup
	CodeRoot       Code = 11 // a root is missing
)

const maxText = 1 << 10 // bytes of an error's text

// Error is a failure that an agent reports. It satisfies errors.Is with fs.ErrNotExist, fs.ErrPermission,
// source.ErrReplaced, source.ErrStream, source.ErrRootMissing and ErrVersion as its code says.
type Error struct {
	Code Code
	Text string // what the agent says: to be quoted where it is shown
}

func (e *Error) Error() string { return fmt.Sprintf("agent: %s", strings.ToValidUTF8(e.Text, "?")) }

// Unwrap returns the error that the code stands for, nil for none.
func (e *Error) Unwrap() error {
	switch e.Code {
	case CodeNotExist:
		return fs.ErrNotExist
	case CodePermission, CodeRefused:
		return fs.ErrPermission
	case CodeReplaced:
		return source.ErrReplaced
	case CodeStream:
		return source.ErrStream
	case CodeRoot:
		return source.ErrRootMissing
	case CodeVersion:
		return ErrVersion
	}
	return nil
}

// ErrorOf returns err as an Error for the peer.
func ErrorOf(err error) *Error {
	var e *Error
	if errors.As(err, &e) {
		return e
	}
	e = &Error{CodeOther, clip(err.Error())}
	switch {
	case errors.Is(err, source.ErrReplaced):
		e.Code = CodeReplaced
	case errors.Is(err, source.ErrRootMissing):
		e.Code = CodeRoot
	case errors.Is(err, source.ErrStream):
		e.Code = CodeStream
	case errors.Is(err, fs.ErrNotExist):
		e.Code = CodeNotExist
	case errors.Is(err, fs.ErrPermission):
		e.Code = CodePermission
	case errors.Is(err, ErrMalformed):
		e.Code = CodeMalformed
	case errors.Is(err, context.Canceled):
		e.Text = "the agent ends"
	}
	return e
}

func clip(s string) string {
	if len(s) <= maxText {
		return s
	}
	s = s[:maxText]
	for n := len(s); n > maxText-utf8.UTFMax; n-- {
		if r, size := utf8.DecodeLastRuneInString(s[:n]); r != utf8.RuneError || size != 1 {
			return s[:n]
		}
	}
	return s
}

// Append appends the error.
func (e *Error) Append(b []byte) []byte {
	return wire.AppendBytes(append(b, byte(e.Code)), clip(e.Text))
}

func readError(r *wire.Reader) *Error {
	return &Error{Code(r.Byte()), string(r.Bytes(maxText))}
}

// ParseError parses the payload of a Failed frame.
func ParseError(payload []byte) (*Error, error) {
	r := wire.NewReader(payload)
	e := readError(r)
	return e, done(r, "error")
}
