package verifier

import (
	"errors"
	"fmt"
)

// Errors of this package. Each refusal of bytes wraps one of the first two.
var (
	// ErrDamaged says that bytes are not what the format allows, or not authentic.
	ErrDamaged = errors.New("damaged")
	// ErrNewer says that bytes are of a later version of the format.
	ErrNewer = errors.New("made by a newer version")
	// ErrKey says that no key slot opens with the key that was given.
	ErrKey = errors.New("no key slot opens with this key")
	// ErrSealed says that the open key slot is a writer's, which cannot read file data.
	ErrSealed = errors.New("this key slot cannot read file data")
)

func damaged(format string, args ...any) error {
	return fmt.Errorf("%w: %w", ErrDamaged, fmt.Errorf(format, args...))
}

func newer(format string, args ...any) error {
	return fmt.Errorf("%w: %w", ErrNewer, fmt.Errorf(format, args...))
}
