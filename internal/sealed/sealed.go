// Package sealed stores and loads records: small files, each one sealed box, named by
// the hash of its bytes (docs/format.md sections 2 and 5).
package sealed

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"time"

	"github.com/snapkeep/snap/internal/compress"
	"github.com/snapkeep/snap/internal/record"
	"github.com/snapkeep/snap/internal/seal"
	"github.com/snapkeep/snap/pack"
)

// Store is what this package needs of a store.
type Store interface {
	Create(ctx context.Context, name string, data io.Reader, size int64) error
	ReadAt(ctx context.Context, name string, p []byte, off int64) (int, error)
	Stat(ctx context.Context, name string) (size int64, modTime time.Time, err error)
}

// ErrCorrupt says that a record is damaged: its bytes do not match its name, or it is
// not authentic.
var ErrCorrupt = errors.New("corrupt record")

// Kind is one kind of record.
type Kind struct {
	Box    byte   // kind of its box
	Prefix string // of its names, with a slash at the end
	Limit  int    // bytes of its body
}

// The kinds of records (docs/format.md sections 7 to 12).
var (
	Index    = Kind{seal.KindIndex, "index/", 256 << 20}
	Snapshot = Kind{seal.KindSnapshot, "snapshots/", 4 << 20}
	Trash    = Kind{seal.KindSnapshot, "trash/", 4 << 20}
	Pending  = Kind{seal.KindSnapshot, "pending/", 4 << 20}
	Label    = Kind{seal.KindLabel, "labels/", 4 << 20}
	Prune    = Kind{seal.KindPrune, "prune/", 64 << 20}
	Log      = Kind{seal.KindLog, "log/", 4 << 20}
	Settings = Kind{seal.KindSettings, "settings/", 4 << 20}
	Session  = Kind{seal.KindSession, "sessions/", 64 << 10}
)

// MaxFile returns how long a file of the kind is at most, in bytes.
func (k Kind) MaxFile() int64 {
	if k.Box == seal.KindIndex {
		return 64 << 20 // and its body four times as much
	}
	return int64(k.Limit) + 1024
}

// Records stores and loads the records of one repository. It is safe for concurrent
// use.
type Records struct {
	store  Store
	key    *seal.Key
	codec  *record.Codec
	second Store // nil for none
}

// Fallback makes Load look into second for records that are damaged. Call it before Load.
func (r *Records) Fallback(second Store) { r.second = second }

// New returns the Records in store, sealed with the metadata key.
func New(store Store, key *seal.Key) *Records {
	codec, err := record.NewCodec(compress.Default)
	if err != nil {
		panic("sealed: internal error: " + err.Error()) // only an unknown level fails
	}
	return &Records{store: store, key: key, codec: codec}
}

// Seal returns the file that holds body, and its name's ID.
func (r *Records) Seal(k Kind, body []byte) (pack.ID, []byte, error) {
	if len(body) > k.Limit {
		return pack.ID{}, nil, fmt.Errorf("record of %d bytes in %s is over the limit of %d", len(body), k.Prefix, k.Limit)
	}
	box, err := r.key.Seal(nil, k.Box, r.codec.Pack(nil, body))
	if err != nil {
		return pack.ID{}, nil, err
	}
	if int64(len(box)) > k.MaxFile() {
		return pack.ID{}, nil, fmt.Errorf("file of %d bytes in %s is over the limit of %d", len(box), k.Prefix, k.MaxFile())
	}
	return pack.SumID(box), box, nil
}

// Save seals body and stores it. What it wrote opens to body again, or it fails.
func (r *Records) Save(ctx context.Context, k Kind, body []byte) (pack.ID, error) {
	id, file, err := r.Seal(k, body)
	if err != nil {
		return pack.ID{}, err
	}
	if back, err := r.Open(k, id, file); err != nil || !bytes.Equal(back, body) {
		return pack.ID{}, fmt.Errorf("record in %s does not open to what was sealed", k.Prefix)
	}
	err = r.store.Create(ctx, k.Prefix+id.String(), bytes.NewReader(file), int64(len(file)))
	return id, err
}

// Open opens a file that was read under the name of id.
func (r *Records) Open(k Kind, id pack.ID, file []byte) ([]byte, error) {
	if pack.SumID(file) != id {
		return nil, fmt.Errorf("%w: bytes do not match the name", ErrCorrupt)
	}
	return r.OpenAny(k, file)
}

// OpenAny opens a file whose name says nothing about its bytes.
func (r *Records) OpenAny(k Kind, file []byte) ([]byte, error) {
	if int64(len(file)) > k.MaxFile() {
		return nil, fmt.Errorf("%w: %d bytes are over the limit of %d", ErrCorrupt, len(file), k.MaxFile())
	}
	plain, err := r.key.Open(nil, k.Box, file)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	body, err := r.codec.Unpack(plain, k.Limit)
	if errors.Is(err, record.ErrCorrupt) {
		return nil, fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	return body, err
}

// Load reads and opens the record id, or what the fallback has of it if it is damaged.
func (r *Records) Load(ctx context.Context, k Kind, id pack.ID) ([]byte, error) {
	body, err := r.load(ctx, r.store, k, id)
	if err == nil || r.second == nil || ctx.Err() != nil || errors.Is(err, fs.ErrNotExist) {
		return body, err
	}
	if second, err := r.load(ctx, r.second, k, id); err == nil {
		return second, nil
	}
	return nil, err
}

func (r *Records) load(ctx context.Context, store Store, k Kind, id pack.ID) ([]byte, error) {
	name := k.Prefix + id.String()
	first := int64(firstRead)
	if k == Index {
		first = firstReadIndex
	}
	file, err := readFile(ctx, store, name, k.MaxFile(), first)
	if err != nil {
		return nil, err
	}
	body, err := r.Open(k, id, file)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return body, nil
}

// How much of a file is read before its size is asked for. Most records are smaller.
const (
	firstRead      = 16 << 10
	firstReadIndex = 1 << 20
)

// ReadFile reads a whole file of at most limit bytes. A small one takes one operation of the store.
func ReadFile(ctx context.Context, store Store, name string, limit int64) ([]byte, error) {
	return readFile(ctx, store, name, limit, firstRead)
}

// ReadIndexFile is ReadFile for an index file, which is larger than others.
func ReadIndexFile(ctx context.Context, store Store, name string, limit int64) ([]byte, error) {
	return readFile(ctx, store, name, limit, firstReadIndex)
}

// readFile is ReadFile that begins with a range of first bytes.
func readFile(ctx context.Context, store Store, name string, limit, first int64) ([]byte, error) {
	data := make([]byte, min(limit+1, first))
	n, err := store.ReadAt(ctx, name, data, 0)
	switch {
	case err == nil && n == len(data) && int64(n) <= limit:
		return readLarge(ctx, store, name, limit, data)
	case err == nil && n == len(data):
		return nil, fmt.Errorf("%s: %w: it is over the limit of %d bytes", name, ErrCorrupt, limit)
	case errors.Is(err, io.EOF) && int64(n) > limit:
		return nil, fmt.Errorf("%s: %w: %d bytes are over the limit of %d", name, ErrCorrupt, n, limit)
	case errors.Is(err, io.EOF):
		return data[:n:n], nil
	case err == nil:
		return nil, fmt.Errorf("%s: %w: cut off", name, ErrCorrupt)
	}
	return nil, notExist(name, err)
}

func notExist(name string, err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s: %w", name, fs.ErrNotExist)
	}
	return err
}

// readLarge reads what comes behind the start of a file.
func readLarge(ctx context.Context, store Store, name string, limit int64, start []byte) ([]byte, error) {
	size, _, err := store.Stat(ctx, name)
	if err != nil {
		return nil, err
	}
	if size > limit {
		return nil, fmt.Errorf("%s: %w: %d bytes are over the limit of %d", name, ErrCorrupt, size, limit)
	}
	if size <= int64(len(start)) {
		return start[:size:size], nil
	}
	data := append(make([]byte, 0, size), start...)[:size]
	n, err := store.ReadAt(ctx, name, data[len(start):], int64(len(start)))
	if n == len(data)-len(start) {
		return data, nil
	}
	if err == nil || errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("%s: %w: cut off", name, ErrCorrupt)
	}
	return nil, notExist(name, err)
}
