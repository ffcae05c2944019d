package repo

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/snapkeep/snap/internal/store/faulty"
	"github.com/snapkeep/snap/internal/store/mem"
)

// harm removes, changes, cuts or swaps some files of a store, and returns their names.
func harm(t *testing.T, store *mem.Store, rng *rand.Rand, n int) (names []string) {
	t.Helper()
	rewrite := func(name string, change func(b []byte) []byte) {
		if err := faulty.Rewrite(t.Context(), store, name, change); err != nil {
			t.Fatal(err)
		}
	}
	var all []string
	for _, name := range slices.Sorted(maps.Keys(listing(t, store))) {
		if kind, _ := classify(name); kind != fileConfig && kind != fileSlot && kind != fileSession {
			all = append(all, name)
		}
	}
	for range n {
		i := rng.IntN(len(all))
		name := all[i]
		all = slices.Delete(all, i, i+1)
		names = append(names, name)
		switch way := rng.IntN(6); way {
		case 0, 1, 2, 3:
			rewrite(name, func(b []byte) []byte { return hurt(way, rng, b) })
		case 4:
			if err := store.Remove(t.Context(), name); err != nil {
				t.Fatal(err)
			}
		case 5:
			kind, _ := classify(name)
			for j, other := range all {
				if k, _ := classify(other); k == kind {
					var a, b []byte
					rewrite(name, func(was []byte) []byte { a = bytes.Clone(was); return was })
					rewrite(other, func(was []byte) []byte { b = bytes.Clone(was); return a })
					rewrite(name, func([]byte) []byte { return b })
					names, all = append(names, other), slices.Delete(all, j, j+1)
					break
				}
			}
		}
	}
	return names
}

// TestRepairOfManyDamages damages several files at once. A dry run tells what the repair does, and a second repair has nothing left to do.
func TestRepairOfManyDamages(t *testing.T) {
	store, o, _, _, _, _ := protected(t)
	rounds := uint64(60)
	if os.Getenv("SNAP_LONG_TESTS") != "" {
		rounds = 3000
	}
	for seed := range rounds {
		clone := store.Clone()
		rng := rand.New(rand.NewPCG(seed, 0))
		hurt := harm(t, clone, rng, 1+rng.IntN(8))
		dry, dryErr := reopen(t, clone, o).Repair(t.Context(), RepairOptions{DryRun: true})
		res, err := reopen(t, clone, o).Repair(t.Context(), RepairOptions{})
		if told, did := repairTells(dry, dryErr), repairTells(res, err); told != did {
			t.Errorf("seed %d, %q: dry run\n%s, repair\n%s", seed, hurt, told, did)
		}
		again, err := reopen(t, clone, o).Repair(t.Context(), RepairOptions{})
		if len(again.Mended)+len(again.Protected)+again.Indexed+again.Adopted+again.Salvaged > 0 || len(again.Damage) > len(res.Damage) || len(again.Affected) != len(res.Affected) {
			t.Errorf("seed %d, %q: repair %s, second repair %s", seed, hurt, repairTells(res, err), repairTells(again, err))
		}
	}
}

// repairTells returns what a repair says it did and what is left, as text.
func repairTells(r *RepairResult, err error) string {
	mended := slices.Sorted(slices.Values(r.Mended))
	var b bytes.Buffer
	protected := slices.Sorted(slices.Values(r.Protected))
	fmt.Fprintf(&b, "found %v, mended %q, protected %q, indexed %d, adopted %d, saved %d", errors.Is(err, ErrDamagedFound), mended, protected, r.Indexed, r.Adopted, r.Salvaged)
	for _, d := range r.Damage {
		fmt.Fprintf(&b, "; %s missing %v: %v", d.Name, d.Missing, d.Err)
	}
	affected := slices.SortedFunc(slices.Values(r.Affected), func(a, b Affected) int { return bytes.Compare(a.Snapshot.ID[:], b.Snapshot.ID[:]) })
	for _, a := range affected {
		fmt.Fprintf(&b, "; snapshot %s tree %v files %q", short(a.Snapshot.ID), a.Tree, a.Files)
	}
	return b.String()
}

// TestRepairFindsSwappedPacks swaps the bytes of packs, in a repository without parity. Repair finds them under the wrong names.
func TestRepairFindsSwappedPacks(t *testing.T) {
	c := newClock()
	o := c.options()
	store := c.store()
	r := newTestRepo(t, store, o)
	f1, f2 := randomFiles(1, 20, 30_000), randomFiles(2, 20, 30_000)
	first, second := mustBack(t, r, "a", f1), mustBack(t, r, "b", f2)
	want := map[string][]byte{}
	all := packNames(t, r)
	for _, name := range all {
		if err := faulty.Rewrite(t.Context(), store, name, func(b []byte) []byte { want[name] = bytes.Clone(b); return b }); err != nil {
			t.Fatal(err)
		}
	}
	for i, name := range all { // each holds what the next one should
		if err := faulty.Rewrite(t.Context(), store, name, func([]byte) []byte { return want[all[(i+1)%len(all)]] }); err != nil {
			t.Fatal(err)
		}
	}
	res := mustRepair(t, reopen(t, store, o), RepairOptions{})
	if len(res.Mended) != len(all) || len(res.Damage)+len(res.Affected) > 0 {
		t.Errorf("of %d packs: %+v", len(all), res)
	}
	r = reopen(t, store, o)
	mustRestore(t, r, first, f1)
	mustRestore(t, r, second, f2)
	mustCheck(t, r)
}

// TestRepairGivesUpWhatALostKeySealed removes the only file of a content key. Nobody can open what it sealed: repair says so, and the next backup stores it
// anew.
func TestRepairGivesUpWhatALostKeySealed(t *testing.T) {
	c := newClock()
	o := c.options()
	store := c.store()
	r := newTestRepo(t, store, o)
	f := randomFiles(1, 20, 30_000)
	mustBack(t, r, "a", f)
	c.sleep(2 * time.Hour)
	other := mustBack(t, reopen(t, store, o), "b", files{"x": "y"})
	for _, name := range names(t, store, "content/") {
		clone := store.Clone()
		if err := clone.Remove(t.Context(), name); err != nil {
			t.Fatal(err)
		}
		dry := mustRepair(t, reopen(t, clone, o), RepairOptions{DryRun: true})
		res, err := reopen(t, clone, o).Repair(t.Context(), RepairOptions{})
		if !errors.Is(err, ErrDamagedFound) || len(res.Affected) != 1 || len(res.Damage) == 0 || repairTells(dry, err) != repairTells(res, err) {
			t.Errorf("%s: %v: %+v, dry run %+v", name, err, res, dry)
		}
		mustRestore(t, reopen(t, clone, o), mustBack(t, reopen(t, clone, o), "a", f), f)
		mustRestore(t, reopen(t, clone, o), mustBack(t, reopen(t, clone, o), "b", files{"x": "y"}), files{"x": "y"})
		mustRestore(t, reopen(t, clone, o), other, files{"x": "y"})
		if again := mustRepair(t, reopen(t, clone, o), RepairOptions{}); len(again.Mended)+again.Salvaged+len(again.Affected) > 0 {
			t.Errorf("%s: second repair: %+v", name, again)
		}
		c.sleep(100 * time.Hour)
		mustPrune(t, reopen(t, clone, o), PruneOptions{})
		mustCheck(t, reopen(t, clone, o))
	}
}
