package repo

import (
	"context"
	"io"
	"time"
)

// Store keeps whole immutable files by name. Names are segments of lower-case letters,
// digits, dots, dashes and underscores, joined by slashes. Package storetest tests an
// implementation. All methods may be called concurrently, and errors must satisfy
// errors.Is with fs.ErrNotExist and fs.ErrExist where these fit.
type Store interface {
	// Create stores size bytes of data under a name that must not exist. The file is
	// durable when Create returns nil. Otherwise nothing is visible under the name.
	Create(ctx context.Context, name string, data io.Reader, size int64) error
	// ReadAt reads like io.ReaderAt.
	ReadAt(ctx context.Context, name string, p []byte, off int64) (n int, err error)
	// List calls fn for each file whose name begins with prefix, in no order. fn's
	// error ends it and is returned.
	List(ctx context.Context, prefix string, fn func(name string, size int64, modTime time.Time) error) error
	// Remove removes a file.
	Remove(ctx context.Context, name string) error
	// Stat returns a file's size and the time, by the storage's clock, when it was made.
	Stat(ctx context.Context, name string) (size int64, modTime time.Time, err error)
	// Close releases the store.
	Close() error
}

// Spooler is a Store that can take a file before its name is known. Packs are named by
// their hash; without a Spooler they are collected in memory.
type Spooler interface {
	// Spool starts a file that is visible under no name. commit makes it durable under
	// one, as Create does. Close without commit drops it.
	Spool(ctx context.Context) (w io.WriteCloser, commit func(ctx context.Context, name string) error, err error)
}

// discard is a Store that writes nothing, for dry runs.
type discard struct{ Store }

func (discard) Create(ctx context.Context, name string, data io.Reader, size int64) error {
	_, err := io.Copy(io.Discard, data)
	return err
}

// Stat says that a file is there: it is asked for what was created.
func (discard) Stat(context.Context, string) (int64, time.Time, error) { return 0, time.Time{}, nil }

func (discard) Spool(ctx context.Context) (io.WriteCloser, func(ctx context.Context, name string) error, error) {
	return nopCloser{io.Discard}, func(context.Context, string) error { return nil }, nil
}

type nopCloser struct{ io.Writer }

func (nopCloser) Close() error { return nil }
