package retention

import "errors"

var (
	// ErrEmptyPolicy is returned for a policy without any rule that keeps
	// something.
	ErrEmptyPolicy = errors.New("retention: policy keeps nothing")
	// ErrInvalidPolicy is returned for a policy with a value out of range, an
	// unknown zone or an unknown name; the text names the field.
	ErrInvalidPolicy = errors.New("retention: invalid policy")
	// ErrInvalidDuration is returned for text that is no duration.
	ErrInvalidDuration = errors.New("retention: invalid duration")
	// ErrInvalidSnapshot is returned for a snapshot without a source and for
	// one that is listed twice.
	ErrInvalidSnapshot = errors.New("retention: invalid snapshot")
	// ErrInvalidSimulation is returned for a simulation that is empty or too
	// long.
	ErrInvalidSimulation = errors.New("retention: invalid simulation")
)
