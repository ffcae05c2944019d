package simulation

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"filippo.io/age"

	"github.com/snapkeep/snap/internal/store"
	"github.com/snapkeep/snap/internal/store/faulty"
	"github.com/snapkeep/snap/internal/store/mem"
	"github.com/snapkeep/snap/repo"
)

// simSeeds are interleavings that once went wrong.
var simSeeds = []uint64{3402, 5837, 1887, 7413}

const (
	simRounds  = 200    // interleavings in the suite; SNAP_INTERLEAVINGS overrides
	longRounds = 10_000 // with SNAP_LONG_TESTS
	enough     = 1000   // from here on everything happens at least once
	lanes      = 2      // simulations at a time
)

func TestInterleavings(t *testing.T) {
	rounds := uint64(simRounds)
	switch n, err := strconv.ParseUint(os.Getenv("SNAP_INTERLEAVINGS"), 10, 64); {
	case err == nil:
		rounds = n
	case os.Getenv("SNAP_LONG_TESTS") != "":
		rounds = longRounds
	case testing.Short():
		rounds = 30
	}
	keys := newSimKeys(t)
	if one, err := strconv.ParseUint(os.Getenv("SNAP_SEED"), 10, 64); err == nil {
		simulate(t, keys, one)
		return
	}
	seeds := slices.Clone(simSeeds)
	first, _ := strconv.ParseUint(os.Getenv("SNAP_FIRST_SEED"), 10, 64)
	for seed := range rounds {
		seeds = append(seeds, first+seed)
	}
	var total simCounts
	t.Run("all", func(t *testing.T) {
		for part := range lanes {
			t.Run(strconv.Itoa(part), func(t *testing.T) {
				t.Parallel()
				for i := part; i < len(seeds); i += lanes {
					total.add(simulate(t, keys, seeds[i]))
				}
			})
		}
	})
	t.Logf("%d interleavings: %s", len(seeds), total.String())
	if rounds < enough {
		return
	}
	for what, n := range map[string]int{"backups": total.backups, "forgets": total.forgets, "undeletes": total.undeletes, "prunes": total.prunes,
		"repairs": total.repairs, "crashes": total.crashes, "removed packs": total.removed, "copied packs": total.copied,
		"backups that copied": total.saved, "prunes that copied for others": total.rescued} {
		if n == 0 {
			t.Errorf("no %s in all that", what)
		}
	}
}

func simulate(t *testing.T, keys *simKeys, seed uint64) *simCounts {
	var w *world
	synctest.Test(t, func(t *testing.T) {
		t.Cleanup(func() {
			if t.Failed() {
				t.Logf("interleaving %d failed: see it with SNAP_SEED=%d SNAP_TRACE=1", seed, seed)
			}
		})
		w = newWorld(t, keys, seed)
		w.run()
	})
	return &w.counts
}

// simCounts counts what happened, so that it can be seen that something did.
type simCounts struct {
	mu sync.Mutex // guards what follows

	backups, overtaken, forgets, undeletes, prunes, repairs, crashes, failed, removed, copied, rescued, saved, checks int
}

func (c *simCounts) add(o *simCounts) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.backups += o.backups
	c.overtaken += o.overtaken
	c.forgets += o.forgets
	c.undeletes += o.undeletes
	c.prunes += o.prunes
	c.repairs += o.repairs
	c.crashes += o.crashes
	c.failed += o.failed
	c.removed += o.removed
	c.copied += o.copied
	c.rescued += o.rescued
	c.saved += o.saved
	c.checks += o.checks
}

func (c *simCounts) String() string {
	return fmt.Sprintf("%d backups (%d overtaken, %d that copied what was condemned), %d forgets, %d undeletes, %d prunes that removed %d packs and copied to %d (%d that copied for snapshots that came), %d repairs, %d crashes, %d failures, %d checks",
		c.backups, c.overtaken, c.saved, c.forgets, c.undeletes, c.prunes, c.removed, c.copied, c.rescued, c.repairs, c.crashes, c.failed, c.checks)
}

// world is one simulation.
type world struct {
	t       *testing.T
	seed    uint64
	rng     *rand.Rand
	inner   *mem.Store
	delayed *faulty.Delayed
	lag     time.Duration // of listings, at most
	pace    time.Duration // between two things that a machine does
	stalls  int           // operations of 1000 that take hours, or days
	keys    *simKeys
	blobs   []*blob

	checking sync.Mutex // guards what follows
	checker  *repo.Repo // of now
	now      *moment

	mu      sync.Mutex    // guards what follows
	jump    time.Duration // of the storage's clock
	counts  simCounts
	model   map[repo.SnapshotID]files // reported as made
	touched map[repo.SnapshotID]bool  // somebody tried to forget it
	purged  map[string]bool           // somebody tried to remove it for good
}

func newWorld(t *testing.T, keys *simKeys, seed uint64) *world {
	w := &world{t: t, seed: seed, rng: rand.New(rand.NewPCG(seed, 77)), model: map[repo.SnapshotID]files{}, touched: map[repo.SnapshotID]bool{}, purged: map[string]bool{}, now: &moment{}}
	w.inner = mem.New(w.storageNow)
	copyAll(t, w.inner, keys.empty)
	if w.rng.IntN(3) > 0 {
		w.lag = time.Duration(w.rng.Int64N(int64(time.Hour)))
	}
	w.pace = []time.Duration{20 * time.Minute, 3 * time.Hour, 10 * time.Hour}[w.rng.IntN(3)]
	w.stalls = []int{0, 5, 30}[w.rng.IntN(3)]
	w.delayed = faulty.NewDelayed(w.inner, time.Now, faulty.RandomDelay(seed, w.lag))
	for i := range 24 {
		size := 1 + w.rng.IntN(4000)
		if i%3 == 0 { // enough for a segment of its own
			w.blobs = append(w.blobs, &blob{int64(i), strings.Repeat(randomText(w.rng, 64), 8200)})
			continue
		}
		w.blobs = append(w.blobs, &blob{int64(i), randomText(w.rng, size)})
	}
	w.keys = keys
	return w
}

// simKeys open all simulated repositories. Each starts as a copy of an empty one.
type simKeys struct {
	empty        *mem.Store
	full, writer *repo.Credential
}

func newSimKeys(t *testing.T) *simKeys {
	k := &simKeys{empty: mem.New(nil)}
	credential := func() (*repo.Recipient, *repo.Credential) {
		id, err := age.GenerateX25519Identity()
		if err != nil {
			t.Fatal(err)
		}
		to, err := repo.ForAge(id.Recipient().String())
		if err != nil {
			t.Fatal(err)
		}
		c, err := repo.AgeIdentities([]byte(id.String()))
		if err != nil {
			t.Fatal(err)
		}
		return to, c
	}
	var to *repo.Recipient
	to, k.full = credential()
	r, err := repo.Create(t.Context(), k.empty, to, repo.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	to, k.writer = credential()
	if _, err := r.AddSlot(t.Context(), to, repo.RoleWriter, ""); err != nil {
		t.Fatal(err)
	}
	return k
}

func (w *world) storageNow() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return time.Now().Add(w.jump)
}

func (w *world) open(s repo.Store, credential *repo.Credential, o repo.Options) (*repo.Repo, error) {
	o.PackSize = 1 << 20
	return repo.Open(w.t.Context(), s, credential, o)
}

func (w *world) run() {
	var all sync.WaitGroup
	for id := range 2 + w.rng.IntN(3) {
		m := w.machine(id)
		all.Go(m.live)
	}
	if w.rng.IntN(4) == 0 {
		years := time.Duration(w.rng.IntN(21)-10) * 365 * 24 * time.Hour
		at := time.Duration(w.rng.Int64N(int64(10 * 24 * time.Hour)))
		all.Go(func() {
			time.Sleep(at)
			w.mu.Lock()
			w.jump = years
			w.mu.Unlock()
		})
	}
	all.Wait()
	w.check("the end")
	if !w.t.Failed() {
		w.end()
	}
}

// end prunes until nothing is left to do, and compares everything with the model.
func (w *world) end() {
	w.mu.Lock()
	w.jump = 0
	w.mu.Unlock()
	ctx := w.t.Context()
	r, err := w.open(w.inner, w.keys.full, repo.Options{})
	if err != nil {
		w.t.Fatalf("open in the end: %v", err)
	}
	defer r.Close()
	time.Sleep(11 * 365 * 24 * time.Hour) // behind all stamps of clocks that were ahead
	for range 4 {
		if _, err := r.Prune(ctx, repo.PruneOptions{MaxUnused: -1}); err != nil {
			w.t.Fatalf("prune in the end: %v", err)
		}
		time.Sleep(100 * time.Hour)
	}
	res, err := r.Prune(ctx, repo.PruneOptions{MaxUnused: -1, DryRun: true})
	if err != nil || res.DeadPacks+res.Repacked+res.Orphans+res.WaitingPacks > 0 {
		w.t.Errorf("something is left to prune: %+v, %v", res, err)
	}
	for _, prefix := range []string{"pending/", "sessions/", "trash/"} {
		if left := names(w.t, w.inner, prefix); len(left) > 0 {
			w.t.Errorf("left: %q", left)
		}
	}
	there, err := r.Snapshots(ctx, repo.Filter{})
	if err != nil {
		w.t.Fatalf("list in the end: %v", err)
	}
	seen := map[repo.SnapshotID]bool{}
	for _, s := range there {
		seen[s.ID] = true
		if want, ok := w.model[s.ID]; ok {
			mustRestore(w.t, r, s, want)
		}
	}
	for id := range w.model {
		if !seen[id] && !w.touched[id] {
			w.t.Errorf("snapshot %s was never forgotten and is gone", id)
		}
	}
	w.check("the very end")
}

// moment is the store as it was at one time. It is opened once for all times.
type moment struct{ repo.Store }

// check looks at the store as it is at this moment.
func (w *world) check(after string) {
	w.checking.Lock()
	defer w.checking.Unlock()
	w.now.Store = w.inner.Clone()
	if w.checker == nil {
		var err error
		if w.checker, err = w.open(w.now, w.keys.writer, repo.Options{}); err != nil {
			w.t.Errorf("after %s: open: %v", after, err)
			return
		}
	}
	r := w.checker
	res, err := r.Check(w.t.Context(), repo.CheckOptions{})
	if res != nil {
		res.Affected = slices.DeleteFunc(res.Affected, func(a repo.Affected) bool { return w.ghost(a.Snapshot.ID) })
	}
	if err != nil && (res == nil || len(res.Affected) > 0 || len(res.Damage) > 0) {
		w.t.Errorf("after %s: %v%s", after, err, describe(res))
	}
	w.mu.Lock()
	w.counts.checks++
	w.mu.Unlock()
}

// ghost reports whether a snapshot stands in the trash only, though it was removed for good: a forget that had read it before
// puts it there, and takes it away again unless it crashes.
func (w *world) ghost(id repo.SnapshotID) bool {
	_, _, err := w.now.Stat(w.t.Context(), "snapshots/"+id.String())
	w.mu.Lock()
	defer w.mu.Unlock()
	return err != nil && w.purged[id.String()]
}

// machine is a computer that uses the store.
type machine struct {
	w     *world
	id    int
	rng   *rand.Rand
	now   func() time.Time
	files files
	cache string // folder, empty for none
	store *unreliable
	repo  *repo.Repo
	// oneRun says that the machine does all until it boots again in one run, as those do whose store is far, and for several sources. Some such
	// machines have a clock that stands still for the time of a run.
	oneRun bool
}

func (w *world) machine(id int) *machine {
	m := &machine{w: w, id: id, rng: rand.New(rand.NewPCG(w.seed, uint64(id)+1000)), files: files{}}
	var skew time.Duration
	switch m.rng.IntN(6) {
	case 0:
		skew = time.Duration(m.rng.IntN(21)-10) * 365 * 24 * time.Hour
	case 1:
		skew = time.Duration(m.rng.Int64N(int64(8*time.Minute))) - 4*time.Minute
	}
	m.now = func() time.Time { return time.Now().Add(skew) }
	m.oneRun = (w.seed+uint64(id))%3 == 0
	if id%2 == 1 && w.seed%4 == 1 {
		m.cache = w.t.TempDir()
	}
	return m
}

// spoilCache removes what is kept on the machine now and then, or damages it.
func (m *machine) spoilCache() {
	kept, err := filepath.Glob(filepath.Join(m.cache, "*", "files", "*", "*"))
	if err != nil || m.cache == "" {
		return
	}
	for _, name := range kept {
		switch m.rng.IntN(20) {
		case 0:
			err = os.Remove(name)
		case 1:
			err = os.Truncate(name, 10)
		}
		if err != nil {
			m.w.t.Error(err)
		}
	}
}

// live does some things one after the other.
func (m *machine) live() {
	for range 4 + m.rng.IntN(8) {
		time.Sleep(time.Duration(m.rng.ExpFloat64() * float64(m.w.pace)))
		if m.w.t.Failed() {
			return
		}
		if m.repo == nil || m.rng.IntN(8) == 0 {
			m.boot()
		}
		if m.repo == nil {
			continue // it crashed while it opened
		}
		what := m.act()
		m.trace("done", what, nil)
		m.w.check(fmt.Sprintf("%s by machine %d", what, m.id))
		if m.store.dead() {
			m.repo.Close()
			m.repo = nil
			m.w.count(func(c *simCounts) { c.crashes++ })
		}
	}
	if m.repo != nil {
		m.repo.Close()
	}
}

func (m *machine) boot() {
	if m.repo != nil {
		m.repo.Close()
	}
	crash := -1
	if m.rng.IntN(3) == 0 {
		crash = m.rng.IntN(120)
	}
	m.store = &unreliable{trace: m.trace, purge: m.w.purge, clock: m.w.storageNow, inner: m.w.delayed.Client(m.id), rng: rand.New(rand.NewPCG(m.rng.Uint64(), 5)), stalls: m.w.stalls, crashAfter: crash}
	m.store.mute = m.rng.IntN(8) == 0
	m.store.apart = []time.Duration{0, time.Second, 10 * time.Minute}[m.rng.IntN(3)]
	var st repo.Store = m.store
	if m.id%2 == 1 {
		st = &far{m.store}
		m.spoilCache()
	}
	if m.oneRun && m.w.seed%2 == 0 {
		still := time.Now()
		m.now = func() time.Time { return still }
	}
	var err error
	if m.repo, err = m.w.open(st, m.w.keys.full, repo.Options{Now: m.now, CacheDir: m.cache, OneRun: m.oneRun || m.id%2 == 1}); err != nil {
		if m.repo = nil; !m.store.dead() {
			m.w.t.Errorf("open by machine %d: %v", m.id, err)
		}
	}
}

func (w *world) count(fn func(c *simCounts)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	fn(&w.counts)
}

// trace prints an operation, if somebody wants to see it.
func (m *machine) trace(op, name string, err error) {
	if os.Getenv("SNAP_TRACE") != "" {
		fmt.Printf("%s machine %d %s %s %v\n", time.Now().Format("02 15:04:05.000"), m.id, op, name, err)
	}
}

// act does one thing and returns what.
func (m *machine) act() string {
	ctx := m.w.t.Context()
	switch n := m.rng.IntN(100); {
	case n < 40:
		m.backup(ctx)
		return "backup"
	case n < 60:
		m.forget(ctx)
		return "forget"
	case n < 70:
		m.undelete(ctx)
		return "undelete"
	case n < 97:
		return m.prune(ctx)
	}
	_, err := m.repo.Repair(ctx, repo.RepairOptions{})
	m.expect("repair", err, repo.ErrDamagedFound)
	m.w.count(func(c *simCounts) { c.repairs++ })
	return "repair"
}

// expect fails the test for errors that nothing explains.
func (m *machine) expect(what string, err error, allowed ...error) {
	if err == nil {
		return
	}
	m.w.count(func(c *simCounts) { c.failed++ })
	if m.store.mute {
		allowed = append(allowed, fs.ErrPermission)
	}
	for _, a := range append(allowed, errCrashed, fs.ErrNotExist, repo.ErrClockSkew, repo.ErrOvertaken, repo.ErrBusy) {
		if errors.Is(err, a) {
			return
		}
	}
	m.w.t.Errorf("%s by machine %d: %v", what, m.id, err)
}

func (m *machine) backup(ctx context.Context) {
	for range 1 + m.rng.IntN(4) {
		name := fmt.Sprintf("d%d/f%d", m.rng.IntN(3), m.rng.IntN(6))
		if m.rng.IntN(4) == 0 {
			delete(m.files, name)
		} else {
			m.files[name] = m.w.blobs[m.rng.IntN(len(m.w.blobs))]
		}
	}
	now := maps.Clone(m.files)
	before := m.store.rescues()
	source := m.id
	if m.oneRun { // one of several, of which each may have what another has stored
		source += 10 * m.rng.IntN(3)
	}
	s, err := back(ctx, m.repo, fmt.Sprintf("source %d", source), now)
	m.expect("backup", err)
	m.w.count(func(c *simCounts) {
		switch {
		case err == nil:
			c.backups++
			if m.store.rescues() > before {
				c.saved++
			}
			m.w.model[s.ID] = now
		case errors.Is(err, repo.ErrOvertaken):
			c.overtaken++
		}
	})
}

func (m *machine) forget(ctx context.Context) {
	all, _ := m.repo.Snapshots(ctx, repo.Filter{})
	if len(all) == 0 {
		return
	}
	var ids []repo.SnapshotID
	for _, i := range m.rng.Perm(len(all))[:1+m.rng.IntN(len(all))] {
		ids = append(ids, all[i].ID)
	}
	m.w.count(func(c *simCounts) {
		for _, id := range ids {
			m.w.touched[id] = true
		}
		c.forgets++
	})
	if m.rng.IntN(2) == 0 { // what it is made of is taken over
		_, err := m.repo.ForgetPlan(ctx, repo.Policy{KeepLast: 1}, repo.Filter{}, repo.ForgetPlanOptions{})
		m.expect("plan", err)
	}
	now := m.rng.IntN(3) == 0
	if now {
		for _, id := range ids {
			m.w.purge(id.String())
		}
	}
	_, err := m.repo.Forget(ctx, ids, repo.ForgetOptions{AllowAll: true, Now: now})
	m.expect("forget", err)
}

func (w *world) purge(id string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.purged[id] = true
}

func (m *machine) undelete(ctx context.Context) {
	trash, _ := m.repo.Trash(ctx, repo.Filter{})
	if len(trash) == 0 {
		return
	}
	m.w.count(func(c *simCounts) { c.undeletes++ })
	_, err := m.repo.Undelete(ctx, []repo.SnapshotID{trash[m.rng.IntN(len(trash))].ID})
	m.expect("undelete", err, repo.ErrNoSnapshot, repo.ErrDamaged)
}

func (m *machine) prune(ctx context.Context) string {
	o := repo.PruneOptions{GracePacks: repo.MinGracePacks, GraceTrash: time.Duration(1 + m.rng.Int64N(int64(72*time.Hour))), MaxUnused: m.rng.Float64()}
	if !slices.Contains(simSeeds, m.w.seed) { // they are to go as they went
		o.MaxUnused -= 0.5 // half of the prunes copy whatever is worth it
	}
	what := "prune"
	if m.w.lag == 0 && m.rng.IntN(2) == 0 {
		o.Now, what = true, "prune now"
	}
	res, err := m.repo.Prune(ctx, o)
	m.expect(what, err)
	if res == nil { // it ended before it began
		res = &repo.PruneResult{}
	}
	m.w.count(func(c *simCounts) {
		c.prunes++
		if res.Rescued > 0 {
			c.rescued++
		}
		c.removed += res.RemovedPacks
		c.copied += res.NewPacks
	})
	return fmt.Sprintf("%s: %+v, %v", what, *res, err)
}

var errCrashed = errors.New("the machine has crashed")

// unreliable is the way to a store on which operations take a while, sometimes long, and which ends with the machine.
type unreliable struct {
	inner  store.Store
	stalls int
	trace  func(op, name string, err error)
	purge  func(id string)
	clock  func() time.Time // the storage's

	mu         sync.Mutex // guards what follows
	rng        *rand.Rand
	answered   time.Time     // the latest answer, by the storage's clock
	apart      time.Duration // how far clocks of the storage's servers are from it, at most
	mute       bool          // no session can be stored
	crashAfter int           // operations; negative for never
	crashed    bool
	committing bool // a record stands in pending/ and not in snapshots/
	copied     int  // packs that were stored meanwhile
}

// rescues returns how many packs were stored between pending/ and snapshots/.
func (u *unreliable) rescues() int {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.copied
}

func (u *unreliable) dead() bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.crashed
}

// step waits, then runs an operation unless the machine has crashed. The one in which it does so may take its effect.
func (u *unreliable) step(op, name string, run func() error) (err error) {
	defer func() { u.trace(op, name, err) }()
	u.mu.Lock()
	if u.crashed {
		u.mu.Unlock()
		return errCrashed
	}
	crash, effect := false, true
	if op == "create" {
		switch folder, _, _ := strings.Cut(name, "/"); folder {
		case "pending":
			u.committing = true
		case "snapshots":
			u.committing = false
		case "data", "meta":
			if u.committing {
				u.copied++
			}
		}
	}
	if u.crashAfter >= 0 {
		crash = u.crashAfter == 0
		u.crashAfter--
		effect = !crash || u.rng.IntN(2) == 0
	}
	u.crashed = crash
	var wait time.Duration
	switch n := u.rng.IntN(1000); {
	case n < 900:
		wait = time.Duration(u.rng.Int64N(int64(2 * time.Second)))
	case n < 1000-u.stalls:
		wait = time.Duration(u.rng.Int64N(int64(4 * time.Minute)))
	case n < 999 || u.rng.IntN(10) > 0:
		wait = time.Duration(u.rng.Int64N(int64(12 * time.Hour)))
	default:
		wait = time.Duration(u.rng.Int64N(int64(20 * 24 * time.Hour))) // a lid was closed
	}
	u.mu.Unlock()
	if !strings.HasPrefix(name, "content/") { // other goroutines wait for it in a way that stops the virtual clock
		time.Sleep(wait)
	}
	if effect {
		if err := run(); err != nil {
			return err
		}
	}
	if crash || u.dead() {
		return errCrashed
	}
	u.mu.Lock()
	u.answered = u.clock()
	u.mu.Unlock()
	return nil
}

func (u *unreliable) Create(ctx context.Context, name string, data io.Reader, size int64) error {
	if u.mute && strings.HasPrefix(name, "sessions/") {
		return fmt.Errorf("%s: %w", name, fs.ErrPermission)
	}
	return u.step("create", name, func() error { return u.inner.Create(ctx, name, data, size) })
}

func (u *unreliable) ReadAt(ctx context.Context, name string, p []byte, off int64) (n int, err error) {
	err = u.step("read", name, func() (err error) {
		n, err = u.inner.ReadAt(ctx, name, p, off)
		return err
	})
	return n, err
}

func (u *unreliable) List(ctx context.Context, prefix string, fn func(string, int64, time.Time) error) error {
	return u.step("list", prefix, func() error { return u.inner.List(ctx, prefix, fn) })
}

func (u *unreliable) Remove(ctx context.Context, name string) error {
	if id, ok := strings.CutPrefix(name, "trash/"); ok {
		u.purge(id)
	}
	return u.step("remove", name, func() error { return u.inner.Remove(ctx, name) })
}

func (u *unreliable) Stat(ctx context.Context, name string) (size int64, at time.Time, err error) {
	err = u.step("stat", name, func() (err error) {
		size, at, err = u.inner.Stat(ctx, name)
		return err
	})
	return size, at, err
}

func (u *unreliable) Close() error { return nil }

// far is an unreliable store that is elsewhere: it lists several folders in one go, and what a run has put is not looked at one by one. A listing takes a
// while, so that each folder is seen at a time of its own, in the order of their names.
type far struct{ *unreliable }

func (f *far) Remote() bool { return true }

// StorageTime is told by servers whose clocks differ.
func (f *far) StorageTime() time.Time {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.answered.IsZero() {
		return f.answered
	}
	return f.answered.Add(time.Duration(f.rng.Int64N(int64(2*f.apart)+1)) - f.apart)
}

// DeleteAll removes files in an order of its own; a crash leaves some.
func (f *far) DeleteAll(ctx context.Context, names []string) (gone []string, err error) {
	f.mu.Lock()
	order := f.rng.Perm(len(names))
	f.mu.Unlock()
	for _, i := range order {
		if err := f.Remove(ctx, names[i]); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return gone, err
		}
		gone = append(gone, names[i])
	}
	return gone, nil
}

func (f *far) ListEach(ctx context.Context, prefixes, along []string, fn func(string, int64, time.Time) error) ([]string, error) {
	for _, prefix := range slices.Sorted(slices.Values(slices.Concat(prefixes, along))) {
		if err := f.List(ctx, prefix, fn); err != nil {
			return nil, err
		}
	}
	return along, nil
}

// Spool keeps the file in memory until it is committed: what was written before has no name, and no effect.
func (u *unreliable) Spool(context.Context) (io.WriteCloser, func(context.Context, string) error, error) {
	var b bytes.Buffer
	return nopCloser{&b}, func(ctx context.Context, name string) error {
		return u.Create(ctx, name, strings.NewReader(b.String()), int64(b.Len()))
	}, nil
}
