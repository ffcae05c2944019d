// Package torturetest makes a tree of all that backup tools lose, and judges a copy of
// it.
//
// Build makes the tree: names, depths, modes, owners, links, devices, times, holes,
// attributes, ACLs, capabilities and inode flags of every kind, in one folder for each class.
// Manifest writes down everything about a tree, by system calls of its own, so
// that no error of the code under test can hide in it. Diff compares two manifests.
// Clear takes off the flags that keep a tree from being removed.
//
// It runs on Linux; most classes need root.
package torturetest
