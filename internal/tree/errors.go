package tree

import "errors"

// Errors of this package. Each refusal of bytes wraps one of the first two.
var (
	// ErrCorrupt says that a page is not what the format allows.
	ErrCorrupt = errors.New("corrupt tree page")
	// ErrNewer says that a page is of a later version of the format.
	ErrNewer = errors.New("tree page of a newer format version")
	// ErrOrder says that directories or entries were not given in path order.
	ErrOrder = errors.New("out of path order")
)
