package iofs

import (
	"embed"
	"errors"
	"io"
	"io/fs"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/snapkeep/snap/internal/source"
	"github.com/snapkeep/snap/internal/tree"
	"github.com/snapkeep/snap/repo/sourcetest"
)

//go:embed doc.go
var embedded embed.FS

// plain hides that a file system has links.
type plain struct{ fs.FS }

func TestConformance(t *testing.T) {
	for _, links := range []bool{true, false} {
		sourcetest.Test(t, func(t *testing.T, files map[string]sourcetest.File) sourcetest.Built {
			m := fstest.MapFS{}
			for name, f := range files {
				if strings.Contains(name, "\xff") || !links && f.Mode&fs.ModeSymlink != 0 {
					continue
				}
				m[name] = &fstest.MapFile{Data: []byte(f.Content), Mode: f.Mode, ModTime: time.Unix(1_000_000_000, 5)}
			}
			var fsys fs.FS = m
			if !links {
				fsys = plain{m}
			}
			return sourcetest.Built{Source: New(fsys), NoLinks: !links, TextNames: true}
		})
	}
}

func TestLinksThatCannotBeReadAreProblems(t *testing.T) {
	m := fstest.MapFS{"l": {Mode: fs.ModeSymlink, Data: []byte("x")}, "odd": {Mode: fs.ModeIrregular}, "f": {}}
	d, err := New(plain{m}).Root(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	stats, problems, err := d.List(t.Context())
	if err != nil || len(stats) != 1 || stats[0].Name != "f" {
		t.Errorf("got %+v, %v", stats, err)
	}
	if len(problems) != 2 || problems[0].Stat.Name != "l" || problems[1].Stat.Name != "odd" || problems[0].Err == nil {
		t.Errorf("problems %+v", problems)
	}
}

func TestFilesWithoutTimeAreNeverUnchanged(t *testing.T) {
	s := New(embedded)
	var changes []tree.Time
	for range 2 {
		d, err := s.Root(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		stats, _, err := d.List(t.Context())
		if err != nil || len(stats) != 1 || stats[0].ModTime != (tree.Time{}) {
			t.Fatalf("got %+v, %v", stats, err)
		}
		changes = append(changes, stats[0].ChangeTime)
		time.Sleep(time.Microsecond)
	}
	if changes[0].Compare(changes[1]) >= 0 {
		t.Errorf("change times %v", changes)
	}
}

func TestRootMissing(t *testing.T) {
	for _, fsys := range []fs.FS{fstest.MapFS{".": {Mode: 0o600}}, gone{}} {
		if _, err := New(fsys).Root(t.Context()); !errors.Is(err, source.ErrRootMissing) {
			t.Errorf("got %v, want ErrRootMissing", err)
		}
	}
}

// gone has nothing.
type gone struct{}

func (gone) Open(name string) (fs.File, error) {
	return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
}

func TestGrowingFileIsReadToItsFirstSize(t *testing.T) {
	m := fstest.MapFS{"f": {Data: []byte("0123456789")}}
	d, err := New(sized{m, 4}).Root(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	f, err := d.Open(t.Context(), &tree.Stat{Name: "f"})
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if r, err := f.Next(); err != nil || r.Length != 4 {
		t.Errorf("got %+v, %v", r, err)
	}
	if b, err := io.ReadAll(f); err != nil || string(b) != "0123" {
		t.Errorf("got %q, %v", b, err)
	}
}

func TestFileOfUnknownSizeIsReadToItsEnd(t *testing.T) {
	d, err := New(sized{fstest.MapFS{"f": {Data: []byte("0123456789")}}, -7}).Root(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	f, err := d.Open(t.Context(), &tree.Stat{Name: "f"})
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if st, err := f.Stat(); err != nil || st.Size != -1 {
		t.Errorf("stat %+v, %v", st, err)
	}
	if r, err := f.Next(); err != nil || r.Length != -1 {
		t.Errorf("got %+v, %v", r, err)
	}
	if b, err := io.ReadAll(f); err != nil || string(b) != "0123456789" {
		t.Errorf("got %q, %v", b, err)
	}
}

func TestFilesThatMiscountAreErrors(t *testing.T) {
	for _, count := range []int{-1, 2} {
		d, err := New(counting{fstest.MapFS{"f": {Data: []byte("0123456789")}}, count}).Root(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		f, err := d.Open(t.Context(), &tree.Stat{Name: "f"})
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if _, err := f.Next(); err != nil {
			t.Fatal(err)
		}
		if n, err := f.Read(make([]byte, 4)); n != 0 || err == nil {
			t.Errorf("a file that counts %d times: %d bytes, %v", count, n, err)
		}
	}
}

// counting has files that say to have read so many times the bytes of the buffer.
type counting struct {
	fs.FS
	times int
}

func (c counting) Open(name string) (fs.File, error) {
	f, err := c.FS.Open(name)
	return countingFile{f, c.times}, err
}

type countingFile struct {
	fs.File
	times int
}

func (f countingFile) Read(p []byte) (int, error) { return f.times * len(p), nil }

// sized says that files have so many bytes.
type sized struct {
	fs.FS
	bytes int64
}

func (s sized) Open(name string) (fs.File, error) {
	f, err := s.FS.Open(name)
	return sizedFile{f, s.bytes}, err
}

type sizedFile struct {
	fs.File
	bytes int64
}

func (f sizedFile) Stat() (fs.FileInfo, error) {
	info, err := f.File.Stat()
	return sizedInfo{info, f.bytes}, err
}

type sizedInfo struct {
	fs.FileInfo
	bytes int64
}

func (i sizedInfo) Size() int64 { return i.bytes }
