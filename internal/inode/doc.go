// Package inode reads and names what Linux keeps of a file, by descriptor or
// relative to one, never by a whole path: stat fields, extended attributes and inode
// flags, and opens files beneath a directory. It is the part of reading (package
// source/local) and of writing (package target) that both need.
//
// Its functions repeat calls that a signal interrupted, and keep no state.
package inode
