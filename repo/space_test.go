package repo

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/snapkeep/snap/pack"
)

func mustSpace(t testing.TB, r *Repo) *Space {
	t.Helper()
	s, err := r.Space(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	total := int64(0)
	for _, n := range listing(t, r.store) {
		total += n
	}
	parts := s.Live.Bytes + s.Trash.Bytes + s.Unused.Bytes + s.Inside.Bytes + s.Dead.Bytes + s.Orphans.Bytes + s.Young.Bytes + s.Waiting.Bytes + s.Ready.Bytes + s.Uncertain.Bytes
	if parts != s.Stored.Bytes || s.Stored.Bytes+s.Other.Bytes != total {
		t.Errorf("parts make %d, stored are %d, with %d of others %d: %+v", parts, s.Stored.Bytes, s.Other.Bytes, total, s)
	}
	return s
}

// TestSpaceFollowsBytesThroughTheirLife follows 3 MB from the snapshot to their end. What Space promises is what Prune
// then does.
func TestSpaceFollowsBytesThroughTheirLife(t *testing.T) {
	c := newClock()
	r := c.repo(t)
	rng := rand.New(rand.NewPCG(3, 3))
	old := files{}
	for i := range 5 {
		old[fmt.Sprintf("old%d", i)] = randomText(rng, 600_000)
	}
	first := mustBack(t, r, "a", old)
	mustBack(t, r, "a", files{"new": randomText(rng, 900_000)})
	s := mustSpace(t, r)
	if s.Snapshots != 2 || s.Live.Bytes != s.Stored.Bytes || s.Live.Bytes < 1_500_000 {
		t.Errorf("at first: %+v", s)
	}
	all := s.Live.Bytes
	c.sleep(2 * 24 * time.Hour)
	if least, most := s.FreedByPruneNow(); least != 0 || most != 0 {
		t.Errorf("all is needed: %d to %d bytes", least, most)
	}
	mustForget(t, r, ForgetOptions{}, first)
	forgotten := c.now()
	s = mustSpace(t, r)
	held := s.Trash.Bytes
	if s.Snapshots != 1 || s.TrashSnapshots != 1 || held < all/2 || !s.Trash.From.Equal(forgotten.Add(DefaultGraceTrash)) {
		t.Errorf("forgotten: %+v", s)
	}
	if least, most := s.FreedByPruneNow(); least != 0 || most < held {
		t.Errorf("freed at once: %+v", s)
	}
	c.sleep(DefaultGraceTrash)
	s = mustSpace(t, r)
	if s.Trash.Bytes != 0 || s.TrashSnapshots != 0 || s.Dead.Bytes+s.Unused.Bytes < held*9/10 {
		t.Errorf("past the grace: %+v", s)
	}
	res := mustPrune(t, r, PruneOptions{MaxUnused: 1})
	if res.DeadBytes != s.Dead.Bytes || res.RemovedBytes != 0 {
		t.Errorf("%d dead bytes were promised, prune: %+v", s.Dead.Bytes, res)
	}
	dead := s.Dead.Bytes
	s = mustSpace(t, r)
	if s.Waiting.Bytes != dead || !s.Waiting.From.Equal(c.now().Add(DefaultGracePacks)) || s.Dead.Bytes != 0 || s.FreedByPrune() != 0 {
		t.Errorf("condemned: %+v", s)
	}
	c.sleep(DefaultGracePacks)
	s = mustSpace(t, r)
	if s.Ready.Bytes != dead || s.Waiting.Bytes != 0 || s.FreedByPrune() != dead {
		t.Errorf("ready: %+v", s)
	}
	if res := mustPrune(t, r, PruneOptions{MaxUnused: 1}); res.RemovedBytes != dead {
		t.Errorf("%d bytes were promised, prune removed %d", dead, res.RemovedBytes)
	}
	if s = mustSpace(t, r); s.Ready.Bytes != 0 {
		t.Errorf("removed: %+v", s)
	}
}

// TestSpaceInsideSegments has small files in one segment, most of which go.
func TestSpaceInsideSegments(t *testing.T) {
	c := newClock()
	r := c.repo(t)
	rng, all := rand.New(rand.NewPCG(5, 5)), files{}
	for i := range 20 {
		all[fmt.Sprintf("f%02d", i)] = randomText(rng, 20_000)
	}
	first := mustBack(t, r, "a", all)
	if s := mustSpace(t, r); s.Inside.Bytes != 0 {
		t.Errorf("all is needed: %+v", s)
	}
	one := files{"f00": all["f00"]}
	mustBack(t, r, "a", one)
	mustForget(t, r, ForgetOptions{}, first)
	if s := mustSpace(t, r); s.Inside.Bytes != 0 || s.Trash.Bytes != 0 && s.Trash.Bytes > s.Live.Bytes {
		t.Errorf("all can be brought back: %+v", s)
	}
	c.sleep(DefaultGraceTrash)
	s := mustSpace(t, r)
	if want := s.Live.Bytes + s.Inside.Bytes; s.Inside.Bytes < want/2 || s.Inside.Bytes > want {
		t.Errorf("19 of 20 files are gone: %+v", s)
	}
	inside := s.Inside.Bytes
	if res := mustPrune(t, r, PruneOptions{}); res.CopiedBytes != 0 {
		t.Errorf("prune: %+v", res)
	}
	if s = mustSpace(t, r); s.Inside.Bytes != inside {
		t.Errorf("after the prune %d are inside, before %d", s.Inside.Bytes, inside)
	}
}

func TestSpaceOfOrphansAndDamage(t *testing.T) {
	c := newClock()
	store := c.store()
	r := newTestRepo(t, store, c.options())
	mustBack(t, r, "a", files{"x": randomText(rand.New(rand.NewPCG(1, 2)), 100_000)})
	orphan := []byte("left by a run that was cut off")
	name := pack.Name(pack.ClassData, pack.SumID(orphan))
	if err := store.Create(t.Context(), name, bytes.NewReader(orphan), int64(len(orphan))); err != nil {
		t.Fatal(err)
	}
	made := c.now()
	s := mustSpace(t, r)
	if s.Young.Files != 1 || !s.Young.From.Equal(made.Add(24*time.Hour)) || s.Orphans.Files != 0 {
		t.Errorf("young: %+v", s)
	}
	c.sleep(25 * time.Hour)
	if s = mustSpace(t, r); s.Young.Files != 0 || s.Orphans.Files != 1 || s.Orphans.Bytes != int64(len(orphan)) {
		t.Errorf("old: %+v", s)
	}
	// Where a pack is lost nothing can be told of others.
	for _, name := range names(t, store, "data/") {
		if name != pack.Name(pack.ClassData, pack.SumID(orphan)) {
			if err := store.Remove(t.Context(), name); err != nil {
				t.Fatal(err)
			}
		}
	}
	if s = mustSpace(t, reopen(t, store, c.options())); s.MissingChunks == 0 || s.Uncertain.Files != 1 || s.Orphans.Files != 0 {
		t.Errorf("damaged: %+v", s)
	}
}
