package target

import (
	"errors"
	"fmt"
)

// Errors of a target. What the operating system reports is passed on, so that
// errors.Is(err, fs.ErrExist) and the like work too.
var (
	// ErrName says that a name cannot be that of a file: it is empty, "." or "..",
	// or holds a slash or a NUL.
	ErrName = errors.New("impossible name")

	// ErrLink says that a folder on the way is a symbolic link, or leads out of
	// the target.
	ErrLink = errors.New("symbolic link on the way")

	// ErrShared says that a file is not changed in place, because it has more than
	// one name or is no regular file.
	ErrShared = errors.New("not a regular file of one name")

	// ErrHeld says that flags of a file or folder that was there before, immutable or append-only, keep it from being changed. They are taken off only
	// where the snapshot has such flags too.
	ErrHeld = errors.New("it is immutable or append-only there (see lsattr)")

	// ErrMount says that something is not removed, because another file system is mounted
	// on it or below.
	ErrMount = errors.New("mount point")
)

// Attribute is a part of the metadata of a file.
type Attribute string

// The attributes.
const (
	Owner Attribute = "owner"
	Mode  Attribute = "mode"
	Xattr Attribute = "extended attribute"
	Times Attribute = "times"
	Flags Attribute = "inode flags"
)

// AttributeError says that an attribute of a file could not be set.
type AttributeError struct {
	Path      string // in the target, raw bytes
	Attribute Attribute
	Name      string // of an extended attribute
	Err       error
}

func (e *AttributeError) Error() string {
	if e.Name != "" {
		return fmt.Sprintf("%q: set %s %q: %v", e.Path, e.Attribute, e.Name, e.Err)
	}
	return fmt.Sprintf("%q: set %s: %v", e.Path, e.Attribute, e.Err)
}

// Unwrap returns the reason.
func (e *AttributeError) Unwrap() error { return e.Err }
