package simulation

import (
	"bytes"
	"context"
	"io"
	"io/fs"
	"maps"
	"math/rand/v2"
	"path"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/snapkeep/snap/internal/source"
	"github.com/snapkeep/snap/internal/store"
	"github.com/snapkeep/snap/internal/tree"
	"github.com/snapkeep/snap/repo"
)

// files is a source in memory: paths and what stands in them.
type files map[string]*blob

// blob is what stands in a file. Each has another number.
type blob struct {
	number int64
	data   string
}

// Root implements repo.Source.
func (f files) Root(context.Context) (repo.Dir, error) { return memDir{f, ""}, nil }

type memDir struct {
	files files
	path  string
}

func (d memDir) List(context.Context) ([]tree.Stat, []source.Problem, error) {
	names := map[string]bool{}
	for full := range d.files {
		if rest, ok := strings.CutPrefix("/"+full, path.Join("/", d.path)); ok {
			first, _, _ := strings.Cut(strings.TrimPrefix(rest, "/"), "/")
			names[first] = true
		}
	}
	var out []tree.Stat
	for _, name := range slices.Sorted(maps.Keys(names)) {
		st := tree.Stat{Name: name, Kind: tree.Directory, Mode: 0o755, Links: 1, Inode: 8}
		if b := d.files[path.Join(d.path, name)]; b != nil {
			at := tree.Time{Sec: 1000 + b.number}
			st = tree.Stat{Name: name, Kind: tree.Regular, Mode: 0o644, Links: 1, Inode: 7, Size: int64(len(b.data)), ModTime: at, ChangeTime: at}
		}
		out = append(out, st)
	}
	return out, nil, nil
}

func (d memDir) OpenDir(_ context.Context, st *tree.Stat) (repo.Dir, error) {
	return memDir{d.files, path.Join(d.path, st.Name)}, nil
}

func (d memDir) Open(_ context.Context, st *tree.Stat) (repo.File, error) {
	b := d.files[path.Join(d.path, st.Name)]
	if b == nil {
		return nil, fs.ErrNotExist
	}
	return &memFile{stat: *st, Reader: strings.NewReader(b.data)}, nil
}

func (d memDir) Describe(context.Context, *tree.Stat, *tree.Entry, repo.File) error { return nil }
func (d memDir) Close() error                                                       { return nil }

type memFile struct {
	stat tree.Stat
	*strings.Reader
	began bool
}

func (f *memFile) Next() (repo.Region, error) {
	if f.began || f.stat.Size == 0 {
		return repo.Region{}, io.EOF
	}
	f.began = true
	return repo.Region{Length: f.stat.Size}, nil
}
func (f *memFile) Stat() (tree.Stat, error) { return f.stat, nil }
func (f *memFile) Close() error             { return nil }

func randomText(rng *rand.Rand, n int) string {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(rng.Uint32())
	}
	return string(b)
}

// back backs files up as the source named name.
func back(ctx context.Context, r *repo.Repo, name string, f files) (*repo.Snapshot, error) {
	res, err := r.Backup(ctx, repo.BackupOptions{Source: f, SourceName: name, Granularity: 1, AllowEmpty: true})
	if err != nil {
		return nil, err
	}
	return res.Snapshot, nil
}

// mustRestore compares the files of a snapshot with what was backed up.
func mustRestore(t *testing.T, r *repo.Repo, s *repo.Snapshot, want files) {
	t.Helper()
	seen := 0
	err := r.Walk(t.Context(), s, "", func(dir string, entries []repo.Entry) error {
		for i := range entries {
			if entries[i].Kind != tree.Regular {
				continue
			}
			seen++
			file, err := r.OpenEntry(t.Context(), &entries[i])
			if err != nil {
				return err
			}
			var data bytes.Buffer
			if _, err := file.WriteTo(&data); err != nil {
				return err
			}
			if b := want[tree.Join(dir, entries[i].Name)]; b == nil || b.data != data.String() {
				t.Errorf("snapshot %s: %s is not what was backed up", s.ID, tree.Join(dir, entries[i].Name))
			}
		}
		return nil
	})
	if err != nil || seen != len(want) {
		t.Errorf("restore of %s: %d of %d files, %v", s.ID, seen, len(want), err)
	}
}

// names returns the files of a store whose names begin with prefix.
func names(t *testing.T, s repo.Store, prefix string) (out []string) {
	t.Helper()
	err := s.List(t.Context(), prefix, func(name string, _ int64, _ time.Time) error {
		out = append(out, name)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// copyAll copies the files of one store to another.
func copyAll(t *testing.T, to, from store.Store) {
	t.Helper()
	for _, name := range names(t, from, "") {
		size, _, err := from.Stat(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		data := make([]byte, size)
		if n, err := from.ReadAt(t.Context(), name, data, 0); n != len(data) {
			t.Fatal(err)
		}
		if err := to.Create(t.Context(), name, bytes.NewReader(data), size); err != nil {
			t.Fatal(err)
		}
	}
}

// describe tells what a check found.
func describe(res *repo.CheckResult) string {
	if res == nil {
		return ""
	}
	var b strings.Builder
	for _, d := range res.Damage {
		b.WriteString("\n\t" + d.Name + ": " + d.Err.Error())
	}
	for _, a := range res.Affected {
		b.WriteString("\n\tsnapshot " + a.Snapshot.ID.String() + " lacks " + strings.Join(a.Files, ", "))
		if a.Tree != nil {
			b.WriteString(" and a part of its tree: " + a.Tree.Error())
		}
	}
	return b.String()
}

type nopCloser struct{ io.Writer }

func (nopCloser) Close() error { return nil }
