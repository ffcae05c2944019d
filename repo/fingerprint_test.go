package repo_test

import (
	"math/rand/v2"
	"testing"
	"testing/fstest"
	"time"

	"github.com/snapkeep/snap/internal/store/mem"
	"github.com/snapkeep/snap/pack"
	"github.com/snapkeep/snap/repo"
)

// TestStorageTellsNothingOfChunkLengths backs the same data up into two repositories: they
// share next to no cut, and all packs have lengths on the PADMÉ grid.
func TestStorageTellsNothingOfChunkLengths(t *testing.T) {
	data := make([]byte, 60<<20)
	r := rand.NewChaCha8([32]byte{1})
	r.Read(data)
	files := fstest.MapFS{"large.sqlite": {Data: data}}
	var cuts [2]map[int64]bool
	for i := range cuts {
		store := mem.New(nil)
		to, _ := weak(t)
		rp, err := repo.Create(t.Context(), store, to, repo.CreateOptions{})
		if err != nil {
			t.Fatal(err)
		}
		res, err := rp.Backup(t.Context(), repo.BackupOptions{Source: repo.FromFS(files), SourceName: "x"})
		if err != nil {
			t.Fatal(err)
		}
		cuts[i] = cutsOf(t, rp, res.Snapshot)
		packs := 0
		for _, prefix := range []string{"data/", "meta/"} {
			store.List(t.Context(), prefix, func(name string, size int64, _ time.Time) error {
				packs++
				if size != pack.PaddedSize(size) {
					t.Errorf("%s has %d bytes, which is not on the grid", name, size)
				}
				return nil
			})
		}
		if packs < 3 {
			t.Errorf("only %d packs", packs)
		}
	}
	shared := 0
	for c := range cuts[0] {
		if cuts[1][c] {
			shared++
		}
	}
	if len(cuts[0]) < 1000 || shared*100 > len(cuts[0]) {
		t.Errorf("%d of %d cuts are shared, want under 1 %%", shared, len(cuts[0]))
	}
}

// cutsOf returns the places at which the chunks of a snapshot's only file end, but for the
// last.
func cutsOf(t *testing.T, r *repo.Repo, s *repo.Snapshot) map[int64]bool {
	t.Helper()
	x, err := r.Lookup(t.Context(), s, "large.sqlite")
	if err != nil {
		t.Fatal(err)
	}
	parts, err := repo.PartsOf(t.Context(), r, x)
	if err != nil {
		t.Fatal(err)
	}
	cuts, pos := map[int64]bool{}, int64(0)
	for _, p := range parts {
		pos += p.Length
		cuts[pos] = true
	}
	delete(cuts, pos)
	return cuts
}
