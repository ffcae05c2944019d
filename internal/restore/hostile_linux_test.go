package restore

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/snapkeep/snap/internal/torturetest"
	"github.com/snapkeep/snap/internal/tree"
	"github.com/snapkeep/snap/pack"
)

// hostile is a tree, or a target, that tries to get something outside the target changed.
type hostile struct {
	name string
	spec treeSpec
	// mangle replaces bytes of pages, so that trees come about that no encoder makes.
	mangle [2]string
	// prepare makes what lies in the target before; outside is what must stay as it is.
	prepare func(target, outside string) error
}

// laden returns x with metadata that would show on whatever gets it.
func laden(x tree.Entry) tree.Entry {
	x.Mode, x.UID, x.GID, x.ModTime = 0o777, 4242, 4242, tree.Time{Sec: 1}
	x.Xattrs = []tree.Xattr{{Name: "user.mark", Value: "x"}}
	if x.Kind == tree.Symlink {
		x.Xattrs = []tree.Xattr{{Name: "trusted.mark", Value: "x"}}
	}
	x.Flags = 0x40 // no dump
	return x
}

// simpleTree has one folder with two files, a link and a folder, and a file at the top.
func simpleTree() treeSpec {
	return treeSpec{
		dirs: []dirSpec{
			{"", []tree.Entry{laden(folderOf("d")), laden(regular("f"))}},
			{"d", []tree.Entry{laden(folderOf("e")), laden(regular("f")), laden(regular("g")), symlink("l", "f")}},
			{"d/e", []tree.Entry{laden(regular("file")), laden(hardLink("one", 9, 2)), laden(hardLink("two", 9, 2))}},
		},
		data: map[string]string{"f": "from the tree", "d/f": "from the tree", "d/g": "more", "d/e/file": "deep", "d/e/one": "linked", "d/e/two": "linked"},
	}
}

// targets are things in a target that stand in the way of simpleTree.
func targets() []hostile {
	link := func(name, to string) func(target, outside string) error {
		return func(target, outside string) error {
			if dir, _ := tree.SplitPath(name); dir != "" {
				if err := os.MkdirAll(target+"/"+dir, 0o755); err != nil {
					return err
				}
			}
			return os.Symlink(strings.ReplaceAll(to, "OUT", outside), target+"/"+name)
		}
	}
	return []hostile{
		{name: "folder is a link", prepare: link("d", "OUT/dir")},
		{name: "folder is a relative link", prepare: link("d", "../outside/dir")},
		{name: "folder is a link upwards", prepare: link("d", "..")},
		{name: "folder is a link to a folder in the target", prepare: func(target, outside string) error {
			if err := os.Mkdir(target+"/other", 0o755); err != nil {
				return err
			}
			return os.Symlink("other", target+"/d")
		}},
		{name: "inner folder is a link", prepare: link("d/e", "OUT/dir")},
		{name: "folder is a dangling link", prepare: link("d/e", "OUT/new")},
		{name: "folder is a file", prepare: func(target, outside string) error { return os.Link(outside+"/file", target+"/d") }},
		{name: "file is a link", prepare: link("f", "OUT/file")},
		{name: "file is a link to a folder", prepare: link("f", "OUT/dir")},
		{name: "file is a dangling link", prepare: link("f", "OUT/new")},
		{name: "file is a chain of links", prepare: func(target, outside string) error {
			if err := os.Symlink(outside+"/file", target+"/z"); err != nil {
				return err
			}
			return os.Symlink("z", target+"/f")
		}},
		{name: "file is a hard link", prepare: func(target, outside string) error { return os.Link(outside+"/file", target+"/f") }},
		{name: "file is a hard link of the same look", prepare: func(target, outside string) error {
			// The same size and time as in the tree: content counts as unchanged, metadata does not.
			name := target + "/f"
			if err := os.Link(outside+"/twin", name); err != nil {
				return err
			}
			return nil
		}},
		{name: "hard links are hard links to elsewhere", prepare: func(target, outside string) error {
			if err := os.MkdirAll(target+"/d/e", 0o755); err != nil {
				return err
			}
			if err := os.Link(outside+"/linked", target+"/d/e/one"); err != nil {
				return err
			}
			return os.Link(outside+"/file", target+"/d/e/two")
		}},
		{name: "hard link is a link", prepare: link("d/e/two", "OUT/file")},
		{name: "link is a link", prepare: link("d/l", "OUT/file")},
		{name: "link is a hard link", prepare: func(target, outside string) error {
			if err := os.Mkdir(target+"/d", 0o755); err != nil {
				return err
			}
			return os.Link(outside+"/file", target+"/d/l")
		}},
		{name: "file is a FIFO", prepare: func(target, outside string) error { return unix.Mkfifo(target+"/f", 0o600) }},
		{name: "extra is a link to a folder", prepare: link("extra", "OUT/dir")},
		{name: "extra holds links", prepare: link("extra/deep/link", "OUT")},
		{name: "extra holds hard links", prepare: func(target, outside string) error {
			if err := os.MkdirAll(target+"/extra", 0); err != nil {
				return err
			}
			return os.Link(outside+"/file", target+"/extra/file")
		}},
		{name: "target is full of temporary names", prepare: func(target, outside string) error {
			for i := range 50 {
				if err := os.Symlink(outside+"/file", fmt.Sprintf("%s/.snap-restore-%016x", target, i)); err != nil {
					return err
				}
			}
			return os.Symlink(outside+"/file", target+"/f")
		}},
	}
}

// trees are ones that do harm by themselves. OUT stands for what is outside.
func trees() []hostile {
	one := func(x ...tree.Entry) treeSpec { return treeSpec{dirs: []dirSpec{{"", x}}} }
	with := func(s treeSpec, data map[string]string) treeSpec {
		s.data = data
		return s
	}
	through := func(x tree.Entry) treeSpec {
		return treeSpec{dirs: []dirSpec{{"", []tree.Entry{x}}, {"x", []tree.Entry{laden(regular("file"))}}}, data: map[string]string{"x/file": "harm"}}
	}
	var list []hostile
	// Names that lead out, made of harmless ones of the same length.
	for _, m := range [][2]string{{"QQ", ".."}, {"QQQQ", "../Q"}, {"QQQQQQQQQQQQQQQQQ", "../outside/file\x00x"}, {"QQQQ", "/tmp"}, {"QQQ", "Q/Q"}, {"QQQ", "Q\x00Q"}, {"QQQ", "../"}, {"QQ", "./"}} {
		if len(m[0]) < len(m[1]) {
			m[0] += strings.Repeat("Q", len(m[1])-len(m[0]))
		}
		list = append(list,
			hostile{name: fmt.Sprintf("file %q", m[1]), spec: with(one(laden(regular(m[0]))), map[string]string{m[0]: "harm"}), mangle: m},
			hostile{name: fmt.Sprintf("folder %q", m[1]), spec: treeSpec{dirs: []dirSpec{{"", []tree.Entry{laden(folderOf(m[0]))}}, {m[0], []tree.Entry{laden(regular("file"))}}},
				data: map[string]string{m[0] + "/file": "harm"}}, mangle: m},
			hostile{name: fmt.Sprintf("link %q", m[1]), spec: one(laden(symlink(m[0], "/etc"))), mangle: m})
	}
	list = append(list,
		hostile{name: "folder below a link", spec: through(laden(symlink("x", "OUT/dir")))},
		hostile{name: "folder below a file", spec: with(through(laden(regular("x"))), map[string]string{"x": "file", "x/file": "harm"})},
		hostile{name: "folder without an entry", spec: through(laden(regular("y")))},
		hostile{name: "name twice, link first", spec: treeSpec{dirs: []dirSpec{{"", []tree.Entry{laden(symlink("QA", "OUT/dir")), laden(folderOf("QB"))}}, {"QB", []tree.Entry{laden(regular("file"))}}},
			data: map[string]string{"QB/file": "harm"}}, mangle: [2]string{"B", "A"}},
		hostile{name: "link with metadata", spec: one(laden(symlink("x", "OUT/file")))},
		hostile{name: "link to a folder with metadata", spec: one(laden(symlink("x", "OUT/dir")))},
		hostile{name: "hard links of two kinds", spec: with(one(func() tree.Entry {
			x := hardLink("a", 3, 2)
			x.Kind, x.Target = tree.Symlink, "OUT/file"
			return laden(x)
		}(), laden(hardLink("b", 3, 2))), map[string]string{"b": "harm"})},
		hostile{name: "hard links to a link", spec: one(func() tree.Entry {
			x := hardLink("a", 3, 2)
			x.Kind, x.Target = tree.Symlink, "OUT/file"
			return laden(x)
		}(),
			func() tree.Entry {
				x := hardLink("b", 3, 2)
				x.Kind, x.Target = tree.Symlink, "OUT/file"
				return laden(x)
			}())},
		hostile{name: "huge hole", spec: one(func() tree.Entry {
			x := regular("x")
			x.Size, x.Parts = 1<<62, []tree.Part{{Length: 1 << 62}}
			return x
		}())},
		hostile{name: "endless links of one file", spec: one(hardLink("a", 1, 1<<31), hardLink("b", 1, 1<<31))},
	)
	return list
}

// outsideFolder makes what must not change.
func outsideFolder(t *testing.T, base string) string {
	t.Helper()
	outside := base + "/outside"
	fileSpec{"file": "safe", "dir/inner": "safe", "linked": "linked", "twin": "from the tree", "link": "-> file"}.make(t, outside)
	stamp := time.Unix(1, 0)
	if err := os.Chtimes(outside+"/twin", stamp, stamp); err != nil {
		t.Fatal(err)
	}
	return outside
}

// manifest describes a folder. A name in the target that goes is no change, so links are not
// counted.
func manifest(t *testing.T, dir string) []string {
	t.Helper()
	m, err := torturetest.Manifest(dir)
	if err != nil {
		t.Fatal(err)
	}
	for i := range m {
		m[i] = linkCount.ReplaceAllString(m[i], "")
	}
	return m
}

var linkCount = regexp.MustCompile(` links=\d+( group="[^"]*")?`)

func TestHostileTreesAndTargets(t *testing.T) {
	cases := append(trees(), targets()...)
	if len(cases) < 40 {
		t.Fatalf("%d cases", len(cases))
	}
	for _, h := range cases {
		t.Run(h.name, func(t *testing.T) {
			for _, mode := range []Overwrite{OverwriteIfChanged, OverwriteAlways, OverwriteIfNewer, OverwriteNever} {
				h.attack(t, mode)
			}
		})
	}
}

// attack restores the hostile tree and checks that nothing outside has changed.
func (h *hostile) attack(t *testing.T, mode Overwrite) {
	base := t.TempDir()
	outside, to := outsideFolder(t, base), base+"/target"
	t.Cleanup(func() { torturetest.Clear(base) })
	if err := os.Mkdir(to, 0o755); err != nil {
		t.Fatal(err)
	}
	spec := h.spec
	if h.prepare != nil {
		spec = simpleTree()
		if err := h.prepare(to, outside); err != nil {
			t.Fatal(err)
		}
	}
	for _, d := range spec.dirs {
		for i := range d.entries {
			d.entries[i].Target = strings.ReplaceAll(d.entries[i].Target, "OUT", outside)
		}
	}
	before := manifest(t, outside)
	b := newBench()
	o := b.options(b.build(t, spec), "", to)
	o.Load = func(ctx context.Context, kind pack.Kind, id pack.ChunkID) ([]byte, error) {
		data, err := b.loader.Load(ctx, kind, id)
		if h.mangle[0] != "" {
			data = bytes.ReplaceAll(data, []byte(h.mangle[0]), []byte(h.mangle[1]))
		}
		return data, err
	}
	o.Overwrite, o.Delete, o.DeleteBelow, o.Verify = mode, true, []string{""}, true
	log := watch(&o)
	res, err := Run(t.Context(), o)
	if h.mangle[0] != "" && err == nil && res.Failed == 0 {
		t.Errorf("%v: a tree that no encoder makes was restored: %+v", mode, res)
	}
	if diff := torturetest.Diff(before, manifest(t, outside)); len(diff) > 0 {
		t.Errorf("%v: outside has changed:\n%s\n%v, %v", mode, strings.Join(diff, "\n"), err, log.problems)
	}
	entries, err := os.ReadDir(base)
	if err != nil || len(entries) != 2 {
		t.Errorf("%v: beside the target: %v, %v", mode, entries, err)
	}
	if h.prepare != nil && mode == OverwriteAlways {
		for path, want := range map[string]string{"f": "from the tree", "d/f": "from the tree", "d/e/file": "deep", "d/e/two": "linked"} {
			if data, err := os.ReadFile(to + "/" + path); err != nil || string(data) != want {
				t.Errorf("%s: %q, %v", path, data, err)
			}
		}
	}
}

// TestRacerCannotLeadARestoreOut swaps a folder with a link that leads out, while trees are
// restored over it.
func TestRacerCannotLeadARestoreOut(t *testing.T) {
	base := t.TempDir()
	outside, to := outsideFolder(t, base), base+"/target"
	fileSpec{"d/": ""}.make(t, to)
	if err := os.Symlink(outside+"/dir", to+"/b"); err != nil {
		t.Fatal(err)
	}
	before := manifest(t, outside)
	b := newBench()
	root := b.build(t, simpleTree())
	var stop atomic.Bool
	var swaps atomic.Int64
	var wg sync.WaitGroup
	wg.Go(func() {
		for !stop.Load() {
			if unix.Renameat2(unix.AT_FDCWD, to+"/d", unix.AT_FDCWD, to+"/b", unix.RENAME_EXCHANGE) == nil {
				swaps.Add(1)
			}
		}
	})
	written, runs := int64(0), 0
	for end := time.Now().Add(time.Second); time.Now().Before(end) || written == 0 || swaps.Load() == 0; runs++ {
		o := b.options(root, "", to)
		o.Overwrite = OverwriteAlways
		if runs%2 == 1 {
			o.Delete, o.DeleteBelow, o.Exclude = true, []string{""}, compileLists(t, "/b")
		}
		res, err := Run(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		written += res.Files
		// Put back what the restore took out of the racer's hands.
		os.Mkdir(to+"/d", 0o755)
		os.Symlink(outside+"/dir", to+"/b")
	}
	stop.Store(true)
	wg.Wait()
	if diff := torturetest.Diff(before, manifest(t, outside)); len(diff) > 0 {
		t.Errorf("outside has changed:\n%s", strings.Join(diff, "\n"))
	}
	t.Logf("%d restores, %d files, %d swaps", runs, written, swaps.Load())
}
