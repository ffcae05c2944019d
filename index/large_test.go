package index

import (
	"context"
	"encoding/binary"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/snapkeep/snap/pack"
)

// generator makes the index of a repository that does not exist: packs of 40 chunks, half of
// them with one chunk a segment, half with 20.
type generator struct{ rows int }

const (
	generatedChunks = 40   // in a pack
	generatedPacks  = 1000 // in an index file
)

// chunk returns the id of chunk i; those from rows on are in no pack.
func (g generator) chunk(i int) (id pack.ChunkID) {
	binary.LittleEndian.PutUint64(id[:], mix(uint64(2*i+1)))
	binary.LittleEndian.PutUint64(id[8:], mix(uint64(2*i+2)))
	return id
}

func (g generator) pack(i int) Pack {
	p := Pack{Class: pack.ClassData, Size: 40 << 10}
	for k := range 4 {
		binary.LittleEndian.PutUint64(p.ID[8*k:], mix(uint64(4*i+k)^1<<63))
	}
	perSegment := 1 + i%2*19
	for k := 0; k < generatedChunks; k += perSegment {
		s := pack.Segment{Kind: pack.KindData, Offset: uint32(k * 1000), Length: uint32(perSegment * 1000)}
		for j := range perSegment {
			s.Chunks = append(s.Chunks, pack.Chunk{ID: g.chunk(i*generatedChunks + k + j), Length: 1000})
		}
		p.Directory = append(p.Directory, s)
	}
	return p
}

func (g generator) packs() int { return g.rows / generatedChunks }

func (g generator) list(context.Context) ([]pack.ID, error) {
	var names []pack.ID
	for i := 0; i*generatedPacks < g.packs(); i++ {
		var name pack.ID
		binary.BigEndian.PutUint64(name[:], uint64(i+1))
		names = append(names, name)
	}
	return names, nil
}

func (g generator) load(_ context.Context, name pack.ID) ([]byte, error) {
	first := int(binary.BigEndian.Uint64(name[:])-1) * generatedPacks
	var f File
	for i := first; i < min(first+generatedPacks, g.packs()); i++ {
		f.Packs = append(f.Packs, g.pack(i))
	}
	return Encode(f), nil
}

// TestLargeIndex goes through the life of a large index. SNAP_INDEX_ROWS sets the number of
// rows; with 100,000,000 it takes minutes and 6 GB of disk for a while, half of it at the end.
// Figures are logged.
func TestLargeIndex(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds")
	}
	g := generator{rows: 1_000_000}
	if s := os.Getenv("SNAP_INDEX_ROWS"); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil {
			t.Fatal(err)
		}
		g.rows = n
	}
	g.rows -= g.rows % generatedChunks
	step := stopwatch(t, g.rows)

	dir := t.TempDir()
	c := OpenCache(dir)
	if report, err := c.Sync(t.Context(), g.list, g.load); err != nil || report.Loaded != report.Files {
		t.Fatalf("%+v, %v", report, err)
	}
	step("first sync", g.rows)
	t.Logf("%d tables, %.2f bytes of disk a row", len(c.tables), float64(folderSize(t, dir))/float64(g.rows))
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}

	c = OpenCache(dir)
	defer c.Close()
	if report, err := c.Sync(t.Context(), g.list, g.load); err != nil || report.Loaded != 0 {
		t.Fatalf("%+v, %v", report, err)
	}
	step("open", 1)
	s := c.Set()
	if n := s.Len(); n != g.rows {
		t.Fatalf("%d rows, want %d", n, g.rows)
	}
	checkSample(t, g, s, step)
	checkLargeMarks(t, g, s, step)

	n := 0
	var previous pack.ChunkID
	for id := range s.Rows() {
		if string(id[:]) <= string(previous[:]) {
			t.Fatalf("%s behind %s", id, previous)
		}
		previous = id
		n++
	}
	if n != g.rows {
		t.Fatalf("%d rows in order, want %d", n, g.rows)
	}
	step("rows in order", n)
	n = 0
	for range s.PackRows() {
		n++
	}
	if n != g.rows {
		t.Fatalf("%d rows by pack, want %d", n, g.rows)
	}
	step("rows by pack", n)
	if n := c.Verify(); n != 0 {
		t.Fatalf("%d damaged tables", n)
	}
	step("verify", g.rows)
}

// checkSample looks up chunks that exist and such that do not.
func checkSample(t *testing.T, g generator, s *Set, step func(string, int)) {
	t.Helper()
	rng := rand.New(rand.NewPCG(1, 2))
	const lookups = 100_000
	for range lookups {
		i := rng.IntN(g.rows)
		l, ok := s.Lookup(g.chunk(i))
		p := g.pack(i / generatedChunks)
		perSegment := 1 + i/generatedChunks%2*19
		k := i % generatedChunks
		want := Location{Pack: p.ID, Class: p.Class, Offset: uint32(k / perSegment * perSegment * 1000),
			Length: uint32(perSegment * 1000), Ordinal: uint16(k % perSegment)}
		if !ok || l != want {
			t.Fatalf("chunk %d: got %v, %v, want %v", i, l, ok, want)
		}
	}
	step("lookup with check", lookups)
	for range lookups {
		s.Lookup(g.chunk(rng.IntN(g.rows)))
	}
	step("lookup of one that exists", lookups)
	for i := range lookups {
		if l, ok := s.Lookup(g.chunk(g.rows + i)); ok {
			t.Fatalf("chunk that does not exist: %v", l)
		}
	}
	step("lookup of one that does not", lookups)
}

// checkLargeMarks marks every chunk but the first of each pack.
func checkLargeMarks(t *testing.T, g generator, s *Set, step func(string, int)) {
	t.Helper()
	m := s.NewMarks()
	defer m.Close()
	batch := make([]pack.ChunkID, 0, MarkBatch)
	marked, busy := 0, time.Duration(0)
	mark := func() {
		begin := time.Now()
		if missing := m.Mark(batch, nil); len(missing) > 0 {
			t.Fatalf("%d chunks are missing", len(missing))
		}
		busy += time.Since(begin)
		marked += len(batch)
		batch = batch[:0]
	}
	for i := range g.rows {
		if i%generatedChunks == 0 {
			continue
		}
		if batch = append(batch, g.chunk(i)); len(batch) == MarkBatch {
			mark()
		}
	}
	mark()
	t.Logf("%-28s %8.0f ns each, %.1f s", "marks alone", float64(busy.Nanoseconds())/float64(marked), busy.Seconds())
	step("marks with making of ids", marked)
	packs := 0
	for u := range m.Usage() {
		packs++
		dead := int64(0)
		if u.Segments == generatedChunks {
			dead = 1000
		}
		if u.LiveChunks != generatedChunks-1 || u.DeadBytes != dead || u.LiveBytes != generatedChunks*1000-dead {
			t.Fatalf("usage %+v", u)
		}
	}
	if packs != g.packs() {
		t.Fatalf("use of %d packs, want %d", packs, g.packs())
	}
	step("use of packs", packs)
}

// stopwatch returns a function that logs the time since it was called last, and memory.
func stopwatch(t *testing.T, rows int) func(what string, n int) {
	last, lastCPU := time.Now(), cpuTime()
	return func(what string, n int) {
		t.Helper()
		elapsed, cpu := time.Since(last), cpuTime()-lastCPU
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		before := m.HeapSys - m.HeapReleased
		runtime.GC()
		runtime.ReadMemStats(&m)
		t.Logf("%-28s %8.0f ns each, %.3f s, processor %.2f s; heap %.1f MB (%.2f bytes a row), taken %.1f MB, anonymous %s",
			what, float64(elapsed.Nanoseconds())/float64(n), elapsed.Seconds(), cpu.Seconds(), float64(m.HeapAlloc)/1e6,
			float64(m.HeapAlloc)/float64(rows), float64(before)/1e6, anonymous())
		last, lastCPU = time.Now(), cpuTime()
	}
}

// cpuTime returns the processor time of the process, to a hundredth of a second; 0 where that
// cannot be told.
func cpuTime() time.Duration {
	stat, _ := os.ReadFile("/proc/self/stat")
	fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
	if len(fields) < 13 {
		return 0
	}
	user, _ := strconv.Atoi(fields[11])
	system, _ := strconv.Atoi(fields[12])
	return time.Duration(user+system) * 10 * time.Millisecond
}

// anonymous returns the memory of the process that is not mapped from files.
func anonymous() string {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return "unknown"
	}
	for line := range strings.Lines(string(status)) {
		if rest, ok := strings.CutPrefix(line, "RssAnon:"); ok {
			return strings.TrimSpace(rest)
		}
	}
	return "unknown"
}

func folderSize(t *testing.T, dir string) int64 {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil {
		t.Fatal(err)
	}
	total := int64(0)
	for _, name := range files {
		info, err := os.Stat(name)
		if err != nil {
			t.Fatal(err)
		}
		total += info.Size()
	}
	return total
}
