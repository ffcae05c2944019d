package protocol

import (
	"errors"
	"fmt"
)

// Version is the highest version of the protocol that this package speaks, and oldest the lowest.
const (
	Version = 1
	oldest  = 1
)

// ErrVersion says that the two sides have no version of the protocol in common.
var ErrVersion = errors.New("no version of the agent protocol in common")

// Agree returns the version that an agent speaks with a server whose highest one is given. Its error has CodeVersion and
// names what both speak.
func Agree(highest int) (int, error) { return agree(oldest, Version, highest) }

func agree(oldest, newest, highest int) (int, error) {
	if highest < oldest {
		return 0, &Error{CodeVersion, fmt.Sprintf("this agent speaks versions %d to %d of the protocol, the server none above %d: update the server", oldest, newest, highest)}
	}
	return min(newest, highest), nil
}

// checkVersion refuses the version that an agent chose if this package does not speak it.
func checkVersion(chosen int) error {
	if chosen < oldest || chosen > Version {
		return fmt.Errorf("%w: the agent chose version %d, this server speaks %d to %d", ErrVersion, chosen, oldest, Version)
	}
	return nil
}
