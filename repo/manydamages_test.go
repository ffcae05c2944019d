package repo

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/snapkeep/snap/internal/sealed"
	"github.com/snapkeep/snap/internal/store/mem"
	"github.com/snapkeep/snap/pack"
)

// lived is a repository after some days of two sources, and what it held.
type lived struct {
	*testing.T
	clock   *clock
	options Options
	store   *mem.Store
	sources map[string]files
	want    map[SnapshotID]files
}

// newLived backs two sources up for days, one of them with the dump of a database, and forgets and prunes meanwhile.
func newLived(t *testing.T) *lived {
	l := &lived{T: t, clock: newClock(), sources: map[string]files{}, want: map[SnapshotID]files{}}
	l.options = l.clock.options()
	l.options.Parity = ParityOn
	l.store = l.clock.store()
	r := newTestRepo(t, l.store, l.options)
	l.options.Parity = ParityAuto
	rng := rand.New(rand.NewPCG(5, 0))
	l.sources["home"], l.sources["db"] = randomFiles(1, 15, 20_000), files{}
	rows := make([]string, 4000)
	for i := range rows {
		rows[i] = fmt.Sprintf("INSERT INTO orders VALUES (%d, '%x', 'paid');\n", i, rng.Uint64()%1000)
	}
	for day := range 8 {
		for range 3 {
			l.sources["home"][fmt.Sprintf("dir%d/new%03d", rng.IntN(3), rng.IntN(20))] = randomText(rng, rng.IntN(20_000))
		}
		for range 40 {
			i := rng.IntN(len(rows))
			rows[i] = fmt.Sprintf("INSERT INTO orders VALUES (%d, '%x', 'sent');\n", i, rng.Uint64()%1000)
		}
		l.sources["db"] = files{"shop.sql": strings.Join(rows, ""), "note": fmt.Sprint(day)}
		for _, name := range []string{"home", "db"} {
			l.back(r, name)
		}
		switch day {
		case 3, 6:
			ids := slices.SortedFunc(maps.Keys(l.want), func(a, b SnapshotID) int { return bytes.Compare(a[:], b[:]) })
			if _, err := r.Forget(t.Context(), ids[:2], ForgetOptions{AllowAll: true}); err != nil {
				t.Fatal(err)
			}
		case 5:
			l.clock.sleep(8 * 24 * time.Hour)
			mustPrune(t, r, PruneOptions{MaxUnused: -1})
		}
		l.clock.sleep(24 * time.Hour)
	}
	return l
}

// back backs a source up, and notes what the snapshot has to hold.
func (l *lived) back(r *Repo, name string) *Snapshot {
	l.Helper()
	s := mustBack(l.T, r, name, l.sources[name])
	l.want[s.ID] = maps.Clone(l.sources[name])
	return s
}

// readable returns the files that can be read of all snapshots, forgotten ones too, as "id path". What is read has to be right.
func (l *lived) readable(store Store) map[string]bool {
	l.Helper()
	out := map[string]bool{}
	r := reopen(l, store, l.options)
	for id, want := range l.want {
		s, err := r.loadSnapshot(l.Context(), sealed.Snapshot, id)
		if err != nil {
			s, err = r.loadSnapshot(l.Context(), sealed.Trash, id)
		}
		if err != nil {
			continue
		}
		for path, content := range want {
			x, err := r.Lookup(l.Context(), s, path)
			if err != nil {
				continue
			}
			file, err := r.OpenEntry(l.Context(), x)
			if err != nil {
				continue
			}
			var data bytes.Buffer
			if _, err := file.WriteTo(&data); err != nil {
				continue
			}
			if data.String() != content {
				l.Errorf("snapshot %s: %s has other bytes", short(id), path)
			}
			out[short(id)+" "+path] = true
		}
	}
	return out
}

// recorded returns the ids of the snapshots that are in the store, and among them those that are forgotten.
func (l *lived) recorded(store Store) (all, trashed map[SnapshotID]bool) {
	l.Helper()
	all, trashed = map[SnapshotID]bool{}, map[SnapshotID]bool{}
	for _, name := range names(l, store, sealed.Trash.Prefix) {
		if id, err := pack.ParseID(strings.TrimPrefix(name, sealed.Trash.Prefix)); err == nil {
			all[id], trashed[id] = true, true
		}
	}
	for _, name := range names(l, store, sealed.Snapshot.Prefix) {
		if id, err := pack.ParseID(strings.TrimPrefix(name, sealed.Snapshot.Prefix)); err == nil {
			all[id] = true
			delete(trashed, id)
		}
	}
	return all, trashed
}

// checks has the store checked, and compares what it names with what can be read.
func (l *lived) checks(store Store, repaired bool) {
	l.Helper()
	r := reopen(l, store, l.options)
	result, err := r.Check(l.Context(), CheckOptions{ReadData: true, MaxFiles: -1})
	if err != nil && !errors.Is(err, ErrDamagedFound) {
		l.Errorf("check: %v", err)
		return
	}
	can := l.readable(store)
	named := map[string]bool{}
	cut := map[SnapshotID]bool{}
	damaged := map[string]bool{}
	for _, d := range result.Damage {
		damaged[d.Name] = true
	}
	for _, a := range result.Affected {
		cut[a.Snapshot.ID] = a.Tree != nil
		for _, f := range a.Files {
			named[short(a.Snapshot.ID)+" "+f] = true
		}
	}
	all, _ := l.recorded(store)
	for id := range all {
		if damaged[sealed.Snapshot.Prefix+id.String()] || damaged[sealed.Trash.Prefix+id.String()] {
			continue
		}
		for path := range l.want[id] {
			file := short(id) + " " + path
			switch {
			case !can[file] && !named[file] && !cut[id]:
				l.Errorf("check does not name %s, which cannot be read", file)
			case can[file] && named[file] && repaired: // before, a pack that is too short counts as bad wholly
				l.Errorf("check names %s, which can be read", file)
			}
		}
	}
}

// TestManyDamagesAtOnce damages several files at once, and then has everything done that one may do, in random order. Nothing that can be read is lost by
// it, nothing wrong is read, check names what cannot be read, and after repairs and backups of unchanged sources the newest snapshots are whole.
func TestManyDamagesAtOnce(t *testing.T) {
	rounds := uint64(8)
	if os.Getenv("SNAP_LONG_TESTS") != "" {
		rounds = 2000
	}
	base := newLived(t)
	begin := base.clock.now()
	for seed := range rounds {
		l := *base
		l.want = maps.Clone(base.want)
		l.clock.set(begin)
		store := base.store.Clone()
		rng := rand.New(rand.NewPCG(seed, 1))
		hurt := harm(t, store, rng, 1+rng.IntN(12))
		var done []string
		can := l.readable(store)
		for range 3 + rng.IntN(5) {
			done = append(done, l.act(store, rng))
			can = l.lostNothing(store, can, done[len(done)-1])
		}
		mustRepair(t, reopen(t, store, l.options), RepairOptions{})
		can = l.lostNothing(store, can, "repair")
		var newest []*Snapshot
		for _, name := range []string{"home", "db"} {
			newest = append(newest, l.back(reopen(t, store, l.options), name))
		}
		mustRepair(t, reopen(t, store, l.options), RepairOptions{})
		can = l.lostNothing(store, can, "healing")
		for _, s := range newest {
			for path := range l.want[s.ID] {
				if !can[short(s.ID)+" "+path] {
					t.Errorf("the newest snapshot %s lacks %s", short(s.ID), path)
				}
			}
		}
		l.checks(store, true)
		if t.Failed() {
			t.Fatalf("seed %d: damaged %q, did %q", seed, hurt, done)
		}
	}
}

// lostNothing compares what can be read with what could, and returns it. What stood in the trash may have gone by a prune, and what was forgotten for good.
func (l *lived) lostNothing(store Store, could map[string]bool, did string) map[string]bool {
	l.Helper()
	can := l.readable(store)
	all, _ := l.recorded(store)
	gone := map[string]bool{}
	if strings.HasPrefix(did, "prune") || strings.HasPrefix(did, "forget now") {
		for id := range l.want {
			gone[short(id)] = !all[id]
		}
	}
	for file := range could {
		if id, _, _ := strings.Cut(file, " "); !can[file] && !gone[id] {
			l.Errorf("%s: %s cannot be read any more", did, file)
		}
	}
	return can
}

// act does one random thing, and returns what.
func (l *lived) act(store Store, rng *rand.Rand) string {
	l.Helper()
	if rng.IntN(3) == 0 {
		l.clock.sleep(time.Duration(1+rng.IntN(200)) * time.Hour)
	}
	r := reopen(l, store, l.options)
	all, trashed := l.recorded(store)
	var ids []SnapshotID
	for id := range all {
		if !trashed[id] {
			ids = append(ids, id)
		}
	}
	slices.SortFunc(ids, func(a, b SnapshotID) int { return bytes.Compare(a[:], b[:]) })
	rng.Shuffle(len(ids), func(i, j int) { ids[i], ids[j] = ids[j], ids[i] })
	ids = ids[:min(len(ids), 1+rng.IntN(3))]
	did, err := "", error(nil)
	switch rng.IntN(10) {
	case 0:
		did = "check"
		l.checks(store, false)
	case 1, 2:
		did = "repair"
		_, err = r.Repair(l.Context(), RepairOptions{})
	case 3, 4:
		did = "backup"
		name := []string{"home", "db"}[rng.IntN(2)]
		var s *Snapshot
		if s, err = back(l.Context(), r, name, l.sources[name]); err == nil {
			l.want[s.ID] = maps.Clone(l.sources[name])
		}
	case 5:
		did = "forget"
		_, err = r.Forget(l.Context(), ids, ForgetOptions{AllowAll: true})
	case 6:
		did = "forget now"
		_, err = r.Forget(l.Context(), ids, ForgetOptions{AllowAll: true, Now: true})
	case 7:
		did = "prune"
		_, err = r.Prune(l.Context(), PruneOptions{MaxUnused: -1})
	case 8:
		did = "prune now"
		_, err = r.Prune(l.Context(), PruneOptions{MaxUnused: -1, Now: true})
	case 9:
		did = "undelete"
		_, err = r.Undelete(l.Context(), slices.Collect(maps.Keys(trashed)))
	}
	if err != nil && !errors.Is(err, ErrDamagedFound) && !IsDamage(err) {
		l.Errorf("%s: %v", did, err)
	}
	return did
}
