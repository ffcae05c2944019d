package repo

import (
	"cmp"
	"errors"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/snapkeep/snap/index"
	"github.com/snapkeep/snap/pack"
)

// errNoLedger says that a check is to go by ages that nobody has noted.
var errNoLedger = errors.New("a greatest age needs a ledger")

// due returns those of the packs that are to be read, in the order in which that is to be done.
func (c *checking) due(chosen []index.PackInfo) []index.PackInfo {
	if c.o.Ledger == nil || c.o.MaxAge == 0 && c.o.MaxDuration == 0 {
		return chosen
	}
	return c.o.Ledger.due(chosen, c.r.now(), c.o.MaxAge, c.opens())
}

// opens reports whether this check opens file data.
func (c *checking) opens() bool { return c.r.secrets.Role() == RoleFull }

// late reports whether no more packs are to be read.
func (c *checking) late() bool {
	return c.o.MaxDuration > 0 && time.Since(c.begin) >= c.o.MaxDuration
}

// remember notes what reading a pack has shown.
func (c *checking) remember(p index.PackInfo, err error) {
	if c.o.Ledger == nil {
		return
	}
	v := hashesMatch
	switch {
	case err != nil:
		v = foundDamaged
	case c.opens():
		v = dataOpened
	}
	c.o.Ledger.note(p.ID, c.r.now(), v)
}

// cover sums up what is verified.
func (c *checking) cover() {
	if c.o.Ledger == nil {
		return
	}
	c.o.Ledger.forget(func(id pack.ID) bool {
		_, ok := c.r.set.Pack(id)
		return ok
	})
	c.result.Coverage = c.o.Ledger.coverage(c.r.set, c.r.now(), c.o.MaxAge, c.opens())
}

// dueShare is the part of the greatest age after which a pack is read again: what remains is time for runs that are cut short.
const dueShare = 0.75

// due returns those of the packs that are to be read, longest ago first, those never read before all others and in no order. Without a greatest
// age these are all but condemned ones.
func (l *Ledger) due(packs []index.PackInfo, now time.Time, maxAge time.Duration, opened bool) []index.PackInfo {
	type waiting struct {
		index.PackInfo
		at int64
	}
	var list []waiting
	before := now.Add(-time.Duration(float64(maxAge) * dueShare)).Unix()
	for _, p := range packs {
		at := l.last(p.ID, opened, now)
		if !p.Condemned && (maxAge == 0 || at == 0 || at <= before) {
			list = append(list, waiting{p, at})
		}
	}
	rand.Shuffle(len(list), func(i, k int) { list[i], list[k] = list[k], list[i] })
	slices.SortStableFunc(list, func(a, b waiting) int { return cmp.Compare(a.at, b.at) })
	out := make([]index.PackInfo, len(list))
	for i, w := range list {
		out[i] = w.PackInfo
	}
	return out
}

// Coverage says how much of a repository a ledger knows to be verified.
type Coverage struct {
	MaxAge time.Duration // of what counts as verified; 0 for any age
	Opened bool          // only reads that opened file data count
	Packs  int           // without condemned ones
	Bytes  int64

	Verified      int
	VerifiedBytes int64
	Never         int       // packs that were never verified
	Oldest        time.Time // when the pack was verified whose turn is longest ago; zero if none ever was
}

// coverage sums up what the ledger has of the packs of an index.
func (l *Ledger) coverage(set *index.Set, now time.Time, maxAge time.Duration, opened bool) *Coverage {
	c := &Coverage{MaxAge: maxAge, Opened: opened}
	oldest := int64(0)
	for p := range set.Packs() {
		if p.Condemned {
			continue
		}
		c.Packs++
		c.Bytes += p.Size
		at := l.last(p.ID, opened, now)
		if at == 0 {
			c.Never++
			continue
		}
		if oldest == 0 || at < oldest {
			oldest = at
		}
		if maxAge == 0 || at >= now.Add(-maxAge).Unix() {
			c.Verified++
			c.VerifiedBytes += p.Size
		}
	}
	if oldest != 0 {
		c.Oldest = time.Unix(oldest, 0)
	}
	return c
}
