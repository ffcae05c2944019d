// Package target is where a restore writes: a folder, held open, and what lies
// beneath it. It runs on Linux.
//
// # Confinement
//
// Folders are opened beneath the target's descriptor with openat2, so that no link and
// no ".." leads out of it; kernels without that call get the same, name by name.
// Everything else happens in an open folder, with names that hold no slash. What is
// there already is never written through: a file is created new, under its own
// name if nothing has it or under another one that is then renamed, and a file
// with several hard links is not changed in place. Owner, mode, times, attributes and
// flags are set by the descriptor of what was made.
//
// # Order
//
// Attributes are set in the order that keeps them: data, owner (it clears set-id bits
// and capabilities), attributes of users (a read-only file refuses them),
// mode, the other attributes, times, name, and at the end the flags that forbid
// changes. Set-id bits are left out if the owner could not be set.
//
// What cannot be set is no failure of the file: it is returned as an AttributeError for each
// attribute.
//
// A Root may be used by several goroutines at once, and so may a Dir; a File is
// written by several and finished by one of them.
package target
