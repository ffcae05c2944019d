package sshconn

import (
	"errors"
	"fmt"
	"io/fs"
)

// ErrHostKey says that a server's key is not the known one, or that none is
// known.
var ErrHostKey = errors.New("host key verification failed")

// ErrHostUnknown is the ErrHostKey of a host of which no key is known.
var ErrHostUnknown = fmt.Errorf("%w: the host is not known", ErrHostKey)

// ErrConfig says that a configuration or an address asks for what cannot be
// done.
var ErrConfig = errors.New("ssh configuration")

// ErrRefused says that the server accepted none of the user's keys. It is an
// fs.ErrPermission.
var ErrRefused = fmt.Errorf("no key was accepted: %w", fs.ErrPermission)

// ErrNotRun says that the server did not run the command, or that it ended without a word. It is an fs.ErrPermission.
var ErrNotRun = fmt.Errorf("the source did not run the command: %w", fs.ErrPermission)

// IsPermanent reports whether trying to connect again would be of no use.
func IsPermanent(err error) bool {
	return errors.Is(err, ErrHostKey) || errors.Is(err, ErrConfig) || errors.Is(err, ErrRefused) || errors.Is(err, ErrNotRun)
}
