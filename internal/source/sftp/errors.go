package sftp

import (
	"errors"
	"fmt"
	"io/fs"
	"strconv"

	"github.com/snapkeep/snap/internal/source"
)

// Errors of this package, beside those of package source. All but ErrImpossible are source.ErrBroken.
var (
	// ErrProtocol says that the server did what the protocol does not allow.
	ErrProtocol = fmt.Errorf("the server broke the SFTP protocol: %w", source.ErrBroken)
	// ErrLimit says that the server sent more than is taken of one source.
	ErrLimit = fmt.Errorf("over a limit for sources: %w", source.ErrBroken)
	// ErrConnection says that the connection was lost and could not be made again.
	ErrConnection = fmt.Errorf("the connection was lost: %w", source.ErrBroken)
	// ErrUnsupported says that the server lacks what was asked for.
	ErrUnsupported = fmt.Errorf("the SFTP server cannot do that: %w", source.ErrBroken)
	// ErrImpossible says that an entry is not as any file can be: its name, its size or its kind.
	ErrImpossible = errors.New("no file can be like that")
)

var (
	errLost   = errors.New("connection lost")
	errSilent = fmt.Errorf("the server is silent: %w", errLost)
	errClosed = fmt.Errorf("closed: %w", source.ErrBroken)
)

// Codes of answers.
const (
	statusOK          = 0
	statusEOF         = 1
	statusNoSuchFile  = 2
	statusPermission  = 3
	statusFailure     = 4
	statusUnsupported = 8
)

const maxMessage = 200 // bytes of a server's words that are kept

// statusError is a refusal of the server.
type statusError struct {
	code uint32
	text string
}

func (e *statusError) Error() string {
	return "the server says " + strconv.QuoteToASCII(e.text) + " (" + strconv.FormatUint(uint64(e.code), 10) + ")"
}

// Is lets callers ask for fs.ErrNotExist and fs.ErrPermission.
func (e *statusError) Is(target error) bool {
	return target == fs.ErrNotExist && e.code == statusNoSuchFile || target == fs.ErrPermission && e.code == statusPermission
}

func protocolError(format string, args ...any) error {
	return fmt.Errorf("%w: %w", ErrProtocol, fmt.Errorf(format, args...))
}

func isEOF(err error) bool {
	var s *statusError
	return errors.As(err, &s) && s.code == statusEOF
}
