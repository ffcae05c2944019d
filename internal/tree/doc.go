// Package tree holds what a snapshot knows about files: entries, and the pages
// that list them (docs/format.md section 8).
//
// A tree is a list of directories in path order, cut into leaf pages; beside each
// leaf page a reference page says which chunks hold the content of its regular
// files; inner pages lead to them. The package is pure: it encodes, decodes and
// compares, and reads no file system and no store itself.
package tree
