package repo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/snapkeep/snap/internal/keyring"
	"github.com/snapkeep/snap/internal/store"
	"github.com/snapkeep/snap/internal/store/faulty"
	"github.com/snapkeep/snap/internal/store/mem"
)

// drill does everything that writes, one after the other, and remembers what was reported as done.
type drill struct {
	keys     *drillKeys
	clock    *clock
	mode     ParityMode
	reported map[SnapshotID]files
	gone     map[SnapshotID]bool // somebody began to forget them
}

func newDrill(keys *drillKeys, mode ParityMode) *drill {
	return &drill{keys: keys, clock: newClock(), mode: mode, reported: map[SnapshotID]files{}, gone: map[SnapshotID]bool{}}
}

func (d *drill) open(s Store) (*Repo, error) {
	r := newRepo(s, Options{Now: d.clock.now, PackSize: 1 << 20, Parity: d.mode})
	if d.mode == ParityOn {
		r.store = withParity(s)
	}
	return r, r.start(d.keys.config, d.keys.full, "")
}

func (d *drill) files(n int) files {
	rng := rand.New(rand.NewPCG(1, 1))
	f := files{}
	for i := range 4 {
		f[fmt.Sprintf("dir/small%d", i)] = randomText(rng, 2000)
	}
	for i := range n {
		f[fmt.Sprintf("large%d", i)] = strings.Repeat(randomText(rng, 64), 9000)
	}
	return f
}

// run stops at the first error, which it returns.
func (d *drill) run(ctx context.Context, s Store) error {
	r, err := d.open(s)
	if err != nil {
		return err
	}
	defer r.Close()
	backup := func(f files) (*Snapshot, error) {
		s, err := back(ctx, r, "a", f)
		if err == nil {
			d.reported[s.ID] = maps.Clone(f)
		}
		return s, err
	}
	first, err := backup(d.files(3))
	if err != nil {
		return err
	}
	f := d.files(3)
	f["large0"], f["dir/small0"] = "short", "other"
	second, err := backup(f)
	if err != nil {
		return err
	}
	d.gone[first.ID] = true
	if _, err := r.Forget(ctx, []SnapshotID{first.ID}, ForgetOptions{}); err != nil {
		return err
	}
	if _, err := r.Undelete(ctx, []SnapshotID{first.ID}); err != nil {
		return err
	}
	if _, err := r.Forget(ctx, []SnapshotID{first.ID}, ForgetOptions{}); err != nil {
		return err
	}
	// With graces: the trash is emptied, packs are condemned, then removed.
	d.clock.sleep(8 * 24 * time.Hour)
	if _, err := r.Prune(ctx, PruneOptions{MaxUnused: -1}); err != nil {
		return err
	}
	f["new"] = strings.Repeat("new", 1000)
	if _, err = backup(f); err != nil {
		return err
	}
	d.clock.sleep(80 * time.Hour)
	if _, err := r.Prune(ctx, PruneOptions{MaxUnused: -1}); err != nil {
		return err
	}
	// Without.
	d.gone[second.ID] = true
	if _, err := r.Forget(ctx, []SnapshotID{second.ID}, ForgetOptions{Now: true}); err != nil {
		return err
	}
	if _, err := r.Prune(ctx, PruneOptions{Now: true, MaxUnused: -1}); err != nil {
		return err
	}
	if _, err := r.Repair(ctx, RepairOptions{}); err != nil {
		return err
	}
	return nil
}

// verify looks at the store after a drill that was cut short, and makes sure that work goes on.
func (d *drill) verify(t *testing.T, s Store, after string) {
	t.Helper()
	ctx := t.Context()
	r, err := d.open(s)
	if err != nil {
		t.Fatalf("%s: open: %v", after, err)
	}
	defer r.Close()
	if res, err := r.Check(ctx, CheckOptions{ReadData: true}); err != nil {
		t.Fatalf("%s: check: %v%s", after, err, describe(res))
	}
	there := map[SnapshotID]*Snapshot{}
	all, err := r.Snapshots(ctx, Filter{})
	if err != nil {
		t.Fatalf("%s: list: %v", after, err)
	}
	for _, snap := range all {
		there[snap.ID] = snap
	}
	for id, want := range d.reported {
		snap := there[id]
		if snap == nil {
			if !d.gone[id] {
				t.Fatalf("%s: reported snapshot %s is gone", after, short(id))
			}
			continue
		}
		got, err := restored(ctx, r, snap)
		if err != nil || !maps.Equal(got, want) {
			t.Fatalf("%s: restore: %v", after, err)
		}
	}
	// The next run needs nobody's help.
	f := d.files(2)
	snap, err := back(ctx, r, "a", f)
	if err != nil {
		t.Fatalf("%s: next backup: %v", after, err)
	}
	d.clock.sleep(30 * 24 * time.Hour)
	for range 2 {
		if _, err := r.Prune(ctx, PruneOptions{MaxUnused: -1}); err != nil {
			t.Fatalf("%s: next prune: %v", after, err)
		}
		d.clock.sleep(80 * time.Hour)
	}
	mustRestore(t, r, snap, f)
	res, err := r.Check(ctx, CheckOptions{})
	if err != nil || len(res.Orphans) > 0 {
		t.Fatalf("%s: check in the end: %v%s, orphans %q", after, err, describe(res), res.Orphans)
	}
	for _, prefix := range []string{"pending/", "sessions/", "trash/"} {
		if left := names(t, s, prefix); len(left) > 0 {
			t.Fatalf("%s: left: %q", after, left)
		}
	}
}

// every tells which points of a sweep the suite takes: all if long tests are asked for, else a share of them.
func every(share int) int {
	if os.Getenv("SNAP_LONG_TESTS") != "" {
		return 1
	}
	return share
}

// TestCrashAtEveryChange cuts the power at each change of the store.
func TestCrashAtEveryChange(t *testing.T) {
	t.Parallel()
	keys := newDrillKeys(t)
	for _, mode := range []ParityMode{ParityOff, ParityOn} {
		step := every(2)
		if mode == ParityOn {
			step = every(7)
		}
		points := 0
		for n := 0; ; n += step {
			d := newDrill(keys, mode)
			disk := faulty.NewDisk(d.clock.now)
			disk.CrashAfter(n)
			err := d.run(t.Context(), disk)
			if !disk.Crashed() {
				if err != nil {
					t.Fatalf("parity %q: a drill without a crash: %v", mode, err)
				}
				break
			}
			points++
			if err == nil {
				// What comes last may as well fail: the log, and files that are of no use any more.
				err = errors.New("nothing")
			}
			after := fmt.Sprintf("parity %q, crash at change %d (%v)", mode, n, err)
			d.verify(t, disk.CrashClone(rand.New(rand.NewPCG(uint64(n), 1))), after)
		}
		if points*step < 60 {
			t.Errorf("parity %q: only %d points", mode, points)
		}
		t.Logf("parity %q: %d crashes", mode, points)
	}
}

// TestErrorAtEveryOperation lets each operation of the store fail once, or all from there on.
func TestErrorAtEveryOperation(t *testing.T) {
	t.Parallel()
	keys := newDrillKeys(t)
	for _, fault := range []struct {
		class faulty.Class
		err   error
		times int
		lose  bool
		share int
	}{
		{faulty.All, syscall.EIO, 1, false, 11},
		{faulty.Writes, syscall.ENOSPC, -1, false, 5},
		{faulty.Writes, io.ErrUnexpectedEOF, 1, true, 7},
	} {
		for n := 0; ; n += every(fault.share) {
			d := newDrill(keys, ParityOff)
			inner := mem.New(d.clock.now)
			in := faulty.NewInjector(faulty.Fault{Class: fault.class, After: n, Times: fault.times, Err: fault.err, LoseReply: fault.lose})
			err := d.run(t.Context(), in.Wrap(store.Store(inner)))
			if in.Fired() == 0 {
				if err != nil {
					t.Fatalf("a drill without a fault: %v", err)
				}
				break
			}
			d.verify(t, inner, fmt.Sprintf("%v of class %d at operation %d (%v)", fault.err, fault.class, n, err))
		}
	}
}

// drillKeys are the secrets of the repositories of drills: making and opening them takes longer than a drill.
type drillKeys struct {
	config *keyring.Config
	full   *keyring.Secrets
}

func newDrillKeys(t *testing.T) *drillKeys {
	r := newTestRepo(t, mem.New(nil), Options{})
	return &drillKeys{r.config, r.secrets}
}
