package tree

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"sort"
	"testing"

	"github.com/snapkeep/snap/internal/vectortest"
	"github.com/snapkeep/snap/pack"
	"github.com/zeebo/blake3"
)

// pages is a store of pages in memory that names them by their plain hash.
type pages struct {
	data  map[pack.ChunkID][]byte
	saved int
	loads int
}

func newPages() *pages { return &pages{data: map[pack.ChunkID][]byte{}} }

func (p *pages) save(kind pack.Kind, page []byte) (id pack.ChunkID, err error) {
	sum := blake3.Sum256(append([]byte{byte(kind)}, page...))
	copy(id[:], sum[:])
	if _, ok := p.data[id]; !ok {
		p.data[id] = bytes.Clone(page)
		p.saved++
	}
	return id, nil
}

func (p *pages) load(_ context.Context, _ pack.Kind, id pack.ChunkID) ([]byte, error) {
	p.loads++
	if d, ok := p.data[id]; ok {
		return d, nil
	}
	return nil, fmt.Errorf("no page %s", id)
}

// model is a tree as a plain map from directory to entries.
type model map[string][]Entry

func (m model) dirs() []string {
	var dirs []string
	for d := range m {
		dirs = append(dirs, d)
	}
	sort.Slice(dirs, func(i, k int) bool { return ComparePaths(dirs[i], dirs[k]) < 0 })
	return dirs
}

// build makes the tree of m, reusing runs of the tree old as a backup does.
func (m model) build(t *testing.T, p *pages, old pack.ChunkID) pack.ChunkID {
	t.Helper()
	b := NewBuilder(p.save)
	var c *Cursor
	if !old.IsZero() {
		var err error
		if c, err = NewCursor(t.Context(), p.load, old); err != nil {
			t.Fatal(err)
		}
	}
	for _, dir := range m.dirs() {
		m.buildDir(t, b, c, dir)
	}
	root, err := b.Finish()
	if err != nil {
		t.Fatal(err)
	}
	return root
}

func (m model) buildDir(t *testing.T, b *Builder, c *Cursor, dir string) {
	t.Helper()
	var old []OldRun
	if c != nil {
		var err error
		if old, err = c.Dir(t.Context(), dir); err != nil {
			t.Fatal(err)
		}
	}
	entries := m[dir]
	if len(old) == 0 {
		if err := b.Add(dir, entries, true); err != nil {
			t.Fatal(err)
		}
		return
	}
	for i, run := range old {
		n := len(entries)
		if i+1 < len(old) {
			next, err := old[i+1].FirstName()
			if err != nil {
				t.Fatal(err)
			}
			n = sort.Search(len(entries), func(k int) bool { return entries[k].Name >= next })
		}
		part := entries[:n]
		entries = entries[n:]
		var d Digester
		var err error
		if want := run.Run().Digest; !want.IsVoid() && d.entries(part) == want {
			err = b.Reuse(run, i+1 == len(old))
		} else {
			err = b.Add(dir, part, i+1 == len(old))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// check walks the tree and compares it with m, every field.
func (m model) check(t *testing.T, p *pages, root pack.ChunkID) {
	t.Helper()
	got := model{}
	last := ""
	err := Walk(t.Context(), p.load, root, "", func(run *Run, entries []Entry) error {
		if len(got) > 0 && ComparePaths(last, run.Path) > 0 {
			return errors.New("out of order")
		}
		last = run.Path
		got[run.Path] = append(got[run.Path], entries...)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != len(m) {
		t.Fatalf("got %d directories, want %d", len(got), len(m))
	}
	for dir, want := range m {
		if len(got[dir]) != len(want) {
			t.Fatalf("%q: got %d entries, want %d", dir, len(got[dir]), len(want))
		}
		for i := range want {
			if g, w := show(got[dir][i]), show(want[i]); g != w {
				t.Fatalf("%q:\n got %s\nwant %s", dir, g, w)
			}
		}
	}
}

// show prints all of x, with the access time instead of its address.
func show(x Entry) string {
	access := Time{}
	if x.Access != nil {
		access, x.Access = *x.Access, nil
	}
	return fmt.Sprintf("%+v %v", x, access)
}

func randomEntry(r *rand.Rand, name string) Entry {
	x := Entry{Stat: Stat{Name: name, Kind: Kind(1 + r.IntN(7)), Mode: uint16(r.IntN(0o10000)), UID: r.Uint32() >> uint(r.IntN(32)), Links: 1, Inode: r.Uint64() >> uint(r.IntN(64)),
		ModTime: Time{r.Int64() >> uint(r.IntN(64)), r.Uint32N(1e9)}, ChangeTime: Time{1.7e9 + r.Int64N(1e6), r.Uint32N(1e9)}}}
	if r.IntN(4) > 0 {
		x.Kind = Regular
	}
	switch x.Kind {
	case Regular:
		for range r.IntN(4) {
			p := Part{Length: 1 + r.Int64N(1<<20)}
			if r.IntN(8) > 0 {
				for i := range p.ID {
					p.ID[i] = byte(r.Uint32())
				}
			}
			x.Parts = append(x.Parts, p)
			x.Size += p.Length
		}
	case Symlink:
		x.Target = "to/\xff" + name
	case CharDevice, BlockDevice:
		x.Rdev = r.Uint64()
	}
	if x.Kind != Directory && r.IntN(20) == 0 {
		x.Links, x.Device = 2+r.Uint32N(5), r.Uint64()
	}
	if r.IntN(30) == 0 {
		x.Xattrs = []Xattr{{"security.\xfe", ""}, {"user.a", "\x00b"}}
		x.Flags = r.Uint32()
		x.User, x.Group = "ann", "staff"
		x.Access = &Time{-5, 7}
	}
	if r.IntN(300) == 0 {
		x.Marks, x.Problem = MarkChanged, "read: input/output error"
	}
	return x
}

func randomModel(r *rand.Rand, dirs int) model {
	m := model{"": nil}
	names := []string{""}
	for range dirs {
		parent := names[r.IntN(len(names))]
		dir := Join(parent, fmt.Sprintf("%c%d", 'a'+r.IntN(26), r.IntN(40)))
		if _, ok := m[dir]; ok || len(dir) > 200 {
			continue
		}
		m[dir] = nil
		names = append(names, dir)
	}
	for _, d := range names {
		n := r.IntN(12)
		if r.IntN(40) == 0 {
			n = r.IntN(4000)
		}
		m.grow(r, d, n)
	}
	return m
}

func (m model) grow(r *rand.Rand, dir string, n int) {
	seen := map[string]bool{}
	for i := range m[dir] {
		seen[m[dir][i].Name] = true
	}
	for range n {
		name := fmt.Sprintf("f%x-%d", r.IntN(1<<20), r.IntN(10))
		if !seen[name] {
			seen[name] = true
			m[dir] = append(m[dir], randomEntry(r, name))
		}
	}
	e := m[dir]
	sort.Slice(e, func(i, k int) bool { return e[i].Name < e[k].Name })
}

// change alters some directories and returns how many.
func (m model) change(r *rand.Rand, count int) model {
	out := model{}
	dirs := m.dirs()
	for d, e := range m {
		out[d] = append([]Entry(nil), e...)
	}
	for range count {
		d := dirs[r.IntN(len(dirs))]
		if _, ok := out[d]; !ok {
			continue
		}
		e := out[d]
		switch r.IntN(5) {
		case 0:
			out.grow(r, d, 1+r.IntN(3))
		case 1:
			if len(e) > 0 {
				i := r.IntN(len(e))
				out[d] = append(e[:i:i], e[i+1:]...)
			}
		case 2:
			if len(e) > 0 {
				i := r.IntN(len(e))
				e[i] = randomEntry(r, e[i].Name)
			}
		case 3:
			if d != "" {
				delete(out, d)
			}
		case 4:
			out[Join(d, "new")] = nil
			out.grow(r, Join(d, "new"), r.IntN(30))
		}
	}
	return out
}

func TestTreeHoldsWhatWasAdded(t *testing.T) {
	for seed := range uint64(5) {
		r := rand.New(rand.NewPCG(seed, 1))
		p := newPages()
		m := randomModel(r, 1+r.IntN(150))
		root := m.build(t, p, pack.ChunkID{})
		m.check(t, p, root)
		for range 4 {
			m = m.change(r, r.IntN(30))
			next := m.build(t, p, root)
			m.check(t, p, next)
			root = next
		}
	}
}

func TestUnchangedTreeKeepsItsRoot(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 7))
	p := newPages()
	m := randomModel(r, 800)
	for _, e := range m {
		for i := range e {
			e[i].Marks, e[i].Problem = 0, ""
		}
	}
	root := m.build(t, p, pack.ChunkID{})
	saved := p.saved
	if again := m.build(t, p, root); again != root {
		t.Errorf("root %s, want %s", again, root)
	}
	if p.saved != saved {
		t.Errorf("%d pages saved again", p.saved-saved)
	}
}

func TestOneChangeTouchesFewPages(t *testing.T) {
	r := rand.New(rand.NewPCG(8, 8))
	p := newPages()
	m := randomModel(r, 3000)
	for _, e := range m {
		for i := range e {
			e[i].Marks, e[i].Problem = 0, ""
		}
	}
	root := m.build(t, p, pack.ChunkID{})
	first := p.saved
	dirs := m.dirs()
	m.grow(r, dirs[len(dirs)/2], 1)
	m.build(t, p, root)
	if n := p.saved - first; n > 12 || first < 30 {
		t.Errorf("one new file saved %d pages of %d", n, first)
	}
}

func TestLookupAndReadDir(t *testing.T) {
	r := rand.New(rand.NewPCG(9, 9))
	p := newPages()
	m := randomModel(r, 500)
	root := m.build(t, p, pack.ChunkID{})
	for dir, entries := range m {
		got, err := ReadDir(t.Context(), p.load, root, dir)
		if err != nil {
			t.Fatal(err)
		}
		if len(got) != len(entries) {
			t.Fatalf("%q: %d entries, want %d", dir, len(got), len(entries))
		}
		if len(entries) > 0 {
			want := entries[r.IntN(len(entries))]
			x, err := Lookup(t.Context(), p.load, root, Join(dir, want.Name))
			if err != nil || !reflect.DeepEqual(x.Stat.ModTime, want.ModTime) {
				t.Fatalf("lookup %q: %v", want.Name, err)
			}
		}
	}
	for _, missing := range []string{"none", "a0/none", "zzz/zzz/zzz"} {
		if _, err := Lookup(t.Context(), p.load, root, missing); err == nil {
			t.Errorf("%q found", missing)
		}
	}
}

func TestPartListSplitsLongLists(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 3))
	for _, n := range []int{0, 1, 1_024, 1_025, 5_000, 40_000} {
		p := newPages()
		l := NewPartList(func(page []byte) (pack.ChunkID, error) { return p.save(pack.KindRefs, page) })
		var want []Part
		for range n {
			part := Part{Length: 1 + r.Int64N(100_000)}
			for i := range part.ID {
				part.ID[i] = byte(r.Uint32())
			}
			want = append(want, part)
			if err := l.Add(part); err != nil {
				t.Fatal(err)
			}
		}
		parts, listed, size, err := l.Finish()
		if err != nil {
			t.Fatal(err)
		}
		x := Entry{Stat: Stat{Kind: Regular, Size: size}, Parts: parts, Listed: listed}
		if listed != (n > 1_024) {
			t.Errorf("%d parts: listed %v", n, listed)
		}
		got, err := Parts(t.Context(), p.load, &x)
		if err != nil || len(got) != len(want) || (n > 0 && !reflect.DeepEqual(got, want)) {
			t.Errorf("%d parts: got %d, %v", n, len(got), err)
		}
	}
}

func TestComparePathsIsComponentOrder(t *testing.T) {
	sorted := []string{"", "a", "a/b", "a/b/c", "a/c", "a!", "a.b", "b"}
	for i, a := range sorted {
		for k, b := range sorted {
			want := 0
			if i < k {
				want = -1
			} else if i > k {
				want = 1
			}
			if got := ComparePaths(a, b); got != want {
				t.Errorf("ComparePaths(%q, %q) = %d, want %d", a, b, got, want)
			}
		}
	}
}

func TestBuilderRefusesWrongOrder(t *testing.T) {
	for name, add := range map[string]func(b *Builder) error{
		"directory behind its successor": func(b *Builder) error { b.Add("b", nil, true); return b.Add("a", nil, true) },
		"directory twice":                func(b *Builder) error { b.Add("a", nil, true); return b.Add("a", nil, true) },
		"directory not complete":         func(b *Builder) error { b.Add("a", nil, false); return b.Add("b", nil, true) },
		"names unordered": func(b *Builder) error {
			return b.Add("", []Entry{{Stat: Stat{Name: "b", Kind: Fifo}}, {Stat: Stat{Name: "a", Kind: Fifo}}}, true)
		},
		"bad name": func(b *Builder) error { return b.Add("", []Entry{{Stat: Stat{Name: "a/b", Kind: Fifo}}}, true) },
		"bad path": func(b *Builder) error { return b.Add("a/../b", nil, true) },
	} {
		p := newPages()
		b := NewBuilder(p.save)
		if err := add(b); !errors.Is(err, ErrOrder) {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := b.Finish(); err == nil {
			t.Errorf("%s: finished", name)
		}
	}
}

func FuzzLeaf(f *testing.F) {
	r := rand.New(rand.NewPCG(1, 1))
	p := newPages()
	m := randomModel(r, 30)
	seedPages(m, p)
	for _, d := range p.data {
		f.Add(d)
	}
	for _, v := range vectortest.Load(f, "leaf") {
		f.Add(v.Data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if leaf, err := ParseLeaf(data); err == nil {
			leaf.Entries()
		} else if !errors.Is(err, ErrCorrupt) && !errors.Is(err, ErrNewer) {
			t.Errorf("unnamed error %v", err)
		}
		if refs, err := ParseRefs(data); err == nil {
			refs.Chunks(func(pack.ChunkID, bool) {})
		}
		ParseInner(data)
		ParseList(data, 1000)
	})
}

// seedPages saves the pages of m without a test at hand.
func seedPages(m model, p *pages) {
	b := NewBuilder(p.save)
	for _, d := range m.dirs() {
		b.Add(d, m[d], true)
	}
	b.Finish()
}

func TestCompareFindsAllDifferences(t *testing.T) {
	for seed := range uint64(5) {
		r := rand.New(rand.NewPCG(seed, 2))
		p := newPages()
		m := randomModel(r, 300)
		a := m.build(t, p, pack.ChunkID{})
		n := m.change(r, 25)
		b := n.build(t, p, a)
		for _, dir := range []string{"", m.dirs()[len(m)/3]} {
			checkCompare(t, p, m, n, a, b, dir)
		}
	}
}

func checkCompare(t *testing.T, p *pages, m, n model, a, b pack.ChunkID, dir string) {
	t.Helper()
	flat := func(m model) map[string]string {
		out := map[string]string{}
		for d, entries := range m {
			for _, x := range entries {
				if IsWithin(d, dir) {
					out[Join(d, x.Name)] = show(x)
				}
			}
		}
		return out
	}
	want := map[string]bool{}
	before, after := flat(m), flat(n)
	for k, v := range before {
		want[k] = after[k] != v
	}
	for k := range after {
		want[k] = want[k] || before[k] != after[k]
	}
	got, pairs := map[string]bool{}, 0
	err := Compare(t.Context(), p.load, a, b, dir, func(pair EntryPair) error {
		pairs++
		name := ""
		var x, y string
		if pair.A != nil {
			name, x = pair.A.Name, show(*pair.A)
		}
		if pair.B != nil {
			name, y = pair.B.Name, show(*pair.B)
		}
		if x != y {
			got[Join(pair.Dir, name)] = true
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for k, differs := range want {
		if differs != got[k] {
			t.Fatalf("below %q: %q differs: %v, found: %v", dir, k, differs, got[k])
		}
	}
	if len(got) > len(want) {
		t.Errorf("below %q: found %d, want at most %d", dir, len(got), len(want))
	}
}

// TestLargeEntriesDoNotOverflowPages makes pages of entries that are as large as the format allows.
func TestLargeEntriesDoNotOverflowPages(t *testing.T) {
	most := Entry{Stat: Stat{Kind: Regular, Links: 1}}
	for i := range 32 {
		most.Xattrs = append(most.Xattrs, Xattr{fmt.Sprintf("user.%02d", i), string(make([]byte, 65_525))}) // 2 MiB together, with names and lengths
	}
	if fit, err := FitXattrs(most.Xattrs); err != nil || len(fit) != 32 {
		t.Fatal(len(fit), err)
	}
	m := model{"": {{Stat: Stat{Kind: Directory, Name: "a", Links: 1}}, {Stat: Stat{Kind: Directory, Name: "b", Links: 1}}}}
	for _, dir := range []string{"a", "b"} {
		for i := range 5 {
			x := most
			x.Name = fmt.Sprintf("x%d", i)
			m[dir] = append(m[dir], x)
		}
		for i := range 1_000 { // owners have long names
			name := fmt.Sprintf("%04000d", i)
			m[dir] = append(m[dir], Entry{Stat: Stat{Kind: Fifo, Name: fmt.Sprintf("y%04d", i), Links: 1}, User: name, Group: name})
		}
	}
	p := newPages()
	root := m.build(t, p, pack.ChunkID{})
	m.check(t, p, root)
	if again := m.build(t, p, root); again != root {
		t.Errorf("unchanged, and root %s became %s", root, again)
	}
}

func TestBuilderRefusesWhatNoPageHolds(t *testing.T) {
	good := Entry{Stat: Stat{Kind: Regular, Name: "x", Links: 1}}
	b := NewBuilder(newPages().save)
	if err := b.Add("", []Entry{good}, true); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(x *Entry){
		"no kind":              func(x *Entry) { x.Kind = 0 },
		"type in the mode":     func(x *Entry) { x.Mode = 0o10_000 },
		"nanoseconds":          func(x *Entry) { x.ModTime.Nsec = 1_000_000_000 },
		"long owner":           func(x *Entry) { x.Group = string(make([]byte, 4_097)) },
		"link to nothing":      func(x *Entry) { x.Kind = Symlink },
		"link with NUL":        func(x *Entry) { x.Kind, x.Target = Symlink, "a\x00" },
		"attribute twice":      func(x *Entry) { x.Xattrs = []Xattr{{"a", ""}, {"a", ""}} },
		"attribute of no name": func(x *Entry) { x.Xattrs = []Xattr{{"", ""}} },
		"attributes":           func(x *Entry) { x.Xattrs = []Xattr{{"a", string(make([]byte, 2<<20))}} },
		"no content":           func(x *Entry) { x.Size = 1 },
		"other content":        func(x *Entry) { x.Size, x.Parts = 1, []Part{{pack.ChunkID{1}, 2}} },
		"empty part":           func(x *Entry) { x.Parts = []Part{{pack.ChunkID{1}, 0}} },
		"large chunk":          func(x *Entry) { x.Size, x.Parts = 1<<25, []Part{{pack.ChunkID{1}, 1 << 25}} },
		"negative size":        func(x *Entry) { x.Size = -1 },
	} {
		x := good
		change(&x)
		b := NewBuilder(newPages().save)
		if err := b.Add("", []Entry{x}, true); err == nil {
			t.Errorf("%s: added", name)
		}
	}
}

func TestFitXattrsKeepsWhatFits(t *testing.T) {
	large := Xattr{"b", string(make([]byte, 2<<20))}
	all := []Xattr{{"a", "x"}, large, {"c", "y"}}
	got, err := FitXattrs(all)
	if err == nil || !reflect.DeepEqual(got, []Xattr{{"a", "x"}, {"c", "y"}}) || all[1].Name != "b" {
		t.Errorf("got %d, %v", len(got), err)
	}
	var many []Xattr
	for i := range 1_030 {
		many = append(many, Xattr{fmt.Sprintf("%04d", i), ""})
	}
	if got, err := FitXattrs(many); err == nil || len(got) != 1_024 {
		t.Errorf("of 1,030: %d, %v", len(got), err)
	}
	if got, err := FitXattrs(many[:1_024]); err != nil || len(got) != 1_024 {
		t.Errorf("of 1,024: %d, %v", len(got), err)
	}
}
