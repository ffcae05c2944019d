package repo

import (
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"strconv"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/snapkeep/snap/index"
	"github.com/snapkeep/snap/internal/chunks"
	"github.com/snapkeep/snap/internal/sealed"
	"github.com/snapkeep/snap/internal/snapshot"
	"github.com/snapkeep/snap/internal/store/local"
	"github.com/snapkeep/snap/internal/tree"
	"github.com/snapkeep/snap/pack"
)

// Sizes of what is made up.
const (
	costChunks  = 64      // of a pack
	costBytes   = 300_000 // of a chunk as it is stored
	costFiles   = 500     // of a folder
	costDays    = 10      // snapshots
	costChanged = 100     // one file of so many changes in a day
)

// shape says what a hoard is like.
type shape struct {
	chunks  int // of the first snapshot
	perFile int // chunks: costChunks, or 1
	days    int // snapshots
	batch   int // days that share a run, and so its packs of metadata
}

// phantom is a Store with data packs of which there are names and sizes only: whoever reads one fails.
type phantom struct {
	Store
	packs int
}

func phantomID(n int) (id pack.ID) {
	rng := rand.NewPCG(uint64(n), 1)
	for i := 0; i < len(id); i += 8 {
		binary.BigEndian.PutUint64(id[i:], rng.Uint64())
	}
	return id
}

func (s *phantom) List(ctx context.Context, prefix string, fn func(string, int64, time.Time) error) error {
	if prefix == "data/" {
		for n := range s.packs {
			if err := fn(pack.Name(pack.ClassData, phantomID(n)), costChunks*costBytes+1000, time.Now().Add(-100*24*time.Hour)); err != nil {
				return err
			}
		}
	}
	return s.Store.List(ctx, prefix, fn)
}

// hoard is a repository of which only the metadata exists.
type hoard struct {
	r       *Repo
	store   *phantom
	shape   shape
	packs   []int          // numbers of those with the content of the files, in the order of these
	entries [][]tree.Entry // the files of each pack
	rows    []index.Pack
	commits []*Snapshot
}

// newHoard makes a repository whose snapshots share nearly all of their trees.
func newHoard(t *testing.T, store Store, sh shape) *hoard {
	h := &hoard{store: &phantom{Store: store}, shape: sh}
	h.r = newTestRepo(t, h.store, Options{CacheDir: t.TempDir()})
	n := max(1, sh.chunks/costChunks)
	h.packs, h.entries = make([]int, n), make([][]tree.Entry, n)
	for i := range h.packs {
		h.change(t, i)
	}
	rng := rand.New(rand.NewPCG(1, 2))
	for day := 0; day < sh.days; day += sh.batch {
		h.run(t, rng, day, min(sh.batch, sh.days-day))
	}
	return h
}

// change replaces pack i, and with it its files.
func (h *hoard) change(t *testing.T, i int) {
	h.packs[i], h.entries[i] = h.pack(t), nil
}

// files returns the files whose content is in pack i.
func (h *hoard) files(i int) []tree.Entry {
	if h.entries[i] != nil {
		return h.entries[i]
	}
	n := h.packs[i]
	var entries []tree.Entry
	for rest := parts(n); len(rest) > 0; rest = rest[h.shape.perFile:] {
		entries = append(entries, tree.Entry{Stat: tree.Stat{Name: fmt.Sprintf("f%08d-%02d", i, len(entries)), Kind: tree.Regular, Mode: 0o644,
			Size: int64(h.shape.perFile) * costBytes, ModTime: tree.Time{Sec: int64(n)}, ChangeTime: tree.Time{Sec: int64(n)}},
			Parts: rest[:h.shape.perFile]})
	}
	if h.shape.batch > 1 { // or it would be too much to keep
		h.entries[i] = entries
	}
	return entries
}

// pack makes a pack up and returns its number.
func (h *hoard) pack(t *testing.T) int {
	n := h.store.packs
	h.store.packs++
	p := index.Pack{ID: phantomID(n), Class: pack.ClassData, Size: costChunks*costBytes + 1000}
	for i, part := range parts(n) {
		p.Directory = append(p.Directory, pack.Segment{Kind: pack.KindData, Offset: uint32(i * costBytes), Length: costBytes,
			Chunks: []pack.Chunk{{ID: part.ID, Length: uint32(part.Length)}}})
	}
	if h.rows = append(h.rows, p); len(h.rows) == 2000 {
		h.flush(t)
	}
	return n
}

func (h *hoard) flush(t *testing.T) {
	if _, err := h.r.records.Save(t.Context(), sealed.Index, index.Encode(index.File{Packs: h.rows})); err != nil {
		t.Fatal(err)
	}
	h.rows = nil
}

// parts returns the content of a file, which is that of the pack with the number.
func parts(n int) (out []tree.Part) {
	rng := rand.NewPCG(uint64(n), 2)
	for range costChunks {
		var id pack.ChunkID
		binary.BigEndian.PutUint64(id[:], rng.Uint64())
		binary.BigEndian.PutUint64(id[8:], rng.Uint64())
		out = append(out, tree.Part{ID: id, Length: costBytes})
	}
	return out
}

// run makes the snapshots of some days. Their records are stored as they are: the repository is nobody else's.
func (h *hoard) run(t *testing.T, rng *rand.Rand, first, days int) {
	ctx := t.Context()
	writer, err := chunks.NewWriter(ctx, h.r.store, h.r.set, h.r.keys, h.r.writerOptions())
	if err != nil {
		t.Fatal(err)
	}
	var made []*Snapshot
	for day := first; day < first+days; day++ {
		if day > 0 {
			// What changes in a day lies together, as it does.
			start := rng.IntN(len(h.packs))
			for i := range max(1, len(h.packs)/costChanged) {
				h.change(t, (start+i)%len(h.packs))
			}
		}
		made = append(made, &Snapshot{Time: time.Now(), SourceName: "hoard", Source: snapshot.SourceIDOf("hoard"), Sequence: uint64(day + 1),
			Root: h.tree(t, writer).String()})
	}
	if _, err := writer.Finish(ctx); err != nil {
		t.Fatal(err)
	}
	h.flush(t)
	for _, s := range made {
		if n := len(h.commits); n > 0 {
			s.Previous = h.commits[n-1].ID.String()
		}
		body, err := s.Encode(nil)
		if err != nil {
			t.Fatal(err)
		}
		if s.ID, err = h.r.records.Save(ctx, sealed.Snapshot, body); err != nil {
			t.Fatal(err)
		}
		h.commits = append(h.commits, s)
	}
}

// tree stores the tree of the files as they are.
func (h *hoard) tree(t *testing.T, writer *chunks.Writer) pack.ChunkID {
	ctx := t.Context()
	saver := writer.NewSaver()
	b := tree.NewBuilder(func(kind pack.Kind, page []byte) (pack.ChunkID, error) { return saver.Save(ctx, kind, page) })
	perFolder := costFiles * h.shape.perFile / costChunks
	var folders []tree.Entry
	for at := 0; at < len(h.packs); at += perFolder {
		folders = append(folders, tree.Entry{Stat: tree.Stat{Name: fmt.Sprintf("d%08d", at), Kind: tree.Directory, Mode: 0o755}})
	}
	if err := b.Add("", folders, true); err != nil {
		t.Fatal(err)
	}
	for i, folder := range folders {
		var entries []tree.Entry
		for k := i * perFolder; k < min(len(h.packs), (i+1)*perFolder); k++ {
			entries = append(entries, h.files(k)...)
		}
		if err := b.Add(folder.Name, entries, true); err != nil {
			t.Fatal(err)
		}
	}
	root, err := b.Finish()
	if err != nil {
		t.Fatal(err)
	}
	if err := saver.Flush(ctx); err != nil {
		t.Fatal(err)
	}
	return root
}

// cost is what something took.
type cost struct {
	cpu  time.Duration
	wall time.Duration
	heap uint64 // at most, beyond what was there
}

func measure(run func()) cost {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	before, most := m.HeapInuse, atomic.Uint64{}
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for {
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			most.Store(max(most.Load(), m.HeapInuse))
			select {
			case <-stop:
				return
			case <-time.After(50 * time.Millisecond):
			}
		}
	}()
	began, start := cpuTime(), time.Now()
	run()
	took, wall := cpuTime()-began, time.Since(start)
	close(stop)
	<-done
	return cost{took, wall, most.Load() - min(before, most.Load())}
}

func cpuTime() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// TestCostOfPrune prunes a repository of which only the metadata exists: a prune that reads a data pack fails. SNAP_PRUNE_CHUNKS sets the number
// of chunks. Figures are logged.
func TestCostOfPrune(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds")
	}
	number := 200_000
	if n, err := strconv.Atoi(os.Getenv("SNAP_PRUNE_CHUNKS")); err == nil {
		number = n
	}
	store, err := local.Create(t.TempDir(), local.Options{})
	if err != nil {
		t.Fatal(err)
	}
	h := newHoard(t, store, shape{chunks: number, perFile: costChunks, days: costDays, batch: 1})
	r := reopen(t, h.store, Options{CacheDir: t.TempDir()})
	ctx := t.Context()
	sync := measure(func() {
		if err := r.syncIndex(ctx); err != nil {
			t.Fatal(err)
		}
	})
	idle := measure(func() {
		if res := mustPrune(t, r, PruneOptions{}); res.DeadPacks != 0 || res.Orphans != 0 {
			t.Errorf("nothing was forgotten: %+v", res)
		}
	})
	gone := h.commits[:costDays-1]
	mustForget(t, r, ForgetOptions{Now: true}, gone...)
	var res *PruneResult
	busy := measure(func() { res = mustPrune(t, r, PruneOptions{}) })
	if want := (costDays - 1) * max(1, number/costChunks/costChanged); res.DeadPacks < want/2 || res.Snapshots != 1 {
		t.Errorf("%d packs are dead, want about %d: %+v", res.DeadPacks, want, res)
	}
	t.Logf("%d chunks in %d packs, %d snapshots: index loaded in %.2f s CPU; prune with nothing to do %.2f s, %d MB; after all but one were forgotten %.2f s, %d MB, %d packs condemned",
		number, h.store.packs, costDays, sync.cpu.Seconds(), idle.cpu.Seconds(), idle.heap>>20, busy.cpu.Seconds(), busy.heap>>20, res.DeadPacks)
}

// TestPruneOfManySnapshots forgets and prunes in a repository of thousands of snapshots that share most of their trees: 10,000 files, of which 1 % change
// from each to the next. SNAP_PRUNE_SNAPSHOTS sets their number.
func TestPruneOfManySnapshots(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds")
	}
	days := 100
	if os.Getenv("SNAP_LONG_TESTS") != "" {
		days = 10_000
	}
	if n, err := strconv.Atoi(os.Getenv("SNAP_PRUNE_SNAPSHOTS")); err == nil {
		days = n
	}
	store, err := local.Create(t.TempDir(), local.Options{})
	if err != nil {
		t.Fatal(err)
	}
	h := newHoard(t, store, shape{chunks: 10_000, perFile: 1, days: days, batch: 100})
	r := reopen(t, h.store, Options{CacheDir: t.TempDir()})
	first := measure(func() { mustPrune(t, r, PruneOptions{}) })
	var gone []*Snapshot
	for i, s := range h.commits {
		if i%2 == 0 {
			gone = append(gone, s)
		}
	}
	forgot := measure(func() { mustForget(t, r, ForgetOptions{Now: true}, gone...) })
	var res *PruneResult
	second := measure(func() { res = mustPrune(t, reopen(t, h.store, Options{CacheDir: t.TempDir()}), PruneOptions{}) })
	if res.Snapshots != len(h.commits)-len(gone) || res.MissingChunks != 0 || res.DeadPacks == 0 {
		t.Errorf("%+v", res)
	}
	t.Logf("%d snapshots: prune %.2f s (%.2f s CPU), %d MB; forget half of them %.2f s (%.2f s CPU); prune without a cache %.2f s (%.2f s CPU), %d MB", days,
		first.wall.Seconds(), first.cpu.Seconds(), first.heap>>20, forgot.wall.Seconds(), forgot.cpu.Seconds(),
		second.wall.Seconds(), second.cpu.Seconds(), second.heap>>20)
}
