// Package spool holds a file before it is sent to a distant store: in memory
// up to a bound that all files of a [Pool] share, and beyond it in temporary
// files without a name. A file that is held can be sent again, from any offset,
// after a connection broke; and nothing is sent of a file that turns out to be
// shorter or longer than announced.
package spool
