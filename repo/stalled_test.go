package repo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// hooked is a Store that runs something before an operation, once: the caller is stalled meanwhile.
type hooked struct {
	Store
	op, prefix string

	mu   sync.Mutex // guards what follows
	skip int        // operations of the sort that go before
	run  func() error
}

func (h *hooked) before(op, name string) error {
	if op != h.op || !strings.HasPrefix(name, h.prefix) {
		return nil
	}
	if run := h.take(); run != nil {
		return run()
	}
	return nil
}

// take returns what is to be run, the one time that it is.
func (h *hooked) take() func() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.run == nil || h.skip > 0 {
		h.skip--
		return nil
	}
	run := h.run
	h.run = nil
	return run
}

func (h *hooked) Create(ctx context.Context, name string, data io.Reader, size int64) error {
	if err := h.before("create", name); err != nil {
		return err
	}
	return h.Store.Create(ctx, name, data, size)
}

func (h *hooked) ReadAt(ctx context.Context, name string, p []byte, off int64) (int, error) {
	if err := h.before("read", name); err != nil {
		return 0, err
	}
	return h.Store.ReadAt(ctx, name, p, off)
}

func (h *hooked) Stat(ctx context.Context, name string) (int64, time.Time, error) {
	if err := h.before("stat", name); err != nil {
		return 0, time.Time{}, err
	}
	return h.Store.Stat(ctx, name)
}

func (h *hooked) List(ctx context.Context, prefix string, fn func(string, int64, time.Time) error) error {
	if err := h.before("list", prefix); err != nil {
		return err
	}
	return h.Store.List(ctx, prefix, fn)
}

func (h *hooked) Remove(ctx context.Context, name string) error {
	if err := h.before("remove", name); err != nil {
		return err
	}
	return h.Store.Remove(ctx, name)
}

// scene is a repository that a machine uses which stalls, and another one that does not.
type scene struct {
	t     *testing.T
	clock *clock
	store Store
	slow  *hooked
}

func newScene(t *testing.T) *scene {
	c := newClock()
	store := c.store()
	newTestRepo(t, store, c.options())
	return &scene{t, c, store, &hooked{Store: store}}
}

// stall runs something while the slow machine waits before an operation.
func (s *scene) stall(op, prefix string, run func(r *Repo)) {
	s.slow.op, s.slow.prefix = op, prefix
	s.slow.run = func() error {
		run(reopen(s.t, s.store, s.clock.options()))
		return nil
	}
}

// weeks lets time go by, with a prune every two days and backups of others, so that prune records come and go.
func (s *scene) weeks(r *Repo, n int) {
	for day := range n * 7 / 2 {
		s.clock.sleep(48 * time.Hour)
		gone := mustBack(s.t, r, "other", randomFiles(uint64(day), 3, 2000))
		kept := mustBack(s.t, r, "other", randomFiles(uint64(day)+100, 3, 2000))
		mustForget(s.t, r, ForgetOptions{Now: true, AllowAll: true}, gone)
		mustPrune(s.t, r, PruneOptions{MaxUnused: -1})
		mustForget(s.t, r, ForgetOptions{Now: true, AllowAll: true}, kept)
	}
}

// whole makes sure that every snapshot in the store can be restored by somebody who comes new.
func (s *scene) whole() {
	s.t.Helper()
	r := reopen(s.t, s.store, s.clock.options())
	if res, err := r.Check(s.t.Context(), CheckOptions{ReadData: true}); err != nil {
		s.t.Errorf("check: %v: %s", err, describe(res))
	}
}

func text(seed uint64, n int) string { return randomText(rand.New(rand.NewPCG(seed, 9)), n) }

// TestMachineThatSleptForWeeks lets a backup sleep at each of its steps, so long that others take what it wrote for leftovers, remove it,
// and clear the records that told so. It must notice; nobody may ever refer to what is gone.
func TestMachineThatSleptForWeeks(t *testing.T) {
	for _, at := range []struct{ op, prefix string }{
		{"create", "data/"}, {"create", "meta/"}, {"create", "index/"}, {"stat", "data/"}, {"stat", "meta/"}, {"read", "meta/"}, {"create", "pending/"},
		{"create", "snapshots/"}, {"stat", "pending/"}, {"stat", "snapshots/"},
	} {
		t.Run(at.op+" "+at.prefix, func(t *testing.T) {
			s := newScene(t)
			f := files{"a": text(1, 700_000), "b": text(2, 900)}
			s.stall(at.op, at.prefix, func(r *Repo) { s.weeks(r, 6) })
			slow := reopen(t, s.slow, s.clock.options())
			made, err := back(t.Context(), slow, "slow", f)
			if s.slow.run != nil {
				t.Fatal("it did not come to that")
			}
			if err != nil && !errors.Is(err, ErrOvertaken) {
				t.Errorf("backup: %v", err)
			}
			s.whole()
			// Others, and the process itself, go on.
			fast := reopen(t, s.store, s.clock.options())
			if err == nil {
				mustRestore(t, fast, made, f)
			}
			mustRestore(t, fast, mustBack(t, fast, "fast", f), f)
			mustRestore(t, slow, mustBack(t, slow, "slow", f), f)
			s.whole()
		})
	}
}

// gate is a store on which a machine waits before an operation.
func (s *scene) gate(op, prefix string) (store *hooked, reached, goOn chan struct{}) {
	reached, goOn = make(chan struct{}), make(chan struct{})
	return &hooked{Store: s.store, op: op, prefix: prefix, run: func() error { close(reached); <-goOn; return nil }}, reached, goOn
}

// TestRecordInPendingThatWasGivenUp commits so slowly that a prune gives the record in pending/ up: the writer finds it there still, a moment
// before the prune takes it away.
func TestRecordInPendingThatWasGivenUp(t *testing.T) {
	s := newScene(t)
	f := files{"a": text(1, 700_000)}
	r := reopen(t, s.store, s.clock.options())
	mustForget(t, r, ForgetOptions{Now: true, AllowAll: true}, mustBack(t, r, "old", f))
	s.clock.sleep(48 * time.Hour)
	var pruned sync.WaitGroup
	prune := func(store Store) {
		pruned.Go(func() {
			if _, err := reopen(t, store, s.clock.options()).Prune(t.Context(), PruneOptions{GraceTrash: time.Second, MaxUnused: -1}); err != nil {
				t.Errorf("prune: %v", err)
			}
		})
	}
	// The first prune is to condemn what nobody needs, when a backup begins that needs it.
	first, reached, goOn := s.gate("create", "prune/")
	prune(first)
	<-reached
	slow, stored, commit := s.gate("create", "snapshots/")
	var made *Snapshot
	done := make(chan error)
	go func() {
		var err error
		made, err = back(t.Context(), reopen(t, slow, s.clock.options()), "slow", f)
		done <- err
	}()
	<-stored
	close(goOn)
	pruned.Wait()
	// The second is to remove it.
	s.clock.sleep(4 * 24 * time.Hour)
	second, reached, goOn := s.gate("remove", "pending/")
	prune(second)
	<-reached
	close(commit)
	err := <-done
	close(goOn)
	pruned.Wait()
	if n := names(t, s.store, "data/"); err == nil && len(n) == 0 {
		t.Error("the second prune removed what was to be copied")
	}
	s.whole()
	if err != nil && !errors.Is(err, ErrOvertaken) {
		t.Errorf("backup: %v", err)
	}
	if err == nil {
		mustRestore(t, reopen(t, s.store, s.clock.options()), made, f)
	}
}

// TestWhatCannotBeIndexedServesNobody fails the index file of a backup. The next one of the same process must not rely on its packs.
func TestWhatCannotBeIndexedServesNobody(t *testing.T) {
	for _, at := range []string{"index/", "meta/"} {
		s := newScene(t)
		slow := reopen(t, s.slow, s.clock.options())
		f := files{"a": text(1, 700_000)}
		s.slow.op, s.slow.prefix, s.slow.run = "create", at, func() error { return syscall.EIO }
		if _, err := back(t.Context(), slow, "a", f); !errors.Is(err, syscall.EIO) {
			t.Fatalf("backup: %v", err)
		}
		made := mustBack(t, slow, "b", f)
		mustRestore(t, reopen(t, s.store, s.clock.options()), made, f)
		s.whole()
	}
}

// TestForgetThatStalls forgets on one machine while prunes that do not know of the snapshot go on, and while others clean up the trash.
func TestForgetThatStalls(t *testing.T) {
	for _, at := range []struct{ op, prefix string }{{"create", "trash/"}, {"list", "prune/"}, {"remove", "snapshots/"}} {
		s := newScene(t)
		f := files{"a": text(1, 700_000)}
		r := reopen(t, s.store, s.clock.options())
		gone := mustBack(t, r, "a", f)
		s.clock.sleep(48 * time.Hour)
		s.stall(at.op, at.prefix, func(r *Repo) {
			s.clock.sleep(20 * time.Hour)
			mustPrune(t, r, PruneOptions{MaxUnused: -1})
		})
		slow := reopen(t, s.slow, s.clock.options())
		mustForget(t, slow, ForgetOptions{AllowAll: true}, gone)
		r = reopen(t, s.store, s.clock.options())
		if _, err := r.Undelete(t.Context(), []SnapshotID{gone.ID}); err != nil {
			t.Errorf("stalled at %s %s: undelete: %v", at.op, at.prefix, err)
			continue
		}
		mustRestore(t, r, gone, f)
	}
}

// TestErrorsOfTheStorageAreNoDamage fails reads of what a forgotten snapshot needs while a prune goes on: the prune must give up, and not
// take the snapshot for one that is lost anyway.
func TestErrorsOfTheStorageAreNoDamage(t *testing.T) {
	for _, prefix := range []string{"trash/", "meta/"} {
		for skip := range 3 {
			s := newScene(t)
			f := files{"a": text(1, 700_000)}
			r := reopen(t, s.store, s.clock.options())
			gone := mustBack(t, r, "a", f)
			mustBack(t, r, "b", files{"b": text(2, 900)})
			mustForget(t, r, ForgetOptions{AllowAll: true}, gone)
			s.clock.sleep(48 * time.Hour)
			s.slow.op, s.slow.prefix, s.slow.skip, s.slow.run = "read", prefix, skip, func() error { return syscall.EIO }
			_, err := reopen(t, s.slow, s.clock.options()).Prune(t.Context(), PruneOptions{MaxUnused: -1})
			if s.slow.run == nil && !errors.Is(err, syscall.EIO) {
				t.Errorf("read %d of %s fails: prune tells %v", skip, prefix, err)
			}
			if n := names(t, s.store, "prune/"); len(n) > 0 {
				t.Errorf("read %d of %s fails: packs are condemned by %q", skip, prefix, n)
			}
		}
	}
}

// TestUnreadableRecordInPendingStopsNobody leaves a record in pending/ of which a part is gone: a backup that noticed, and was cut off.
func TestUnreadableRecordInPendingStopsNobody(t *testing.T) {
	s := newScene(t)
	r := reopen(t, s.store, s.clock.options())
	gone := mustBack(t, r, "a", files{"a": text(1, 900)})
	pending := names(t, s.store, "pending/")
	if len(pending) != 1 {
		t.Fatalf("pending: %q", pending)
	}
	meta := names(t, s.store, "meta/")
	kept := mustBack(t, r, "b", files{"b": text(2, 900)})
	for _, name := range append(meta, "snapshots/"+gone.ID.String()) {
		if err := s.store.Remove(t.Context(), name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Fatal(err)
		}
	}
	r = reopen(t, s.store, s.clock.options())
	mustPrune(t, r, PruneOptions{})
	mustRestore(t, r, kept, files{"b": text(2, 900)})
}

// TestPruneThatIsCutOffHasNotWorkedForNothing cuts a prune off while it copies. The next one copies the rest only.
func TestPruneThatIsCutOffHasNotWorkedForNothing(t *testing.T) {
	was := stageBytes
	stageBytes = 2 << 20
	defer func() { stageBytes = was }()
	s := newScene(t)
	r := reopen(t, s.store, s.clock.options())
	f := files{}
	for i := range 40 { // two to a pack
		f[fmt.Sprintf("%02d%c", i, 'a'+i%2)] = text(uint64(i), 600_000)
	}
	first := mustBack(t, r, "a", f)
	for name := range f {
		if name[2] == 'a' {
			f[name] += "changed"
		}
	}
	made := mustBack(t, r, "a", f)
	mustForget(t, r, ForgetOptions{Now: true}, first)
	s.clock.sleep(48 * time.Hour)
	all := mustPrune(t, r, PruneOptions{MaxUnused: -1, DryRun: true}).CopiedBytes
	s.slow.op, s.slow.prefix, s.slow.skip, s.slow.run = "create", "data/", 3, func() error { return syscall.EIO }
	if _, err := reopen(t, s.slow, s.clock.options()).Prune(t.Context(), PruneOptions{MaxUnused: -1}); !errors.Is(err, syscall.EIO) {
		t.Fatalf("prune: %v", err)
	}
	rest := mustPrune(t, reopen(t, s.store, s.clock.options()), PruneOptions{MaxUnused: -1})
	if rest.CopiedBytes == 0 || rest.CopiedBytes > all-1<<20 {
		t.Errorf("%d bytes were to be copied, %d are left", all, rest.CopiedBytes)
	}
	mustRestore(t, r, made, f)
	s.whole()
}
