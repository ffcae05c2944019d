package repo

import (
	"testing"
	"time"
)

// TestDryRunOfPruneTellsWhatGoes compares what dry runs tell with what the prune behind them does, with a grace and without.
func TestDryRunOfPruneTellsWhatGoes(t *testing.T) {
	for _, now := range []bool{false, true} {
		c := newClock()
		r := c.repo(t)
		first := mustBack(t, r, "a", randomFiles(1, 20, 30_000))
		f := randomFiles(2, 20, 30_000)
		delete(f, "dir0/file000")
		mustBack(t, r, "a", f)
		mustForget(t, r, ForgetOptions{Now: true}, first)
		c.sleep(48 * time.Hour)
		o := PruneOptions{Now: now, MaxUnused: -1, DryRun: true}
		dry := mustPrune(t, reopen(t, r.store, c.options()), o)
		if dry.DeadPacks == 0 {
			t.Errorf("now %v: nothing to remove: %+v", now, dry)
		}
		o.DryRun = false
		did := mustPrune(t, reopen(t, r.store, c.options()), o)
		dry.NewPacks, dry.RemovedIndexes = did.NewPacks, did.RemovedIndexes // which a dry run does not tell
		if *dry != *did {
			t.Errorf("now %v: dry run\n%+v, prune\n%+v", now, *dry, *did)
		}
		if left := len(packNames(t, r)); left != did.Stored-did.RemovedPacks+did.NewPacks {
			t.Errorf("now %v: %d packs are left: %+v", now, left, *did)
		}
	}
}
