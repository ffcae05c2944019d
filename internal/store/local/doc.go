// Package local keeps a store in a folder of this machine.
//
// A file data/3f/3f2a is the file data/3f/3f2a below the folder, written by
// package durable: whole and durable when its name appears. The folder "tmp"
// holds temporary files where the file system cannot make files without a
// name; it is no part of the store, and no name may begin with "tmp/".
//
// The folder is held open, so it may be renamed or covered by a mount while
// the store is in use. What a crash leaves in tmp is removed by
// [Store.CleanTemp].
//
// What is not a regular file, or has a name that no store would give, is left
// alone and not listed.
package local
