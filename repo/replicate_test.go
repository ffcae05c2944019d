package repo_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/snapkeep/snap/internal/store/faulty"
	"github.com/snapkeep/snap/internal/store/mem"
	"github.com/snapkeep/snap/repo"
)

// site is a store with the repository in it, and a folder that it saves.
type site struct {
	t     *testing.T
	store *mem.Store
	r     *repo.Repo
	dir   string
	now   time.Time
}

// newSite returns the first site of a repository with a passphrase.
func newFirstSite(t *testing.T) *site {
	s := &site{t: t, dir: t.TempDir(), now: time.Now()}
	s.store = mem.New(func() time.Time { return s.now })
	s.r = newRepo(t, s.store, repo.CreateOptions{Options: repo.Options{Now: func() time.Time { return s.now }}})
	return s
}

// second returns an empty second site, for which the replica was started.
func (s *site) second() *site {
	s.t.Helper()
	out := &site{t: s.t, now: s.now}
	out.store = mem.New(func() time.Time { return out.now })
	if err := repo.StartReplica(s.t.Context(), s.store, out.store); err != nil {
		s.t.Fatal(err)
	}
	out.open(out.store)
	return out
}

func (s *site) open(store repo.Store) {
	s.t.Helper()
	_, credential := weak(s.t)
	r, err := repo.Open(s.t.Context(), store, credential, repo.Options{Now: func() time.Time { return s.now }})
	if err != nil {
		s.t.Fatal(err)
	}
	s.r = r
	s.t.Cleanup(func() { r.Close() })
}

func (s *site) backup(source string, files map[string][]byte) *repo.Snapshot {
	s.t.Helper()
	for name, data := range files {
		if err := os.WriteFile(filepath.Join(s.dir, name), data, 0o644); err != nil {
			s.t.Fatal(err)
		}
	}
	result, err := s.r.Backup(s.t.Context(), repo.BackupOptions{Source: repo.FromFS(os.DirFS(s.dir)), SourceName: source, Force: true})
	if err != nil {
		s.t.Fatal(err)
	}
	return result.Snapshot
}

func (s *site) remove(name string) {
	s.t.Helper()
	if err := os.Remove(filepath.Join(s.dir, name)); err != nil {
		s.t.Fatal(err)
	}
}

// replicate pulls from the first site and wants a number of snapshots.
func (s *site) replicate(from *site, want int) *repo.ReplicateResult {
	s.t.Helper()
	result, err := s.r.Replicate(s.t.Context(), from.r, repo.ReplicateOptions{})
	if err != nil {
		s.t.Fatal(err)
	}
	if result.Snapshots != want {
		s.t.Fatalf("%d snapshots, want %d: %+v", result.Snapshots, want, result)
	}
	return result
}

// expect makes sure that the site is whole and has these snapshots, and that the last restores the file.
func (s *site) expect(want ...*repo.Snapshot) {
	s.t.Helper()
	all, err := s.r.Snapshots(s.t.Context(), repo.Filter{})
	if err != nil {
		s.t.Fatal(err)
	}
	got := map[repo.SnapshotID]bool{}
	for _, x := range all {
		got[x.ID] = true
	}
	for _, x := range want {
		if !got[x.ID] {
			s.t.Errorf("snapshot %s is not there", x.ID)
		}
	}
	if len(all) != len(want) {
		s.t.Errorf("%d snapshots, want %d", len(all), len(want))
	}
	if result, err := s.r.Check(s.t.Context(), repo.CheckOptions{ReadData: true}); err != nil {
		s.t.Errorf("check: %v: %+v", err, result)
	}
}

// forget forgets snapshots and prunes until nothing waits.
func (s *site) forget(list ...*repo.Snapshot) {
	s.t.Helper()
	var ids []repo.SnapshotID
	for _, x := range list {
		ids = append(ids, x.ID)
	}
	if _, err := s.r.Forget(s.t.Context(), ids, repo.ForgetOptions{AllowAll: true}); err != nil {
		s.t.Fatal(err)
	}
	for range 4 {
		s.now = s.now.Add(8 * 24 * time.Hour)
		if _, err := s.r.Prune(s.t.Context(), repo.PruneOptions{MaxUnused: -1}); err != nil {
			s.t.Fatal(err)
		}
	}
}

func TestReplicaKeepsItsOwnRetention(t *testing.T) {
	t.Parallel()
	first := newFirstSite(t)
	shared := noise(300_000, 7)
	one := first.backup("a", map[string][]byte{"f": noise(200_000, 1), "shared": shared})
	two := first.backup("a", map[string][]byte{"f": noise(200_000, 2)})
	if err := first.r.Tag(t.Context(), two, []string{"kept"}, nil, nil); err != nil {
		t.Fatal(err)
	}
	second := first.second()
	second.replicate(first, 2)
	second.expect(one, two)
	if s, err := second.r.Find(t.Context(), "latest", repo.Filter{Tags: [][]string{{"kept"}}}); err != nil || s.ID != two.ID {
		t.Errorf("the tag is not there: %v", err)
	}
	if result := second.replicate(first, 0); result.Files != 0 {
		t.Errorf("again: %+v", result)
	}

	// What the first site forgets and prunes stays here.
	first.forget(one)
	first.expect(two)
	if result := second.replicate(first, 0); result.Gone != 1 {
		t.Errorf("%d are gone, want 1", result.Gone)
	}
	second.expect(one, two)

	// What is forgotten and pruned here does not come back.
	three := first.backup("a", map[string][]byte{"f": noise(200_000, 3)})
	second.replicate(first, 1)
	second.forget(one, two)
	second.expect(three)
	if result := second.replicate(first, 0); result.Forgotten != 1 { // one is gone there
		t.Errorf("%d were forgotten here, want 1", result.Forgotten)
	}
	second.expect(three)

	// A snapshot that needs packs again which were pruned here brings them back.
	first.remove("shared")
	four := first.backup("a", nil)
	second.replicate(first, 1)
	second.forget(three)
	second.expect(four)
	five := first.backup("a", map[string][]byte{"shared": shared})
	second.replicate(first, 1)
	second.expect(four, five)
	second.forget(four)
	second.expect(five)
	first.expect(two, three, four, five)
}

func TestReplicaTakesNoDamageOver(t *testing.T) {
	t.Parallel()
	first := newFirstSite(t)
	one := first.backup("a", map[string][]byte{"f": noise(200_000, 1)})
	second := first.second()
	second.replicate(first, 1)
	before := packsOf(t, first.store)
	first.remove("f")
	first.backup("b", map[string][]byte{"g": noise(200_000, 2)})
	for _, name := range packsOf(t, first.store) {
		if name != before[0] {
			damage(t, first.store, name)
		}
	}
	three := first.backup("c", map[string][]byte{"g": noise(100_000, 3)})
	result := second.replicate(first, 1)
	if len(result.Damaged) != 1 || len(result.Failed) != 1 || !result.Partial() {
		t.Errorf("%+v", result)
	}
	second.expect(one, three)
	for _, name := range packsOf(t, second.store) {
		if data := contentOf(t, second.store, name); !bytes.Equal(data, contentOf(t, first.store, name)) {
			t.Errorf("%s differs", name)
		}
	}
	// The first site loses what is whole here.
	if err := first.store.Remove(t.Context(), before[0]); err != nil {
		t.Fatal(err)
	}
	second.replicate(first, 0)
	second.expect(one, three)

}

// damage flips a bit of a file.
func damage(t *testing.T, store repo.Store, name string) {
	t.Helper()
	data := contentOf(t, store, name)
	data[len(data)/3] ^= 1
	if err := store.Remove(t.Context(), name); err != nil {
		t.Fatal(err)
	}
	if err := store.Create(t.Context(), name, bytes.NewReader(data), int64(len(data))); err != nil {
		t.Fatal(err)
	}
}

func contentOf(t *testing.T, store repo.Store, name string) []byte {
	t.Helper()
	size, _, err := store.Stat(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	data := make([]byte, size)
	if n, err := store.ReadAt(t.Context(), name, data, 0); n < len(data) {
		t.Fatal(err)
	}
	return data
}

func TestReplicationGoesOnWhereItWasCutOff(t *testing.T) {
	t.Parallel()
	first := newFirstSite(t)
	one := first.backup("a", map[string][]byte{"f": noise(200_000, 1)})
	two := first.backup("a", map[string][]byte{"f": noise(200_000, 2), "g": []byte("g")})
	for fail := 0; ; fail++ {
		second := &site{t: t, now: first.now}
		second.store = mem.New(func() time.Time { return second.now })
		in := faulty.NewInjector(faulty.Fault{Class: faulty.All, After: fail, Times: -1, Err: errors.New("injected")})
		broken := in.Wrap(second.store)
		err := repo.StartReplica(t.Context(), first.store, broken)
		if err == nil {
			_, credential := weak(t)
			var r *repo.Repo
			if r, err = repo.Open(t.Context(), broken, credential, repo.Options{}); err == nil {
				_, err = r.Replicate(t.Context(), first.r, repo.ReplicateOptions{})
				r.Close()
			}
		}
		if in.Fired() == 0 {
			if err != nil {
				t.Fatal(err)
			}
			break
		}
		if err := repo.StartReplica(t.Context(), first.store, second.store); err != nil {
			t.Fatalf("operation %d: %v", fail, err)
		}
		second.open(second.store)
		if _, err := second.r.Replicate(t.Context(), first.r, repo.ReplicateOptions{}); err != nil {
			t.Fatalf("operation %d: %v", fail, err)
		}
		second.expect(one, two)
		if t.Failed() {
			t.Fatalf("operation %d", fail)
		}
	}
}

// TestBlindReplicaIsWhole replicates without a key. It follows no deletion, and takes nothing that does not match its name.
func TestBlindReplicaIsWhole(t *testing.T) {
	t.Parallel()
	first := newFirstSite(t)
	one := first.backup("a", map[string][]byte{"f": noise(200_000, 1)})
	vault := &site{t: t, now: first.now}
	vault.store = mem.New(func() time.Time { return vault.now })
	pull := func(want int) *repo.ReplicateResult {
		t.Helper()
		result, err := repo.ReplicateBlind(t.Context(), first.store, vault.store, repo.ReplicateOptions{})
		if err != nil || result.Snapshots != want {
			t.Fatalf("%+v, %v", result, err)
		}
		return result
	}
	if _, err := repo.ReplicateBlind(t.Context(), first.store, vault.store, repo.ReplicateOptions{}); !errors.Is(err, repo.ErrNoRepository) {
		t.Errorf("without a start: %v", err)
	}
	if err := repo.StartReplica(t.Context(), first.store, vault.store); err != nil {
		t.Fatal(err)
	}
	pull(1)
	before := packsOf(t, first.store)
	two := first.backup("b", map[string][]byte{"g": noise(300_000, 2)})
	for _, name := range packsOf(t, first.store) {
		if name != before[0] {
			damage(t, first.store, name)
			if result := pull(1); len(result.Damaged) != 1 || result.Damaged[0].Name != name {
				t.Errorf("%+v", result)
			}
			damage(t, first.store, name) // the same bit again: it is whole
		}
	}
	pull(0)
	first.forget(one)
	pull(0)
	vault.open(vault.store)
	vault.expect(one, two)

	other := newFirstSite(t)
	if err := repo.StartReplica(t.Context(), other.store, vault.store); !errors.Is(err, repo.ErrOtherRepository) {
		t.Errorf("a replica of two repositories: %v", err)
	}
	if _, err := vault.r.Replicate(t.Context(), other.r, repo.ReplicateOptions{}); !errors.Is(err, repo.ErrOtherRepository) {
		t.Errorf("a replica of two repositories: %v", err)
	}
}
