package repo

import (
	"context"
	"fmt"
	"github.com/snapkeep/snap/internal/tree"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/snapkeep/snap/internal/store/mem"
)

// TestBackupHealsLostPacks loses each pack of a repository in turn. One backup of the unchanged source
// makes the latest snapshot whole again, for everybody. What only an older one had stays lost, and is no
// obstacle once that is forgotten.
func TestBackupHealsLostPacks(t *testing.T) {
	c := newClock()
	store := c.store()
	r := newTestRepo(t, store, c.options())
	f := randomFiles(1, 30, 30_000)
	for i := range 4 {
		f[fmt.Sprintf("large%d", i)] = randomText(rand.New(rand.NewPCG(uint64(i), 3)), 700_000)
	}
	first := mustBack(t, r, "a", f)
	f["new"] = "file"
	second := mustBack(t, r, "a", f)
	for _, lost := range packNames(t, r) {
		clone := store.Clone()
		if err := clone.Remove(t.Context(), lost); err != nil {
			t.Fatal(err)
		}
		res, err := reopen(t, clone, c.options()).Check(t.Context(), CheckOptions{})
		if err != ErrDamagedFound || len(res.Damage) != 1 || !res.Damage[0].Missing || len(res.Affected) == 0 {
			t.Fatalf("%s: check tells %v: %s", lost, err, describe(res))
		}
		third := mustBack(t, reopen(t, clone, c.options()), "a", f)
		r := reopen(t, clone, c.options())
		mustRestore(t, r, third, f)
		mustRestore(t, r, second, f)
		if strings.HasPrefix(lost, "data/") {
			mustRestore(t, r, first, without(f, "new"))
		}
		mustForget(t, r, ForgetOptions{}, first)
		c.sleep(48 * time.Hour)
		mustPrune(t, r, PruneOptions{}) // takes note of what is lost
		res, err = reopen(t, clone, c.options()).Check(t.Context(), CheckOptions{ReadData: true})
		if len(res.Damage) != 0 || len(res.Affected) > 1 || (len(res.Affected) == 1 && res.Affected[0].Snapshot.ID != first.ID) {
			t.Errorf("%s: in the end check tells %v: %s", lost, err, describe(res))
		}
	}
}

func without(f files, name string) files {
	out := files{}
	for n, data := range f {
		if n != name {
			out[n] = data
		}
	}
	return out
}

// TestPruneRefusesWhenATreeIsBroken makes sure that nothing is removed as long as it cannot be told what a
// snapshot needs.
func TestPruneRefusesWhenATreeIsBroken(t *testing.T) {
	c := newClock()
	store := c.store()
	r := newTestRepo(t, store, c.options())
	mustBack(t, r, "a", files{"x": "1"})
	gone := mustBack(t, r, "b", files{"y": "2"})
	mustBack(t, r, "b", files{"y": "3"})
	mustForget(t, r, ForgetOptions{Now: true}, gone)
	refused := 0
	for _, lost := range names(t, store, "meta/") {
		clone := store.Clone()
		if err := clone.Remove(t.Context(), lost); err != nil {
			t.Fatal(err)
		}
		res, _ := reopen(t, clone, c.options()).Check(t.Context(), CheckOptions{})
		before := len(listing(t, clone))
		_, err := reopen(t, clone, c.options()).Prune(t.Context(), PruneOptions{Now: true})
		if len(res.Affected) == 0 {
			if err != nil {
				t.Errorf("%s, which nobody needs, is lost: %v", lost, err)
			}
			continue
		}
		refused++
		if left := len(listing(t, clone)); left != before || !IsDamage(err) || !strings.Contains(err.Error(), short(res.Affected[0].Snapshot.ID)) {
			t.Errorf("%s is lost: %d files, were %d; prune tells %v", lost, left, before, err)
		}
	}
	if refused != 2 {
		t.Errorf("refused %d times, want twice", refused)
	}
}

// TestBackupHealsListedFiles loses the pack with the list pages of a file, and one with its data.
func TestBackupHealsListedFiles(t *testing.T) {
	if testing.Short() {
		t.Skip("needs a large file")
	}
	store := mem.New(nil)
	r := newTestRepo(t, store, Options{Compression: "off"})
	rng := rand.New(rand.NewPCG(1, 1))
	var b strings.Builder // so many holes and pieces that its parts are listed
	block := randomText(rng, 4096)
	for i := range 1500 {
		fmt.Fprintf(&b, "%08d", i)
		b.WriteString(block)
	}
	f := sparse{files{"image": b.String()}}
	s, err := r.Backup(t.Context(), BackupOptions{Source: f, SourceName: "a", Granularity: 1})
	if err != nil {
		t.Fatal(err)
	}
	for _, lost := range packNames(t, r) {
		clone := store.Clone()
		if err := clone.Remove(t.Context(), lost); err != nil {
			t.Fatal(err)
		}
		if _, err := reopen(t, clone, Options{}).Backup(t.Context(), BackupOptions{Source: f, SourceName: "a", Granularity: 1}); err != nil {
			t.Fatal(err)
		}
		mustRestore(t, reopen(t, clone, Options{}), s.Snapshot, f.files)
	}
}

// sparse gives files as pieces of 4,104 bytes, each a region of its own.
type sparse struct{ files }

func (s sparse) Root(ctx context.Context) (Dir, error) { return sparseDir{memDir{s.files, ""}}, nil }

type sparseDir struct{ memDir }

func (d sparseDir) Open(ctx context.Context, st *tree.Stat) (File, error) {
	f, err := d.memDir.Open(ctx, st)
	if err != nil {
		return nil, err
	}
	return &sparseFile{memFile: f.(*memFile)}, nil
}

type sparseFile struct {
	*memFile
	off, left int64
}

func (f *sparseFile) Next() (Region, error) {
	f.off += f.left
	f.left = min(4104, f.size-f.off)
	if f.left == 0 {
		return Region{}, io.EOF
	}
	return Region{Offset: f.off, Length: f.left}, nil
}

func (f *sparseFile) Read(p []byte) (int, error) {
	if f.left == 0 {
		return 0, io.EOF
	}
	n, err := f.memFile.Reader.ReadAt(p[:min(int64(len(p)), f.left)], f.off)
	f.off, f.left = f.off+int64(n), f.left-int64(n)
	if n > 0 {
		err = nil
	}
	return n, err
}
