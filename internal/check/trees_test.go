package check

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/snapkeep/snap/internal/tree"
	"github.com/snapkeep/snap/internal/wire"
	"github.com/snapkeep/snap/pack"
	"github.com/zeebo/blake3"
)

// memory is a store of pages that names them by their plain hash.
type memory map[pack.ChunkID][]byte

func (m memory) save(kind pack.Kind, page []byte) (id pack.ChunkID, err error) {
	sum := blake3.Sum256(append([]byte{byte(kind)}, page...))
	copy(id[:], sum[:])
	m[id] = bytes.Clone(page)
	return id, nil
}

func (m memory) load(_ context.Context, _ pack.Kind, id pack.ChunkID) ([]byte, error) {
	if page, ok := m[id]; ok {
		return page, nil
	}
	return nil, fmt.Errorf("%w: no page %s", tree.ErrCorrupt, id)
}

// inner saves an inner page as docs/format.md section 8.4 has it.
func (m memory) inner(level int, children ...tree.Child) pack.ChunkID {
	b := wire.AppendUvarint([]byte{1, 2}, uint64(level))
	b = wire.AppendUvarint(b, uint64(len(children)))
	for _, c := range children {
		b = wire.AppendBytes(wire.AppendBytes(wire.AppendUvarint(b, 0), c.Path), c.Name)
		b = append(b, c.Page[:]...)
		if level == 1 {
			b = append(b, c.Refs[:]...)
		}
		for _, n := range []int64{c.Runs, c.Entries, c.Files, c.Size} {
			b = wire.AppendUvarint(b, uint64(n))
		}
	}
	id, _ := m.save(pack.KindTree, b)
	return id
}

// above returns what an inner page says of the one that lists children.
func above(id pack.ChunkID, children ...tree.Child) tree.Child {
	c := tree.Child{Path: children[0].Path, Name: children[0].Name, Page: id}
	for _, x := range children {
		c.Runs, c.Entries, c.Files, c.Size = c.Runs+x.Runs, c.Entries+x.Entries, c.Files+x.Files, c.Size+x.Size
	}
	return c
}

// leaves makes a tree of a directory that fills several pages and of one directory in it, with two in that,
// and returns its leaf pages: the last one has what is below the directory.
func (m memory) leaves(t *testing.T) []tree.Child {
	t.Helper()
	b := tree.NewBuilder(m.save)
	entry := func(kind tree.Kind, name string) tree.Entry {
		return tree.Entry{Stat: tree.Stat{Kind: kind, Name: name, Links: 1}}
	}
	var top, below []tree.Entry
	for i := range 1_500 {
		top = append(top, entry(tree.Regular, fmt.Sprintf("%s-%04d", strings.Repeat("long", 40), i)))
	}
	for i := range 600 {
		below = append(below, entry(tree.Regular, fmt.Sprintf("%s-%04d", strings.Repeat("long", 40), i)))
	}
	below = append(below, entry(tree.Directory, "x"), entry(tree.Directory, "y"))
	for _, d := range []struct {
		path    string
		entries []tree.Entry
	}{{"", append(top, entry(tree.Directory, "z"))}, {"z", below}, {"z/x", nil}, {"z/y", nil}} {
		if err := b.Add(d.path, d.entries, true); err != nil {
			t.Fatal(err)
		}
	}
	root, err := b.Finish()
	if err != nil {
		t.Fatal(err)
	}
	in, err := tree.ParseInner(m[root])
	if err != nil || in.Level != 1 || len(in.Children) < 5 {
		t.Fatalf("level %d with %d pages, error %v", in.Level, len(in.Children), err)
	}
	return in.Children
}

// TestTreesRefusesPagesThatDoNotFit puts whole pages together to trees that the format does not allow.
func TestTreesRefusesPagesThatDoNotFit(t *testing.T) {
	m := memory{}
	l := m.leaves(t)
	n := len(l)
	with := func(i int, change func(c *tree.Child)) []tree.Child {
		other := append([]tree.Child(nil), l...)
		change(&other[i])
		return other
	}
	two := func(a, b []tree.Child, change func(c *tree.Child)) pack.ChunkID {
		first, second := above(m.inner(1, a...), a...), above(m.inner(1, b...), b...)
		change(&second)
		return m.inner(2, first, second)
	}
	same := func(*tree.Child) {}
	for name, c := range map[string]struct {
		root pack.ChunkID
		want string // "" for a whole tree
	}{
		"as it was made":       {m.inner(1, l...), ""},
		"two levels":           {two(l[:2], l[2:], same), ""},
		"first page missing":   {m.inner(1, l[1:]...), "the tree begins"},
		"fewer files":          {m.inner(1, append(append([]tree.Child(nil), l[:1]...), l[2:]...)...), ""},
		"first page alone":     {m.inner(1, l[0]), "has no end"},
		"another's end":        {m.inner(1, l[0], l[n-1]), "behind"},
		"no directory below":   {m.inner(1, l[:n-1]...), "not those that its entries name"},
		"another beginning":    {m.inner(1, with(1, func(c *tree.Child) { c.Name += "!" })...), "begins at"},
		"another directory":    {m.inner(1, with(n-1, func(c *tree.Child) { c.Path += "!" })...), "begins at"},
		"runs miscounted":      {m.inner(1, with(1, func(c *tree.Child) { c.Runs++ })...), "counts"},
		"entries miscounted":   {m.inner(1, with(1, func(c *tree.Child) { c.Entries++ })...), "counts"},
		"files miscounted":     {m.inner(1, with(1, func(c *tree.Child) { c.Files++ })...), "counts"},
		"sizes miscounted":     {m.inner(1, with(1, func(c *tree.Child) { c.Size++ })...), "counts"},
		"miscounted above":     {two(l[:2], l[2:], func(c *tree.Child) { c.Size++ }), "counts"},
		"other beginning, two": {two(l[:2], l[2:], func(c *tree.Child) { c.Name += "!" }), "begins at"},
		"another's end, two":   {two(l[:1], l[n-1:], same), "behind"},
	} {
		trees := NewTrees(m.load, func(pack.ChunkID, int64) bool { return true })
		if err := trees.Add(t.Context(), c.root); err != nil {
			t.Fatal(err)
		}
		got, err := trees.Affected(t.Context(), c.root, func(path string) { t.Errorf("%s: %q is affected", name, path) })
		if err != nil {
			t.Fatal(err)
		}
		if (got == nil) != (c.want == "") || trees.Good() != (c.want == "") || (got != nil && !strings.Contains(got.Error(), c.want)) {
			t.Errorf("%s: got %v, good %v, want %q", name, got, trees.Good(), c.want)
		}
	}
}
