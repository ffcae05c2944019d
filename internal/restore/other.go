//go:build !linux

package restore

import (
	"context"
	"errors"
	"fmt"
)

// Run restores. It works on Linux.
func Run(context.Context, Options) (*Result, error) {
	return nil, fmt.Errorf("restore on this system: %w", errors.ErrUnsupported)
}
