package parity

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/snapkeep/snap/pack"
	"github.com/zeebo/blake3"
)

// Errors of this package.
var (
	// ErrCorrupt says that a parity file is damaged.
	ErrCorrupt = errors.New("corrupt parity file")
	// ErrNewer says that a parity file is of a later version of the format.
	ErrNewer = errors.New("parity file of a newer format version")
	// ErrTooMuch says that more of a pack is damaged than parity can mend.
	ErrTooMuch = errors.New("too much of the pack is damaged")
)

// The header stands at both ends of the file.
//
//	 0 magic "snapprty"   8 version u16   10 parity shards u16   12 shard u32   16 size u64
//	24 name of the pack, 32   56 stripes u32   60 data shards of a stripe u32
//	64 CRC-32C of each data shard, then of each parity shard, u32   … 16 bytes of hash(before)
const (
	magic         = "snapprty"
	formatVersion = 1
	headerFixed   = 64
	headerHash    = 16
)

// MaxFileSize bounds a parity file, in bytes.
const MaxFileSize = pack.MaxPackSize/stripeShards*parityShards + 2<<20

func appendHeader(dst []byte, l *layout, name pack.ID, sums []uint32) []byte {
	start := len(dst)
	dst = append(dst, magic...)
	dst = binary.LittleEndian.AppendUint16(dst, formatVersion)
	dst = binary.LittleEndian.AppendUint16(dst, parityShards)
	dst = binary.LittleEndian.AppendUint32(dst, uint32(l.shard))
	dst = binary.LittleEndian.AppendUint64(dst, uint64(l.size))
	dst = append(dst, name[:]...)
	dst = binary.LittleEndian.AppendUint32(dst, uint32(l.stripes))
	dst = binary.LittleEndian.AppendUint32(dst, uint32(l.width))
	for _, s := range sums {
		dst = binary.LittleEndian.AppendUint32(dst, s)
	}
	hash := blake3.Sum256(dst[start:])
	return append(dst, hash[:headerHash]...)
}

// decodeHeader reads the header that b begins with.
func decodeHeader(b []byte) (l layout, name pack.ID, sums []uint32, err error) {
	if len(b) < headerFixed || string(b[:8]) != magic {
		return l, name, nil, fmt.Errorf("%w: no header", ErrCorrupt)
	}
	if v := binary.LittleEndian.Uint16(b[8:]); v > formatVersion {
		return l, name, nil, fmt.Errorf("%w: version %d", ErrNewer, v)
	}
	if l, err = layoutOf(int64(min(binary.LittleEndian.Uint64(b[16:]), pack.MaxPackSize+1))); err != nil {
		return l, name, nil, err
	}
	if len(b) < l.headerSize() {
		return l, name, nil, fmt.Errorf("%w: cut off", ErrCorrupt)
	}
	copy(name[:], b[24:])
	sums = make([]uint32, l.sums())
	for i := range sums {
		sums[i] = binary.LittleEndian.Uint32(b[headerFixed+4*i:])
	}
	// The rest follows from what was read.
	if !bytes.Equal(appendHeader(nil, &l, name, sums), b[:l.headerSize()]) {
		return l, name, nil, fmt.Errorf("%w: header", ErrCorrupt)
	}
	return l, name, sums, nil
}

// findHeader reads the header at the end of a file whose first one is damaged. The length of the file tells which
// layouts it may have.
func findHeader(data []byte) (l layout, name pack.ID, sums []uint32, err error) {
	err = fmt.Errorf("%w: no header", ErrCorrupt)
	for shard := shardUnit; shard <= maxShard; shard += shardUnit {
		most := stripeShards
		if shard == maxShard {
			most = pack.MaxPackSize / maxShard
		}
		for shards := 1; shards <= most; shards++ {
			guess := layout{shard: shard}.cut(shards)
			if guess.fileSize() != len(data) {
				continue
			}
			if l, name, sums, err = decodeHeader(data[len(data)-guess.headerSize():]); err == nil {
				return l, name, sums, nil
			}
		}
	}
	return l, name, nil, err
}
