package repo

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/snapkeep/snap/internal/store/faulty"
)

func mustRepair(t testing.TB, r *Repo, o RepairOptions) *RepairResult {
	t.Helper()
	res, err := r.Repair(t.Context(), o)
	if err != nil && !errors.Is(err, ErrDamagedFound) {
		t.Fatalf("repair: %v", err)
	}
	return res
}

// hurt damages a file in one of several ways that parity can mend.
func hurt(way int, rng *rand.Rand, b []byte) []byte {
	b = bytes.Clone(b)
	if len(b) == 0 {
		return nil
	}
	switch way % 4 {
	case 0:
		b[rng.IntN(len(b))] ^= 1 << rng.IntN(8)
	case 1:
		at := rng.IntN(len(b))
		for i := at; i < min(len(b), at+3000); i++ {
			b[i] ^= 0x55
		}
	case 2:
		return b[:len(b)-min(len(b), 1+rng.IntN(4000))]
	case 3:
		return nil
	}
	return b
}

// TestRepairMendsEachFile damages each file of a protected repository in turn. Repair says what it mended, leaves every byte as
// it was, keeps the bad bytes, and is content the second time.
func TestRepairMendsEachFile(t *testing.T) {
	store, o, first, second, f1, f2 := protected(t)
	rng := rand.New(rand.NewPCG(1, 1))
	before := listing(t, store)
	way := 0
	for name := range before {
		kind, _ := classify(name)
		if !copied(kind) && kind != fileData && kind != fileMeta && kind != fileCopy && kind != fileParity {
			continue
		}
		if way++; way%4 == 3 && (kind == fileMeta || kind == fileData) {
			way++ // whole packs are not mended from nothing
		}
		clone := store.Clone()
		if err := faulty.Rewrite(t.Context(), clone, name, func(b []byte) []byte { return hurt(way, rng, b) }); err != nil {
			t.Fatal(err)
		}
		told := func(res *RepairResult, err error) bool {
			if way%4 == 3 && (kind == fileCopy || kind == fileParity) { // as a run leaves it that was cut off
				return err == nil && slices.Equal(res.Protected, []string{name})
			}
			return errors.Is(err, ErrDamagedFound) && slices.Contains(res.Mended, name)
		}
		dry, err := reopen(t, clone, o).Repair(t.Context(), RepairOptions{DryRun: true})
		if !told(dry, err) || len(dry.Affected) > 0 {
			t.Errorf("%s, way %d: dry run: %v: %+v", name, way%4, err, dry)
		}
		res, err := reopen(t, clone, o).Repair(t.Context(), RepairOptions{})
		if !told(res, err) || len(res.Damage)+len(res.Affected) > 0 {
			t.Errorf("%s, way %d: %v: %+v", name, way%4, err, res)
			continue
		}
		after := listing(t, clone)
		for n, size := range before {
			if after[n] != size {
				t.Errorf("%s, way %d: %s has %d bytes, had %d", name, way%4, n, after[n], size)
			}
		}
		if way%4 != 3 && len(names(t, clone, badPrefix+name)) != 1 {
			t.Errorf("%s, way %d: bad bytes were not kept: %q", name, way%4, names(t, clone, badPrefix))
		}
		r := reopen(t, clone, o)
		mustRestore(t, r, first, f1)
		mustRestore(t, r, second, f2)
		mustCheck(t, r)
		if res, err := r.Repair(t.Context(), RepairOptions{}); err != nil {
			t.Errorf("%s, way %d: second repair: %v: %+v", name, way%4, err, res)
		}
	}
}

// TestRepairRebuildsIndex deletes all index files. The mapping that repair makes is that of before.
func TestRepairRebuildsIndex(t *testing.T) {
	for _, mode := range []ParityMode{ParityOff, ParityOn} {
		c := newClock()
		o := c.options()
		o.Parity = mode
		store := c.store()
		r := newTestRepo(t, store, o)
		f := randomFiles(1, 20, 30_000)
		s := mustBack(t, r, "a", f)
		mustBack(t, r, "b", randomFiles(2, 20, 30_000))
		want := rows(reopenSynced(t, store, o))
		for _, name := range append(names(t, store, "index/"), names(t, store, "copy/index/")...) {
			if err := store.Remove(t.Context(), name); err != nil {
				t.Fatal(err)
			}
		}
		res := mustRepair(t, reopen(t, store, o), RepairOptions{})
		if res.Indexed != len(packNames(t, r)) || len(res.Damage)+len(res.Affected) > 0 {
			t.Errorf("parity %q: %+v", mode, res)
		}
		r = reopenSynced(t, store, o)
		if got := rows(r); !slices.Equal(got, want) {
			t.Errorf("parity %q: %d rows that differ from %d", mode, len(got), len(want))
		}
		mustRestore(t, r, s, f)
		mustCheck(t, r)
	}
}

func reopenSynced(t testing.TB, store Store, o Options) *Repo {
	t.Helper()
	r := reopen(t, store, o)
	if err := r.syncIndex(t.Context()); err != nil {
		t.Fatal(err)
	}
	return r
}

// rows returns all rows of the index as text, in order.
func rows(r *Repo) []string {
	var out []string
	for id, l := range r.set.Rows() {
		out = append(out, id.String()+" "+l.Pack.String()+" "+strings.Repeat("x", int(l.Ordinal)))
	}
	return out
}

// TestRepairSaysWhatIsLost damages packs beyond repair. What can be opened is saved, the rest is named by snapshot and file, the next
// backup brings the current snapshot back, and prune is not held up.
func TestRepairSaysWhatIsLost(t *testing.T) {
	c := newClock()
	o := c.options()
	store := c.store()
	r := newTestRepo(t, store, o)
	rng := rand.New(rand.NewPCG(1, 1))
	f := files{"a": randomText(rng, 600_000), "b": randomText(rng, 600_000), "c": "small"}
	old := mustBack(t, r, "x", f)
	f = files{"a": f["a"], "b": f["b"], "c": "other"}
	mustBack(t, r, "x", f)
	data := names(t, store, "data/")
	big := slices.MaxFunc(data, func(a, b string) int { return int(listing(t, store)[a] - listing(t, store)[b]) })
	if err := faulty.Rewrite(t.Context(), store, big, func(b []byte) []byte {
		b = bytes.Clone(b)
		b[100] ^= 1 // in the first segment
		return b
	}); err != nil {
		t.Fatal(err)
	}
	res, err := reopen(t, store, o).Repair(t.Context(), RepairOptions{})
	if !errors.Is(err, ErrDamagedFound) || len(res.Mended) != 0 || res.Salvaged == 0 || len(res.Affected) != 2 || len(res.Damage) != 1 {
		t.Fatalf("%v: %+v", err, res)
	}
	if got := res.Affected[0]; got.Tree != nil || len(got.Files) != 1 || (got.Files[0] != "a" && got.Files[0] != "b" && got.Files[0] != "c") {
		t.Errorf("affected: %+v", got)
	}
	s := mustBack(t, reopen(t, store, o), "x", f)
	r = reopen(t, store, o)
	mustRestore(t, r, s, f)
	c.sleep(100 * time.Hour)
	mustPrune(t, r, PruneOptions{})
	got, err := restored(t.Context(), reopen(t, store, o), old)
	if lost := res.Affected[0].Files[0]; lost != "c" && (err != nil || got["c"] != "small") {
		t.Errorf("the old snapshot: %v", err)
	}
	mustForget(t, r, ForgetOptions{Now: true}, old)
	mustPrune(t, r, PruneOptions{Now: true})
	mustCheck(t, reopen(t, store, o))
}

// TestScrubNeedsNoKey finds each damaged file by its name alone.
func TestScrubNeedsNoKey(t *testing.T) {
	store, _, _, _, _, _ := protected(t)
	if res, err := Scrub(t.Context(), store, ScrubOptions{}); err != nil || res.Files == 0 {
		t.Fatalf("%+v, %v", res, err)
	}
	for name := range listing(t, store) {
		if kind, _ := classify(name); kind == fileConfig || kind == fileContent || kind == fileSession ||
			(kind == fileCopy && (strings.Contains(name, "content/") || strings.Contains(name, "snap.json"))) {
			continue
		}
		clone := store.Clone()
		if err := faulty.Rewrite(t.Context(), clone, name, func(b []byte) []byte {
			b = bytes.Clone(b)
			b[len(b)/3] ^= 8
			return b
		}); err != nil {
			t.Fatal(err)
		}
		res, err := Scrub(t.Context(), clone, ScrubOptions{})
		if !errors.Is(err, ErrDamagedFound) || len(res.Damage) != 1 || res.Damage[0].Name != name {
			t.Errorf("%s: %v: %+v", name, err, res)
		}
	}
}

// TestLogTellsOfARepairThatWasKilled ends a repair at each operation of the store, as if it were killed there. Whatever it had changed by then, the log
// tells that a repair began.
func TestLogTellsOfARepairThatWasKilled(t *testing.T) {
	store, o, _, _, _, _ := protected(t)
	rng := rand.New(rand.NewPCG(1, 1))
	var hurtOne []string
	for _, prefix := range []string{"data/", "snapshots/", "index/", "parity/"} {
		hurtOne = append(hurtOne, names(t, store, prefix)[0])
	}
	lost := names(t, store, "data/")[1]
	for _, name := range hurtOne {
		if err := faulty.Rewrite(t.Context(), store, name, func(b []byte) []byte { return hurt(1, rng, b) }); err != nil {
			t.Fatal(err)
		}
	}
	if err := store.Remove(t.Context(), lost); err != nil {
		t.Fatal(err)
	}
	logged := func(store Store) (whys []string) {
		t.Helper()
		entries, err := reopen(t, store, o).Log(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			if e.What == "repair" {
				whys = append(whys, e.Why)
			}
		}
		return whys
	}
	ended, cut := false, 0
	for k := 0; !ended; k++ {
		clone := store.Clone()
		before := listing(t, clone)
		in := faulty.NewInjector(faulty.Fault{Class: faulty.All, After: k, Times: -1, Err: faulty.ErrCrashed})
		r, err := tryOpen(t, in.Wrap(clone), o)
		if err != nil {
			continue
		}
		_, err = r.Repair(t.Context(), RepairOptions{})
		ended = errors.Is(err, ErrDamagedFound)
		after := listing(t, clone)
		changed := false
		for name := range after {
			kind, _ := classify(strings.TrimPrefix(name, copyPrefix))
			changed = changed || after[name] != before[name] && kind != fileLog && kind != fileSession
		}
		whys := logged(clone)
		if changed && (len(whys) == 0 || whys[0] != "begun") {
			t.Errorf("ended at operation %d: the log tells of %q", k, whys)
		}
		if changed && !ended {
			cut++
		}
		if want := []string{"begun", ""}; ended && !slices.Equal(whys, want) {
			t.Errorf("after all: %q, want %q", whys, want)
		}
	}
	if cut < 10 {
		t.Errorf("%d repairs were cut off with something changed", cut)
	}
	ctx, cancel := context.WithCancel(t.Context())
	clone := store.Clone()
	r := reopen(t, cancelling{clone, cancel}, o)
	if _, err := r.Repair(ctx, RepairOptions{}); !errors.Is(err, context.Canceled) {
		t.Errorf("interrupted: %v", err)
	}
	if whys, want := logged(clone), []string{"begun", "broke off"}; !slices.Equal(whys, want) {
		t.Errorf("interrupted: %q, want %q", whys, want)
	}
}

// cancelling interrupts whoever removes a file.
type cancelling struct {
	Store
	cancel func()
}

func (c cancelling) Remove(ctx context.Context, name string) error {
	c.cancel()
	return c.Store.Remove(context.WithoutCancel(ctx), name)
}

// TestWhatACutOffRunLeavesIsNoDamage takes away what a run that is killed has not stored yet: the index of packs that no snapshot needs, their
// parity, and the second copy of a record. Packs that a snapshot needs as well are damage.
func TestWhatACutOffRunLeavesIsNoDamage(t *testing.T) {
	c := newClock()
	o := c.options()
	o.Parity = ParityOn
	store := c.store()
	r := newTestRepo(t, store, o)
	files := randomFiles(1, 20, 30_000)
	s := mustBack(t, r, "a", files)
	whole := names(t, store, "")
	take := func(name string) {
		t.Helper()
		if err := store.Remove(t.Context(), name); err != nil {
			t.Fatal(err)
		}
	}

	// A backup that ends before its index files are stored: only its packs are there.
	mustBack(t, r, "b", randomFiles(2, 20, 30_000))
	packs := 0
	for _, name := range names(t, store, "") {
		switch {
		case slices.Contains(whole, name):
		case strings.HasPrefix(name, "data/") || strings.HasPrefix(name, "meta/"):
			packs++
		default:
			take(name)
		}
	}
	take("copy/snapshots/" + s.ID.String())
	want := func(dry bool) {
		t.Helper()
		res, err := reopen(t, store, o).Repair(t.Context(), RepairOptions{DryRun: dry})
		if err != nil || res.Adopted != packs || res.Indexed != 0 || len(res.Mended) != 0 || len(res.Protected) != packs+1 {
			t.Errorf("dry run %v: %v: %+v, %d packs", dry, err, res, packs)
		}
	}
	want(true)
	want(false)
	if len(names(t, store, "copy/snapshots/"+s.ID.String())) == 0 {
		t.Error("the second copy is not there again")
	}
	mustCheck(t, reopen(t, store, o))

	for _, name := range slices.Concat(names(t, store, "index/"), names(t, store, "copy/index/")) {
		take(name)
	}
	res, err := reopen(t, store, o).Repair(t.Context(), RepairOptions{})
	if !errors.Is(err, ErrDamagedFound) || res.Adopted != packs || res.Indexed == 0 {
		t.Errorf("no index: %v: %+v, %d packs of nobody", err, res, packs)
	}
	mustRestore(t, reopen(t, store, o), s, files)
}
