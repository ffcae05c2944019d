package repo

import (
	"context"
	"fmt"
	"io"
	"net/url"
	"path/filepath"
	"strings"
	"time"

	"github.com/snapkeep/snap/internal/store/local"
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

// OpenStore opens the store at a URL: a path, or file:///path.
func OpenStore(ctx context.Context, location string) (Store, error) {
	path, err := localPath(location)
	if err != nil {
		return nil, err
	}
	return local.Open(path, local.Options{})
}

// CreateStore makes and opens the store at a URL for a new repository. A folder that
// exists has to be empty.
func CreateStore(ctx context.Context, location string) (Store, error) {
	path, err := localPath(location)
	if err != nil {
		return nil, err
	}
	return local.Create(path, local.Options{})
}

func localPath(location string) (string, error) {
	if location == "" {
		return "", fmt.Errorf("no repository given")
	}
	scheme, rest, ok := strings.Cut(location, ":")
	if !ok || strings.ContainsAny(scheme, "/.") {
		return filepath.Abs(location)
	}
	if scheme != "file" && scheme != "local" {
		return "", fmt.Errorf("repository %q: unknown kind of store %q: want a path or file:///path", location, scheme)
	}
	if strings.HasPrefix(rest, "//") {
		u, err := url.Parse(location)
		if err != nil {
			return "", fmt.Errorf("repository %q: %w", location, err)
		}
		if u.Host != "" && u.Host != "localhost" {
			return "", fmt.Errorf("repository %q: a file URL names no host: write file:///path", location)
		}
		rest = u.Path
	}
	return filepath.Abs(rest)
}

// discard is a Store that writes nothing, for dry runs.
type discard struct{ Store }

func (discard) Create(ctx context.Context, name string, data io.Reader, size int64) error {
	_, err := io.Copy(io.Discard, data)
	return err
}

func (discard) Spool(ctx context.Context) (io.WriteCloser, func(ctx context.Context, name string) error, error) {
	return nopCloser{io.Discard}, func(context.Context, string) error { return nil }, nil
}

type nopCloser struct{ io.Writer }

func (nopCloser) Close() error { return nil }
