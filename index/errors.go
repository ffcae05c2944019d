package index

import "errors"

// Errors of this package. Each refusal of an index file wraps one of them.
var (
	// ErrCorrupt says that an index file is not what the format allows.
	ErrCorrupt = errors.New("corrupt index")
	// ErrNewer says that an index file is of a later version of the format.
	ErrNewer = errors.New("index of a newer format version")
)
