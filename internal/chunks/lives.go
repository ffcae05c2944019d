package chunks

import (
	"github.com/snapkeep/snap/index"
	"github.com/snapkeep/snap/pack"
)

// Life says how long a chunk of file data is likely to be needed. Chunks of about one life share packs, so that these are given up as a whole and
// prune has less to copy: docs/decisions/0017-writers-apart-by-age.md. A wrong guess costs no more than copying.
type Life uint8

// The lives, from long to short.
const (
	LifeLong  Life = iota // or nobody knows: of small files, and of what replaces nothing
	LifeWeeks             // it replaces what was stored 5 to 20 days before
	LifeDays              // 2 to 4
	LifeDay               // a day, or less
	lives     = iota
)

// LifeOf returns the life of what replaces chunks that were stored so many days before, on average.
func LifeOf(days float64) Life {
	switch {
	case days < 1.5:
		return LifeDay
	case days < 4.5:
		return LifeDays
	case days < 20.5:
		return LifeWeeks
	}
	return LifeLong
}

// Age returns how many days ago a chunk was stored, or the pack into which it was copied last. ok says whether that is known here.
func (w *Writer) Age(id pack.ChunkID) (days int, ok bool) {
	l, ok := w.set.Lookup(id)
	if !ok || l.Stored == 0 {
		return 0, false
	}
	return max(0, int(index.DayOf(w.opts.Now()))-int(l.Stored)), true
}

// A pack for one life alone is begun when there are heldShare of a whole pack for it, or maxHeld bytes: so much is in memory for each life. What is less
// goes into the pack of a neighbour, so that a run that writes little makes no more files for it.
const (
	heldShare = 32
	maxHeld   = 1 << 20
)

// held are segments that wait for others of the same life.
type held struct {
	segments []sealedSegment
	bytes    int
}

// add keeps a copy of box.
func (h *held) add(s sealedSegment) {
	s.box = append([]byte(nil), s.box...)
	h.segments = append(h.segments, s)
	h.bytes += len(s.box)
}

// take returns what is held, which is held no longer.
func (h *held) take() held {
	all := *h
	*h = held{}
	return all
}

// least returns how many bytes of segments a pack has at least when it is begun. Metadata is of one life, as is what replaces nothing.
func (w *Writer) least(class pack.Class) int {
	if class != pack.ClassData || !w.opts.Replaces {
		return 0
	}
	return min(w.opts.PackSize/heldShare, maxHeld)
}

// join finds a pack for what the packers of file data hold, when nothing more is coming: that of the next longer life that has one or enough for one,
// together with what is held there, else that of the next shorter one. A run that has little for each life makes one pack.
func (w *Writer) join() error {
	var rest held
	to := w.packers[pack.ClassData][LifeLong]
	for life := lives - 1; life >= 0; life-- {
		p := w.packers[pack.ClassData][life]
		h := p.takeHeld()
		rest.segments, rest.bytes = append(rest.segments, h.segments...), rest.bytes+h.bytes
		if !p.isOpen() && rest.bytes < p.least {
			continue
		}
		to = p
		if err := p.addAll(rest.take()); err != nil {
			return err
		}
	}
	return to.addAll(rest)
}
