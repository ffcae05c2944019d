package index

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/snapkeep/snap/pack"
	"github.com/zeebo/blake3"
)

// tableOf returns the bytes of a table of packs, which one index file lists.
func tableOf(t testing.TB, packs []Pack) []byte {
	t.Helper()
	b := newBuilder("")
	defer b.close()
	b.source(pack.ID{1}, 0)
	for _, p := range packs {
		b.add(p, false)
	}
	file := newSpool("")
	defer file.drop()
	if err := b.write(file); err != nil {
		t.Fatal(err)
	}
	data, _, err := file.bytes() // mapped as long as the process runs, if it is large
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func open(t testing.TB, data []byte) *table {
	t.Helper()
	table, err := openTable(data, func() {})
	if err != nil {
		t.Fatal(err)
	}
	if err := table.verify(); err != nil {
		t.Fatal(err)
	}
	return table
}

// setOf returns a Set of one table.
func setOf(table *table) *Set {
	s := NewSet()
	s.setBase([]*part{newTablePart(table)})
	return s
}

func TestTablesOfAnyShape(t *testing.T) {
	t.Parallel()
	for _, n := range []int{0, 1, 2, 3, 10, 200} {
		w := newWorld(uint64(n), 300)
		var packs []Pack
		for range n {
			p := w.newPack()
			packs = append(packs, p)
			w.packs[p.ID] = p
		}
		s := setOf(open(t, tableOf(t, packs)))
		w.check(t, s)
		w.checkMarks(t, s)
	}
}

// TestTableOfUnevenIds has ids that are not spread: many equal ones, and all in one bucket.
func TestTableOfUnevenIds(t *testing.T) {
	t.Parallel()
	w := newWorld(1, 0)
	for i := range 200 {
		w.universe = append(w.universe, pack.ChunkID{0: 0xff, 15: byte(i + 1)})
	}
	w.universe = append(w.universe, pack.ChunkID{15: 1}, pack.ChunkID{15: 2}, pack.ChunkID(bytes.Repeat([]byte{255}, 16)))
	var packs []Pack
	for range 500 {
		p := w.newPack()
		packs = append(packs, p)
		w.packs[p.ID] = p
	}
	s := setOf(open(t, tableOf(t, packs)))
	w.check(t, s)
	w.checkMarks(t, s)
}

// TestShardsOfManyRows has equal ids over the border of a shard, and packs of runs that are
// spilled.
func TestShardsOfManyRows(t *testing.T) {
	if testing.Short() {
		t.Skip("takes a second")
	}
	t.Parallel()
	g := generator{rows: 2*shardRows + 40}
	var packs []Pack
	for i := range g.packs() {
		packs = append(packs, g.pack(i))
	}
	table := open(t, tableOf(t, packs))
	if len(table.shards) != 3 {
		t.Fatalf("%d shards, want 3", len(table.shards))
	}
	s := setOf(table)
	for i := 0; i < g.packs()*generatedChunks; i += 3 {
		if !s.Has(g.chunk(i)) {
			t.Fatalf("chunk %d is missing", i)
		}
	}
	wrong := 0
	for i := range 100_000 {
		id := g.chunk(g.rows + i)
		if table.mayHave(split((*[16]byte)(&id))) {
			wrong++
		}
	}
	if wrong > 600 { // 391 are expected
		t.Errorf("%d wrong answers of filters in 100,000", wrong)
	}
}

func TestSortRows(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(1, 1))
	for _, n := range []int{0, 1, 2, 100, 10_000} {
		rows := make([]sortRow, n)
		for i := range rows {
			rows[i] = sortRow{hi: rng.Uint64() >> rng.IntN(64), lo: rng.Uint64N(3), position: uint32(i)}
		}
		want := slices.Clone(rows)
		slices.SortFunc(want, compareSortRows)
		var s sorter
		for range 2 { // the second time in the same memory
			if got := s.sort(rows, 0); !slices.Equal(got, want) {
				t.Errorf("%d rows: not in order", n)
			}
		}
	}
}

// TestRunsOfManyRows puts more rows in order than lie on the heap at once: ids that are spread evenly, and such that are not.
func TestRunsOfManyRows(t *testing.T) {
	if testing.Short() {
		t.Skip("takes a second")
	}
	t.Parallel()
	rng := rand.New(rand.NewPCG(1, 2))
	for name, id := range map[string]func() (hi, lo uint64){
		"even":     func() (hi, lo uint64) { return rng.Uint64(), rng.Uint64() },
		"few":      func() (hi, lo uint64) { return mix(rng.Uint64N(100)), 0 },
		"one heap": func() (hi, lo uint64) { return rng.Uint64() >> heapBits, rng.Uint64() },
		"crowded": func() (hi, lo uint64) {
			if rng.IntN(50) == 0 {
				return rng.Uint64(), 0
			}
			return rng.Uint64() >> (heapBits + 3), rng.Uint64N(10)
		},
	} {
		r := runs{spooled: &cursor{spool: newSpool(t.TempDir())}}
		defer r.spooled.spool.drop()
		var want []sortRow
		for i := range 2*runRows + 12345 {
			hi, lo := id()
			want = append(want, sortRow{hi, lo, uint32(i)})
			r.add(want[i])
		}
		slices.SortFunc(want, compareSortRows)
		sorted, release, err := r.sorted()
		if err != nil {
			t.Fatal(err)
		}
		for block := range sorted {
			if len(block) > maxHeapRows {
				t.Errorf("%s: a block of %d rows", name, len(block))
			}
			if !slices.Equal(block, want[:len(block)]) {
				t.Fatalf("%s: not in order", name)
			}
			want = want[len(block):]
		}
		if len(want) > 0 {
			t.Errorf("%s: %d rows are missing", name, len(want))
		}
		release()
	}
}

func TestOpenTableRefusesDamagedHeaders(t *testing.T) {
	t.Parallel()
	w := newWorld(1, 50)
	good := tableOf(t, []Pack{w.newPack(), w.newPack(), w.newPack()})
	for i := range headerSize {
		bad := bytes.Clone(good)
		bad[i] ^= 0x10
		if _, err := openTable(bad, nil); err == nil {
			t.Errorf("byte %d changed: no error", i)
		}
	}
	for _, n := range []int{0, 1, headerSize - 1, headerSize, len(good) - 1} {
		if _, err := openTable(good[:n], nil); err == nil {
			t.Errorf("cut to %d bytes: no error", n)
		}
	}
	if _, err := openTable(append(bytes.Clone(good), 0), nil); err == nil {
		t.Error("a byte behind the end: no error")
	}
	table := open(t, good)
	for i, section := range table.section {
		if len(section) == 0 {
			continue
		}
		section[len(section)/2] ^= 1
		if table.verify() == nil {
			t.Errorf("section %d changed: verify sees nothing", i)
		}
		section[len(section)/2] ^= 1
	}
}

// FuzzTable opens tables whose headers are right and whose contents are not: no answer may be a
// panic. Each four bytes of the input change one word of a good table.
func FuzzTable(f *testing.F) {
	w := newWorld(1, 50)
	var packs []Pack
	for range 6 {
		packs = append(packs, w.newPack())
	}
	good := tableOf(f, packs)
	f.Add([]byte{})
	f.Add([]byte{4, 0, 1, 0})
	for at := 0; at+64 <= len(good); at += 64 {
		f.Add([]byte{byte(at / 4), byte(at / 4 >> 8), 0xff, 0xff, byte(at/4 + 9), byte((at/4 + 9) >> 8), 1, 0})
	}
	f.Fuzz(func(t *testing.T, changes []byte) {
		data := bytes.Clone(good)
		for ; len(changes) >= 4; changes = changes[4:] {
			at := int(binary.LittleEndian.Uint16(changes)) * 4 % len(data)
			value := int32(int16(binary.LittleEndian.Uint16(changes[2:])))
			binary.LittleEndian.PutUint32(data[at:], uint32(value))
		}
		copy(data, tableMagic)
		binary.LittleEndian.PutUint32(data[8:], tableVersion)
		sum := blake3.Sum256(data[:headerSumAt])
		copy(data[headerSumAt:], sum[:])
		table, err := openTable(data, func() {})
		if err != nil {
			return
		}
		ids := slices.Clone(w.universe)
		for i := range min(table.chunks(), 50) {
			r := sortRow{}
			r.hi, r.lo = table.id(i)
			ids = append(ids, r.id())
		}
		exercise(setOf(table), ids)

		c := OpenCache("")
		c.tables = []*cached{{table: table}}
		c.known = complete(c.tables, func(pack.ID) bool { return true })
		c.show()
		exercise(c.Set(), ids)
		c.tidy()
		file := newSpool("")
		_ = mergeParts(file, c.parts(), func(pack.ID) bool { return true })
		file.drop()
	})
}

// exercise calls everything that reads a table.
func exercise(s *Set, ids []pack.ChunkID) {
	for _, id := range ids {
		s.Lookup(id)
		s.Locations(id)
	}
	for range s.Rows() {
	}
	for range s.PackRows() {
	}
	m := s.NewMarks()
	defer m.Close()
	m.Mark(ids, nil)
	n := 0
	for u := range m.Usage() {
		s.Pack(u.ID)
		m.Segments(u.ID)
		s.Condemn(u.ID)
		if n++; n > 100 {
			break
		}
	}
	s.Len()
	for _, id := range ids {
		s.Lookup(id)
	}
}
