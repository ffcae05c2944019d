// Package source says how a backup reads what it saves: a Source gives the top
// directory of a tree, a Dir lists its entries and opens what is in them, a File
// gives the content of a regular file with its holes.
//
// Three kinds of sources come with it: package local reads the file system,
// package iofs any fs.FS, package stream the output of commands and readers.
// Merge puts several side by side in one tree. Package sourcetest holds the
// conformance tests that every source has to pass.
//
// # Contract
//
// Names are raw bytes. A Dir and a File that were opened from a Dir stay usable
// after that Dir was closed. Methods of a Dir other than Close may be called from
// several goroutines at once; a File belongs to one goroutine at a time. A source
// never follows a symbolic link below its roots, and never waits for a FIFO or a
// device that nobody asked it to read.
//
// Everything that a source returns is checked by the backup as hostile input; a
// source that breaks the order of names or gives impossible names fails the run.
package source
