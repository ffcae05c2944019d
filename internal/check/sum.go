package check

import (
	"context"

	"github.com/snapkeep/snap/pack"
	"github.com/zeebo/blake3"
)

// Hasher computes plain hashes of files. It serves one goroutine.
type Hasher struct {
	store  Store
	hash   *blake3.Hasher
	buffer [readSize]byte
	head   [8]byte
}

// Head returns the first bytes of the file that Sum has read last.
func (h *Hasher) Head() [8]byte { return h.head }

// NewHasher returns a Hasher of files in store.
func NewHasher(store Store) *Hasher { return &Hasher{store: store, hash: blake3.New()} }

// Sum returns the plain hash of the file of that name and size, which it reads in one go, and how much
// it read. The error wraps pack.ErrCorrupt if the file is shorter.
func (h *Hasher) Sum(ctx context.Context, name string, size int64) (sum pack.ID, read int64, err error) {
	file := &storeFile{ctx: ctx, store: h.store, name: name}
	h.hash.Reset()
	for off := int64(0); off < size; {
		p := h.buffer[:min(size-off, readSize)]
		if err := file.full(p, off); err != nil {
			return sum, file.read, err
		}
		if off == 0 {
			copy(h.head[:], p)
		}
		h.hash.Write(p)
		off += int64(len(p))
	}
	h.hash.Sum(sum[:0])
	return sum, file.read, nil
}
