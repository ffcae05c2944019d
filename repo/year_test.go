package repo

import (
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/snapkeep/snap/index"
	"github.com/snapkeep/snap/internal/prune"
	"github.com/snapkeep/snap/internal/store/mem"
	"github.com/snapkeep/snap/pack"
)

// yearWorld is a repository of four sources that are backed up every day, and pruned.
type yearWorld struct {
	testing.TB
	yearShape
	clock   *clock
	rng     *rand.Rand
	store   *mem.Store
	r       *Repo
	names   []string
	sources map[string]*yearSource
	kept    map[SnapshotID]yearKept
	order   []SnapshotID
	known   map[pack.ID]bool // packs that were counted, or made by prunes
	history *yearHistory     // and what restic would have made of it

	written, copied int64     // bytes of segments
	unused          []float64 // after each prune, in packs that are partly needed, as a share of what is needed
	stored          []float64 // after each prune, bytes of all packs beyond what is needed, likewise
}

// yearShape says how large a world is.
type yearShape struct {
	days     int
	packSize int
	tree     int64 // bytes of small files
	dump     int64
	image    int64
	daily    int     // bytes of log
	alike    bool    // of the rows of the dump: see yearFile
	unused   float64 // that a prune may leave
	most     float64 // that prunes may copy, as a share of what backups write
}

// yearKept is what a snapshot holds.
type yearKept struct {
	name  string
	files *yearSource
}

func newYearWorld(t testing.TB, shape yearShape) *yearWorld {
	c := newClock()
	w := &yearWorld{TB: t, yearShape: shape, clock: c, rng: rand.New(rand.NewPCG(11, 12)), store: c.store(),
		names: []string{"tree", "dump", "image", "logs"}, kept: map[SnapshotID]yearKept{}, known: map[pack.ID]bool{}, history: newYearHistory(shape.packSize)}
	w.r = newTestRepo(t, w.store, w.options())
	dump := w.file("all.sql", yearRow, shape.dump)
	dump.alike = shape.alike
	w.sources = map[string]*yearSource{
		"tree":  w.tree(shape.tree),
		"dump":  {folders: [][]*yearFile{{dump}}},
		"image": {folders: [][]*yearFile{{w.file("disk.img", yearSector, shape.image)}}},
		"logs":  {folders: [][]*yearFile{{w.file("app.log", yearLines, int64(shape.daily))}}},
	}
	return w
}

func (w *yearWorld) options() Options {
	return Options{Now: w.clock.now, PackSize: w.packSize, Parity: ParityOff, SkipVerify: true}
}

// change is a day in the sources.
func (w *yearWorld) change() {
	w.changeTree(w.sources["tree"])
	w.changeDump(w.sources["dump"])
	w.changeImage(w.sources["image"])
	w.changeLogs(w.sources["logs"])
}

// day changes the sources and backs them up.
func (w *yearWorld) day(day int) {
	w.clock.sleep(24 * time.Hour)
	if day > 0 {
		w.change()
	}
	for _, name := range w.names {
		files := w.sources[name].clone()
		s := w.backup(w.r, name, files)
		w.kept[s.ID] = yearKept{name, files}
		w.order = append(w.order, s.ID)
		w.record(s)
	}
	if day%7 == 6 {
		w.forget()
		w.prune()
	}
}

func (w *yearWorld) backup(r *Repo, name string, files *yearSource) *Snapshot {
	res, err := r.Backup(w.Context(), BackupOptions{Source: files, SourceName: name, Granularity: 1})
	if err != nil {
		w.Fatal(err)
	}
	return res.Snapshot
}

// record notes what a snapshot has written, and what it needs.
func (w *yearWorld) record(s *Snapshot) {
	for _, word := range s.Index {
		id, err := pack.ParseID(word)
		if err != nil {
			w.Fatal(err)
		}
		body, err := w.r.loadIndexFile(w.Context(), id)
		if err != nil {
			w.Fatal(err)
		}
		file, err := index.Decode(body)
		if err != nil {
			w.Fatal(err)
		}
		for _, p := range file.Packs {
			if w.known[p.ID] {
				continue
			}
			w.known[p.ID] = true
			w.written += copiedBytes(p)
			w.history.wrote(p)
		}
	}
	root, err := s.RootID()
	if err != nil {
		w.Fatal(err)
	}
	err = prune.NewWalker(w.r.load).Walk(w.Context(), []pack.ChunkID{root}, func(ids []pack.ChunkID) { w.history.holds(s.ID, ids) })
	if err != nil {
		w.Fatal(err)
	}
}

func (w *yearWorld) forget() {
	plan, err := w.r.ForgetPlan(w.Context(), DefaultPolicy(), Filter{}, ForgetPlanOptions{})
	if err == nil {
		_, err = w.r.Forget(w.Context(), plan.Remove(), ForgetOptions{})
	}
	if err != nil {
		w.Fatal(err)
	}
}

// prune prunes, and notes what that did.
func (w *yearWorld) prune() {
	res, err := w.r.Prune(w.Context(), PruneOptions{MaxUnused: w.yearShape.unused})
	if err != nil {
		w.Fatal(err)
	}
	if res.MissingChunks != 0 || res.Rescued != 0 {
		w.Fatalf("%+v", res)
	}
	for p := range w.r.set.Packs() {
		w.known[p.ID] = true
	}
	w.copied += res.CopiedBytes
	w.unused = append(w.unused, float64(res.UnusedBytes)/float64(res.LiveBytes))
	sizes := w.folders(w.store)
	w.stored = append(w.stored, float64(sizes["data"]+sizes["meta"])/float64(res.LiveBytes)-1)
	var live []SnapshotID
	for _, prefix := range []string{"snapshots/", "trash/"} {
		for _, name := range names(w.TB, w.store, prefix) {
			id, err := pack.ParseID(strings.TrimPrefix(name, prefix))
			if err != nil {
				w.Fatal(err)
			}
			live = append(live, id)
		}
	}
	still := map[SnapshotID]bool{}
	for _, id := range live {
		still[id] = true
	}
	for id := range w.kept {
		if !still[id] {
			delete(w.kept, id)
		}
	}
	w.history.prune(live)
}

func (w *yearWorld) folders(store Store) map[string]int64 {
	out := map[string]int64{}
	for name, size := range listing(w.TB, store) {
		folder, _, _ := strings.Cut(name, "/")
		out[folder] += size
		out["all"] += size
	}
	return out
}

// end lets graces pass and returns the sizes of the repository, which is emptied to have the memory, and of one that is made from the same
// snapshots.
func (w *yearWorld) end() (got, fresh map[string]int64) {
	for range 3 { // empty the trash, copy, remove
		w.clock.sleep(8 * 24 * time.Hour)
		w.prune()
	}
	got = w.folders(w.store)
	for name := range listing(w.TB, w.store) {
		if err := w.store.Remove(w.Context(), name); err != nil {
			w.Fatal(err)
		}
	}
	store := w.clock.store()
	r := newTestRepo(w.TB, store, w.options())
	for _, id := range w.order {
		if k, ok := w.kept[id]; ok {
			w.backup(r, k.name, k.files)
		}
	}
	return got, w.folders(store)
}

// mean returns the mean of some numbers.
func mean(of []float64) (sum float64) {
	for _, x := range of {
		sum += x
	}
	return sum / float64(len(of))
}

// TestCopiedInAYear backs sources of four kinds up every day, forgets by the default policy and prunes every week, and compares what prunes have copied
// with what backups have written, and with what restic's rule would have copied. Figures are logged.
func TestCopiedInAYear(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds")
	}
	t.Parallel()
	shapes := []yearShape{{days: 90, packSize: 1 << 20, tree: 12 << 20, dump: 4 << 20, image: 8 << 20, daily: 100_000, unused: 0.05, most: 0.1}}
	if os.Getenv("SNAP_LONG_TESTS") != "" {
		shape := yearShape{days: 400, packSize: 32 << 20, tree: 400 << 20, dump: 64 << 20, image: 128 << 20, daily: 2_000_000, unused: defaultMaxUnused, most: 0.04}
		small := shape
		small.packSize = 4 << 20
		alike := small
		alike.alike = true
		shapes = []yearShape{shape, small, alike}
	}
	for _, shape := range shapes {
		t.Run(fmt.Sprintf("packs of %d MiB, rows alike %v", shape.packSize>>20, shape.alike), func(t *testing.T) { copiedInAYear(t, shape) })
	}
}

func copiedInAYear(t *testing.T, shape yearShape) {
	w := newYearWorld(t, shape)
	for day := range shape.days {
		w.day(day)
	}
	written, copied, restic := w.written, w.copied, w.history.copied
	t.Logf("%d days: %d MB written, %d MB copied by prunes, %.1f %%; restic's rule: %d MB, %.1f %%", shape.days, written/1e6,
		copied/1e6, 100*float64(copied)/float64(written), restic/1e6, 100*float64(restic)/float64(written))
	t.Logf("unused in packs that are partly needed, as a share of what is needed: at most %.1f %%, mean %.1f %%; restic's rule: %.1f %%, %.1f %%; all that is stored and not needed, in graces too: mean %.1f %%",
		100*slices.Max(w.unused), 100*mean(w.unused), 100*slices.Max(w.history.unused), 100*mean(w.history.unused), 100*mean(w.stored))
	if slices.Max(w.unused) > shape.unused {
		t.Errorf("%.3f are unused after a prune", slices.Max(w.unused))
	}
	if share := float64(copied) / float64(written); copied == 0 || share > shape.most {
		t.Errorf("%.4f of what was written were copied, want at most %.2f; restic's rule copies %d bytes", share, shape.most, restic)
	}
	got, fresh := w.end()
	t.Logf("at the end %d MB, a fresh repository of the same snapshots %d MB: %.1f %% more", got["all"]/1e6, fresh["all"]/1e6,
		100*float64(got["all"]-fresh["all"])/float64(fresh["all"]))
	if got["all"] > fresh["all"]*4/3 {
		t.Errorf("%v, a fresh repository has %v", got, fresh)
	}
}
