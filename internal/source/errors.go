package source

import "errors"

// Errors of sources. What the operating system reports is passed on, so that
// errors.Is(err, fs.ErrPermission) and the like work too.
var (
	// ErrRootMissing says that something that the backup was asked for does not exist.
	ErrRootMissing = errors.New("root is missing")

	// ErrReplaced says that an entry is no longer the file that was listed: it was
	// replaced or changed its type.
	ErrReplaced = errors.New("replaced since it was listed")

	// ErrStream says that a stream ended badly: its command failed, or it gave
	// nothing. What was read from it must not be kept.
	ErrStream = errors.New("stream failed")

	// ErrBroken says that the source cannot be read any further: the connection to it is gone for good, or it does
	// what it must not. It ends the backup; no snapshot is made.
	ErrBroken = errors.New("the source broke off")
)
