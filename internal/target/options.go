package target

import "github.com/snapkeep/snap/internal/tree"

// Options say how a target is written. The zero value restores everything and reports all
// that cannot be set.
type Options struct {
	// Owner returns the owner to give to e; nil means the numbers in e.
	Owner func(e *tree.Entry) (uid, gid uint32)

	// NoOwners leaves files to whoever runs the restore.
	NoOwners bool

	// ForgiveOwners tries to set owners but does not report that it may not.
	ForgiveOwners bool

	// NoXattrs sets no extended attributes.
	NoXattrs bool

	// NoFlags sets no inode flags.
	NoFlags bool

	// MaxDirs bounds how many folders are kept open; 0 means 256.
	MaxDirs int
}

const defaultMaxDirs = 256

func (o Options) withDefaults() Options {
	if o.MaxDirs <= 0 {
		o.MaxDirs = defaultMaxDirs
	}
	return o
}
