package store

import (
	"context"
	"errors"
	"io"
	"time"
)

// ErrArchived says that a file is kept where nobody can read it at once: it has to be brought from there first.
var ErrArchived = errors.New("it is kept in an archive, and has to be brought from there before it can be read")

// Store keeps whole immutable files by name. All methods may be called
// concurrently. Errors wrap fs.ErrNotExist, fs.ErrExist, fs.ErrPermission,
// syscall.ENOSPC and the like, so that errors.Is works on them.
type Store interface {
	// Create stores size bytes of data under a name that must not exist. The
	// file is durable when Create returns nil. The error is fs.ErrExist if the
	// name is taken. Nothing is visible under the name on error.
	Create(ctx context.Context, name string, data io.Reader, size int64) error

	// ReadAt reads len(p) bytes at offset off by the rules of io.ReaderAt:
	// n < len(p) only with an error, io.EOF at the end of the file.
	// The error is fs.ErrNotExist if there is no such file.
	ReadAt(ctx context.Context, name string, p []byte, off int64) (n int, err error)

	// List calls fn for each file whose name begins with prefix, in no order.
	// An error of fn ends the listing and is returned as it is.
	List(ctx context.Context, prefix string, fn func(name string, size int64, modTime time.Time) error) error

	// Remove removes a file. The error is fs.ErrNotExist if there is none.
	Remove(ctx context.Context, name string) error

	// Stat returns the size of a file and the time at which it was stored, by
	// the clock of the storage.
	Stat(ctx context.Context, name string) (size int64, modTime time.Time, err error)

	// Close releases what the store holds open.
	Close() error
}

// Spooler is an optional ability of a Store, found by type assertion: to write
// a file before its name is known, as for a pack that is named by its hash.
type Spooler interface {
	// Spool starts a file that is visible under no name. The function commit
	// makes it durable under a name (fs.ErrExist if that is taken) and ends
	// it. Close without commit drops it; Close after commit does nothing. The
	// writer and commit belong to one goroutine at a time.
	Spool(ctx context.Context) (w io.WriteCloser, commit func(ctx context.Context, name string) error, err error)
}
