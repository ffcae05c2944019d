// Package dump knows how databases are dumped: the command for each kind, what it needs to run, and how a complete dump
// begins and ends.
//
// A dump counts only if its producer ended well and its end mark is there: Check wraps a stream and fails one that ends
// without.
package dump
