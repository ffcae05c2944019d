package repo

import (
	"context"
	"errors"
	"io/fs"
	"slices"
	"testing"
	"time"

	"github.com/snapkeep/snap/internal/sealed"
	"github.com/snapkeep/snap/internal/store/mem"
)

// bulky is a store elsewhere that removes many files at once, and may not tell what came of it.
type bulky struct {
	*mem.Store
	says func(gone []string) ([]string, error) // what DeleteAll returns; nil for the truth
	date func() time.Time                      // told in answers; nil for none
}

func (s *bulky) DeleteAll(ctx context.Context, names []string) (gone []string, err error) {
	for _, name := range names {
		if err := s.Remove(ctx, name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return gone, err
		}
		gone = append(gone, name)
	}
	if s.says != nil {
		return s.says(gone)
	}
	return gone, nil
}

func (s *bulky) StorageTime() time.Time {
	if s.date == nil {
		return time.Time{}
	}
	return s.date()
}

// forgotten returns the snapshots that the log says were forgotten, in order.
func forgotten(t *testing.T, r *Repo) (ids []string) {
	t.Helper()
	log, err := r.Log(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range log {
		if e.What == "forget" {
			ids = append(ids, e.Snapshots...)
		}
	}
	slices.Sort(ids)
	return ids
}

// TestForgetForGoodThatIsCutOff removes snapshots by a request whose answer does not come: what is gone is told, and in the log.
func TestForgetForGoodThatIsCutOff(t *testing.T) {
	t.Parallel()
	c := newClock()
	store := &bulky{Store: c.store()}
	r := newTestRepo(t, store, c.options())
	var ids []SnapshotID
	var want []string
	for i := range 4 {
		s := mustBack(t, r, "a", randomFiles(uint64(i), 1, 100))
		if i < 3 {
			ids, want = append(ids, s.ID), append(want, s.ID.String())
		}
	}
	slices.Sort(want)
	ctx, cancel := context.WithCancel(t.Context())
	store.says = func(gone []string) ([]string, error) {
		cancel()
		return gone[:1], context.Canceled
	}
	res, err := r.Forget(ctx, ids, ForgetOptions{Now: true})
	if !errors.Is(err, context.Canceled) || len(res.Forgotten) != 3 {
		t.Errorf("%d forgotten, %v", len(res.Forgotten), err)
	}
	store.says = nil
	if got := forgotten(t, r); !slices.Equal(got, want) {
		t.Errorf("the log has %q, want %q", got, want)
	}
	if left := names(t, store, sealed.Snapshot.Prefix); len(left) != 1 {
		t.Errorf("left: %q", left)
	}
}

// TestForgetForGoodTwiceNamed removes a snapshot that is named twice once.
func TestForgetForGoodTwiceNamed(t *testing.T) {
	t.Parallel()
	c := newClock()
	r := newTestRepo(t, &bulky{Store: c.store()}, c.options())
	s := mustBack(t, r, "a", files{"x": "1"})
	mustBack(t, r, "a", files{"x": "2"})
	res, err := r.Forget(t.Context(), []SnapshotID{s.ID, s.ID}, ForgetOptions{Now: true})
	if err != nil || len(res.Forgotten) != 1 || len(forgotten(t, r)) != 1 {
		t.Errorf("%v, %v, and in the log %v", res, err, forgotten(t, r))
	}
}

// TestPruneNowBehindAProxyWithAnotherClock prunes beside a backup on a storage whose answers tell a time that is not the one that stamps its files.
func TestPruneNowBehindAProxyWithAnotherClock(t *testing.T) {
	t.Parallel()
	c := newClock()
	store := &bulky{Store: c.store()}
	r := newTestRepo(t, store, c.options())
	mustBack(t, r, "a", files{"x": "1"})
	for _, ahead := range []time.Duration{2 * time.Hour, -2 * time.Hour, 0} {
		s := r.enter(t.Context(), "backup")
		<-s.ready
		store.date = func() time.Time { return c.now().Add(ahead) }
		if _, err := r.Prune(t.Context(), PruneOptions{Now: true}); !errors.Is(err, ErrBusy) {
			t.Errorf("%v ahead: %v, want %v", ahead, err, ErrBusy)
		}
		if left := names(t, store, sessionPrefix); len(left) != 1 {
			t.Errorf("%v ahead: sessions %q", ahead, left)
		}
		store.date = nil
		s.leave()
	}
}
