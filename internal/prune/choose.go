package prune

import (
	"bytes"
	"cmp"
	"iter"
	"slices"

	"github.com/snapkeep/snap/index"
	"github.com/snapkeep/snap/pack"
)

// Limits bound what Choose gives up or copies.
type Limits struct {
	MaxUnused float64 // share of the live bytes that may stay unused in packs that are partly live
	MaxRepack int64   // bytes of live segments to copy; negative for no bound
	PackSize  int64   // bytes at which packs are ended
}

// Plan is what Choose decided.
type Plan struct {
	Dead   []index.PackInfo // packs without a live segment
	Repack []index.Usage    // packs whose live segments are to be copied, the best first
	// Live and Unused are the bytes of live segments, and of dead ones in packs that stay.
	Live, Unused int64
	// Unfinished says that MaxRepack was reached before MaxUnused was.
	Unfinished bool
}

// Packs that are much smaller than others are joined when there are many.
const (
	smallShare = 128 // a small pack has less than this part of the size at which packs are ended
	manySmall  = 64
)

// Choose decides which packs go. Condemned packs are left out. Of the packs that are partly dead those with the highest
// dead share go first, until what stays unused is within the limit.
func Choose(packs iter.Seq[index.Usage], l Limits) Plan {
	var p Plan
	var partly []index.Usage
	small := map[pack.Class][]index.Usage{}
	for u := range packs {
		p.Live += u.LiveBytes
		switch {
		case u.LiveSegments == 0:
			p.Dead = append(p.Dead, u.PackInfo)
		case u.DeadBytes > 0:
			p.Unused += u.DeadBytes
			partly = append(partly, u)
		case u.Size < l.PackSize/smallShare:
			small[u.Class] = append(small[u.Class], u)
		}
	}
	slices.SortFunc(partly, func(a, b index.Usage) int {
		return cmp.Or(cmp.Compare(deadShare(b), deadShare(a)), bytes.Compare(a.ID[:], b.ID[:]))
	})
	left := l.MaxRepack
	take := func(u index.Usage) bool {
		if l.MaxRepack >= 0 {
			if left < u.LiveBytes {
				return false
			}
			left -= u.LiveBytes
		}
		p.Repack = append(p.Repack, u)
		p.Unused -= u.DeadBytes
		return true
	}
	for _, u := range partly {
		if float64(p.Unused) <= l.MaxUnused*float64(p.Live) {
			break
		}
		if !take(u) {
			p.Unfinished = true
		}
	}
	for class := pack.ClassData; class <= pack.ClassMeta; class++ {
		if len(small[class]) < manySmall {
			continue
		}
		for _, u := range small[class] {
			take(u)
		}
	}
	slices.SortFunc(p.Dead, func(a, b index.PackInfo) int { return bytes.Compare(a.ID[:], b.ID[:]) })
	return p
}

func deadShare(u index.Usage) float64 {
	return float64(u.DeadBytes) / float64(u.DeadBytes+u.LiveBytes)
}
