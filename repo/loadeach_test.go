package repo

import (
	"context"
	"errors"
	"io/fs"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/snapkeep/snap/internal/sealed"
	"github.com/snapkeep/snap/internal/snapshot"
	"github.com/snapkeep/snap/internal/store/mem"
	"github.com/snapkeep/snap/pack"
)

// meeting is a Store that answers reads of snapshot records when several are waiting for theirs.
type meeting struct {
	Store
	want int

	mu      sync.Mutex // guards what follows
	waiting map[string]bool
	met     chan struct{}
}

func (s *meeting) ReadAt(ctx context.Context, name string, p []byte, off int64) (int, error) {
	if strings.HasPrefix(name, sealed.Snapshot.Prefix) {
		s.mu.Lock()
		if s.waiting[name] = true; len(s.waiting) == s.want {
			close(s.met)
			s.want = -1
		}
		s.mu.Unlock()
		select {
		case <-s.met:
		case <-time.After(10 * time.Minute):
			return 0, errors.New("nobody else reads")
		}
	}
	return s.Store.ReadAt(ctx, name, p, off)
}

// TestSnapshotsAreLoadedSideBySide lists snapshots, and prunes, on a store that answers no read before others were asked for.
func TestSnapshotsAreLoadedSideBySide(t *testing.T) {
	store := mem.New(nil)
	h := newHoard(t, store, shape{chunks: 640, perFile: 1, days: recordsAtOnce, batch: recordsAtOnce})
	for name, run := range map[string]func(r *Repo) int{
		"list": func(r *Repo) int {
			all, err := r.Snapshots(t.Context(), Filter{})
			if err != nil {
				t.Error(err)
			}
			return len(all)
		},
		"prune": func(r *Repo) int { return mustPrune(t, r, PruneOptions{}).Snapshots },
	} {
		r := reopen(t, &meeting{Store: h.store, want: recordsAtOnce, waiting: map[string]bool{}, met: make(chan struct{})}, Options{})
		if got := run(r); got != recordsAtOnce {
			t.Errorf("%s: %d snapshots, want %d", name, got, recordsAtOnce)
		}
	}
}

// TestLoadEach takes results in order, the first error, and never a part for the whole.
func TestLoadEach(t *testing.T) {
	ids := make([]pack.ID, 100)
	for i := range ids {
		ids[i] = pack.ID{byte(i)}
	}
	same := func(_ context.Context, id pack.ID) (pack.ID, error) { return id, nil }
	got, err := loadEach(t.Context(), ids, same)
	if err != nil || len(got) != len(ids) {
		t.Fatalf("%d results, %v", len(got), err)
	}
	for i := range got {
		if got[i] != ids[i] {
			t.Fatalf("result %d is %v", i, got[i])
		}
	}
	if got, err := loadEach(t.Context(), ids, func(_ context.Context, id pack.ID) (pack.ID, error) {
		if id == ids[50] {
			return id, fs.ErrNotExist
		}
		return id, nil
	}); !errors.Is(err, fs.ErrNotExist) || got != nil {
		t.Errorf("%d results, %v", len(got), err)
	}
	ended, cancel := context.WithCancelCause(t.Context())
	cancel(snapshot.ErrCorrupt) // any error that is no other's
	if got, err := loadEach(ended, ids, same); !errors.Is(err, snapshot.ErrCorrupt) || got != nil {
		t.Errorf("%d results, %v", len(got), err)
	}
}
