package chunks

import (
	"context"
	"errors"
	"io"
	"time"

	"github.com/snapkeep/snap/internal/seal"
	"github.com/snapkeep/snap/pack"
)

// Store is what this package needs of a store.
type Store interface {
	Create(ctx context.Context, name string, data io.Reader, size int64) error
	ReadAt(ctx context.Context, name string, p []byte, off int64) (int, error)
	Stat(ctx context.Context, name string) (size int64, modTime time.Time, err error)
}

// metaSpooler is a Store that takes a pack of metadata otherwise, because it is read again.
type metaSpooler interface {
	SpoolMeta(ctx context.Context) (io.WriteCloser, func(ctx context.Context, name string) error, error)
}

// spooler is a Store that takes a file before its name is known.
type spooler interface {
	Spool(ctx context.Context) (io.WriteCloser, func(ctx context.Context, name string) error, error)
}

// Keys are the secrets that chunks are named and sealed with.
type Keys struct {
	Repository [16]byte
	ChunkIDs   pack.IDKey
	Metadata   *seal.Key

	// Content returns the content key of that id, to open file data with.
	Content func(ctx context.Context, id seal.KeyID) (*seal.Key, error)
	// NewContent makes and stores a content key for a run; it is called at most once a
	// Writer, before the first file data is sealed.
	NewContent func(ctx context.Context) (*seal.Key, error)
}

// Errors of this package, beside those of package pack and of the store.
var (
	// ErrMissing says that no index row names a chunk.
	ErrMissing = errors.New("chunk is in no pack")
	// ErrVerify says that a segment did not come back as it was, before it was
	// written: bad memory or a fault in the compressor.
	ErrVerify = errors.New("a sealed segment does not open to what was sealed")
)
