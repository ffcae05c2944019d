// Package crashtest holds tests that break the program from outside: they kill it, fail its system calls, cut
// the power under its file system, flip bits in what it stored and put its storage back in time. It exports nothing.
//
// The judges are the program itself (check, restore) and, independent of the engine, package
// verifier. The rule is one for all: what was reported as saved and not forgotten comes back bit for bit, damage
// is named, and the next run works without anybody's help.
//
// The suite runs small sizes; SNAP_LONG_TESTS=1 runs the full ones
// (SNAP_LONG_TESTS=0.1 a tenth), and SNAP_TEST_SEED=n has other random numbers:
//
//	make kill-test syscall-test powercut-test bitflip-test soak
package crashtest
