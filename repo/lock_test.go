package repo

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/snapkeep/snap/internal/retention"
	"github.com/snapkeep/snap/internal/s3test"
	"github.com/snapkeep/snap/internal/store/s3"
)

// lockedSite is a repository in a bucket with Object Lock.
type lockedSite struct {
	server *s3test.Server
	store  *s3.Store
	r      *Repo
	looks  atomic.Int64 // HEAD requests
}

// countLooks counts HEAD requests.
type countLooks struct {
	http.RoundTripper
	n *atomic.Int64
}

func (c countLooks) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Method == http.MethodHead {
		c.n.Add(1)
	}
	return c.RoundTripper.RoundTrip(r)
}

const lockedBucket = "locked"

func newLockedSite(t *testing.T, o *ObjectLock) *lockedSite {
	t.Helper()
	s := &lockedSite{server: s3test.StartWith(t, s3test.Options{Versions: true})}
	at := s3.Location{Host: s.server.Proxy.Addr(), Plain: true, Bucket: lockedBucket, Prefix: "r"}
	var err error
	if s.store, err = s3.Create(t.Context(), at, s3.Options{Credentials: s.server.Credentials(), ObjectLock: true,
		Wrap: func(t http.RoundTripper) http.RoundTripper { return countLooks{t, &s.looks} }}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.store.Close() })
	s.r = newTestRepo(t, s.store, Options{PackSize: 1 << 20})
	if err := s.r.SetObjectLock(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	if _, err := s.r.ExtendLocks(t.Context(), LockOptions{}); err != nil {
		t.Fatal(err)
	}
	return s
}

// hide removes all files of a folder, as somebody does who may delete.
func (s *lockedSite) hide(t *testing.T, part string) {
	t.Helper()
	if err := s.server.Hide(lockedBucket, part); err != nil {
		t.Fatal(err)
	}
}

func moment() time.Time {
	time.Sleep(30 * time.Millisecond)
	defer time.Sleep(30 * time.Millisecond)
	return time.Now()
}

// TestEverySnapshotOutlivesAnAttack makes, forgets and prunes snapshots, lets somebody with all keys delete what he can, and restores for each moment each
// snapshot that there was.
func TestEverySnapshotOutlivesAnAttack(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"compliance", "governance"} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			s := newLockedSite(t, &ObjectLock{Mode: mode, Days: 3})
			f := randomFiles(1, 5, 300_000)
			var made []*Snapshot
			held := map[SnapshotID]files{}
			times := map[time.Time][]*Snapshot{}
			note := func() { times[moment()] = slices.Clone(made) }
			for i := range 4 {
				f[fmt.Sprint("changes", i%2)] = randomFiles(uint64(i)+7, 1, 200_000)["file0"] + fmt.Sprint(i)
				made = append(made, mustBack(t, s.r, "a", f))
				held[made[i].ID] = files{}
				for name, data := range f {
					held[made[i].ID][name] = data
				}
				note()
			}
			mustForget(t, s.r, ForgetOptions{Now: true}, made[0])
			made = made[1:]
			note()
			mustPrune(t, s.r, PruneOptions{Now: true, MaxUnused: -1})
			note()
			mustForget(t, s.r, ForgetOptions{}, made[0])
			made = made[1:]
			note()
			// What prune removed is no alarm, and cannot be freed yet.
			result, err := s.r.ExtendLocks(t.Context(), LockOptions{Free: true})
			if err != nil || result.Held == 0 || time.Until(result.Smallest) < 72*time.Hour-time.Minute {
				t.Fatalf("extend locks: %v: %+v", err, result)
			}
			note()
			if err := s.server.DeleteAll(lockedBucket); err != nil {
				t.Fatal(err)
			}
			if left := names(t, s.store, ""); len(left) > 0 {
				t.Fatalf("the attack left %q", left)
			}
			if len(times) != 8 {
				t.Fatalf("%d moments", len(times))
			}
			for at, want := range times {
				past, err := AsOf(s.store, at)
				if err != nil {
					t.Fatal(err)
				}
				r := reopen(t, past, Options{})
				all, err := r.Snapshots(t.Context(), Filter{})
				if err != nil || len(all) != len(want) {
					t.Fatalf("as of %v: %d snapshots, want %d: %v", at, len(all), len(want), err)
				}
				for _, snapshot := range all {
					mustRestore(t, r, snapshot, held[snapshot.ID])
				}
				if at.After(made[1].Time) {
					mustCheck(t, r)
				}
			}
		})
	}
}

// TestLocksLastAsLongAsTheyAreNeeded lets a policy keep a snapshot for long, and looks at what is locked for it.
func TestLocksLastAsLongAsTheyAreNeeded(t *testing.T) {
	t.Parallel()
	s := newLockedSite(t, &ObjectLock{Mode: "governance", Days: 2})
	shared := randomFiles(1, 2, 400_000)
	own := files{"file0": shared["file0"], "own": randomFiles(2, 1, 400_000)["file0"]}
	long, short := mustBack(t, s.r, "long", own), mustBack(t, s.r, "short", shared)
	_, err := s.r.UpdateSettings(t.Context(), func(x *Settings) error {
		x.Policies[long.Source] = StoredPolicy{Name: long.SourceName, Keep: Policy{KeepLast: 1, KeepWithin: retention.Duration{Days: 90}}}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	// A newer snapshot, so that the first one is kept for its age only.
	mustBack(t, s.r, "long", files{"file0": shared["file0"]})
	dry, err := s.r.ExtendLocks(t.Context(), LockOptions{DryRun: true})
	if err != nil || dry.Extended == 0 {
		t.Fatalf("dry run: %v: %+v", err, dry)
	}
	result, err := s.r.ExtendLocks(t.Context(), LockOptions{})
	if err != nil || result.Extended != dry.Extended {
		t.Fatalf("extend locks: %v: %+v, want what the dry run told: %+v", err, result, dry)
	}
	if again, err := s.r.ExtendLocks(t.Context(), LockOptions{}); err != nil || again.Extended != 0 {
		t.Errorf("extend locks again: %v: %+v", err, again)
	}
	report, err := s.r.LockReport(t.Context())
	if err != nil || len(report) != 3 {
		t.Fatalf("report: %v: %+v", err, report)
	}
	const day = 24 * time.Hour
	for _, l := range report {
		left := time.Until(l.Until)
		switch l.Snapshot.ID {
		case long.ID:
			if left < 90*day || left > 110*day {
				t.Errorf("kept for 90 days, and protected for %v", left)
			}
		case short.ID: // it has a pack of its own for which nothing asks for more
			if left < 2*day-time.Minute || left > 3*day {
				t.Errorf("kept by no policy, and protected for %v", left)
			}
		}
		if l.Err != nil || len(l.Unlocked) > 0 {
			t.Errorf("report: %+v", l)
		}
	}
}

// TestHiddenFilesAreNoticed hides what snapshots need, and snapshots themselves, and lets nothing be removed then.
func TestHiddenFilesAreNoticed(t *testing.T) {
	t.Parallel()
	for _, folder := range []string{"/data/", "/meta/", "/index/", "/snapshots/"} {
		t.Run(strings.Trim(folder, "/"), func(t *testing.T) {
			t.Parallel()
			s := newLockedSite(t, &ObjectLock{Mode: "compliance", Days: 1})
			made := mustBack(t, s.r, "a", randomFiles(1, 3, 300_000))
			s.hide(t, folder)
			// Somebody who has seen nothing of it before.
			r := reopen(t, s.store, Options{})
			result, err := r.ExtendLocks(t.Context(), LockOptions{Free: true})
			if !errors.Is(err, ErrHidden) || result == nil || len(result.Hidden)+len(result.Broken) == 0 || result.Freed > 0 {
				t.Fatalf("extend locks: %v: %+v", err, result)
			}
			report, err := r.LockReport(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if folder == "/snapshots/" {
				if len(result.Hidden) != 1 || !strings.HasSuffix(result.Hidden[0], made.ID.String()) {
					t.Errorf("hidden: %q", result.Hidden)
				}
				return
			}
			if len(report) != 1 || (report[0].Err != nil) != (len(result.Broken) == 1) {
				t.Errorf("report: %+v, broken: %v", report, result.Broken)
			}
		})
	}
}

// TestWhatIsFreedWhenLocksAreOver uses locks that are over soon: what was removed goes, and nothing else.
func TestWhatIsFreedWhenLocksAreOver(t *testing.T) {
	t.Parallel()
	for life := 4 * time.Second; !freedWhenLocksAreOver(t, life); life *= 3 {
		t.Logf("locks of %v were over too soon on this machine", life)
	}
}

// freedWhenLocksAreOver uses locks that last so long, and reports false if they were over before all of it was stored.
func freedWhenLocksAreOver(t *testing.T, life time.Duration) bool {
	t.Helper()
	s := newLockedSite(t, &ObjectLock{Mode: "compliance", Days: 1})
	// As if all of this was stored a day and a half ago.
	if err := s.store.LockNew("compliance", life, neverLocked); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	old, keep := mustBack(t, s.r, "a", randomFiles(1, 3, 300_000)), randomFiles(2, 3, 300_000)
	last := mustBack(t, s.r, "a", keep)
	mustForget(t, s.r, ForgetOptions{Now: true}, old)
	mustPrune(t, s.r, PruneOptions{Now: true, MaxUnused: -1})
	result, err := s.r.ExtendLocks(t.Context(), LockOptions{Free: true})
	if time.Since(began) > life-1200*time.Millisecond && life < 10*time.Minute { // the end of a lock is in whole seconds
		return false
	}
	if err != nil || result.Held == 0 {
		t.Fatalf("before: %v: %+v", err, result)
	}
	held := result.HeldBytes
	time.Sleep(life + 100*time.Millisecond)
	result, err = s.r.ExtendLocks(t.Context(), LockOptions{Free: true})
	if err != nil || result.Held != 0 || result.FreedBytes < held {
		t.Fatalf("after: %v: %+v", err, result)
	}
	if result, err = s.r.ExtendLocks(t.Context(), LockOptions{Free: true}); err != nil || result.Freed != 0 {
		t.Errorf("again: %v: %+v", err, result)
	}
	mustRestore(t, s.r, last, keep)
	mustCheck(t, s.r)
	files, err := listVersions(t.Context(), s.store)
	if err != nil {
		t.Fatal(err)
	}
	for name, f := range files {
		if !f.shown {
			t.Errorf("%s is left: %+v", name, f)
		}
	}
	return true
}

// TestABackupLocksWhatItRefersTo makes a snapshot a day later that needs the files of an older one, and looks at their locks without any other
// run in between.
func TestABackupLocksWhatItRefersTo(t *testing.T) {
	t.Parallel()
	const day = 24 * time.Hour
	s := newLockedSite(t, &ObjectLock{Mode: "governance", Days: 2}) // and half a day more
	s.r.opts.StateDir = t.TempDir()
	content := randomFiles(1, 3, 400_000)
	mustBack(t, s.r, "one", content)
	mustBack(t, s.r, "other", randomFiles(2, 1, 400_000))

	s.r.opts.Now = func() time.Time { return time.Now().Add(day) }
	lock := func(x *Snapshot) *LockResult {
		t.Helper()
		result, err := s.r.LockSnapshots(t.Context(), []SnapshotID{x.ID})
		if err != nil {
			t.Fatal(err)
		}
		return result
	}
	second := mustBack(t, s.r, "one", content)
	result := lock(second)
	if result.Extended == 0 || result.Smallest.Before(s.r.now().Add(2*day)) {
		t.Errorf("%d locks were extended, the smallest is until %v", result.Extended, result.Smallest)
	}
	report, err := s.r.LockReport(t.Context())
	if err != nil || len(report) != 3 {
		t.Fatalf("report: %v: %+v", err, report)
	}
	for _, l := range report {
		if l.Snapshot.ID == second.ID && l.Until.Before(s.r.now().Add(2*day)) {
			t.Errorf("the snapshot is protected until %v, from %v on", l.Until, s.r.now())
		}
		if string(l.Snapshot.SourceName) == "other" && !l.Until.Before(s.r.now().Add(2*day)) {
			t.Errorf("the snapshot of another source was locked anew, until %v", l.Until)
		}
	}

	// What is known to be locked is not asked for again.
	third := mustBack(t, s.r, "one", content)
	before := s.looks.Load()
	if result = lock(third); result.Extended > 1 { // its record, which was locked by the true time
		t.Errorf("%d locks were extended again", result.Extended)
	}
	if asked := s.looks.Load() - before; asked > 10 {
		t.Errorf("%d locks were asked for", asked)
	}

	// A file that was hidden and is needed is told of.
	fourth := mustBack(t, s.r, "one", content)
	s.hide(t, "data/")
	if _, err := s.r.LockSnapshots(t.Context(), []SnapshotID{fourth.ID}); !errors.Is(err, ErrHidden) {
		t.Errorf("with packs hidden: %v, want %v", err, ErrHidden)
	}
}
