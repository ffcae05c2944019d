package repo

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/snapkeep/snap/internal/store/mem"
)

// Two runs that each forget what the other one leaves leave one.
func TestForgetsAtTheSameTimeLeaveOne(t *testing.T) {
	for _, at := range []struct{ op, prefix string }{{"create", "trash/"}, {"remove", "snapshots/"}, {"remove", "pending/"}, {"create", "log/"}} {
		t.Run(at.op+" "+at.prefix, func(t *testing.T) {
			c := newClock()
			slow := &hooked{Store: c.store(), op: at.op, prefix: at.prefix}
			r := newTestRepo(t, slow, c.options())
			first := mustBack(t, r, "a", files{"f": "1"})
			c.sleep(1)
			second := mustBack(t, r, "a", files{"f": "2"})
			mustBack(t, r, "b", files{"f": "3"})
			other := reopen(t, slow.Store, c.options())
			var otherErr error
			slow.run = func() error {
				_, otherErr = other.Forget(t.Context(), []SnapshotID{second.ID}, ForgetOptions{})
				return nil
			}
			res, err := r.Forget(t.Context(), []SnapshotID{first.ID}, ForgetOptions{})
			if slow.run != nil {
				t.Fatal("nobody came between")
			}
			left, listErr := reopen(t, slow.Store, c.options()).Snapshots(t.Context(), Filter{Sources: []string{"a"}})
			if listErr != nil || len(left) == 0 {
				t.Fatalf("%d are left, %v", len(left), listErr)
			}
			if !errors.Is(err, ErrLastOfSource) && !errors.Is(otherErr, ErrLastOfSource) {
				t.Errorf("%v, %v", err, otherErr)
			}
			for _, s := range left {
				if slices.Contains(res.Forgotten, s.ID) {
					t.Errorf("%s is there, and forgotten", short(s.ID))
				}
				mustRestore(t, r, s, map[SnapshotID]files{first.ID: {"f": "1"}, second.ID: {"f": "2"}}[s.ID])
			}
		})
	}
}

// One snapshot that cannot be brought back keeps no other in the trash, and what is back is logged.
func TestUndeleteBringsBackWhatItCan(t *testing.T) {
	c := newClock()
	r := c.repo(t)
	first := mustBack(t, r, "a", files{"f": "1"})
	second := mustBack(t, r, "a", files{"f": "2"})
	mustBack(t, r, "a", files{"f": "3"})
	mustForget(t, r, ForgetOptions{}, first, second)
	back, err := r.Undelete(t.Context(), []SnapshotID{{1}, first.ID, {2}, second.ID})
	if !errors.Is(err, ErrNoSnapshot) || !slices.Equal(back, []SnapshotID{first.ID, second.ID}) {
		t.Errorf("%v, %v", back, err)
	}
	mustRestore(t, r, first, files{"f": "1"})
	mustRestore(t, r, second, files{"f": "2"})
	log, err := r.Log(t.Context())
	if err != nil || len(log) == 0 || log[len(log)-1].What != "undelete" || len(log[len(log)-1].Snapshots) != 2 {
		t.Errorf("log: %+v, %v", log, err)
	}
}

// TestForgetWaitsForASlowListing has a store whose listings take longer than a forget that was cut off takes for one.
func TestForgetWaitsForASlowListing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newLookCounter(mem.New(nil))
		r := newTestRepo(t, store, Options{})
		first := mustBack(t, r, "a", files{"x": "1"})
		mustBack(t, r, "a", files{"x": "2"})
		store.wait = 2 * lastTimeout
		mustForget(t, r, ForgetOptions{}, first)
	})
}

// TestWhatOutlastsAContextEnds ends a context whose work goes on for a while.
func TestWhatOutlastsAContextEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, end := context.WithCancel(t.Context())
		longer, cancel := outlasting(ctx, lastTimeout)
		defer cancel()
		time.Sleep(10 * lastTimeout)
		end()
		time.Sleep(lastTimeout - time.Nanosecond)
		if longer.Err() != nil {
			t.Error("it ends too early")
		}
		time.Sleep(time.Nanosecond)
		synctest.Wait()
		if longer.Err() == nil {
			t.Error("it does not end")
		}
	})
}
