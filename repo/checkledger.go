package repo

import (
	"errors"
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
