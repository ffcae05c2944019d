// Package iofs is a source that reads any fs.FS: an embedded or a zip file system, or
// os.DirFS where package local does not run. It keeps less than local does: no
// owners, attributes and hard links, and no holes.
//
// A file system that implements fs.ReadLinkFS has symbolic links; in any other one
// they are left out and reported as problems.
package iofs
