//go:build race

package agent_test

// raceDetector says that this program was built with the race detector, which takes several times the memory.
const raceDetector = true
