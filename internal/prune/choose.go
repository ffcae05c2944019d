package prune

import (
	"bytes"
	"cmp"
	"iter"
	"slices"
	"time"

	"github.com/snapkeep/snap/index"
	"github.com/snapkeep/snap/pack"
)

// Limits bound what Choose gives up or copies.
type Limits struct {
	MaxUnused float64 // share of the live bytes that may stay unused in packs that are partly live
	MaxRepack int64   // bytes of live segments to copy; negative for no bound
}

// Survey is what packs are used for. It is made by Look, and serves one goroutine.
type Survey struct {
	dead   []index.PackInfo
	partly []candidate
	small  map[pack.Class][]index.Usage
	// live and unused are the bytes of live segments, and of dead ones in packs that are partly live.
	live, unused int64
}

// candidate is a pack that is partly dead.
type candidate struct {
	index.Usage
	stays float64 // how long its live segments are needed in proportion to others, on average
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
	smallShare   = 128 // a small pack has less than this part of the size at which packs are ended
	manySmall    = 64
	tooManySmall = 1024 // then young ones are joined too

	// YoungLife is what daily snapshots live by the default policy, with their time in the trash: until then a small pack may be dead as a whole without
	// a copy, as most of what a day's backup writes of trees is.
	YoungLife = 14 * 24 * time.Hour
)

// Look sorts packs by what is to be done about them. Condemned packs are left out.
func Look(packs iter.Seq[index.Usage], packSize int64) *Survey {
	s := &Survey{small: map[pack.Class][]index.Usage{}}
	for u := range packs {
		s.live += u.LiveBytes
		switch {
		case u.LiveSegments == 0:
			s.dead = append(s.dead, u.PackInfo)
		case u.DeadBytes > 0:
			s.unused += u.DeadBytes
			s.partly = append(s.partly, candidate{u, 1})
		case u.Size < packSize/smallShare:
			s.small[u.Class] = append(s.small[u.Class], u)
		}
	}
	s.keepSmall(func(all []index.Usage) []index.Usage { return all })
	slices.SortFunc(s.dead, func(a, b index.PackInfo) int { return bytes.Compare(a.ID[:], b.ID[:]) })
	return s
}

// Spare leaves those small packs for later that are young, unless there are too many small ones. Without it all are joined.
func (s *Survey) Spare(isYoung func(id pack.ID) bool) {
	s.keepSmall(func(all []index.Usage) []index.Usage {
		if len(all) >= tooManySmall {
			return all
		}
		return slices.DeleteFunc(all, func(u index.Usage) bool { return isYoung(u.ID) })
	})
}

// keepSmall keeps some of the small packs of each class, and none of a class in which these are few.
func (s *Survey) keepSmall(some func(all []index.Usage) []index.Usage) {
	for class, all := range s.small {
		if s.small[class] = some(all); len(s.small[class]) < manySmall {
			delete(s.small, class)
		}
	}
}

// Copies reports whether Choose would have something copied.
func (s *Survey) Copies(l Limits) bool { return l.MaxRepack != 0 && (s.exceeds(l) || len(s.small) > 0) }

func (s *Survey) exceeds(l Limits) bool {
	return s.unused > 0 && float64(s.unused) > l.MaxUnused*float64(s.live)
}

// Weigh learns how long the live segments of packs that are partly dead are needed: see Lives.Stays. Without it all count alike.
func (s *Survey) Weigh(stays func(id pack.ID) float64) {
	for i := range s.partly {
		s.partly[i].stays = stays(s.partly[i].ID)
	}
}

// Choose decides which packs go. Of the packs that are partly dead those go first of which most is dead for each live byte that has to be copied,
// and those whose live segments are needed long before those that will be dead soon without a copy, until what stays unused is within the limit.
func (s *Survey) Choose(l Limits) Plan {
	p := Plan{Dead: s.dead, Live: s.live, Unused: s.unused}
	slices.SortFunc(s.partly, func(a, b candidate) int {
		return cmp.Or(cmp.Compare(b.gain(), a.gain()), bytes.Compare(a.ID[:], b.ID[:]))
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
	for _, c := range s.partly {
		if float64(p.Unused) <= l.MaxUnused*float64(p.Live) {
			break
		}
		if !take(c.Usage) {
			p.Unfinished = true
		}
	}
	for class := pack.ClassData; class <= pack.ClassMeta; class++ {
		for _, u := range s.small[class] {
			take(u)
		}
	}
	return p
}

// gain is what a copy of the pack frees, in bytes times how long these would stay otherwise, for a byte that is copied.
func (c *candidate) gain() float64 { return float64(c.DeadBytes) * c.stays / float64(c.LiveBytes) }
