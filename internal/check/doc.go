// Package check looks for damage in packs and trees. It only reads.
//
// A PackReader reads a pack from front to back, once: its plain hash against its name, its
// directory against the index, each segment and each chunk. Trees looks at the pages of
// trees, each once however many trees share it, and tells which files of a tree damage reaches.
//
// What stands in a repository beside packs and trees, and what to make of damage, is left to
// package repo.
package check
