package backup_test

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/snapkeep/snap/internal/store/mem"
	"github.com/snapkeep/snap/internal/tree"
	"github.com/snapkeep/snap/pack"
)

// packsAt returns the packs of the chunks between two places of the only regular file below dir.
func (b *bench) packsAt(t *testing.T, root pack.ChunkID, begin, end int64) map[pack.ID]bool {
	t.Helper()
	packs := map[pack.ID]bool{}
	err := tree.Walk(t.Context(), b.loader.Load, root, "", func(_ *tree.Run, entries []tree.Entry) error {
		for i := range entries {
			if entries[i].Kind != tree.Regular {
				continue
			}
			parts, err := tree.Parts(t.Context(), b.loader.Load, &entries[i])
			if err != nil {
				return err
			}
			at := int64(0)
			for _, p := range parts {
				if at >= begin && at < end {
					l, ok := b.set.Lookup(p.ID)
					if !ok {
						t.Fatalf("chunk %s is not stored", p.ID)
					}
					packs[l.Pack] = true
				}
				at += p.Length
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return packs
}

// TestWhatChangesOftenLiesApart backs a database up every day. One place of it changes each day; on the last day another one changes too, and what
// is written of it goes to another pack.
func TestWhatChangesOftenLiesApart(t *testing.T) {
	t.Parallel()
	const mib = 1 << 20
	rng, dir := rand.New(rand.NewPCG(6, 6)), t.TempDir()
	name := filepath.Join(dir, "a.sqlite")
	if err := os.WriteFile(name, randomBytes(rng, 24*mib), 0o600); err != nil {
		t.Fatal(err)
	}
	write := func(at int64) {
		f, err := os.OpenFile(name, os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.WriteAt(randomBytes(rng, 4*mib), at); err != nil {
			t.Fatal(err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
	}
	b, now := newBench(t, mem.New(nil)), time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	b.now = func() time.Time { return now }
	back := func(root pack.ChunkID) (pack.ChunkID, int) {
		before := map[pack.ID]bool{}
		for p := range b.set.Packs() {
			before[p.ID] = true
		}
		res, err := b.back(t.Context(), localSource(t, dir), root, nil)
		if err != nil {
			t.Fatal(err)
		}
		made := 0
		for p := range b.set.Packs() {
			if !before[p.ID] && p.Class == pack.ClassData {
				made++
			}
		}
		return res.Root, made
	}
	root, _ := back(pack.ChunkID{})
	for range 9 {
		now = now.Add(24 * time.Hour)
		write(4 * mib)
		made := 0
		if root, made = back(root); made != 1 {
			t.Errorf("%d packs of a day on which one place has changed", made)
		}
	}
	now = now.Add(24 * time.Hour)
	write(4 * mib)
	write(14 * mib)
	root, made := back(root)
	hot, cold := b.packsAt(t, root, 5*mib, 7*mib), b.packsAt(t, root, 15*mib, 17*mib)
	if len(hot) != 1 || len(cold) != 1 || made != 2 {
		t.Fatalf("%d packs for what changes often, %d for what does not; %d new ones", len(hot), len(cold), made)
	}
	for id := range hot {
		if cold[id] {
			t.Error("both are in one pack")
		}
	}
}
