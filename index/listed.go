package index

import (
	"maps"
	"slices"

	"github.com/snapkeep/snap/pack"
)

// What a table lists never changes, so that it is gone through once for each choice of its index files, not whenever one comes to some other table: a
// run syncs once a source.

// choices of index files of which it is kept what they list.
const (
	listKnown = iota // those that are known
	listOld          // those of them that are not fresh
	listChoices
)

// memo is what some index files of a table list. It holds as long as the tables are there that have the rows.
type memo struct {
	wanted bitset            // the index files, by their number in the table
	found  map[*table]bitset // the packs that they list, by the table that holds them; nil before they were looked for
}

// holds reports whether the memo is about just these index files, and all its tables are among some.
func (m *memo) holds(wanted bitset, there map[*table]int) bool {
	if m.found == nil || !slices.Equal(m.wanted, wanted) {
		return false
	}
	for t := range m.found {
		if _, ok := there[t]; !ok {
			return false
		}
	}
	return true
}

// listed returns, by table, the packs that index files list which are wanted.
func (c *Cache) listed(choice int, wanted func(name pack.ID) bool) []bitset {
	there := make(map[*table]int, len(c.tables))
	found := make([]bitset, len(c.tables))
	for i, t := range c.tables {
		there[t.table] = i
		found[i] = newBitset(t.packCount())
	}
	for _, t := range c.tables {
		sources := t.sources(wanted)
		m := &t.memos[choice]
		if !m.holds(sources, there) {
			*m = memo{sources, listedBy(t.table, sources, c.tables)}
		}
		for holder, packs := range m.found {
			found[there[holder]].add(packs)
		}
	}
	return found
}

// sources returns the index files that are wanted.
func (t *table) sources(wanted func(name pack.ID) bool) bitset {
	b := newBitset(int(t.counts.sources))
	for i := range int(t.counts.sources) {
		if name, _, _ := t.source(i); wanted(name) {
			b.set(i)
		}
	}
	return b
}

// listedBy returns the packs that index files of t list, by the table that has their rows.
func listedBy(t *table, sources bitset, tables []*cached) map[*table]bitset {
	found := map[*table]bitset{}
	set := func(holder *table, number int) {
		if found[holder] == nil {
			found[holder] = newBitset(holder.packCount())
		}
		found[holder].set(number)
	}
	for i := range int(t.counts.sources) {
		if !sources.has(i) {
			continue
		}
		_, first, end := t.source(i)
		for j := first; j < end; j++ {
			number := t.listing(j)
			if t.counts.elsewhere == 0 {
				set(t, number)
				continue
			}
			p := t.pack(number)
			if !p.elsewhere {
				set(t, number)
				continue
			}
			for _, other := range tables {
				if n, ok := other.findPack(p.id); ok && !other.pack(n).elsewhere {
					set(other.table, n)
				}
			}
		}
	}
	return found
}

// wholes are the index files of a table all of whose packs some tables hold.
type wholes struct {
	whole   bitset
	all     bool                // each of them is
	holders map[*table]struct{} // other tables that hold packs of theirs
	among   []*table            // the tables that were looked through; nil before
}

// holds reports whether the answer is still right when these tables are there: those that hold the packs are, and if something was missing no other
// one has come.
func (w *wholes) holds(tables []*cached) bool {
	if w.among == nil {
		return false
	}
	there := make(map[*table]bool, len(tables))
	for _, t := range tables {
		there[t.table] = true
	}
	for t := range w.holders {
		if !there[t] {
			return false
		}
	}
	return w.all || slices.EqualFunc(w.among, tables, func(t *table, c *cached) bool { return t == c.table })
}

// lookForWholes finds the index files of t all of whose packs are in tables.
func lookForWholes(t *table, tables []*cached) wholes {
	w := wholes{whole: newBitset(int(t.counts.sources)), all: true, holders: map[*table]struct{}{}}
	for _, c := range tables {
		w.among = append(w.among, c.table)
	}
	for i := range int(t.counts.sources) {
		_, first, end := t.source(i)
		holders := map[*table]struct{}{}
		whole := true
		for j := first; j < end && whole && t.counts.elsewhere > 0; j++ {
			p := t.pack(t.listing(j))
			if !p.elsewhere {
				continue
			}
			h := holder(tables, p.id)
			if whole = h != nil; whole {
				holders[h.table] = struct{}{}
			}
		}
		if !whole {
			w.all = false
			continue
		}
		w.whole.set(i)
		maps.Copy(w.holders, holders)
	}
	return w
}

// complete returns the live index files all of whose packs the tables hold.
func complete(tables []*cached, live func(pack.ID) bool) map[pack.ID]bool {
	known := make(map[pack.ID]bool)
	for _, t := range tables {
		if !t.wholes.holds(tables) {
			t.wholes = lookForWholes(t.table, tables)
		}
		for i := range int(t.counts.sources) {
			if name, _, _ := t.source(i); t.wholes.whole.has(i) && live(name) {
				known[name] = true
			}
		}
	}
	return known
}

// holder returns the table that has the rows of a pack.
func holder(tables []*cached, id pack.ID) *cached {
	for _, t := range tables {
		if i, ok := t.findPack(id); ok && !t.pack(i).elsewhere {
			return t
		}
	}
	return nil
}
