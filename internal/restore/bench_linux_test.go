package restore

import (
	"context"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/snapkeep/snap/chunker"
	"github.com/snapkeep/snap/index"
	"github.com/snapkeep/snap/internal/backup"
	"github.com/snapkeep/snap/internal/chunks"
	"github.com/snapkeep/snap/internal/seal"
	"github.com/snapkeep/snap/internal/source/local"
	"github.com/snapkeep/snap/internal/store/mem"
	"github.com/snapkeep/snap/internal/tree"
	"github.com/snapkeep/snap/pack"
)

// bench is a repository in memory, just enough for the engine.
type bench struct {
	store  chunks.Store
	set    *index.Set
	keys   chunks.Keys
	loader *chunks.Loader
	pack   int // bytes of a pack, 0 for the default
}

func newBench() *bench {
	repo := [16]byte{7}
	content := seal.NewKey(&[32]byte{2}, repo, nil)
	b := &bench{store: mem.New(nil), set: index.NewSet(), keys: chunks.Keys{Repository: repo, ChunkIDs: pack.IDKey{3}, Metadata: seal.NewKey(&[32]byte{4}, repo, nil),
		Content:    func(context.Context, seal.KeyID) (*seal.Key, error) { return content, nil },
		NewContent: func(context.Context) (*seal.Key, error) { return content, nil }}}
	b.use(b.store)
	return b
}

// use makes restores read from another store, usually the same one behind a fault.
func (b *bench) use(store chunks.Store) {
	b.loader = chunks.NewLoader(store, b.set, b.keys, 16<<20)
}

func (b *bench) writer(t testing.TB) *chunks.Writer {
	t.Helper()
	w, err := chunks.NewWriter(t.Context(), b.store, b.set, b.keys, chunks.Options{PackSize: b.pack})
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// save backs up a folder and returns the root of the tree.
func (b *bench) save(t testing.TB, dir string) pack.ChunkID {
	t.Helper()
	poly, err := chunker.RandomPolynomial(rand.NewChaCha8([32]byte{5}))
	if err != nil {
		t.Fatal(err)
	}
	files, err := chunker.New(chunker.Files(poly))
	if err != nil {
		t.Fatal(err)
	}
	src, err := local.New(local.Options{Roots: []string{dir}})
	if err != nil {
		t.Fatal(err)
	}
	w := b.writer(t)
	res, err := backup.Run(t.Context(), backup.Options{Source: src, Writer: w, Load: b.loader.Load, Files: files, Database: files,
		Start: time.Now(), Problem: func(p backup.Problem) { t.Logf("backup: %s: %v", p.Path, p.Err) }})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Finish(t.Context()); err != nil {
		t.Fatal(err)
	}
	return res.Root
}

// options restores the folder dir of a tree directly to the target.
func (b *bench) options(root pack.ChunkID, dir, target string) Options {
	return Options{Load: b.loader.Load, Store: b.store, Index: b.set, Opener: b.loader, Root: root, Path: strings.TrimPrefix(dir, "/"), Target: target}
}

// log notes what a restore tells.
type log struct {
	items    map[string]Action
	problems map[string][]error
}

// watch lets o tell the log.
func watch(o *Options) *log {
	l := &log{items: map[string]Action{}, problems: map[string][]error{}}
	o.Item = func(i Item) { l.items[i.Path] = i.Action }
	o.Problem = func(path string, err error) { l.problems[path] = append(l.problems[path], err) }
	return l
}

// mustRun restores without any problem.
func mustRun(t testing.TB, o Options) (*Result, *log) {
	t.Helper()
	l := watch(&o)
	res, err := Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	for path, errs := range l.problems {
		t.Errorf("%q: %v", path, errs)
	}
	if res.Failed != 0 || res.Attributes != 0 {
		t.Errorf("result: %+v", res)
	}
	return res, l
}

// fileSpec is a file to be made: its content, or the target of a link behind "-> ", or a folder if
// its name ends with a slash.
type fileSpec map[string]string

func (s fileSpec) make(t testing.TB, dir string) {
	t.Helper()
	for _, name := range slices.Sorted(maps.Keys(s)) {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		var err error
		link, isLink := strings.CutPrefix(s[name], "-> ")
		switch {
		case strings.HasSuffix(name, "/"):
			err = os.MkdirAll(path, 0o755)
		case isLink:
			err = os.Symlink(link, path)
		default:
			err = os.WriteFile(path, []byte(s[name]), 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// readTree returns what lies in a folder, in the form of fileSpec.
func readTree(t testing.TB, dir string) fileSpec {
	t.Helper()
	got := fileSpec{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || path == dir {
			return err
		}
		name := strings.TrimPrefix(path, dir+"/")
		switch {
		case d.IsDir():
			got[name+"/"] = ""
		case d.Type()&fs.ModeSymlink != 0:
			link, err := os.Readlink(path)
			got[name] = "-> " + link
			return err
		case d.Type().IsRegular():
			data, err := os.ReadFile(path)
			got[name] = string(data)
			return err
		default:
			got[name] = d.Type().String()
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// sameTree compares two folders, or a folder with what it should be.
func sameTree(t testing.TB, want, got fileSpec) {
	t.Helper()
	for name, content := range want {
		if g, ok := got[name]; !ok {
			t.Errorf("%q is missing", name)
		} else if g != content {
			t.Errorf("%q holds %d bytes, %.40q, want %d, %.40q", name, len(g), g, len(content), content)
		}
	}
	for name := range got {
		if _, ok := want[name]; !ok {
			t.Errorf("%q is there", name)
		}
	}
}

// noise returns n bytes that do not compress.
func noise(n int, seed byte) string {
	p := make([]byte, n)
	rand.NewChaCha8([32]byte{seed}).Read(p)
	return string(p)
}

// manyFiles is a tree of small and large files in several folders, some of equal content.
func manyFiles() fileSpec {
	s := fileSpec{"empty": "", "hollow/": "", "link": "-> a0/f1.txt", "large": noise(5<<20, 1), "b/large2": noise(3<<20, 2), "b/again": noise(3<<20, 2)}
	for d := range 7 {
		for i := range 30 {
			s[fmt.Sprintf("a%d/f%d.%s", d, i, []string{"txt", "c", ""}[i%3])] = strings.Repeat(fmt.Sprint(d%3, " ", i, " "), 1+i*i*17)
		}
	}
	s["noise"] = noise(700_000, 3)
	return s
}

// treeSpec is a tree that no source has: folders in path order with their entries.
type treeSpec struct {
	dirs []dirSpec
	data map[string]string // contents of regular files by path
}

type dirSpec struct {
	path    string
	entries []tree.Entry
}

// build stores a tree as it is described.
func (b *bench) build(t testing.TB, spec treeSpec) pack.ChunkID {
	t.Helper()
	w := b.writer(t)
	s := w.NewSaver()
	builder := tree.NewBuilder(func(kind pack.Kind, page []byte) (pack.ChunkID, error) { return s.Save(t.Context(), kind, page) })
	for _, d := range spec.dirs {
		for i := range d.entries {
			x := &d.entries[i]
			if data := spec.data[tree.Join(d.path, x.Name)]; data != "" {
				id, err := s.Save(t.Context(), pack.KindData, []byte(data))
				if err != nil {
					t.Fatal(err)
				}
				x.Parts, x.Size = []tree.Part{{ID: id, Length: int64(len(data))}}, int64(len(data))
			}
		}
		if err := builder.Add(d.path, d.entries, true); err != nil {
			t.Fatal(err)
		}
	}
	root, err := builder.Finish()
	if err == nil {
		err = s.Flush(t.Context())
	}
	if err == nil {
		_, err = w.Finish(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
	return root
}

// regular, folderOf and symlink are entries of a treeSpec.
func regular(name string) tree.Entry {
	return tree.Entry{Stat: tree.Stat{Name: name, Kind: tree.Regular, Mode: 0o644, UID: uint32(os.Getuid()), GID: uint32(os.Getgid()), ModTime: tree.Time{Sec: 1_500_000_000}}}
}

func folderOf(name string) tree.Entry {
	x := regular(name)
	x.Kind, x.Mode = tree.Directory, 0o755
	return x
}

func symlink(name, to string) tree.Entry {
	x := regular(name)
	x.Kind, x.Mode, x.Target = tree.Symlink, 0o777, to
	return x
}

func hardLink(name string, inode uint64, links uint32) tree.Entry {
	x := regular(name)
	x.Inode, x.Device, x.Links = inode, 1, links
	return x
}
