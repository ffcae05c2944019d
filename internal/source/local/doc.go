// Package local is the source that reads the file system of this machine. It runs
// on Linux.
//
// The top of its tree is "/". Several roots lie in one tree: the folders that
// lead to them hold nothing but what leads on, with their own metadata. Below a root
// everything is opened relative to the descriptor of its folder and without
// following links, so that nothing outside a root is ever read, whatever
// somebody renames meanwhile, and paths may be of any length.
//
// The walk of an unchanged tree is the hot path of every backup: names of a folder
// are kept in one string, looked at in the order of the result, and nothing else is
// allocated for an entry.
package local
