package storetest

import (
	"context"
	"io"
	"time"
)

// Store keeps whole immutable files by name. Names are slash-separated
// segments of lower-case ASCII letters, digits, '.', '_' and '-', none of them
// empty, "." or "..", at most 200 bytes in all. All methods may be called
// concurrently. Errors wrap fs.ErrNotExist, fs.ErrExist and the like, so that
// errors.Is works on them.
type Store interface {
	// Create stores size bytes of data under a name that must not exist. The
	// file is durable when Create returns nil. The error is fs.ErrExist if the
	// name is taken. Nothing is visible under the name on error. Data that
	// ends before or goes on after size bytes is an error.
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
	// the clock of the storage. The error is fs.ErrNotExist if there is none.
	Stat(ctx context.Context, name string) (size int64, modTime time.Time, err error)

	// Close releases what the store holds open.
	Close() error
}

// Spooler is an optional ability of a Store: to write a file before its name
// is known.
type Spooler interface {
	// Spool starts a file that is visible under no name. The function commit
	// makes it durable under a name (fs.ErrExist if that is taken) and ends
	// it. Close without commit drops it; Close after commit does nothing.
	Spool(ctx context.Context) (w io.WriteCloser, commit func(ctx context.Context, name string) error, err error)
}
