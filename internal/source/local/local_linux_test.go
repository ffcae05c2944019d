package local

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/snapkeep/snap/internal/filter"
	"github.com/snapkeep/snap/internal/looptest"
	"github.com/snapkeep/snap/internal/source"
	"github.com/snapkeep/snap/internal/tree"
)

// build makes files below a new folder: "name/" is a folder, "name->target" a link,
// "name=content" a file.
func build(t *testing.T, what ...string) string {
	t.Helper()
	root := t.TempDir()
	for _, w := range what {
		var err error
		if name, target, ok := strings.Cut(w, "->"); ok {
			err = os.Symlink(target, filepath.Join(root, name))
		} else if strings.HasSuffix(w, "/") {
			err = os.MkdirAll(filepath.Join(root, w), 0o755)
		} else {
			name, content, _ := strings.Cut(w, "=")
			if err = os.MkdirAll(filepath.Join(root, filepath.Dir(name)), 0o755); err == nil {
				err = os.WriteFile(filepath.Join(root, name), []byte(content), 0o644)
			}
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return root
}

// list returns all paths that a source gives, and the content of its files.
func list(t *testing.T, o Options) (paths []string, content map[string]string) {
	t.Helper()
	s, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	d, err := s.Root(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	content = map[string]string{}
	var visit func(d source.Dir, at string)
	visit = func(d source.Dir, at string) {
		defer d.Close()
		stats, problems, err := d.List(t.Context())
		if err != nil || len(problems) > 0 {
			t.Fatalf("%q: %v, %v", at, err, problems)
		}
		for i := range stats {
			st := &stats[i]
			p := at + "/" + st.Name
			paths = append(paths, p)
			switch st.Kind {
			case tree.Directory:
				sub, err := d.OpenDir(t.Context(), st)
				if err != nil {
					t.Fatal(err)
				}
				visit(sub, p)
			case tree.Regular:
				content[p] = readAll(t, d, st)
			}
		}
	}
	visit(d, "")
	return paths, content
}

func readAll(t *testing.T, d source.Dir, st *tree.Stat) string {
	t.Helper()
	f, err := d.Open(t.Context(), st)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var b bytes.Buffer
	for {
		r, err := f.Next()
		if err == io.EOF {
			return b.String()
		}
		if err != nil {
			t.Fatal(err)
		}
		if r.Hole {
			b.Write(make([]byte, r.Length))
		} else if _, err := io.Copy(&b, f); err != nil {
			t.Fatal(err)
		}
	}
}

// beneath returns those paths that lie in root, relative to it.
func beneath(root string, paths []string) []string {
	var in []string
	for _, p := range paths {
		if rest, ok := strings.CutPrefix(p, root+"/"); ok {
			in = append(in, rest)
		}
	}
	return in
}

func openRoot(t *testing.T, root string, o Options) source.Dir {
	t.Helper()
	o.Roots = []string{root}
	s, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	d, err := s.Root(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for name := range strings.SplitSeq(root, "/") {
		if name == "" {
			continue
		}
		stats, _, err := d.List(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		st := find(t, stats, name)
		sub, err := d.OpenDir(t.Context(), st)
		if err != nil {
			t.Fatal(err)
		}
		d.Close()
		d = sub
	}
	t.Cleanup(func() { d.Close() })
	return d
}

func find(t *testing.T, stats []tree.Stat, name string) *tree.Stat {
	t.Helper()
	for i := range stats {
		if stats[i].Name == name {
			return &stats[i]
		}
	}
	t.Fatalf("no %q in the listing", name)
	return nil
}

func TestSeveralRootsInOneTree(t *testing.T) {
	root := build(t, "a/one=1", "a/two=2", "b/c/three=3", "b/d/four=4", "e=5", "l->a", "z/")
	paths, content := list(t, Options{Roots: []string{
		root + "/b/c", root + "/a/", root + "/a/one", root + "/e", root + "/l/", root + "/z/../z",
	}})
	got := beneath(root, paths)
	want := []string{"a", "a/one", "a/two", "b", "b/c", "b/c/three", "e", "l", "z"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	for p, c := range map[string]string{"/a/one": "1", "/b/c/three": "3", "/e": "5"} {
		if content[root+p] != c {
			t.Errorf("%s: got %q, want %q", p, content[root+p], c)
		}
	}
	if strings.Count(strings.Join(paths, "\n"), "\n") != len(want)+strings.Count(root, "/")-1 {
		t.Errorf("more than the roots and what leads to them: %q", paths)
	}
}

func TestRelativeRootAndLinkOnTheWay(t *testing.T) {
	root := build(t, "real/x=1", "way->real")
	t.Chdir(root)
	paths, _ := list(t, Options{Roots: []string{"way/x"}})
	if got := beneath(root, paths); !slices.Equal(got, []string{"way", "way/x"}) {
		t.Errorf("got %q", got)
	}
	d := openRoot(t, root, Options{})
	stats, _, err := d.List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if st := find(t, stats, "way"); st.Kind != tree.Symlink {
		t.Errorf("a link in a root is of kind %d", st.Kind)
	}
}

func TestRootErrors(t *testing.T) {
	root := build(t, "file=")
	s, err := New(Options{Roots: []string{root + "/gone", root, root + "/file/below", "/gone"}})
	if err != nil {
		t.Fatal(err)
	}
	_, err = s.Root(t.Context())
	if !errors.Is(err, source.ErrRootMissing) {
		t.Errorf("got %v, want ErrRootMissing", err)
	}
	for _, name := range []string{root + "/gone", root + "/file/below", `"/gone"`} {
		if err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%v does not name %s", err, name)
		}
	}
	if root := (*RootError)(nil); !errors.As(err, &root) {
		t.Errorf("%T is no RootError", err)
	}
	for _, roots := range [][]string{nil, {""}, {"a\x00b"}} {
		if _, err := New(Options{Roots: roots}); err == nil {
			t.Errorf("%q are roots", roots)
		}
	}
}

func TestRootRemovedAfterOpening(t *testing.T) {
	root := build(t, "a/b/c=")
	s, err := New(Options{Roots: []string{root + "/a/b"}})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(root + "/a"); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Root(t.Context()); !errors.Is(err, source.ErrRootMissing) {
		t.Errorf("got %v, want ErrRootMissing", err)
	}
}

func compile(t *testing.T, patterns ...string) []*filter.List {
	t.Helper()
	l, err := filter.Compile(patterns, filter.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return []*filter.List{l}
}

func TestExcludes(t *testing.T) {
	files := []string{
		"keep=1", "big=12345", "x.o=", "sub/x.o=", "sub/keep.o=", "tmp/a=", "sub/tmp/b=",
		"cache/CACHEDIR.TAG=" + "Signature: 8a477f597d28d172789f06886806bc55" + "\n# tag", "cache/data=", "cache/deep/data=",
		"fake/CACHEDIR.TAG=nothing", "fake/data=",
		"none/.nobackup=", "none/data=", "head/.tag=yes!", "head/data=", "other/.tag=no", "other/data=",
	}
	tests := []struct {
		name   string
		change func(o *Options, root string)
		gone   []string
	}{
		{"nothing", func(o *Options, _ string) {}, nil},
		{"patterns", func(o *Options, root string) {
			o.Exclude = compile(t, "*.o", "!keep.o", root+"/tmp")
		}, []string{"sub/x.o", "tmp", "tmp/a", "x.o"}},
		{"caches", func(o *Options, _ string) { o.ExcludeCaches = true },
			[]string{"cache/data", "cache/deep", "cache/deep/data"}},
		{"excluded marker", func(o *Options, _ string) { o.ExcludeCaches, o.Exclude = true, compile(t, "cache/*.TAG") },
			[]string{"cache/CACHEDIR.TAG", "cache/data", "cache/deep", "cache/deep/data"}},
		{"if present", func(o *Options, _ string) { o.ExcludeIfPresent = []string{".nobackup", ".tag:yes"} },
			[]string{"head/data", "none/data"}},
		{"larger", func(o *Options, _ string) { o.ExcludeLargerThan = 4 },
			[]string{"big", "cache/CACHEDIR.TAG", "fake/CACHEDIR.TAG"}},
		{"function", func(o *Options, root string) {
			o.ExcludeFunc = func(p string, st *tree.Stat) bool { return p == root+"/sub" && st.Kind == tree.Directory }
		}, []string{"sub", "sub/keep.o", "sub/tmp", "sub/tmp/b", "sub/x.o"}},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			root := build(t, files...)
			all, _ := list(t, Options{Roots: []string{root}})
			o := Options{Roots: []string{root}}
			tc.change(&o, root)
			some, _ := list(t, o)
			var gone []string
			for _, p := range beneath(root, all) {
				if !slices.Contains(some, root+"/"+p) {
					gone = append(gone, p)
				}
			}
			if slices.Sort(gone); !slices.Equal(gone, tc.gone) {
				t.Errorf("left out %q, want %q", gone, tc.gone)
			}
		})
	}
}

func TestExcludedRoots(t *testing.T) {
	root := build(t, "a/x=", "b/x=")
	o := Options{Roots: []string{root + "/a", root + "/b"}, Exclude: compile(t, root+"/a")}
	paths, _ := list(t, o)
	if got := beneath(root, paths); !slices.Equal(got, []string{"b", "b/x"}) {
		t.Errorf("got %q", got)
	}
	o.Exclude = compile(t, root)
	if _, err := New(o); err == nil {
		t.Error("a source without any root")
	}
	o.Exclude, o.ExcludeIfPresent = nil, []string{"a/b"}
	if _, err := New(o); err == nil {
		t.Error("a path as name of a marker")
	}
}

func TestListIsOrderedByBytes(t *testing.T) {
	root := t.TempDir()
	var want []string
	for c := 1; c < 256; c++ {
		for _, name := range []string{string([]byte{byte(c)}), "prefix-" + string([]byte{byte(c)}), "prefix-of-it" + string([]byte{byte(c)})} {
			if name == "/" || name == "." || strings.Contains(name, "/") {
				continue
			}
			want = append(want, name)
		}
	}
	want = append(want, "prefix-", strings.Repeat("n", 255))
	for _, name := range want {
		if err := os.WriteFile(root+"/"+name, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	slices.Sort(want)
	d := openRoot(t, root, Options{})
	for range 2 {
		stats, _, err := d.List(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, st := range stats {
			got = append(got, st.Name)
		}
		if !slices.Equal(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestListOfManyEntries(t *testing.T) {
	root := t.TempDir()
	const count = 5000
	for i := range count {
		if err := os.WriteFile(fmt.Sprintf("%s/%0100d", root, i), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	stats, problems, err := openRoot(t, root, Options{}).List(t.Context())
	if err != nil || len(problems) > 0 || len(stats) != count {
		t.Fatalf("got %d entries, %v, %v", len(stats), problems, err)
	}
	for i, st := range stats {
		if st.Name != fmt.Sprintf("%0100d", i) || st.Kind != tree.Regular || st.Inode == 0 {
			t.Fatalf("entry %d is %+v", i, st)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := openRoot(t, root, Options{}).List(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want Canceled", err)
	}
}

func TestTreeDeeperThanAPath(t *testing.T) {
	root := t.TempDir()
	name := strings.Repeat("d", 200)
	fd, err := unix.Open(root, unix.O_DIRECTORY, 0)
	if err != nil {
		t.Fatal(err)
	}
	const depth = 40
	for range depth {
		if err := unix.Mkdirat(fd, name, 0o755); err != nil {
			t.Fatal(err)
		}
		next, err := unix.Openat(fd, name, unix.O_DIRECTORY, 0)
		if err != nil {
			t.Fatal(err)
		}
		unix.Close(fd)
		fd = next
	}
	file, err := unix.Openat(fd, "bottom", unix.O_CREAT|unix.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	unix.Write(file, []byte("deep"))
	unix.Close(file)
	unix.Close(fd)
	paths, content := list(t, Options{Roots: []string{root}})
	bottom := root + strings.Repeat("/"+name, depth) + "/bottom"
	if content[bottom] != "deep" || len(beneath(root, paths)) != depth+1 {
		t.Errorf("got %q in %d entries", content[bottom], len(paths))
	}
}

func TestOpenOnlyWhatWasListed(t *testing.T) {
	root := build(t, "f=old", "g=x", "h=x", "i=x", "d/")
	d := openRoot(t, root, Options{})
	stats, _, err := d.List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	outside := build(t, "secret=s")
	for _, step := range []error{
		os.WriteFile(root+"/new", []byte("new!"), 0o600), os.Rename(root+"/new", root+"/f"),
		os.Remove(root + "/g"), os.Symlink(outside+"/secret", root+"/g"),
		os.Remove(root + "/h"), unix.Mkfifo(root+"/h", 0o600),
		os.Remove(root + "/i"),
		os.Remove(root + "/d"), os.Symlink(outside, root+"/d"),
	} {
		if step != nil {
			t.Fatal(step)
		}
	}
	for name, want := range map[string]error{
		"f": source.ErrReplaced, "g": source.ErrReplaced, "h": source.ErrReplaced, "i": fs.ErrNotExist,
	} {
		f, err := d.Open(t.Context(), find(t, stats, name))
		if !errors.Is(err, want) {
			t.Errorf("%s: got %v, want %v", name, err, want)
		}
		if err == nil {
			f.Close()
		}
	}
	if _, err := d.OpenDir(t.Context(), find(t, stats, "d")); !errors.Is(err, source.ErrReplaced) {
		t.Errorf("folder: got %v, want ErrReplaced", err)
	}
	var e tree.Entry
	if err := d.Describe(t.Context(), find(t, stats, "g"), &e, nil); !errors.Is(err, source.ErrReplaced) {
		t.Errorf("describe: got %v, want ErrReplaced", err)
	}
}

// regions reads the regions of a file and its content, holes as zeros.
func regions(t *testing.T, f source.File) (rs []source.Region, content []byte) {
	t.Helper()
	for {
		r, err := f.Next()
		if err == io.EOF {
			return rs, content
		}
		if err != nil {
			t.Fatal(err)
		}
		rs = append(rs, r)
		if r.Hole {
			content = append(content, make([]byte, r.Length)...)
			continue
		}
		b, err := io.ReadAll(f)
		if err != nil {
			t.Fatal(err)
		}
		content = append(content, b...)
	}
}

func TestRegions(t *testing.T) {
	const page = 64 << 10
	tests := map[string][]int64{ // pages of data, then the size in pages
		"full":   {0, 1, 2, 3},
		"first":  {1, 2, 3},
		"middle": {0, 2, 3},
		"last":   {0, 4},
		"all":    {5},
		"empty":  {0},
	}
	root := t.TempDir()
	for name, pages := range tests {
		f, err := os.Create(root + "/" + name)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range pages[:len(pages)-1] {
			f.WriteAt(bytes.Repeat([]byte{byte(p + 1)}, page), p*page)
		}
		if err := errors.Join(f.Truncate(pages[len(pages)-1]*page), f.Close()); err != nil {
			t.Fatal(err)
		}
	}
	d := openRoot(t, root, Options{})
	stats, _, err := d.List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for name, pages := range tests {
		f, err := d.Open(t.Context(), find(t, stats, name))
		if err != nil {
			t.Fatal(err)
		}
		rs, content := regions(t, f)
		want, err := os.ReadFile(root + "/" + name)
		if err != nil || !bytes.Equal(content, want) {
			t.Errorf("%s: wrong content, %v", name, err)
		}
		size, at := pages[len(pages)-1], int64(0)
		data := pages[:len(pages)-1]
		for _, r := range rs {
			if r.Offset != at || r.Length <= 0 {
				t.Errorf("%s: region %+v at %d", name, r, at)
			}
			for p := r.Offset / page; p < (r.Offset+r.Length)/page; p++ {
				if r.Hole == slices.Contains(data, p) {
					t.Errorf("%s: page %d in region %+v", name, p, r)
				}
			}
			at += r.Length
		}
		if at != size*page {
			t.Errorf("%s: regions end at %d", name, at)
		}
		f.Close()
	}
}

func TestManyShortHolesAreData(t *testing.T) {
	root := t.TempDir()
	f, err := os.Create(root + "/f")
	if err != nil {
		t.Fatal(err)
	}
	const block, pairs = 4096, 5000
	for i := range int64(pairs) {
		f.WriteAt([]byte{1}, i*2*block)
	}
	const size = pairs*2*block + 1<<20
	f.WriteAt([]byte{2}, size-1)
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	d := openRoot(t, root, Options{})
	stats, _, _ := d.List(t.Context())
	file, err := d.Open(t.Context(), &stats[0])
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	rs, content := regions(t, file)
	want, _ := os.ReadFile(root + "/f")
	if !bytes.Equal(content, want) {
		t.Error("wrong content")
	}
	if len(rs) < maxRegions || len(rs) > maxRegions+8 {
		t.Errorf("%d regions", len(rs))
	}
	if last := rs[len(rs)-2]; !last.Hole || last.Length < 900<<10 {
		t.Errorf("the long hole at the end is %+v", last)
	}
}

func TestFileThatChangesWhileItIsRead(t *testing.T) {
	root := build(t, "grows="+strings.Repeat("g", 100), "shrinks="+strings.Repeat("s", 100))
	d := openRoot(t, root, Options{})
	stats, _, _ := d.List(t.Context())
	for name, want := range map[string]int{"grows": 100, "shrinks": 40} {
		st := find(t, stats, name)
		f, err := d.Open(t.Context(), st)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Truncate(root+"/"+name, 40); name == "shrinks" && err != nil {
			t.Fatal(err)
		}
		if name == "grows" {
			if err := os.WriteFile(root+"/"+name, bytes.Repeat([]byte("h"), 200), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if _, content := regions(t, f); len(content) != want {
			t.Errorf("%s: read %d bytes, want %d", name, len(content), want)
		}
		now, err := f.Stat()
		if err != nil || now == *st || now.Name != name {
			t.Errorf("%s: the look after reading shows no change: %+v, %v", name, now, err)
		}
		f.Close()
	}
}

func TestReadAtDoesNotMoveRead(t *testing.T) {
	root := build(t, "f=0123456789")
	d := openRoot(t, root, Options{})
	stats, _, _ := d.List(t.Context())
	f, err := d.Open(t.Context(), &stats[0])
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.Next(); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 4)
	if n, err := f.(io.ReaderAt).ReadAt(b, 3); n != 4 || err != nil || string(b) != "3456" {
		t.Errorf("got %q, %v", b[:n], err)
	}
	if n, err := f.(io.ReaderAt).ReadAt(b, 8); n != 2 || err != io.EOF {
		t.Errorf("at the end: %d, %v", n, err)
	}
	if all, err := io.ReadAll(f); err != nil || string(all) != "0123456789" {
		t.Errorf("got %q, %v", all, err)
	}
}

func TestDescribe(t *testing.T) {
	root := build(t, "f=x", "l->\xfftarget", "d/")
	past := time.Unix(1_000_000_000, 0)
	if err := os.Chtimes(root+"/f", past, past); err != nil {
		t.Fatal(err)
	}
	if err := unix.Setxattr(root+"/f", "user.k", []byte("v\x00\xff"), 0); err != nil {
		t.Skip(err)
	}
	d := openRoot(t, root, Options{WithAtime: true})
	stats, _, _ := d.List(t.Context())
	for _, open := range []bool{false, true} {
		var e tree.Entry
		var f source.File
		st := find(t, stats, "f")
		if open {
			var err error
			if f, err = d.Open(t.Context(), st); err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			io.ReadAll(f)
		}
		if err := d.Describe(t.Context(), st, &e, f); err != nil {
			t.Fatal(err)
		}
		if len(e.Xattrs) != 1 || e.Xattrs[0] != (tree.Xattr{Name: "user.k", Value: "v\x00\xff"}) {
			t.Errorf("xattrs %q", e.Xattrs)
		}
		if e.Access == nil || e.Access.Sec != past.Unix() {
			t.Errorf("access time %v", e.Access)
		}
		if os.Geteuid() == 0 && (e.User != "root" || e.Group == "") {
			t.Errorf("owner %q, %q", e.User, e.Group)
		}
		if e.Name != "" || e.Kind != 0 {
			t.Errorf("the stat was set: %+v", e.Stat)
		}
	}
	var e tree.Entry
	if err := d.Describe(t.Context(), find(t, stats, "l"), &e, nil); err != nil || e.Target != "\xfftarget" {
		t.Errorf("target %q, %v", e.Target, err)
	}
	plain := openRoot(t, root, Options{NoXattrs: true})
	e = tree.Entry{}
	if err := plain.Describe(t.Context(), find(t, stats, "f"), &e, nil); err != nil || e.Xattrs != nil || e.Access != nil {
		t.Errorf("got %q, %v, %v", e.Xattrs, e.Access, err)
	}
}

func TestDescribeReadsFlags(t *testing.T) {
	root := build(t, "f=x", "d/")
	for _, name := range []string{"f", "d"} {
		fd, err := unix.Open(root+"/"+name, unix.O_RDONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		old, err := unix.IoctlGetUint32(fd, unix.FS_IOC_GETFLAGS)
		if err == nil {
			err = unix.IoctlSetPointerInt(fd, unix.FS_IOC_SETFLAGS, int(old|0x40))
		}
		unix.Close(fd)
		if err != nil {
			t.Skip("no inode flags here: ", err)
		}
	}
	d := openRoot(t, root, Options{})
	stats, _, _ := d.List(t.Context())
	for i := range stats {
		var e tree.Entry
		if err := d.Describe(t.Context(), &stats[i], &e, nil); err != nil || e.Flags != 0x40 {
			t.Errorf("%s: flags %#x, %v", stats[i].Name, e.Flags, err)
		}
	}
}

func TestUnreadableEntriesAreProblems(t *testing.T) {
	if os.Geteuid() == 0 {
		// Whoever may search nothing sees names without their stat.
		t.Skip("nothing is unreadable for root")
	}
	root := build(t, "d/f=x")
	if err := os.Chmod(root+"/d", 0o400); err != nil {
		t.Fatal(err)
	}
	defer os.Chmod(root+"/d", 0o700)
	_, problems, err := openRoot(t, root+"/d", Options{}).List(t.Context())
	if err != nil || len(problems) != 1 || problems[0].Stat.Name != "f" || !errors.Is(problems[0].Err, fs.ErrPermission) {
		t.Errorf("got %+v, %v", problems, err)
	}
}

func TestOneFileSystem(t *testing.T) {
	root := build(t, "a/x=", "mnt/hidden=", "n/inner/")
	mount(t, root+"/mnt")
	mount(t, root+"/n/inner")
	for _, p := range []string{"/mnt/y", "/n/inner/z"} {
		if err := os.WriteFile(root+p, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	tests := []struct {
		roots []string
		one   bool
		want  []string
	}{
		{[]string{root}, false, []string{"a", "a/x", "mnt", "mnt/y", "n", "n/inner", "n/inner/z"}},
		{[]string{root}, true, []string{"a", "a/x", "mnt", "n", "n/inner"}},
		{[]string{root, root + "/mnt"}, true, []string{"a", "a/x", "mnt", "mnt/y", "n", "n/inner"}},
	}
	for _, tc := range tests {
		paths, _ := list(t, Options{Roots: tc.roots, OneFileSystem: tc.one})
		if got := beneath(root, paths); !slices.Equal(got, tc.want) {
			t.Errorf("%v, one file system %v: got %q, want %q", tc.roots, tc.one, got, tc.want)
		}
	}
}

func TestReadSpecial(t *testing.T) {
	image := build(t, "image="+strings.Repeat("0123456789abcdef", 64<<10)) + "/image"
	device, detach := looptest.Attach(t, image, true)
	defer detach()
	link := build(t) + "/link"
	if err := os.Symlink(device, link); err != nil {
		t.Fatal(err)
	}
	want, err := os.ReadFile(image)
	if err != nil {
		t.Fatal(err)
	}
	_, content := list(t, Options{Roots: []string{device, link}, ReadSpecial: true})
	for _, p := range []string{device, link} {
		if content[p] != string(want) {
			t.Errorf("%s: read %d bytes", p, len(content[p]))
		}
	}
	paths, content := list(t, Options{Roots: []string{device, link}})
	if len(content) != 0 || !slices.Contains(paths, device) {
		t.Errorf("read %d contents without being asked", len(content))
	}
}

func mount(t *testing.T, dir string) {
	t.Helper()
	if err := unix.Mount("none", dir, "tmpfs", 0, "size=64k"); err != nil {
		t.Skip("cannot mount: ", err)
	}
	t.Cleanup(func() { unix.Unmount(dir, unix.MNT_DETACH) })
}
