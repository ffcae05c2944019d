package check

import (
	"encoding/binary"
	"sync/atomic"

	"github.com/snapkeep/snap/pack"
)

// Lengths remembers how long chunks are, in 2 bytes a chunk: a Bloom filter (Bloom, Space/Time Trade-offs in Hash Coding with Allowable Errors,
// 1970). It never denies what it was told; of 2,000 other lengths it takes one for true. Its methods may be called by several goroutines.
type Lengths struct {
	words []uint64
}

const (
	bitsPerChunk   = 16
	bitsSet        = 11          // of each chunk: bitsPerChunk times ln 2
	minLengthWords = 1 << 20 / 8 // 1 MiB, in which a few chunks leave no room for chance
)

// NewLengths returns a Lengths for so many chunks.
func NewLengths(chunks int) *Lengths {
	return &Lengths{make([]uint64, max(chunks*bitsPerChunk/64, minLengthWords))}
}

// Add says that the chunk id has length bytes.
func (l *Lengths) Add(id pack.ChunkID, length int64) {
	at, step := bitsOf(id, length)
	for range bitsSet {
		bit := at % uint64(64*len(l.words))
		atomic.OrUint64(&l.words[bit/64], 1<<(bit%64))
		at += step
	}
}

// May reports whether the chunk id may have length bytes. It is false only if Add was not told so.
func (l *Lengths) May(id pack.ChunkID, length int64) bool {
	at, step := bitsOf(id, length)
	for range bitsSet {
		bit := at % uint64(64*len(l.words))
		if atomic.LoadUint64(&l.words[bit/64])&(1<<(bit%64)) == 0 {
			return false
		}
		at += step
	}
	return true
}

// bitsOf returns where the bits of a chunk of that length begin, and how far they are from each other. Ids are hashes.
func bitsOf(id pack.ChunkID, length int64) (at, step uint64) {
	n := uint64(length) * 0x9e3779b97f4a7c15
	n ^= n >> 32
	return binary.LittleEndian.Uint64(id[:]) + n*0xd6e8feb86659fd93, binary.LittleEndian.Uint64(id[8:]) + n | 1
}
