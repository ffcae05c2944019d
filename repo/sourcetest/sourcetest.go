package sourcetest

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/snapkeep/snap/internal/source"
	"github.com/snapkeep/snap/internal/tree"
)

// File is a file that a source shall show: a regular file, a folder if Mode has
// fs.ModeDir, a symbolic link if it has fs.ModeSymlink.
type File struct {
	Mode    fs.FileMode
	Content string // of a regular file, or the target of a link
}

// Built is a source that shows files.
type Built struct {
	Source source.Source

	// Top is the path in the source's tree of the folder that holds the files, empty
	// for the top itself.
	Top string

	// NoLinks says that the source has no symbolic links; they need not be built.
	NoLinks bool

	// TextNames says that the source has only names in UTF-8; others need not be
	// built.
	TextNames bool

	// NoModes says that the source knows no permissions of files.
	NoModes bool
}

// Tree returns the files of the test, by path.
func Tree() map[string]File {
	files := map[string]File{
		"empty":           {Mode: 0o644},
		"small":           {Mode: 0o600, Content: "some bytes"},
		"large":           {Mode: 0o640, Content: strings.Repeat("0123456789abcdef", 20_000)},
		"zeros":           {Mode: 0o644, Content: string(make([]byte, 300_000))},
		"dir":             {Mode: fs.ModeDir | 0o755},
		"dir/file":        {Mode: 0o444, Content: "in a folder"},
		"dir/sub":         {Mode: fs.ModeDir | 0o700},
		"dir/sub/file":    {Mode: 0o600, Content: "deeper"},
		"dir-":            {Mode: 0o600, Content: "after dir, before what is in it as a string"},
		"nothing":         {Mode: fs.ModeDir | 0o755},
		"link":            {Mode: fs.ModeSymlink | 0o777, Content: "small"},
		"dirlink":         {Mode: fs.ModeSymlink | 0o777, Content: "dir"},
		"dangling":        {Mode: fs.ModeSymlink | 0o777, Content: "no/where"},
		" space ":         {Mode: 0o600, Content: "space"},
		"line\nbreak":     {Mode: 0o600, Content: "line break"},
		"\u00fcmlaut":     {Mode: 0o600, Content: "umlaut"},
		"not\xff text":    {Mode: 0o600, Content: "no UTF-8"},
		"many":            {Mode: fs.ModeDir | 0o755},
		"many/longername": {Mode: 0o600, Content: "x"},
	}
	for c := 'a'; c <= 'z'; c++ {
		for d := 'a'; d <= 'j'; d++ {
			files["many/"+string(c)+"-common-beginning-"+string(d)] = File{Mode: 0o600, Content: string(c)}
		}
	}
	return files
}

// Test runs all tests on sources that build makes.
func Test(t *testing.T, build func(t *testing.T, files map[string]File) Built) {
	run := func(name string, test func(s *suite)) {
		t.Run(name, func(t *testing.T) {
			s := &suite{T: t, files: Tree()}
			s.built = build(t, Tree())
			for name, f := range s.files {
				if s.built.NoLinks && f.Mode&fs.ModeSymlink != 0 || s.built.TextNames && strings.Contains(name, "\xff") {
					delete(s.files, name)
				}
			}
			test(s)
		})
	}
	run("tree", (*suite).testTree)
	run("regions", (*suite).testRegions)
	run("skipped regions", (*suite).testSkippedRegions)
	run("listed again", (*suite).testListedAgain)
	run("what is not there", (*suite).testMissing)
	run("closed parents", (*suite).testClosedParents)
	run("describe", (*suite).testDescribe)
	run("concurrent", (*suite).testConcurrent)
}

type suite struct {
	*testing.T
	built Built
	files map[string]File
}

// top opens the folder of the files.
func (s *suite) top() source.Dir {
	s.Helper()
	d, err := s.built.Source.Root(s.Context())
	if err != nil {
		s.Fatal(err)
	}
	for name := range strings.SplitSeq(strings.Trim(s.built.Top, "/"), "/") {
		if name == "" {
			continue
		}
		stats := s.list(d)
		sub, err := d.OpenDir(s.Context(), s.find(stats, name))
		if err != nil {
			s.Fatal(err)
		}
		d.Close()
		d = sub
	}
	return d
}

func (s *suite) list(d source.Dir) []tree.Stat {
	s.Helper()
	stats, problems, err := d.List(s.Context())
	if err != nil || len(problems) > 0 {
		s.Fatalf("list: %v, problems %v", err, problems)
	}
	for i := 1; i < len(stats); i++ {
		if stats[i-1].Name >= stats[i].Name {
			s.Errorf("%q before %q", stats[i-1].Name, stats[i].Name)
		}
	}
	for i := range stats {
		if name := stats[i].Name; !tree.ValidName(name) {
			s.Fatalf("%q cannot be the name of an entry", name)
		}
	}
	return stats
}

func (s *suite) find(stats []tree.Stat, name string) *tree.Stat {
	s.Helper()
	for i := range stats {
		if stats[i].Name == name {
			return &stats[i]
		}
	}
	s.Fatalf("%q is not listed", name)
	return nil
}

// read reads a file with a buffer of an odd size.
func (s *suite) read(f source.File) []byte {
	s.Helper()
	var content []byte
	buf := make([]byte, 1021)
	for {
		r, err := f.Next()
		if err == io.EOF {
			if _, err := f.Next(); err != io.EOF {
				s.Errorf("Next after the end: %v", err)
			}
			return content
		}
		if err != nil {
			s.Fatal(err)
		}
		if r.Offset != int64(len(content)) || r.Length == 0 || r.Length < -1 || r.Hole && r.Length < 0 {
			s.Fatalf("region %+v at %d", r, len(content))
		}
		if r.Hole {
			content = append(content, make([]byte, r.Length)...)
			continue
		}
		for err == nil {
			var n int
			n, err = f.Read(buf)
			content = append(content, buf[:n]...)
		}
		if err != io.EOF {
			s.Fatal(err)
		}
		if end := r.Offset + r.Length; r.Length >= 0 && int64(len(content)) != end {
			s.Fatalf("region %+v ended at %d", r, len(content))
		}
	}
}

func kindOf(f File) tree.Kind {
	switch f.Mode.Type() {
	case fs.ModeDir:
		return tree.Directory
	case fs.ModeSymlink:
		return tree.Symlink
	}
	return tree.Regular
}

func (s *suite) testTree() {
	seen := map[string]bool{}
	var visit func(d source.Dir, at string)
	visit = func(d source.Dir, at string) {
		defer d.Close()
		stats := s.list(d)
		for i := range stats {
			st := &stats[i]
			p := path.Join(at, st.Name)
			want, ok := s.files[p]
			if !ok {
				s.Errorf("%q should not be there", p)
				continue
			}
			if seen[p] = true; st.Kind != kindOf(want) {
				s.Errorf("%q is of kind %d, want %d", p, st.Kind, kindOf(want))
				continue
			}
			if st.ModTime.Nsec >= 1e9 || st.ChangeTime.Nsec >= 1e9 || st.Mode > 0o7777 {
				s.Errorf("%q: impossible stat %+v", p, st)
			}
			if perm := uint16(want.Mode.Perm()); !s.built.NoModes && st.Kind != tree.Symlink && st.Mode != perm {
				s.Errorf("%q has mode %#o, want %#o", p, st.Mode, perm)
			}
			switch st.Kind {
			case tree.Directory:
				sub, err := d.OpenDir(s.Context(), st)
				if err != nil {
					s.Fatal(err)
				}
				visit(sub, p)
			case tree.Regular:
				s.checkFile(d, st, p, want)
			}
		}
	}
	visit(s.top(), "")
	for p := range s.files {
		if !seen[p] {
			s.Errorf("%q is missing", p)
		}
	}
}

// checkFile reads a file and looks at it before and after.
func (s *suite) checkFile(d source.Dir, st *tree.Stat, p string, want File) {
	s.Helper()
	if st.Size >= 0 && st.Size != int64(len(want.Content)) {
		s.Errorf("%q has size %d, want %d", p, st.Size, len(want.Content))
	}
	f, err := d.Open(s.Context(), st)
	if err != nil {
		s.Errorf("%q: %v", p, err)
		return
	}
	before, err := f.Stat()
	if err != nil || before != *st {
		s.Errorf("%q: opened it is %+v, %v, listed %+v", p, before, err, *st)
	}
	if got := s.read(f); string(got) != want.Content {
		s.Errorf("%q: read %d bytes that differ from %d", p, len(got), len(want.Content))
	}
	if after, err := f.Stat(); err != nil || after != before {
		s.Errorf("%q: after reading it is %+v, %v, before %+v", p, after, err, before)
	}
	if err := f.Close(); err != nil {
		s.Errorf("close %q: %v", p, err)
	}
}

func (s *suite) testRegions() {
	d := s.top()
	defer d.Close()
	f, err := d.Open(s.Context(), s.find(s.list(d), "large"))
	if err != nil {
		s.Fatal(err)
	}
	defer f.Close()
	var all bytes.Buffer
	for {
		r, err := f.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			s.Fatal(err)
		}
		if r.Hole {
			s.Fatalf("a hole at %d in a file without zeros", r.Offset)
		}
		if _, err := io.Copy(&all, f); err != nil {
			s.Fatal(err)
		}
		if n, err := f.Read(make([]byte, 10)); n != 0 || err != io.EOF {
			s.Errorf("behind a region: %d bytes, %v", n, err)
		}
	}
	if all.String() != s.files["large"].Content {
		s.Error("wrong content")
	}
}

func (s *suite) testSkippedRegions() {
	d := s.top()
	defer d.Close()
	for _, name := range []string{"large", "zeros", "empty"} {
		f, err := d.Open(s.Context(), s.find(s.list(d), name))
		if err != nil {
			s.Fatal(err)
		}
		for count := 0; ; count++ {
			_, err := f.Next()
			if err == io.EOF {
				break
			}
			if err != nil || count > 1000 {
				s.Fatalf("%s: region %d: %v", name, count, err)
			}
		}
		f.Close()
	}
}

func (s *suite) testListedAgain() {
	d := s.top()
	defer d.Close()
	first := s.list(d)
	want := slices.Clone(first)
	clear(first) // the slice is the caller's
	if second := s.list(d); !slices.Equal(want, second) {
		s.Errorf("got %+v, want %+v", second, want)
	}
}

func (s *suite) testMissing() {
	d := s.top()
	defer d.Close()
	stats := s.list(d)
	none := *s.find(stats, "small")
	none.Name = "no such file"
	if f, err := d.Open(s.Context(), &none); !errors.Is(err, fs.ErrNotExist) {
		s.Errorf("open: got %v, %v, want ErrNotExist", f, err)
	}
	if sub, err := d.OpenDir(s.Context(), &none); err == nil {
		s.Errorf("a folder that is not there: %v", sub)
	}
	if sub, err := d.OpenDir(s.Context(), s.find(stats, "small")); err == nil {
		s.Errorf("a file opened as folder: %v", sub)
	}
	folder := *s.find(stats, "dir")
	if f, err := d.Open(s.Context(), &folder); err == nil {
		s.Errorf("a folder opened as file: %v", f)
	}
	if s.built.NoLinks {
		return
	}
	link := *s.find(stats, "link")
	if f, err := d.Open(s.Context(), &link); err == nil {
		s.Errorf("a link was followed: %v", f)
	}
	link = *s.find(stats, "dirlink")
	if sub, err := d.OpenDir(s.Context(), &link); err == nil {
		s.Errorf("a link to a folder was followed: %v", sub)
	}
}

func (s *suite) testClosedParents() {
	d := s.top()
	stats := s.list(d)
	f, err := d.Open(s.Context(), s.find(stats, "small"))
	if err != nil {
		s.Fatal(err)
	}
	defer f.Close()
	sub, err := d.OpenDir(s.Context(), s.find(stats, "dir"))
	if err != nil {
		s.Fatal(err)
	}
	defer sub.Close()
	if err := d.Close(); err != nil {
		s.Fatal(err)
	}
	if got := s.read(f); string(got) != s.files["small"].Content {
		s.Errorf("got %q", got)
	}
	s.checkFile(sub, s.find(s.list(sub), "file"), "dir/file", s.files["dir/file"])
}

func (s *suite) testDescribe() {
	d := s.top()
	defer d.Close()
	stats := s.list(d)
	for i := range stats {
		st := stats[i]
		e := tree.Entry{Stat: tree.Stat{Name: "own"}, Marks: tree.MarkUnproven, Problem: "own", Parts: []tree.Part{{Length: 1}}}
		if err := d.Describe(s.Context(), &st, &e, nil); err != nil {
			s.Errorf("%q: %v", st.Name, err)
		}
		if st != stats[i] || e.Name != "own" || e.Kind != 0 || e.Marks != tree.MarkUnproven || e.Problem != "own" || len(e.Parts) != 1 {
			s.Errorf("%q: other fields were changed: %+v", st.Name, e)
		}
		if !slices.IsSortedFunc(e.Xattrs, func(a, b tree.Xattr) int { return strings.Compare(a.Name, b.Name) }) {
			s.Errorf("%q: attributes out of order", st.Name)
		}
		want := ""
		if st.Kind == tree.Symlink {
			want = s.files[st.Name].Content
		}
		if e.Target != want {
			s.Errorf("%q: target %q, want %q", st.Name, e.Target, want)
		}
	}
}

func (s *suite) testConcurrent() {
	d := s.top()
	defer d.Close()
	stats := s.list(d)
	names := slices.Sorted(maps.Keys(s.files))
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for _, name := range names[i:] {
				j := slices.IndexFunc(stats, func(st tree.Stat) bool { return st.Name == name })
				if j < 0 || stats[j].Kind != tree.Regular {
					continue
				}
				st := stats[j]
				s.checkFile(d, &st, name, s.files[name])
				if err := d.Describe(s.Context(), &st, &tree.Entry{}, nil); err != nil {
					s.Error(err)
				}
			}
			if _, _, err := d.List(s.Context()); err != nil {
				s.Error(err)
			}
		})
	}
	wg.Wait()
}
