package index

import (
	"bytes"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/snapkeep/snap/pack"
)

// world makes packs out of few chunks, so that chunks repeat, and remembers them: the slow, obvious
// reference for a Set.
type world struct {
	rng       *rand.Rand
	universe  []pack.ChunkID
	packs     map[pack.ID]Pack
	condemned map[pack.ID]bool
}

func newWorld(seed uint64, chunks int) *world {
	w := &world{
		rng:       rand.New(rand.NewPCG(seed, seed)),
		packs:     make(map[pack.ID]Pack),
		condemned: make(map[pack.ID]bool),
	}
	for range chunks {
		w.universe = append(w.universe, pack.ChunkID(w.bytes(16)))
	}
	return w
}

func (w *world) bytes(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(w.rng.Uint32())
	}
	return b
}

// newPack returns a pack that is not in the world yet.
func (w *world) newPack() Pack {
	p := Pack{ID: pack.ID(w.bytes(32)), Class: pack.Class(1 + w.rng.IntN(2))}
	for range w.rng.IntN(5) {
		s := pack.Segment{Kind: pack.KindData, Offset: uint32(p.Size), Length: uint32(65 + w.rng.IntN(1000))}
		if p.Class == pack.ClassMeta {
			s.Kind = pack.KindTree + pack.Kind(w.rng.IntN(2))
		}
		for range 1 + w.rng.IntN(8) {
			id := w.universe[w.rng.IntN(len(w.universe))]
			s.Chunks = append(s.Chunks, pack.Chunk{ID: id, Length: uint32(1 + w.rng.IntN(1000))})
		}
		if k := len(p.Directory); k > 0 && s.Kind == pack.KindData && w.rng.IntN(2) == 0 {
			if back := 1 + w.rng.IntN(k); p.Directory[k-back].Back == 0 {
				s.Back = uint16(back)
			}
		}
		p.Size += int64(s.Length)
		p.Directory = append(p.Directory, s)
	}
	p.Size += int64(w.rng.IntN(100))
	return p
}

// row is a row of the reference.
type row struct {
	id pack.ChunkID
	Location
}

func compareRows(a, b row) int {
	if c := bytes.Compare(a.id[:], b.id[:]); c != 0 {
		return c
	}
	if c := bytes.Compare(a.Pack[:], b.Pack[:]); c != 0 {
		return c
	}
	if a.Offset != b.Offset {
		return int(a.Offset) - int(b.Offset)
	}
	return int(a.Ordinal) - int(b.Ordinal)
}

// rows returns all rows, in order.
func (w *world) rows() []row {
	var all []row
	for _, p := range w.packs {
		for k, s := range p.Directory {
			for i, c := range s.Chunks {
				all = append(all, row{c.ID, Location{Pack: p.ID, Class: p.Class, Offset: s.Offset,
					Length: s.Length, Ordinal: uint16(i), Condemned: w.condemned[p.ID], Dictionary: dictionaryOf(p, k)}})
			}
		}
	}
	slices.SortFunc(all, compareRows)
	return all
}

// dictionaryOf returns where the dictionary of segment k stands.
func dictionaryOf(p Pack, k int) Range {
	s := p.Directory[k]
	if s.Back == 0 {
		return Range{}
	}
	d := p.Directory[k-int(s.Back)]
	return Range{d.Offset, d.Length}
}

// aged returns a location as of a pack that everybody sees, which the world does not tell.
func aged(l Location) Location {
	l.Fresh = false
	return l
}

// check compares all that a Set tells with the world.
func (w *world) check(t *testing.T, s *Set) {
	t.Helper()
	all := w.rows()
	byChunk := make(map[pack.ChunkID][]row)
	valid := 0
	for _, r := range all {
		byChunk[r.id] = append(byChunk[r.id], r)
		if !r.Condemned {
			valid++
		}
	}
	if got := s.Len(); got != valid {
		t.Errorf("Len: got %d, want %d", got, valid)
	}
	for _, id := range append(w.universe, pack.ChunkID{}, pack.ChunkID{15: 1}, pack.ChunkID(bytes.Repeat([]byte{255}, 16))) {
		w.checkChunk(t, s, id, byChunk[id])
	}

	var got []row
	var previous pack.ChunkID
	for id, l := range s.Rows() {
		if bytes.Compare(id[:], previous[:]) < 0 {
			t.Fatalf("Rows: %s behind %s", id, previous)
		}
		previous = id
		got = append(got, row{id, aged(l)})
	}
	slices.SortFunc(got, compareRows)
	if !slices.Equal(got, all) {
		t.Fatalf("Rows: got %d rows, want %d, or others", len(got), len(all))
	}
	w.checkPacks(t, s, all)
}

func (w *world) checkChunk(t *testing.T, s *Set, id pack.ChunkID, want []row) {
	t.Helper()
	var got []row
	for _, l := range s.Locations(id) {
		if len(got) > 0 && got[len(got)-1].Condemned && !l.Condemned {
			t.Fatalf("Locations(%s): a condemned place before a valid one", id)
		}
		got = append(got, row{id, aged(l)})
	}
	slices.SortFunc(got, compareRows)
	if !slices.Equal(got, want) {
		t.Fatalf("Locations(%s): got %v, want %v", id, got, want)
	}
	l, ok := s.Lookup(id)
	wantOK := slices.ContainsFunc(want, func(r row) bool { return !r.Condemned })
	if ok != wantOK || s.Has(id) != wantOK {
		t.Fatalf("Lookup(%s): got %v, want %v", id, ok, wantOK)
	}
	if ok && (l.Condemned || !slices.Contains(want, row{id, aged(l)})) {
		t.Fatalf("Lookup(%s): got %v, want one of %v", id, l, want)
	}
}

func (w *world) checkPacks(t *testing.T, s *Set, all []row) {
	t.Helper()
	seen := make(map[pack.ID]PackInfo)
	for info := range s.Packs() {
		if _, ok := seen[info.ID]; ok {
			t.Fatalf("Packs: %s twice", info.ID)
		}
		seen[info.ID] = info
	}
	want := make(map[pack.ID]PackInfo)
	for id, p := range w.packs {
		want[id] = PackInfo{ID: id, Class: p.Class, Size: p.Size, Segments: len(p.Directory),
			Chunks: p.Chunks(), Condemned: w.condemned[id]}
		if got, ok := s.Pack(id); !ok || got != want[id] {
			t.Fatalf("Pack(%s): got %v, %v, want %v", id, got, ok, want[id])
		}
	}
	if !maps.Equal(seen, want) {
		t.Fatalf("Packs: got %v, want %v", seen, want)
	}
	if _, ok := s.Pack(pack.ID{1}); ok {
		t.Fatal("Pack: one that does not exist")
	}

	var got []row
	closed := make(map[pack.ID]bool)
	for id, l := range s.PackRows() {
		if n := len(got); n > 0 && got[n-1].Pack != l.Pack {
			closed[got[n-1].Pack] = true
		} else if n > 0 && (got[n-1].Offset > l.Offset || got[n-1].Offset == l.Offset && got[n-1].Ordinal >= l.Ordinal) {
			t.Fatalf("PackRows: %v behind %v", l, got[n-1])
		}
		if closed[l.Pack] {
			t.Fatalf("PackRows: pack %s in two places", l.Pack)
		}
		got = append(got, row{id, aged(l)})
	}
	slices.SortFunc(got, compareRows)
	if !slices.Equal(got, all) {
		t.Fatalf("PackRows: got %d rows, want %d, or others", len(got), len(all))
	}
}

// checkMarks marks a random half of the universe and compares the use of all packs with the world.
func (w *world) checkMarks(t *testing.T, s *Set) {
	t.Helper()
	m := s.NewMarks()
	defer m.Close()
	marked := make(map[row]bool)
	var ids, wantMissing []pack.ChunkID
	byChunk := make(map[pack.ChunkID][]row)
	for _, r := range w.rows() { // ordered by pack id
		if !r.Condemned {
			byChunk[r.id] = append(byChunk[r.id], r)
		}
	}
	for _, id := range w.universe {
		if w.rng.IntN(2) == 0 {
			continue
		}
		ids = append(ids, id)
		if rows := byChunk[id]; len(rows) > 0 {
			marked[rows[0]] = true
		} else {
			wantMissing = append(wantMissing, id)
		}
	}
	half := len(ids) / 2
	missing := m.Mark(ids[half:], nil)
	missing = m.Mark(ids[:half], missing)
	missing = m.Mark(ids[:half], missing)[:len(missing)] // a second time changes nothing
	byID := func(a, b pack.ChunkID) int { return bytes.Compare(a[:], b[:]) }
	slices.SortFunc(missing, byID)
	slices.SortFunc(wantMissing, byID)
	if !slices.Equal(missing, wantMissing) {
		t.Fatalf("Mark: got %d missing, want %d", len(missing), len(wantMissing))
	}
	for _, id := range w.universe {
		want := slices.Contains(ids, id) && len(byChunk[id]) > 0
		if got := m.Marked(id); got != want {
			t.Fatalf("Marked(%s): got %v, want %v", id, got, want)
		}
	}
	w.checkUsage(t, m, marked)
}

func (w *world) checkUsage(t *testing.T, m *Marks, marked map[row]bool) {
	t.Helper()
	count := 0
	for u := range m.Usage() {
		count++
		p := w.packs[u.ID]
		want := Usage{PackInfo: PackInfo{ID: p.ID, Class: p.Class, Size: p.Size, Segments: len(p.Directory),
			Chunks: p.Chunks(), Condemned: w.condemned[p.ID]}}
		var segments []SegmentUsage
		live := func(k int) (n int) {
			seg := p.Directory[k]
			for i, c := range seg.Chunks {
				if marked[row{c.ID, Location{Pack: p.ID, Class: p.Class, Offset: seg.Offset, Length: seg.Length, Ordinal: uint16(i), Dictionary: dictionaryOf(p, k)}}] {
					n++
				}
			}
			return n
		}
		for k, seg := range p.Directory {
			su := SegmentUsage{Offset: seg.Offset, Length: seg.Length, Chunks: len(seg.Chunks), Live: live(k)}
			for other, of := range p.Directory {
				if of.Back > 0 && other-int(of.Back) == k && live(other) > 0 {
					su.Primes = true
				}
			}
			want.LiveChunks += su.Live
			if su.Live > 0 || su.Primes {
				want.LiveSegments++
				want.LiveBytes += int64(su.Length)
				want.DeadInside += int64(su.Length) * int64(su.Chunks-su.Live) / int64(su.Chunks)
			} else {
				want.DeadBytes += int64(su.Length)
			}
			segments = append(segments, su)
		}
		if u != want {
			t.Fatalf("Usage: got %+v, want %+v", u, want)
		}
		if got := m.Segments(u.ID); !slices.Equal(got, segments) {
			t.Fatalf("Segments(%s): got %v, want %v", u.ID, got, segments)
		}
	}
	if count != len(w.packs) {
		t.Fatalf("Usage: got %d packs, want %d", count, len(w.packs))
	}
}

// step does one random thing to the Set and to the world.
func (w *world) step(s *Set) {
	switch n := w.rng.IntN(20); {
	case n < 14:
		p := w.newPack()
		w.packs[p.ID] = p
		s.Add(p)
	case n < 16:
		for _, p := range w.packs { // once more: no difference
			s.Add(p)
			break
		}
	case n < 18:
		for id := range w.packs {
			w.condemned[id] = true
			s.Condemn(id)
			break
		}
	default: // condemned before it is known
		p := w.newPack()
		w.condemned[p.ID] = true
		s.Condemn(p.ID)
		w.packs[p.ID] = p
		s.Add(p)
	}
}

func TestSetAgreesWithReference(t *testing.T) {
	t.Parallel()
	for seed := range uint64(4) {
		w := newWorld(seed, 400)
		s := NewSet()
		for range 12 {
			for range 15 {
				w.step(s)
			}
			w.check(t, s)
			w.checkMarks(t, s)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestBitsetCount(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(1, 2))
	b := newBitset(300)
	for range 150 {
		b.set(rng.IntN(300))
	}
	for range 2000 {
		first := rng.IntN(301)
		end := first + rng.IntN(301-first)
		want := 0
		for i := first; i < end; i++ {
			if b.has(i) {
				want++
			}
		}
		if got := b.count(first, end); got != want {
			t.Fatalf("from %d to %d: got %d, want %d", first, end, got, want)
		}
	}
}

func TestBitsetComplement(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(3, 4))
	for range 500 {
		n := 1 + rng.IntN(200)
		b := newBitset(n)
		rare := rng.IntN(3) // all are in the set, half, or three quarters
		for i := range n {
			if rare == 0 || rng.IntN(2*rare) > 0 {
				b.set(i)
			}
		}
		c := b.complement(n)
		for i := range n {
			if b.has(i) == c.has(i) {
				t.Fatalf("number %d of %d is in both, or in none", i, n)
			}
		}
		if all := b.count(0, n) == n; all != (c == nil) || !all && c.count(0, 64*len(c)) != n-b.count(0, n) {
			t.Fatalf("%d of %d in one, the other is %v", b.count(0, n), n, c)
		}
	}
}
