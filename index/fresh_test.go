package index

import (
	"maps"
	"testing"

	"github.com/snapkeep/snap/pack"
)

// TestFreshPacksAreThoseOfFreshFilesAlone compares what a Set says of each pack with the lists of the index files, while these come, are
// merged and go, and age.
func TestFreshPacksAreThoseOfFreshFilesAlone(t *testing.T) {
	t.Parallel()
	seen := map[bool]int{}
	for seed := range uint64(4) {
		r := newRepository(seed, 300)
		c := OpenCache(t.TempDir())
		defer c.Close()
		old := map[pack.ID]bool{}
		c.SetFresh(func(name pack.ID) bool { return !old[name] })
		for range 25 {
			for _, name := range r.names() {
				if r.rng.IntN(3) == 0 {
					old[name] = true
				}
			}
			r.change()
			r.sync(t, c)
			r.check(t, c.Set())
			fresh := map[pack.ID]bool{}
			for name, packs := range r.lists {
				for _, p := range packs {
					if was, ok := fresh[p.ID]; !ok || was {
						fresh[p.ID] = !old[name]
					}
				}
			}
			for id, l := range c.Set().Rows() {
				if want := fresh[l.Pack]; l.Fresh != want {
					t.Fatalf("chunk %s in pack %s: fresh is %v", id, l.Pack, l.Fresh)
				}
				seen[l.Fresh]++
			}
			checkListings(t, r, c)
		}
		checkAdded(t, r, c, old)
	}
	if seen[true] == 0 || seen[false] == 0 {
		t.Errorf("rows seen, by whether they are fresh: %v", seen)
	}
}

// checkListings compares what a Cache says of some index files with their lists.
func checkListings(t *testing.T, r *repository, c *Cache) {
	t.Helper()
	wanted := map[pack.ID]map[pack.ID]bool{}
	for name, packs := range r.lists {
		if name[0]%2 == 0 && len(packs) > 0 {
			wanted[name] = map[pack.ID]bool{}
			for _, p := range packs {
				wanted[name][p.ID] = true
			}
		}
	}
	got := map[pack.ID]map[pack.ID]bool{}
	for name, listed := range c.Listings(func(name pack.ID) bool { return name[0]%2 == 0 }) {
		if got[name] == nil {
			got[name] = map[pack.ID]bool{}
		}
		got[name][listed] = true
	}
	if !maps.EqualFunc(got, wanted, maps.Equal[map[pack.ID]bool, map[pack.ID]bool]) {
		t.Fatalf("listings of %d index files, want %d", len(got), len(wanted))
	}
}

// checkAdded adds the rows of packs, and then an index file of them that is seen by everybody.
func checkAdded(t *testing.T, r *repository, c *Cache, old map[pack.ID]bool) {
	t.Helper()
	s := c.Set()
	s.spillRows = 30 // so that some become a table
	var added []Pack
	for range 20 {
		added = append(added, r.newPack())
		s.Add(added[len(added)-1])
	}
	all := func(want bool) {
		t.Helper()
		mine := map[pack.ID]bool{}
		for _, p := range added {
			mine[p.ID] = true
		}
		for id, l := range s.Rows() {
			if mine[l.Pack] && l.Fresh != want {
				t.Fatalf("chunk %s of a pack that was added: fresh is %v", id, l.Fresh)
			}
		}
	}
	all(true)
	old[r.put(added)] = true
	r.sync(t, c)
	all(false)
}
