package parity

import (
	"fmt"

	"github.com/snapkeep/snap/pack"
)

const (
	maxShard     = 64 << 10 // bytes of a shard of a large pack
	shardUnit    = 4 << 10  // shards are multiples of it
	stripeShards = 64       // data shards of a stripe, at most
	parityShards = 2        // of a stripe
)

// layout says how a pack is cut.
type layout struct {
	size    int64 // bytes of the pack
	shard   int   // bytes of a shard
	shards  int   // data shards
	stripes int
	width   int // data shards of a stripe
}

func layoutOf(size int64) (layout, error) {
	if size < 1 || size > pack.MaxPackSize {
		return layout{}, fmt.Errorf("%w: pack of %d bytes", ErrCorrupt, size)
	}
	l := layout{size: size, shard: maxShard}
	if size < maxShard*stripeShards {
		units := (size + stripeShards*shardUnit - 1) / (stripeShards * shardUnit)
		l.shard = int(units) * shardUnit
	}
	return l.cut(int((size + int64(l.shard) - 1) / int64(l.shard))), nil
}

// cut fills in what follows from the number of shards.
func (l layout) cut(shards int) layout {
	l.shards = shards
	l.stripes = (shards + stripeShards - 1) / stripeShards
	l.width = (shards + l.stripes - 1) / l.stripes
	return l
}

// bounds returns where the i-th data shard begins and ends in the pack.
func (l *layout) bounds(i int) (start, end int64) {
	start = int64(i) * int64(l.shard)
	return start, min(start+int64(l.shard), l.size)
}

func (l *layout) sums() int       { return l.shards + l.stripes*parityShards }
func (l *layout) headerSize() int { return headerFixed + 4*l.sums() + headerHash }
func (l *layout) parityAt(stripe, k int) int {
	return l.headerSize() + (stripe*parityShards+k)*l.shard
}
func (l *layout) fileSize() int { return 2*l.headerSize() + l.stripes*parityShards*l.shard }
