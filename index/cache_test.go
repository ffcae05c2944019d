package index

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/snapkeep/snap/pack"
)

// repository is a world whose packs are listed by index files.
type repository struct {
	*world
	files map[pack.ID][]byte
	lists map[pack.ID][]Pack
}

func newRepository(seed uint64, chunks int) *repository {
	return &repository{world: newWorld(seed, chunks), files: make(map[pack.ID][]byte), lists: make(map[pack.ID][]Pack)}
}

// put adds an index file that lists packs.
func (r *repository) put(packs []Pack) pack.ID {
	body := Encode(File{Packs: packs})
	name := pack.SumID(body)
	r.files[name], r.lists[name] = body, packs
	r.settle()
	return name
}

func (r *repository) remove(name pack.ID) {
	delete(r.files, name)
	delete(r.lists, name)
	r.settle()
}

// settle makes the world consist of the packs that index files list.
func (r *repository) settle() {
	clear(r.packs)
	for _, packs := range r.lists {
		for _, p := range packs {
			r.packs[p.ID] = p
		}
	}
}

func (r *repository) names() []pack.ID {
	return slices.SortedFunc(maps.Keys(r.files), func(a, b pack.ID) int { return slices.Compare(a[:], b[:]) })
}

func (r *repository) list(context.Context) ([]pack.ID, error) { return r.names(), nil }

func (r *repository) load(_ context.Context, name pack.ID) ([]byte, error) {
	body, ok := r.files[name]
	if !ok {
		return nil, fs.ErrNotExist
	}
	return body, nil
}

func (r *repository) sync(t *testing.T, c *Cache) Report {
	t.Helper()
	report, err := c.Sync(t.Context(), r.list, r.load)
	if err != nil {
		t.Fatal(err)
	}
	if report.Files != len(r.files) || len(report.Damaged) > 0 {
		t.Fatalf("report %+v of %d index files", report, len(r.files))
	}
	return report
}

// change does one random thing to the repository.
func (r *repository) change() {
	names := r.names()
	some := func() []pack.ID {
		var chosen []pack.ID
		for _, name := range names {
			if r.rng.IntN(3) == 0 {
				chosen = append(chosen, name)
			}
		}
		return chosen
	}
	switch n := r.rng.IntN(20); {
	case n < 12: // a run wrote packs
		var packs []Pack
		for range r.rng.IntN(6) {
			packs = append(packs, r.newPack())
		}
		r.put(packs)
	case n < 15: // index files merged into one
		var packs []Pack
		old := some()
		for _, name := range old {
			packs = append(packs, r.lists[name]...)
		}
		name := r.put(packs)
		for _, o := range old {
			if o != name {
				r.remove(o)
			}
		}
	case n < 17: // one that repeats packs of others, beside new ones
		packs := []Pack{r.newPack()}
		for _, name := range some() {
			packs = append(packs, r.lists[name]...)
		}
		r.put(packs)
	default:
		if len(names) > 0 {
			r.remove(names[r.rng.IntN(len(names))])
		}
	}
}

func TestCacheAgreesWithReference(t *testing.T) {
	t.Parallel()
	for seed := range uint64(3) {
		r := newRepository(seed, 300)
		dir := filepath.Join(t.TempDir(), "cache")
		c := OpenCache(dir)
		for step := range 40 {
			for range 1 + r.rng.IntN(2) {
				r.change()
			}
			if r.rng.IntN(3) == 0 { // another process
				if err := c.Close(); err != nil {
					t.Fatal(err)
				}
				c = OpenCache(dir)
			}
			r.sync(t, c)
			if again := r.sync(t, c); again.Loaded != 0 {
				t.Fatalf("step %d: loaded %d index files again", step, again.Loaded)
			}
			if step%4 == 0 {
				r.check(t, c.Set())
				r.checkMarks(t, c.Set())
			}
		}
		checkFolder(t, dir)
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// checkFolder finds files that nothing lists.
func checkFolder(t *testing.T, dir string) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(dir, manifestName))
	if err != nil {
		t.Fatal(err)
	}
	want := append(decodeManifest(data).tables, manifestName, lockName)
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if !slices.Contains(want, e.Name()) {
			t.Errorf("%s is left over", e.Name())
		}
	}
	if len(entries) != len(want) {
		t.Errorf("%d files, want %d", len(entries), len(want))
	}
}

func TestCacheKeepsWhatItHas(t *testing.T) {
	t.Parallel()
	r := newRepository(1, 300)
	dir := t.TempDir()
	for range 30 {
		r.put([]Pack{r.newPack()})
		c := OpenCache(dir)
		if got := r.sync(t, c).Loaded; got != 1 {
			t.Fatalf("loaded %d index files, want 1", got)
		}
		r.check(t, c.Set())
		if n := len(c.tables); n > 8 {
			t.Fatalf("%d tables", n)
		}
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestCacheTellsAddedFromListed(t *testing.T) {
	t.Parallel()
	r := newRepository(2, 300)
	c := OpenCache(t.TempDir())
	defer c.Close()
	var written []Pack
	for range 50 {
		p := r.newPack()
		written = append(written, p)
		c.Set().Add(p)
	}
	r.put([]Pack{r.newPack()})
	r.sync(t, c)
	for _, p := range written {
		r.packs[p.ID] = p
	}
	r.check(t, c.Set())
	name := r.put(written) // the run wrote its index file
	r.sync(t, c)
	r.check(t, c.Set())
	r.checkMarks(t, c.Set())
	r.remove(name) // somebody removed it: its rows are void
	r.sync(t, c)
	r.check(t, c.Set())
}

func TestCacheWithoutFolder(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{"", file, filepath.Join(file, "below"), "/proc/no"} {
		r := newRepository(3, 300)
		c := OpenCache(dir)
		for range 12 {
			r.change()
			r.sync(t, c)
		}
		r.check(t, c.Set())
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestCacheSurvivesDamage(t *testing.T) {
	t.Parallel()
	for seed := range uint64(20) {
		r := newRepository(seed, 300)
		dir := t.TempDir()
		for range 5 {
			for range 3 {
				r.change()
			}
			c := OpenCache(dir)
			r.sync(t, c)
			r.check(t, c.Set())
			if err := c.Close(); err != nil {
				t.Fatal(err)
			}
			damage(t, dir, r.rng)
		}
	}
}

// damage harms the folder as a crash of the machine may.
func damage(t *testing.T, dir string, rng *rand.Rand) {
	t.Helper()
	path := filepath.Join(dir, manifestName)
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	m := decodeManifest(data)
	m.boot = "another"
	for _, name := range m.tables {
		harm(t, filepath.Join(dir, name), rng)
	}
	if err := os.WriteFile(path, m.encode(), 0o600); err != nil {
		t.Fatal(err)
	}
	if rng.IntN(3) == 0 {
		harm(t, path, rng)
	}
}

func harm(t *testing.T, path string, rng *rand.Rand) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	switch rng.IntN(6) {
	case 0:
		data = data[:rng.IntN(len(data))]
	case 1, 2:
		data[rng.IntN(len(data))] ^= 1 << rng.IntN(8)
	case 3:
		at := rng.IntN(len(data))
		clear(data[at:min(at+4096, len(data))])
	case 4:
		err = os.Remove(path)
		data = nil
	}
	if data != nil {
		err = os.WriteFile(path, data, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func TestVerifyDropsDamagedTables(t *testing.T) {
	t.Parallel()
	r := newRepository(4, 300)
	dir := t.TempDir()
	r.put([]Pack{r.newPack(), r.newPack(), r.newPack()})
	c := OpenCache(dir)
	defer c.Close()
	r.sync(t, c)
	if n := c.Verify(); n != 0 {
		t.Fatalf("%d tables damaged, want 0", n)
	}
	name := filepath.Join(dir, c.tables[0].name)
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt([]byte("harm"), headerSize); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if n := c.Verify(); n != 1 {
		t.Fatalf("%d tables damaged, want 1", n)
	}
	if n := c.Set().Len(); n != 0 {
		t.Fatalf("%d rows of a damaged table", n)
	}
	if got := r.sync(t, c).Loaded; got != 1 {
		t.Fatalf("loaded %d index files, want 1", got)
	}
	r.check(t, c.Set())
}

func TestSyncReportsDamagedIndexFiles(t *testing.T) {
	t.Parallel()
	r := newRepository(5, 300)
	good := r.put([]Pack{r.newPack(), r.newPack()})
	bad := r.put([]Pack{r.newPack(), r.newPack()})
	whole := r.files[bad]
	r.files[bad] = whole[:len(whole)-1]
	r.packs = map[pack.ID]Pack{}
	for _, p := range r.lists[good] {
		r.packs[p.ID] = p
	}
	c := OpenCache(t.TempDir())
	defer c.Close()
	for range 2 {
		report, err := c.Sync(t.Context(), r.list, r.load)
		if err != nil || len(report.Damaged) != 1 || report.Damaged[0].Name != bad || !errors.Is(report.Damaged[0].Err, ErrCorrupt) {
			t.Fatalf("got %+v, %v", report, err)
		}
		r.check(t, c.Set())
	}
	r.files[bad] = whole
	r.settle()
	r.sync(t, c)
	r.check(t, c.Set())

	newer := []byte{3, 0, 0}
	r.files[pack.SumID(newer)] = newer
	if _, err := c.Sync(t.Context(), r.list, r.load); !errors.Is(err, ErrNewer) {
		t.Fatalf("newer index file: got %v, want %v", err, ErrNewer)
	}
}

func TestSyncListsAgainWhenFilesVanish(t *testing.T) {
	t.Parallel()
	r := newRepository(6, 300)
	a, b := r.put([]Pack{r.newPack()}), r.put([]Pack{r.newPack()})
	first := true
	list := func(context.Context) ([]pack.ID, error) {
		names := r.names()
		if first { // merged by somebody, right behind the listing
			first = false
			packs := append(slices.Clone(r.lists[a]), r.lists[b]...)
			r.put(packs)
			r.remove(a)
			r.remove(b)
		}
		return names, nil
	}
	c := OpenCache(t.TempDir())
	defer c.Close()
	report, err := c.Sync(t.Context(), list, r.load)
	if err != nil || report.Files != 1 || report.Loaded != 1 {
		t.Fatalf("got %+v, %v", report, err)
	}
	r.check(t, c.Set())
}

func TestSyncReportsListedFilesThatAreMissing(t *testing.T) {
	t.Parallel()
	r := newRepository(10, 300)
	r.put([]Pack{r.newPack()})
	gone := pack.ID{1}
	list := func(context.Context) ([]pack.ID, error) { return append(r.names(), gone), nil }
	c := OpenCache(t.TempDir())
	defer c.Close()
	report, err := c.Sync(t.Context(), list, r.load)
	if err != nil || len(report.Damaged) != 1 || report.Damaged[0].Name != gone || !errors.Is(report.Damaged[0].Err, fs.ErrNotExist) {
		t.Fatalf("got %+v, %v", report, err)
	}
	r.check(t, c.Set())
}

func TestSyncKeepsWhatItLoadedBeforeAnError(t *testing.T) {
	t.Parallel()
	r := newRepository(7, 300)
	for range 10 {
		r.put([]Pack{r.newPack()})
	}
	broken := errors.New("broken line")
	last := r.names()[9]
	load := func(ctx context.Context, name pack.ID) ([]byte, error) {
		if name == last {
			return nil, broken
		}
		return r.load(ctx, name)
	}
	dir := t.TempDir()
	c := OpenCache(dir)
	if _, err := c.Sync(t.Context(), r.list, load); !errors.Is(err, broken) {
		t.Fatalf("got %v, want %v", err, broken)
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	c = OpenCache(dir)
	defer c.Close()
	if got := r.sync(t, c).Loaded; got != 1 {
		t.Fatalf("loaded %d index files, want 1", got)
	}
	r.check(t, c.Set())
}

func TestCachesShareAFolder(t *testing.T) {
	t.Parallel()
	r := newRepository(8, 300)
	dir := t.TempDir()
	caches := make([]*Cache, 4)
	for i := range caches {
		caches[i] = OpenCache(dir)
		defer caches[i].Close()
	}
	for range 10 {
		for range 3 {
			r.change()
		}
		var wg sync.WaitGroup
		errs := make([]error, len(caches))
		for i, c := range caches {
			wg.Go(func() { _, errs[i] = c.Sync(t.Context(), r.list, r.load) })
		}
		wg.Wait()
		if err := errors.Join(errs...); err != nil {
			t.Fatal(err)
		}
		for _, c := range caches {
			r.check(t, c.Set())
		}
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) > 40 {
		t.Fatalf("%d files in the folder, %v", len(entries), err)
	}
}

func TestFolderVanishesWhileInUse(t *testing.T) {
	t.Parallel()
	r := newRepository(9, 300)
	dir := filepath.Join(t.TempDir(), "cache")
	c := OpenCache(dir)
	defer c.Close()
	for range 10 {
		r.change()
		r.sync(t, c)
		r.check(t, c.Set())
		if err := os.RemoveAll(dir); err != nil {
			t.Fatal(err)
		}
		r.check(t, c.Set())
		if r.rng.IntN(2) == 0 {
			if err := os.Mkdir(dir, 0o700); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func TestSpoolFallsBack(t *testing.T) {
	t.Parallel()
	full := "/dev/full" // a folder that cannot be had
	s := newSpool(full)
	defer s.drop()
	s.limit, s.named = 10, true
	var want strings.Builder
	for i := range 1000 {
		line := fmt.Sprintf("line %d\n", i)
		if _, err := s.WriteAt([]byte(line), int64(want.Len())); err != nil {
			t.Fatal(err)
		}
		want.WriteString(line)
		if i == 300 && s.file == nil {
			t.Fatal("no file in the second folder")
		}
		if i == 500 { // the file takes no more
			name := s.name
			if err := s.file.Close(); err != nil {
				t.Fatal(err)
			}
			f, err := os.Open(name)
			if err != nil {
				t.Fatal(err)
			}
			s.file = f
		}
	}
	if s.file != nil {
		t.Fatal("still a file")
	}
	data, release, err := s.bytes()
	if err != nil || string(data) != want.String() {
		t.Fatalf("%d bytes, want %d, or others: %v", len(data), want.Len(), err)
	}
	release()
}
