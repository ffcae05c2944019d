// Package stream is a source of named streams: what a reader gives, or what a command
// writes to its standard output, as regular files at the top of a tree.
//
// Whether a stream is good shows at its end. A command that exits with another status
// than 0, dies of a signal, or writes nothing at all has not made a backup: reading its
// file ends in an error that satisfies errors.Is(err, source.ErrStream) instead of
// io.EOF, so that no snapshot is made of it.
package stream
