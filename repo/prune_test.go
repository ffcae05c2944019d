package repo

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/snapkeep/snap/internal/store/mem"
)

// clock is a time that tests move, at times while a run reads it.
type clock struct {
	mu sync.Mutex
	t  time.Time // guarded by mu
}

func newClock() *clock { return &clock{t: time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC)} }

func (c *clock) sleep(d time.Duration)   { c.set(c.now().Add(d)) }
func (c *clock) options() (o Options)    { o.Now, o.PackSize = c.now, 1<<20; return o }
func (c *clock) store() *mem.Store       { return mem.New(c.now) }
func (c *clock) repo(t testing.TB) *Repo { return newTestRepo(t, c.store(), c.options()) }

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t
}

func (c *clock) set(t time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = t
}

func mustPrune(t testing.TB, r *Repo, o PruneOptions) *PruneResult {
	t.Helper()
	res, err := r.Prune(t.Context(), o)
	if err != nil {
		t.Fatalf("prune: %v", err)
	}
	return res
}

func mustForget(t testing.TB, r *Repo, o ForgetOptions, s ...*Snapshot) {
	t.Helper()
	var ids []SnapshotID
	for _, x := range s {
		ids = append(ids, x.ID)
	}
	if _, err := r.Forget(t.Context(), ids, o); err != nil {
		t.Fatalf("forget: %v", err)
	}
}

func packNames(t testing.TB, r *Repo) []string {
	return append(names(t, r.store, "data/"), names(t, r.store, "meta/")...)
}

func TestPruneNowLeavesWhatAFreshRepositoryHas(t *testing.T) {
	c := newClock()
	o := c.options()
	o.PackSize = 4 << 20 // six files and more, of which the four that change cannot be all
	r := newTestRepo(t, c.store(), o)
	rng := rand.New(rand.NewPCG(1, 1))
	f := files{} // each large enough for a segment of its own
	for i := range 12 {
		f[fmt.Sprintf("dir/file%d", i)] = randomText(rng, 600_000)
	}
	first := mustBack(t, r, "a", f)
	for i := range 12 {
		if i%3 == 0 {
			f[fmt.Sprintf("dir/file%d", i)] = randomText(rng, 600_000)
		}
	}
	second := mustBack(t, r, "a", f)
	mustForget(t, r, ForgetOptions{Now: true}, first)
	res := mustPrune(t, r, PruneOptions{Now: true, MaxUnused: -1})
	if res.RemovedPacks == 0 || res.CopiedBytes == 0 || res.WaitingPacks != 0 || res.MissingChunks != 0 {
		t.Errorf("prune: %+v", res)
	}
	mustRestore(t, r, second, f)
	r = reopen(t, r.store, o)
	mustRestore(t, r, second, f)
	got := mustCheck(t, r)
	if len(got.Orphans) != 0 {
		t.Errorf("orphans: %q", got.Orphans)
	}
	fresh := newTestRepo(t, c.store(), o)
	mustBack(t, fresh, "a", f)
	want := mustCheck(t, fresh)
	if got.PackBytes > want.PackBytes*120/100 {
		t.Errorf("%d bytes of packs, a fresh repository has %d", got.PackBytes, want.PackBytes)
	}
	if n := names(t, r.store, "index/"); len(n) != 1 {
		t.Errorf("index files: %q", n)
	}
	if n := names(t, r.store, "sessions/"); len(n) != 0 {
		t.Errorf("sessions: %q", n)
	}
	if again := mustPrune(t, r, PruneOptions{Now: true, MaxUnused: -1}); again.RemovedPacks != 0 || again.CopiedBytes != 0 {
		t.Errorf("second prune: %+v", again)
	}
}

func TestPruneWaitsForGraces(t *testing.T) {
	c := newClock()
	r := c.repo(t)
	f := randomFiles(1, 30, 50_000)
	first := mustBack(t, r, "a", f)
	f2 := randomFiles(2, 30, 50_000)
	second := mustBack(t, r, "a", f2)
	mustForget(t, r, ForgetOptions{}, first)
	if trash, err := r.Trash(t.Context(), Filter{}); err != nil || len(trash) != 1 || trash[0].ID != first.ID || !trash[0].Forgotten.Equal(c.now()) {
		t.Errorf("trash: %+v, %v", trash, err)
	}
	before := len(packNames(t, r))
	c.sleep(6 * 24 * time.Hour)
	if res := mustPrune(t, r, PruneOptions{}); res.DeadPacks != 0 || res.Emptied != 0 || res.Trashed != 1 {
		t.Errorf("in the grace of the trash: %+v", res)
	}
	c.sleep(2 * 24 * time.Hour)
	res := mustPrune(t, r, PruneOptions{})
	if res.DeadPacks == 0 || res.Emptied != 1 || res.RemovedPacks != 0 || len(packNames(t, r)) < before ||
		!res.WaitingUntil.Equal(c.now().Add(DefaultGracePacks)) {
		t.Errorf("after the grace of the trash: %+v", res)
	}
	c.sleep(71 * time.Hour)
	if res := mustPrune(t, r, PruneOptions{}); res.RemovedPacks != 0 || res.WaitingPacks == 0 {
		t.Errorf("in the grace of packs: %+v", res)
	}
	c.sleep(2 * time.Hour)
	if res := mustPrune(t, r, PruneOptions{}); res.RemovedPacks == 0 || res.WaitingPacks != 0 {
		t.Errorf("after the grace of packs: %+v", res)
	}
	mustRestore(t, r, second, f2)
	mustCheck(t, reopen(t, r.store, c.options()))
	entries, err := r.Log(t.Context())
	if err != nil || len(entries) != 3 || entries[0].What != "forget" || entries[1].What != "trash" || entries[2].What != "prune" {
		t.Errorf("log: %+v, %v", entries, err)
	}
}

func TestUndelete(t *testing.T) {
	c := newClock()
	r := c.repo(t)
	f := randomFiles(1, 10, 50_000)
	first := mustBack(t, r, "a", f)
	mustBack(t, r, "a", randomFiles(2, 10, 50_000))
	mustForget(t, r, ForgetOptions{}, first)
	if _, err := r.Find(t.Context(), first.ID.String(), Filter{}); !errors.Is(err, ErrNoSnapshot) {
		t.Errorf("forgotten snapshot is found: %v", err)
	}
	if _, err := r.Undelete(t.Context(), []SnapshotID{first.ID}); err != nil {
		t.Fatal(err)
	}
	s, err := r.Find(t.Context(), first.ID.String(), Filter{})
	if err != nil {
		t.Fatal(err)
	}
	mustRestore(t, r, s, f)
	if trash, err := r.Trash(t.Context(), Filter{}); err != nil || len(trash) != 0 {
		t.Errorf("trash: %+v, %v", trash, err)
	}
	// Its time in the trash begins anew when it is forgotten again.
	c.sleep(5 * 24 * time.Hour)
	mustForget(t, r, ForgetOptions{}, first)
	c.sleep(5 * 24 * time.Hour)
	mustPrune(t, r, PruneOptions{})
	if _, err := r.Undelete(t.Context(), []SnapshotID{first.ID}); err != nil {
		t.Fatal(err)
	}
	c.sleep(30 * 24 * time.Hour)
	mustPrune(t, r, PruneOptions{})
	mustRestore(t, r, s, f)
	if left := append(names(t, r.store, "trash/"), names(t, r.store, "pending/")...); len(left) != 0 {
		t.Errorf("left: %q", left)
	}
	mustForget(t, r, ForgetOptions{Now: true}, first)
	if _, err := r.Undelete(t.Context(), []SnapshotID{first.ID}); !errors.Is(err, ErrNoSnapshot) {
		t.Errorf("undelete after forget --now: %v", err)
	}
}

func TestForgetKeepsTheLastOfASource(t *testing.T) {
	r := newClock().repo(t)
	a, b := mustBack(t, r, "a", files{"x": "1"}), mustBack(t, r, "b", files{"x": "2"})
	if _, err := r.Forget(t.Context(), []SnapshotID{a.ID}, ForgetOptions{}); !errors.Is(err, ErrLastOfSource) {
		t.Errorf("forget of the last: %v", err)
	}
	mustForget(t, r, ForgetOptions{AllowAll: true}, b)
	all, err := r.Snapshots(t.Context(), Filter{})
	if err != nil || len(all) != 1 || all[0].ID != a.ID {
		t.Errorf("left: %v, %v", all, err)
	}
}

func TestForgetPlan(t *testing.T) {
	c := newClock()
	r := c.repo(t)
	var last *Snapshot
	for i := range 10 {
		last = mustBack(t, r, "a", files{"x": strings.Repeat("x", i+1)})
		mustBack(t, r, "b", files{"y": strings.Repeat("y", i+1)})
		c.sleep(24 * time.Hour)
	}
	plan, err := r.ForgetPlan(t.Context(), Policy{KeepLast: 1}, Filter{Sources: []string{"a"}}, ForgetPlanOptions{})
	if err != nil || len(plan.Sources) != 1 || plan.Sources[0].Name != "a" || len(plan.Remove()) != 9 {
		t.Fatalf("plan: %+v, %v", plan, err)
	}
	if d := plan.Sources[0].Decisions[0]; !d.Keep || d.Record.ID != last.ID {
		t.Errorf("newest: %+v", d)
	}
	if _, err := r.Forget(t.Context(), plan.Remove(), ForgetOptions{Why: "test"}); err != nil {
		t.Fatal(err)
	}
	if all, _ := r.Snapshots(t.Context(), Filter{}); len(all) != 11 {
		t.Errorf("%d snapshots left, want 11", len(all))
	}
	if _, err := r.ForgetPlan(t.Context(), Policy{}, Filter{}, ForgetPlanOptions{}); err == nil {
		t.Error("a policy that keeps nothing is accepted")
	}
}

func TestPruneNowRefusesBesideOthers(t *testing.T) {
	c := newClock()
	r := c.repo(t)
	mustBack(t, r, "a", files{"x": "1"})
	s := r.enter(t.Context(), "backup")
	<-s.ready
	if _, err := r.Prune(t.Context(), PruneOptions{Now: true}); !errors.Is(err, ErrBusy) {
		t.Errorf("prune beside a backup: %v", err)
	}
	mustPrune(t, r, PruneOptions{})
	s.leave()
	mustPrune(t, r, PruneOptions{Now: true})
	// A session that was not renewed for an hour is dead.
	s = r.enter(t.Context(), "backup")
	<-s.ready
	c.sleep(2 * time.Hour)
	mustPrune(t, r, PruneOptions{Now: true})
	if left := names(t, r.store, "sessions/"); len(left) != 0 {
		t.Errorf("sessions left: %q", left)
	}
	s.leave()
}

func TestPruneRefusesClockSkew(t *testing.T) {
	c := newClock()
	r := c.repo(t)
	first := mustBack(t, r, "a", files{"x": "1"})
	mustBack(t, r, "a", files{"x": "2"})
	mustForget(t, r, ForgetOptions{}, first)
	for _, skew := range []time.Duration{10 * 365 * 24 * time.Hour, -10 * 365 * 24 * time.Hour, 6 * time.Minute} {
		o := c.options()
		o.Now = func() time.Time { return c.now().Add(skew) }
		before := len(listing(t, r.store))
		if _, err := reopen(t, r.store, o).Prune(t.Context(), PruneOptions{}); !errors.Is(err, ErrClockSkew) {
			t.Errorf("skew of %v: %v", skew, err)
		}
		if after := len(listing(t, r.store)); after != before {
			t.Errorf("skew of %v: %d files, were %d", skew, after, before)
		}
	}
}

func TestPruneDryRunChangesNothing(t *testing.T) {
	c := newClock()
	r := c.repo(t)
	first := mustBack(t, r, "a", randomFiles(1, 20, 50_000))
	mustBack(t, r, "a", randomFiles(2, 20, 50_000))
	mustForget(t, r, ForgetOptions{}, first)
	before := listing(t, r.store)
	dry := mustPrune(t, r, PruneOptions{Now: true, DryRun: true})
	if after := listing(t, r.store); len(after) != len(before) {
		t.Errorf("%d files, were %d", len(after), len(before))
	}
	if dry.DeadPacks == 0 || dry.Emptied != 1 {
		t.Errorf("dry run: %+v", dry)
	}
	real := mustPrune(t, r, PruneOptions{Now: true})
	if real.DeadPacks != dry.DeadPacks || real.DeadBytes != dry.DeadBytes || real.Emptied != dry.Emptied {
		t.Errorf("dry run told %+v, then %+v", dry, real)
	}
}

func TestPruneOptionsAreChecked(t *testing.T) {
	r := newClock().repo(t)
	for _, o := range []PruneOptions{{GracePacks: time.Hour}, {GraceTrash: -1}, {MaxUnused: 2}} {
		if _, err := r.Prune(t.Context(), o); err == nil {
			t.Errorf("%+v is accepted", o)
		}
	}
}
