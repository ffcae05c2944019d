package repo

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/snapkeep/snap/internal/store/faulty"
	"github.com/snapkeep/snap/pack"
	"github.com/zeebo/blake3"
)

// dumpOfDay returns the dump of a database. Some rows are of the day.
func dumpOfDay(day int) string {
	rng := rand.New(rand.NewPCG(1, 1))
	var b strings.Builder
	for row := range 40_000 {
		customer := rng.Uint64N(1500)
		if row%200 == day {
			customer += uint64(day)
		}
		customer *= 0x9e3779b97f4a7c15
		fmt.Fprintf(&b, "INSERT INTO orders VALUES (%d, 'customer %x', 'paid', %d.%02d);\n", row, customer, rng.IntN(1000), rng.IntN(100))
	}
	return b.String()
}

// primedSegments returns, by pack, the directories of packs in which segments have dictionaries.
func primedPacks(t testing.TB, r *Repo) map[string]pack.Directory {
	t.Helper()
	out := map[string]pack.Directory{}
	for name, size := range listing(t, r.store) {
		if !strings.HasPrefix(name, "data/") {
			continue
		}
		_, d, err := pack.ReadDirectoryFrom(storeReader{t.Context(), r.store, name}, size, r.meta, r.config.ID)
		if err != nil {
			t.Fatal(err)
		}
		if d.HasDictionary() {
			out[name] = d
		}
	}
	return out
}

// TestDumpThroughItsLife backs a dump up for days, forgets, prunes with copies, and restores: what is kept comes back, and as little stays as in a fresh
// repository, but for dictionaries of which no chunk is needed.
func TestDumpThroughItsLife(t *testing.T) {
	c := newClock()
	store, o := c.store(), c.options()
	r := newTestRepo(t, store, o)
	var snapshots []*Snapshot
	f := files{"small": "file"}
	for day := range 6 {
		f["shop.sql"] = dumpOfDay(day * 37)
		snapshots = append(snapshots, mustBack(t, r, "a", f))
		c.sleep(24 * 3600e9)
	}
	if n := len(primedPacks(t, r)); n < 3 {
		t.Fatalf("%d packs with dictionaries", n)
	}
	for len(snapshots) > 1 {
		mustForget(t, r, ForgetOptions{Now: true}, snapshots[0])
		snapshots = snapshots[1:]
		res := mustPrune(t, r, PruneOptions{Now: true, MaxUnused: -1})
		if res.UnusedBytes != 0 {
			t.Errorf("%d bytes are not needed and stay", res.UnusedBytes)
		}
		mustCheck(t, r)
		r = reopen(t, store, o)
		for i, s := range snapshots {
			want := files{"small": "file", "shop.sql": dumpOfDay((6 - len(snapshots) + i) * 37)}
			mustRestore(t, r, s, want)
		}
	}
	fresh := newTestRepo(t, c.store(), o)
	mustBack(t, fresh, "a", f)
	size := func(r *Repo) (n int64) {
		for name, size := range listing(t, r.store) {
			if strings.HasPrefix(name, "data/") {
				n += size
			}
		}
		return n
	}
	if got, want := size(r), size(fresh); got > want*5/4 {
		t.Errorf("%d bytes of file data, a fresh repository has %d", got, want)
	}
}

// TestRepairWithoutADictionary damages the segment that others have for dictionary. These are lost with it and are named, the others are saved, and the next
// backup heals.
func TestRepairWithoutADictionary(t *testing.T) {
	c := newClock()
	store, o := c.store(), c.options()
	r := newTestRepo(t, store, o)
	f := files{"shop.sql": dumpOfDay(0), "small": "file"}
	mustBack(t, r, "a", f)
	damaged, spared := 0, 0
	for name, d := range primedPacks(t, r) {
		i := slices.IndexFunc(d, func(s pack.Segment) bool { return s.Back > 0 })
		at := i - int(d[i].Back)
		for k := range d {
			if k == at || d[k].Back > 0 && k-int(d[k].Back) == at {
				damaged++
			} else {
				spared++
			}
		}
		if err := faulty.Rewrite(t.Context(), store, name, func(b []byte) []byte {
			b = bytes.Clone(b)
			b[d[at].Offset+d[at].Length/2] ^= 1
			return b
		}); err != nil {
			t.Fatal(err)
		}
	}
	res, err := reopen(t, store, o).Check(t.Context(), CheckOptions{ReadData: true})
	if err != ErrDamagedFound || len(res.Affected) != 1 || !slices.Equal(res.Affected[0].Files, []string{"shop.sql"}) {
		t.Fatalf("check: %v: %s", err, describe(res))
	}
	repaired, err := reopen(t, store, o).Repair(t.Context(), RepairOptions{})
	if !errors.Is(err, ErrDamagedFound) || repaired.Salvaged != spared || damaged < 3 {
		t.Fatalf("%v: %d of %d segments were saved, %d are lost", err, repaired.Salvaged, spared, damaged)
	}
	s := mustBack(t, reopen(t, store, o), "a", f)
	r = reopen(t, store, o)
	mustRestore(t, r, s, f)
	mustPrune(t, r, PruneOptions{Now: true})
	mustCheck(t, reopen(t, store, o))
	mustRestore(t, reopen(t, store, o), s, f)
}

// TestRepairLeavesNewerPacks: a repair that finds packs of a newer version without an index stops, and does not take snapshots for damaged.
func TestRepairLeavesNewerPacks(t *testing.T) {
	c := newClock()
	store, o := c.store(), c.options()
	r := newTestRepo(t, store, o)
	mustBack(t, r, "a", files{"small": "file"})
	var name string
	for n := range listing(t, store) {
		if strings.HasPrefix(n, "data/") {
			name = n
		}
	}
	data := make([]byte, listing(t, store)[name])
	if _, err := store.ReadAt(t.Context(), name, data, 0); err != nil {
		t.Fatal(err)
	}
	footer := data[len(data)-pack.FooterSize:]
	footer[8] = 3
	sum := blake3.Sum256(footer[:48])
	copy(footer[48:], sum[:16])
	newer := pack.Name(pack.ClassData, pack.SumID(data))
	if err := store.Create(t.Context(), newer, bytes.NewReader(data), int64(len(data))); err != nil {
		t.Fatal(err)
	}
	before := listing(t, store)
	for _, dry := range []bool{true, false} {
		if _, err := reopen(t, store, o).Repair(t.Context(), RepairOptions{DryRun: dry}); !IsNewer(err) {
			t.Errorf("dry %v: %v", dry, err)
		}
	}
	after := listing(t, store)
	for n := range before {
		if _, ok := after[n]; !ok {
			t.Errorf("%s is gone", n)
		}
	}
}

// TestDumpInTwoPlaces stores a dump twice and damages either, in dictionaries alone or all over: the other serves.
func TestDumpInTwoPlaces(t *testing.T) {
	c := newClock()
	store, o := c.store(), c.options()
	o.Parity = ParityOff
	f := files{"shop.sql": dumpOfDay(0)}
	r := newTestRepo(t, store, o)
	mustBack(t, r, "a", f)
	first := primedPacks(t, r)
	for name := range listing(t, store) {
		if strings.Contains(name, "index/") {
			if err := store.Remove(t.Context(), name); err != nil {
				t.Fatal(err)
			}
		}
	}
	s := mustBack(t, reopen(t, store, o), "b", f)
	if _, err := reopen(t, store, o).Repair(t.Context(), RepairOptions{}); err != nil { // it looks as if a run had been cut off
		t.Fatal(err)
	}
	r = reopen(t, store, o)
	mustRestore(t, r, s, f)
	second := primedPacks(t, r)
	for name := range first {
		delete(second, name)
	}
	if len(first) == 0 || len(second) == 0 {
		t.Fatalf("%d and %d packs with dictionaries", len(first), len(second))
	}
	for _, packs := range []map[string]pack.Directory{first, second} {
		for _, all := range []bool{false, true} {
			damaged := store.Clone()
			for name, d := range packs {
				if err := faulty.Rewrite(t.Context(), damaged, name, func(b []byte) []byte {
					b = bytes.Clone(b)
					for i := range d {
						if all || slices.ContainsFunc(d[i:], func(s pack.Segment) bool { return s.Back > 0 }) && d[i].Back == 0 {
							b[d[i].Offset+d[i].Length/2] ^= 1
						}
					}
					return b
				}); err != nil {
					t.Fatal(err)
				}
			}
			mustRestore(t, reopen(t, damaged, o), s, f)
			restoresDump(t, reopen(t, damaged, o), s, f["shop.sql"])
		}
	}
}

// restoresDump restores a snapshot to a folder, and expects a dump in it.
func restoresDump(t *testing.T, r *Repo, s *Snapshot, want string) {
	t.Helper()
	target := t.TempDir()
	res, err := r.Restore(t.Context(), s, RestoreOptions{Target: target, NoOwner: true, Problem: func(path string, err error) { t.Errorf("%s: %v", path, err) }})
	if err != nil {
		t.Fatalf("%v: %+v", err, res)
	}
	paths, _ := filepath.Glob(filepath.Join(target, "*", "shop.sql"))
	if p := filepath.Join(target, "shop.sql"); len(paths) == 0 {
		paths = []string{p}
	}
	if got, err := os.ReadFile(paths[0]); err != nil || string(got) != want {
		t.Errorf("%d bytes, want %d: %v", len(got), len(want), err)
	}
}
