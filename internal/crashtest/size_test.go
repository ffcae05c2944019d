package crashtest

import (
	"os"
	"strconv"
)

// long reports whether the full sizes are wanted, or a share of them.
func long() bool { return os.Getenv("SNAP_LONG_TESTS") != "" }

// size returns how much a test does.
func size(suite, full int) int {
	if !long() {
		return suite
	}
	if share, err := strconv.ParseFloat(os.Getenv("SNAP_LONG_TESTS"), 64); err == nil && share > 0 && share < 1 {
		return max(suite, int(float64(full)*share))
	}
	return full
}

// seed returns the seed of a test: its own, moved by SNAP_TEST_SEED.
func seed(own uint64) uint64 {
	n, err := strconv.ParseUint(os.Getenv("SNAP_TEST_SEED"), 10, 32)
	if err != nil {
		return own
	}
	return own + n*1000
}
