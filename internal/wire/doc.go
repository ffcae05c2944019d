// Package wire reads and writes the small encodings that all of the format's
// structures share (docs/format.md section 1): varints in their shortest form,
// byte strings with a length in front, fixed integers.
//
// A Reader never allocates by a length that it read, only slices of its input
// are handed out, and its first error stays. It belongs to one goroutine.
package wire
