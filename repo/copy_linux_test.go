package repo_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/snapkeep/snap/internal/store/faulty"
	"github.com/snapkeep/snap/internal/store/mem"
	"github.com/snapkeep/snap/internal/torturetest"
	"github.com/snapkeep/snap/repo"
)

// entriesOf returns all entries of a snapshot by path, without what is said of their content, and the content's size and hash.
func entriesOf(t *testing.T, r *repo.Repo, s *repo.Snapshot) map[string]repo.Entry {
	t.Helper()
	all := map[string]repo.Entry{}
	err := r.Walk(t.Context(), s, "", func(dir string, entries []repo.Entry) error {
		for _, e := range entries {
			e.Parts, e.Listed = nil, false
			all[dir+"/"+e.Name] = e
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func newRepo(t *testing.T, store repo.Store, o repo.CreateOptions) *repo.Repo {
	t.Helper()
	to, _ := weak(t)
	r, err := repo.Create(t.Context(), store, to, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return r
}

// TestCopyKeepsEverything copies the torture tree to a repository that cuts files otherwise and to one that cuts them alike, and from
// there back.
func TestCopyKeepsEverything(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("the torture tree needs root")
	}
	t.Parallel()
	dir := t.TempDir()
	if err := torturetest.Build(dir); err != nil {
		t.Logf("not every class can be made: %v", err)
	}
	defer torturetest.Clear(dir)
	if err := os.WriteFile(filepath.Join(dir, "large"), noise(9<<20, 1), 0o644); err != nil {
		t.Fatal(err)
	}
	from, s := backUp(t, dir)
	defer from.Close()
	if err := from.Tag(t.Context(), s, []string{"a", "b"}, nil, nil); err != nil {
		t.Fatal(err)
	}
	tagged, err := from.Find(t.Context(), "latest", repo.Filter{})
	if err != nil {
		t.Fatal(err)
	}
	if err := from.Pin(t.Context(), tagged, true); err != nil {
		t.Fatal(err)
	}
	list, err := from.Snapshots(t.Context(), repo.Filter{})
	if err != nil || len(list) != 1 {
		t.Fatal(err, len(list))
	}
	want := entriesOf(t, from, list[0])
	for name, like := range map[string]*repo.Repo{"other cuts": nil, "same cuts": from} {
		to := newRepo(t, mem.New(nil), repo.CreateOptions{CutLike: like})
		result, err := to.Copy(t.Context(), from, list, repo.CopyOptions{})
		if err != nil || result.Copied != 1 || len(result.Failed) > 0 {
			t.Fatalf("%s: %+v, %v", name, result, err)
		}
		made, err := to.Find(t.Context(), "latest", repo.Filter{})
		if err != nil {
			t.Fatal(err)
		}
		got := entriesOf(t, to, made)
		for path, e := range want {
			if !reflect.DeepEqual(got[path], e) {
				t.Errorf("%s: %q:\ngot  %+v\nwant %+v", name, path, got[path], e)
			}
		}
		if len(got) != len(want) || len(got) < 1000 {
			t.Errorf("%s: %d entries, want %d", name, len(got), len(want))
		}
		if !made.Time.Equal(s.Time) || !made.Pinned || !slices.Equal(made.Tags, []string{"a", "b"}) || made.Original != s.ID.String() ||
			string(made.SourceName) != dir || made.Sequence != 1 {
			t.Errorf("%s: the record is %+v", name, made)
		}
		if _, err := to.Check(t.Context(), repo.CheckOptions{ReadData: true}); err != nil {
			t.Errorf("%s: check: %v", name, err)
		}
		if same := reflect.DeepEqual(cuts(t, from, list[0], dir), cuts(t, to, made, dir)); same != (like != nil) {
			t.Errorf("%s: the large file is cut in the same places: %v", name, same)
		}
		// Again, and back: there is nothing to do.
		again, err := to.Copy(t.Context(), from, list, repo.CopyOptions{})
		if err != nil || again.Skipped != 1 || again.Copied != 0 {
			t.Errorf("%s: again: %+v, %v", name, again, err)
		}
		back, err := from.Copy(t.Context(), to, []*repo.Snapshot{made}, repo.CopyOptions{})
		if err != nil || back.Skipped != 1 {
			t.Errorf("%s: back: %+v, %v", name, back, err)
		}
	}
}

// cuts returns the lengths of the parts of the large file.
func cuts(t *testing.T, r *repo.Repo, s *repo.Snapshot, dir string) []int64 {
	t.Helper()
	e, err := r.Lookup(t.Context(), s, strings.Trim(dir, "/")+"/large")
	if err != nil {
		t.Fatal(err)
	}
	var out []int64
	for _, p := range e.Parts {
		out = append(out, p.Length)
	}
	return out
}

// TestCopyGoesOnWhereItWasCutOff fails a copy at each operation of the store in turn. The next one completes it, and stores nothing twice
// that was indexed.
func TestCopyGoesOnWhereItWasCutOff(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	writeTree(t, dir)
	from, _ := backUp(t, dir)
	defer from.Close()
	list, err := from.Snapshots(t.Context(), repo.Filter{})
	if err != nil {
		t.Fatal(err)
	}
	_, credential := weak(t)
	for fail := 0; ; fail++ {
		inner := mem.New(nil)
		newRepo(t, inner, repo.CreateOptions{}).Close()
		in := faulty.NewInjector(faulty.Fault{Class: faulty.All, After: fail, Times: -1, Err: errors.New("injected")})
		to, err := repo.Open(t.Context(), in.Wrap(inner), credential, repo.Options{})
		if err != nil {
			continue
		}
		_, err = to.Copy(t.Context(), from, list, repo.CopyOptions{})
		to.Close()
		if in.Fired() == 0 {
			if err != nil {
				t.Errorf("a copy without faults: %v", err)
			}
			break
		}
		whole, openErr := repo.Open(t.Context(), inner, credential, repo.Options{})
		if openErr != nil {
			t.Fatal(openErr)
		}
		if _, err := whole.Copy(t.Context(), from, list, repo.CopyOptions{}); err != nil {
			t.Fatalf("operation %d: %v", fail, err)
		}
		copies, err := whole.Snapshots(t.Context(), repo.Filter{})
		if err != nil || len(copies) != 1 {
			t.Fatalf("operation %d: %d snapshots, %v", fail, len(copies), err)
		}
		if _, err := whole.Check(t.Context(), repo.CheckOptions{ReadData: true}); err != nil {
			t.Fatalf("operation %d: check: %v", fail, err)
		}
		whole.Close()
	}
}

// TestCopyDoesNotTakeDamageOver copies two snapshots, of which one misses a pack.
func TestCopyDoesNotTakeDamageOver(t *testing.T) {
	t.Parallel()
	store := mem.New(nil)
	from := newRepo(t, store, repo.CreateOptions{})
	var before []string
	for i := range 2 {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "f"), append(noise(100_000, 1), byte(i)), 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := from.Backup(t.Context(), repo.BackupOptions{Source: repo.FromFS(os.DirFS(dir)), SourceName: fmt.Sprint(i)}); err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			before = packsOf(t, store)
		}
	}
	for _, name := range packsOf(t, store) {
		if !slices.Contains(before, name) {
			if err := store.Remove(t.Context(), name); err != nil {
				t.Fatal(err)
			}
		}
	}
	list, err := from.Snapshots(t.Context(), repo.Filter{})
	if err != nil {
		t.Fatal(err)
	}
	to := newRepo(t, mem.New(nil), repo.CreateOptions{})
	result, err := to.Copy(t.Context(), from, list, repo.CopyOptions{})
	if err != nil || result.Copied != 1 || len(result.Failed) != 1 || string(result.Failed[0].Snapshot.SourceName) != "1" || !repo.IsDamage(result.Failed[0].Err) {
		t.Errorf("%+v, %v", result, err)
	}
	if all, err := to.Snapshots(t.Context(), repo.Filter{}); err != nil || len(all) != 1 {
		t.Errorf("%d snapshots, %v", len(all), err)
	}
	if _, err := from.Copy(context.Background(), from, list, repo.CopyOptions{}); !errors.Is(err, repo.ErrSameRepository) {
		t.Errorf("to itself: %v", err)
	}
}

// packsOf lists the data packs of a store.
func packsOf(t *testing.T, store repo.Store) (names []string) {
	t.Helper()
	err := store.List(t.Context(), "data/", func(name string, _ int64, _ time.Time) error {
		names = append(names, name)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}
