// Package sshdtest runs OpenSSH's sshd for tests: on a port of the loopback
// interface, with keys of its own, as the user of the test, and with nothing
// that outlives the test.
package sshdtest
