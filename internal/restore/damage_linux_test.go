package restore

import (
	"context"
	"errors"
	"io/fs"
	"strings"
	"testing"
	"time"

	"github.com/snapkeep/snap/index"
	"github.com/snapkeep/snap/internal/chunks"
	"github.com/snapkeep/snap/internal/store"
	"github.com/snapkeep/snap/internal/store/faulty"
	"github.com/snapkeep/snap/internal/store/mem"
	"github.com/snapkeep/snap/internal/tree"
	"github.com/snapkeep/snap/pack"
)

// packNames returns the names of all packs of a class.
func packNames(t *testing.T, b *bench, prefix string) []string {
	t.Helper()
	var names []string
	err := b.store.(store.Store).List(t.Context(), prefix, func(name string, _ int64, _ time.Time) error {
		names = append(names, name)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// onlyThese checks that a restore reported just the files that are not as they should be, and
// left nothing of them.
func onlyThese(t *testing.T, want, got fileSpec, log *log, res *Result) {
	t.Helper()
	for name, content := range want {
		_, reported := log.problems[name]
		g, there := got[name]
		if reported && there {
			t.Errorf("%q was reported and is there", name)
		} else if !reported && (!there || g != content) {
			t.Errorf("%q is wrong and was not reported", name)
		}
	}
	if int(res.Failed) != len(log.problems) {
		t.Errorf("%d problems, result %+v", len(log.problems), res)
	}
}

func TestDamagedPackFailsOnlyItsFiles(t *testing.T) {
	from := t.TempDir()
	manyFiles().make(t, from)
	b := newBench()
	b.pack = 1 << 20
	root := b.save(t, from)
	want := readTree(t, from)
	intact := b.store.(*mem.Store)
	for kind, hurt := range map[string]func(name string) store.Store{
		"flipped": func(name string) store.Store {
			return faulty.Damage{FlipShare: 1, Flips: 3, Name: func(n string) bool { return n == name }}.Wrap(intact)
		},
		"cut off": func(name string) store.Store {
			return faulty.Damage{CutShare: 1, Seed: 4, Name: func(n string) bool { return n == name }}.Wrap(intact)
		},
		"missing": func(name string) store.Store {
			return faulty.NewInjector(faulty.Fault{Class: faulty.ReadAt, Times: -1, Err: fs.ErrNotExist, Name: func(n string) bool { return n == name }}).Wrap(intact)
		},
	} {
		t.Run(kind, func(t *testing.T) {
			failed := int64(0)
			for _, name := range packNames(t, b, "data/") {
				to := t.TempDir()
				o := b.options(root, from, to)
				o.Store, o.Verify = hurt(name), true
				log := watch(&o)
				res, err := Run(t.Context(), o)
				if err != nil {
					t.Fatal(err)
				}
				onlyThese(t, want, readTree(t, to), log, res)
				failed += res.Failed
				for path, errs := range log.problems {
					if !errors.Is(errs[0], pack.ErrCorrupt) || !strings.Contains(errs[0].Error(), name[len("data/xx/"):]) {
						t.Errorf("%s: %v, want it to name the pack", path, errs)
					}
				}
			}
			if failed == 0 {
				t.Error("no file was hit")
			}
		})
	}
}

func TestDamagedChunkIsReadFromAnotherPack(t *testing.T) {
	from := t.TempDir()
	manyFiles().make(t, from)
	b := newBench()
	b.pack = 1 << 20
	b.save(t, from)
	damaged := packNames(t, b, "data/")
	// A second run that knows nothing of the first stores everything again.
	first := b.set
	b.set = index.NewSet()
	b.use(b.store)
	root := b.save(t, from)
	for p := range first.Packs() {
		b.set.Add(rowsOf(first, p.ID))
	}
	bad := map[string]bool{}
	for _, name := range damaged {
		bad[name] = true
	}
	to := t.TempDir()
	o := b.options(root, from, to)
	// The rows of the second run are found first, so damage those.
	o.Store = faulty.Damage{FlipShare: 1, Flips: 40, Name: func(n string) bool { return strings.HasPrefix(n, "data/") && !bad[n] }}.Wrap(b.store.(*mem.Store))
	o.Verify = true
	mustRun(t, o)
	sameTree(t, readTree(t, from), readTree(t, to))
}

// rowsOf returns the rows of one pack of a set.
func rowsOf(set *index.Set, id pack.ID) index.Pack {
	info, _ := set.Pack(id)
	p := index.Pack{ID: id, Class: info.Class, Size: info.Size}
	for chunk, loc := range set.PackRows() {
		if loc.Pack != id {
			continue
		}
		if n := len(p.Directory); n == 0 || p.Directory[n-1].Offset != loc.Offset {
			kind := pack.KindData
			if info.Class == pack.ClassMeta {
				kind = pack.KindTree
			}
			p.Directory = append(p.Directory, pack.Segment{Kind: kind, Offset: loc.Offset, Length: loc.Length})
		}
		s := &p.Directory[len(p.Directory)-1]
		s.Chunks = append(s.Chunks, pack.Chunk{ID: chunk, Length: 1})
	}
	return p
}

func TestMissingChunkFailsOnlyItsFile(t *testing.T) {
	b := newBench()
	gone := regular("gone")
	gone.Size, gone.Parts = 10, []tree.Part{{ID: pack.ChunkID{1, 2, 3}, Length: 10}}
	large := regular("large")
	large.Size, large.Parts = 30, []tree.Part{{ID: pack.ChunkID{1, 2, 3}, Length: 10}, {Length: 10}, {ID: pack.ChunkID{4}, Length: 10}}
	link := hardLink("linked", 5, 2)
	link.Size, link.Parts = 10, gone.Parts
	second := hardLink("second", 5, 2)
	second.Size, second.Parts = 10, gone.Parts
	root := b.build(t, treeSpec{dirs: []dirSpec{{"", []tree.Entry{regular("empty"), gone, regular("good"), large, link, second}}}, data: map[string]string{"good": "content"}})
	to := t.TempDir()
	o := b.options(root, "", to)
	log := watch(&o)
	res, err := Run(t.Context(), o)
	if err != nil || res.Failed != 4 {
		t.Errorf("%v, %+v", err, res)
	}
	for _, name := range []string{"gone", "large", "linked", "second"} {
		if errs := log.problems[name]; len(errs) != 1 || !errors.Is(errs[0], chunks.ErrMissing) {
			t.Errorf("%s: %v", name, errs)
		}
	}
	sameTree(t, fileSpec{"good": "content", "empty": ""}, readTree(t, to))
}

// TestWrongChunkIsNotWritten gives a file a chunk of another length and one with the bytes of another.
func TestWrongChunkIsNotWritten(t *testing.T) {
	b := newBench()
	x := regular("file")
	b.build(t, treeSpec{dirs: []dirSpec{{"", []tree.Entry{x}}}, data: map[string]string{"file": "content"}})
	loc := func() (id pack.ChunkID, l index.Location) {
		for id, l := range b.set.Rows() {
			if l.Class == pack.ClassData {
				return id, l
			}
		}
		t.Fatal("no chunk")
		return
	}
	id, at := loc()
	other := pack.ChunkID{9}
	for name, part := range map[string]tree.Part{"longer": {ID: id, Length: 8}, "another": {ID: other, Length: 7}} {
		y := regular("file")
		y.Size, y.Parts = part.Length, []tree.Part{part}
		root := b.build(t, treeSpec{dirs: []dirSpec{{"", []tree.Entry{y}}}})
		to := t.TempDir()
		o := b.options(root, "", to)
		o.Index = misled{b.set, other, at}
		log := watch(&o)
		if res, err := Run(t.Context(), o); err != nil || res.Failed != 1 || len(log.problems["file"]) != 1 {
			t.Errorf("%s: %v, %+v, %v", name, err, res, log.problems)
		}
		sameTree(t, fileSpec{}, readTree(t, to))
	}
}

// misled is an index that says of a chunk that it is where another one is.
type misled struct {
	*index.Set
	id pack.ChunkID
	at index.Location
}

func (m misled) Lookup(id pack.ChunkID) (index.Location, bool) {
	if id == m.id {
		return m.at, true
	}
	return m.Set.Lookup(id)
}

func (m misled) Locations(id pack.ChunkID) []index.Location {
	if id == m.id {
		return []index.Location{m.at}
	}
	return m.Set.Locations(id)
}

func TestDamagedTreeFailsItsFoldersOnly(t *testing.T) {
	b := newBench()
	spec := treeSpec{data: map[string]string{}}
	var top []tree.Entry
	for i := range 20 {
		name := string([]byte{'a' + byte(i/26), 'a' + byte(i%26)})
		top = append(top, folderOf(name))
	}
	spec.dirs = append(spec.dirs, dirSpec{"", top})
	want := fileSpec{}
	for _, d := range top {
		var files []tree.Entry
		for i := range 90 {
			name := strings.Repeat("long-name-", 10) + string([]byte{'a' + byte(i/26), 'a' + byte(i%26)})
			files = append(files, regular(name))
			spec.data[d.Name+"/"+name] = d.Name + name
			want[d.Name+"/"+name] = d.Name + name
		}
		want[d.Name+"/"] = ""
		spec.dirs = append(spec.dirs, dirSpec{d.Name, files})
	}
	root := b.build(t, spec)
	var pages []pack.ChunkID
	err := tree.EachPage(t.Context(), b.loader.Load, root, func(pack.ChunkID) bool { return true }, func(page, refs pack.ChunkID) error {
		pages = append(pages, page, refs)
		return nil
	})
	if err != nil || len(pages) < 12 {
		t.Fatalf("%d pages, %v", len(pages), err)
	}
	damage := errors.New("damaged")
	for _, bad := range append(pages[:2:2], pages[len(pages)-2:]...) {
		if bad.IsZero() {
			continue
		}
		to := t.TempDir()
		// What is there must not be deleted because the tree cannot tell.
		stay := fileSpec{}
		for _, d := range top {
			stay[d.Name+"/own"] = "own"
		}
		stay.make(t, to)
		o := b.options(root, "", to)
		o.Load = func(ctx context.Context, kind pack.Kind, id pack.ChunkID) ([]byte, error) {
			if id == bad {
				return nil, damage
			}
			return b.loader.Load(ctx, kind, id)
		}
		o.Delete, o.DeleteBelow, o.Verify = true, []string{""}, true
		log := watch(&o)
		res, err := Run(t.Context(), o)
		if err != nil || res.Failed == 0 || int(res.Failed) != len(log.problems) {
			t.Fatalf("%v, %+v, %v", err, res, log.problems)
		}
		got := readTree(t, to)
		for name, content := range want {
			dir, _, _ := strings.Cut(name, "/")
			_, broken := log.problems[dir]
			if _, ok := log.problems[""]; ok {
				continue // the top itself is incomplete
			}
			if !broken && got[name] != content {
				t.Errorf("%s is wrong and nothing in %s was reported", name, dir)
			}
			if own := got[dir+"/own"]; broken && own != "own" {
				t.Errorf("%s/own was deleted, of which the tree cannot tell", dir)
			}
		}
	}
}

func TestUnreadableFileIsReported(t *testing.T) {
	b := newBench()
	x := regular("secret")
	x.Size, x.Marks, x.Problem = 100, tree.MarkUnreadable, "permission denied"
	root := b.build(t, treeSpec{dirs: []dirSpec{{"", []tree.Entry{x}}}})
	to := t.TempDir()
	fileSpec{"secret": "the old one"}.make(t, to)
	o := b.options(root, "", to)
	log := watch(&o)
	res, err := Run(t.Context(), o)
	if err != nil || res.Failed != 1 || len(log.problems["secret"]) != 1 || !errors.Is(log.problems["secret"][0], ErrUnreadable) {
		t.Errorf("%v, %+v, %v", err, res, log.problems)
	}
	sameTree(t, fileSpec{"secret": "the old one"}, readTree(t, to))
}

// TestFolderThatNoTreeHoldsIsReported restores a folder in which one lies whose path is too long to stand in a tree.
func TestFolderThatNoTreeHoldsIsReported(t *testing.T) {
	b := newBench()
	spec := treeSpec{}
	dir, name := "", strings.Repeat("d", 255)
	for len(dir)+1+len(name) <= tree.MaxPath {
		spec.dirs = append(spec.dirs, dirSpec{dir, []tree.Entry{folderOf(name)}})
		dir = tree.Join(dir, name)
	}
	spec.dirs = append(spec.dirs, dirSpec{dir, []tree.Entry{regular("beside"), folderOf(name)}})
	o := b.options(b.build(t, spec), dir, t.TempDir())
	log := watch(&o)
	res, err := Run(t.Context(), o)
	if err != nil || res.Failed != 1 || len(log.problems) != 1 {
		t.Errorf("%v, %+v, %v", err, res, log.problems)
	}
	for _, problems := range log.problems {
		if len(problems) != 1 || !errors.Is(problems[0], ErrUnreadable) {
			t.Errorf("problems %v", problems)
		}
	}
}
