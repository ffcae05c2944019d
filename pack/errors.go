package pack

import "errors"

// Errors of this package. Each refusal of bytes wraps one of them.
var (
	// ErrCorrupt says that bytes are not what the format allows, or not authentic.
	ErrCorrupt = errors.New("corrupt pack")
	// ErrNewer says that bytes are of a later version of the format.
	ErrNewer = errors.New("pack of a newer format version")
	// ErrOtherRepository says that a pack belongs to another repository.
	ErrOtherRepository = errors.New("pack of another repository")
	// ErrChunkMismatch says that a chunk's bytes do not have the id that they should.
	ErrChunkMismatch = errors.New("chunk does not match its id")
)
