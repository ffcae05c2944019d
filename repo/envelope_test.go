package repo

import (
	"bytes"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/snapkeep/snap/internal/store/faulty"
	"github.com/snapkeep/snap/internal/store/mem"
)

// smallRepository returns a store with one of everything, and what its snapshots hold.
func smallRepository(t *testing.T, seed uint64) (*mem.Store, *Repo, map[SnapshotID]files) {
	t.Helper()
	c := newClock()
	store := c.store()
	r := newTestRepo(t, store, c.options())
	want := map[SnapshotID]files{}
	f := files{"a/b": "some text", "a/c": strings.Repeat("more text ", 300), "d": ""}
	rng := rand.New(rand.NewPCG(seed, 1))
	var last *Snapshot
	for i := range 3 {
		f["e"] = randomText(rng, 3000)
		last = mustBack(t, r, "a", f)
		want[last.ID] = maps.Clone(f)
		if i == 0 {
			mustForget(t, r, ForgetOptions{AllowAll: true}, last)
			delete(want, last.ID)
		}
	}
	if err := r.Tag(t.Context(), last, nil, []string{"x"}, nil); err != nil {
		t.Fatal(err)
	}
	if err := r.savePruneRecord(t.Context(), &pruneRecord{}); err != nil {
		t.Fatal(err)
	}
	return store, r, want
}

// mustRefuse makes sure that damage is noticed: the repository does not open, or check finds it; and that whatever restores
// nevertheless is right. like is an open Repo of the whole repository, which saves the time to open one where keys are
// not concerned.
func mustRefuse(t *testing.T, store Store, like *Repo, name string, want map[SnapshotID]files, what string) {
	t.Helper()
	r := newRepo(store, Options{})
	var err error
	if kind, _ := classify(name); kind == fileConfig || kind == fileSlot {
		r, err = tryOpen(t, store, Options{})
	} else if err = r.start(like.config, like.secrets, ""); err == nil {
		defer r.Close()
	}
	if err != nil {
		if !IsDamage(err) && !IsNewer(err) && err != ErrNoRepository && !strings.Contains(err.Error(), "no repository") &&
			!strings.Contains(err.Error(), "passphrase") && !strings.Contains(err.Error(), "slot") {
			t.Errorf("%s: open: %v", what, err)
		}
		return
	}
	all, _ := r.Snapshots(t.Context(), Filter{})
	for _, s := range all {
		if _, ok := want[s.ID]; !ok {
			continue
		}
		if got, err := restored(t.Context(), r, s); err == nil && !maps.Equal(got, want[s.ID]) {
			t.Errorf("%s: wrong bytes are restored", what)
		}
	}
	if res, err := r.Check(t.Context(), CheckOptions{ReadData: true}); err == nil {
		t.Errorf("%s: check finds nothing in %d files", what, res.Packs)
	}
}

// TestFlippedBitsAreRefused flips one bit at a time, anywhere.
func TestFlippedBitsAreRefused(t *testing.T) {
	t.Parallel()
	store, r, want := smallRepository(t, 1)
	if _, err := reopen(t, store, Options{}).Check(t.Context(), CheckOptions{ReadData: true}); err != nil {
		t.Fatal(err)
	}
	all := slices.Sorted(maps.Keys(listing(t, store)))
	rng := rand.New(rand.NewPCG(1, 2))
	rounds := 20_000 / every(80)
	for i := range rounds {
		name := all[i%len(all)]
		clone := store.Clone()
		bit := 0
		err := faulty.Rewrite(t.Context(), clone, name, func(b []byte) []byte {
			bit = rng.IntN(8 * len(b))
			b = bytes.Clone(b)
			b[bit/8] ^= 1 << (bit % 8)
			return b
		})
		if err != nil {
			t.Fatal(err)
		}
		mustRefuse(t, clone, r, name, want, fmt.Sprintf("bit %d of %s", bit, name))
	}
}

// TestCutFilesAreRefused cuts off files at each length, or at some.
func TestCutFilesAreRefused(t *testing.T) {
	t.Parallel()
	store, r, want := smallRepository(t, 1)
	rng := rand.New(rand.NewPCG(1, 2))
	for name, size := range listing(t, store) {
		lengths := []int64{0, 1, size / 2, size - 1, rng.Int64N(size)}
		if every(2) == 1 {
			lengths = nil
			for n := range size {
				lengths = append(lengths, n)
			}
		}
		for _, n := range lengths {
			clone := store.Clone()
			if err := faulty.Rewrite(t.Context(), clone, name, func(b []byte) []byte { return slices.Clip(b[:n]) }); err != nil {
				t.Fatal(err)
			}
			mustRefuse(t, clone, r, name, want, fmt.Sprintf("%s cut to %d of %d bytes", name, n, size))
		}
	}
}

// TestSwappedFilesAreRefused puts files in the place of others of their kind, of this repository and of another.
func TestSwappedFilesAreRefused(t *testing.T) {
	t.Parallel()
	store, r, want := smallRepository(t, 1)
	other, _, _ := smallRepository(t, 2)
	byKind := map[fileKind][]string{}
	for name := range listing(t, store) {
		kind, _ := classify(name)
		byKind[kind] = append(byKind[kind], name)
	}
	foreign := map[fileKind][]string{}
	for name := range listing(t, other) {
		kind, _ := classify(name)
		foreign[kind] = append(foreign[kind], name)
	}
	put := func(name string, data []byte, what string) {
		clone := store.Clone()
		if err := faulty.Rewrite(t.Context(), clone, name, func([]byte) []byte { return data }); err != nil {
			t.Fatal(err)
		}
		mustRefuse(t, clone, r, name, want, what)
	}
	for kind, all := range byKind {
		for _, name := range all {
			for _, from := range all {
				if from != name {
					put(name, readAll(t, store, from), fmt.Sprintf("%s in the place of %s", from, name))
				}
			}
			for _, from := range foreign[kind] {
				put(name, readAll(t, other, from), fmt.Sprintf("%s of another repository in the place of %s", from, name))
			}
		}
	}
}

func readAll(t *testing.T, s Store, name string) []byte {
	t.Helper()
	size, _, err := s.Stat(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	data := make([]byte, size)
	if n, err := s.ReadAt(t.Context(), name, data, 0); n != len(data) {
		t.Fatal(err)
	}
	return data
}

// TestNoSinglePoint removes each file of a repository without parity in turn. Everything that does not depend on it restores; without
// index files a repair brings all of it back.
func TestNoSinglePoint(t *testing.T) {
	t.Parallel()
	store, like, want := smallRepository(t, 1)
	for name := range listing(t, store) {
		clone := store.Clone()
		if err := clone.Remove(t.Context(), name); err != nil {
			t.Fatal(err)
		}
		kind, _ := classify(name)
		if kind == fileConfig || kind == fileSlot {
			if _, err := tryOpen(t, clone, Options{}); err == nil {
				t.Errorf("the repository opens without %s", name)
			}
			continue // these have copies where there is parity
		}
		open := func() *Repo {
			r := newRepo(clone, Options{})
			if err := r.start(like.config, like.secrets, ""); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { r.Close() })
			return r
		}
		r := open()
		if kind == fileIndex {
			mustRepair(t, r, RepairOptions{})
			r = open()
		}
		whole := 0
		all, _ := r.Snapshots(t.Context(), Filter{})
		for _, s := range all {
			if got, err := restored(t.Context(), r, s); err == nil && maps.Equal(got, want[s.ID]) {
				whole++
			}
		}
		least := map[fileKind]int{fileSnapshot: 1, fileContent: 0, fileData: 0, fileMeta: 0}
		if n, ok := least[kind]; whole < 2 && (!ok || whole < n) {
			t.Errorf("without %s only %d snapshots restore", name, whole)
		}
	}
}
