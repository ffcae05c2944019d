package repo

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math/rand/v2"
	"path"
	"slices"
	"sort"
	"strings"
	"testing"
	"time"

	"github.com/snapkeep/snap/internal/keyring"
	"github.com/snapkeep/snap/internal/source"
	"github.com/snapkeep/snap/internal/store/mem"
	"github.com/snapkeep/snap/internal/tree"
)

// files is a source in memory: paths and what stands in them.
type files map[string]string

// version makes change times that tell contents apart.
func (f files) stat(name, full string) tree.Stat {
	if data, ok := f[full]; ok {
		h := int64(0)
		for _, c := range []byte(data) {
			h = h*31 + int64(c)
		}
		at := tree.Time{Sec: 1_000_000 + h&0xffff, Nsec: uint32(h>>16) % 1_000_000_000}
		return tree.Stat{Name: name, Kind: tree.Regular, Mode: 0o644, Links: 1, Inode: 7, Size: int64(len(data)), ModTime: at, ChangeTime: at}
	}
	return tree.Stat{Name: name, Kind: tree.Directory, Mode: 0o755, Links: 1, Inode: 8}
}

// Root implements Source.
func (f files) Root(context.Context) (Dir, error) { return memDir{f, ""}, nil }

type memDir struct {
	files files
	path  string
}

func (d memDir) List(context.Context) ([]tree.Stat, []source.Problem, error) {
	names := map[string]bool{}
	for full := range d.files {
		rest := full
		if d.path != "" {
			var ok bool
			if rest, ok = strings.CutPrefix(full, d.path+"/"); !ok {
				continue
			}
		}
		first, _, _ := strings.Cut(rest, "/")
		names[first] = true
	}
	var out []tree.Stat
	for _, name := range slices.Sorted(maps.Keys(names)) {
		out = append(out, d.files.stat(name, path.Join(d.path, name)))
	}
	return out, nil, nil
}

func (d memDir) OpenDir(_ context.Context, st *tree.Stat) (Dir, error) {
	return memDir{d.files, path.Join(d.path, st.Name)}, nil
}

func (d memDir) Open(_ context.Context, st *tree.Stat) (File, error) {
	data, ok := d.files[path.Join(d.path, st.Name)]
	if !ok {
		return nil, fs.ErrNotExist
	}
	return &memFile{stat: *st, Reader: strings.NewReader(data), size: int64(len(data))}, nil
}

func (d memDir) Describe(context.Context, *tree.Stat, *tree.Entry, File) error { return nil }
func (d memDir) Close() error                                                  { return nil }

type memFile struct {
	stat tree.Stat
	*strings.Reader
	size  int64
	began bool
}

func (f *memFile) Next() (Region, error) {
	if f.began || f.size == 0 {
		return Region{}, io.EOF
	}
	f.began = true
	return Region{Length: f.size}, nil
}
func (f *memFile) Stat() (tree.Stat, error) { return f.stat, nil }
func (f *memFile) Close() error             { return nil }

// randomFiles returns n files, a few in each folder, of up to size random bytes.
func randomFiles(seed uint64, n, size int) files {
	rng := rand.New(rand.NewPCG(seed, 1))
	f := files{}
	for i := range n {
		f[fmt.Sprintf("dir%d/file%03d", i/8, i)] = randomText(rng, 1+rng.IntN(size))
	}
	return f
}

func randomText(rng *rand.Rand, n int) string {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(rng.Uint32())
	}
	return string(b)
}

// newTestRepo makes a repository in store, with a key that opens fast.
func newTestRepo(t testing.TB, store Store, o Options) *Repo {
	t.Helper()
	to, err := keyring.ForPassphrase("correct horse", keyring.PassphraseOptions{Cost: 10, AllowWeak: true})
	if err != nil {
		t.Fatal(err)
	}
	r, err := Create(t.Context(), store, to, CreateOptions{Options: o})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return r
}

// reopen opens a repository that newTestRepo made.
func reopen(t testing.TB, store Store, o Options) *Repo {
	t.Helper()
	r, err := tryOpen(t, store, o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func tryOpen(t testing.TB, store Store, o Options) (*Repo, error) {
	t.Helper()
	credential, err := Passphrase("correct horse")
	if err != nil {
		t.Fatal(err)
	}
	r, err := Open(t.Context(), store, credential, o)
	if err == nil {
		t.Cleanup(func() { r.Close() })
	}
	return r, err
}

// back backs files up as the source named name.
func back(ctx context.Context, r *Repo, name string, f files) (*Snapshot, error) {
	res, err := r.Backup(ctx, BackupOptions{Source: f, SourceName: name, Granularity: 1, AllowEmpty: true})
	if err != nil {
		return nil, err
	}
	return res.Snapshot, nil
}

func mustBack(t testing.TB, r *Repo, name string, f files) *Snapshot {
	t.Helper()
	s, err := back(t.Context(), r, name, f)
	if err != nil {
		t.Fatalf("backup: %v", err)
	}
	return s
}

// restored reads all files of a snapshot.
func restored(ctx context.Context, r *Repo, s *Snapshot) (files, error) {
	out := files{}
	err := r.Walk(ctx, s, "", func(dir string, entries []Entry) error {
		for i := range entries {
			if entries[i].Kind != tree.Regular {
				continue
			}
			file, err := r.OpenEntry(ctx, &entries[i])
			if err != nil {
				return err
			}
			var data bytes.Buffer
			if _, err := file.WriteTo(&data); err != nil {
				return err
			}
			out[tree.Join(dir, entries[i].Name)] = data.String()
		}
		return nil
	})
	return out, err
}

func mustRestore(t testing.TB, r *Repo, s *Snapshot, want files) {
	t.Helper()
	got, err := restored(t.Context(), r, s)
	if err != nil {
		t.Errorf("restore of %s: %v", short(s.ID), err)
	} else if !maps.Equal(got, want) {
		t.Errorf("restore of %s gives %d files that differ from the %d that were backed up", short(s.ID), len(got), len(want))
	}
}

// mustCheck reads all data and expects no damage.
func mustCheck(t testing.TB, r *Repo) *CheckResult {
	t.Helper()
	res, err := r.Check(t.Context(), CheckOptions{ReadData: true})
	if err != nil {
		t.Fatalf("check: %v%s", err, describe(res))
	}
	return res
}

func describe(res *CheckResult) string {
	if res == nil {
		return ""
	}
	var b strings.Builder
	for _, d := range res.Damage {
		fmt.Fprintf(&b, "\n\t%s: %v", d.Name, d.Err)
	}
	for _, a := range res.Affected {
		fmt.Fprintf(&b, "\n\tsnapshot %s: %q and %d more, tree: %v", short(a.Snapshot.ID), a.Files, a.More, a.Tree)
	}
	return b.String()
}

// names returns the files of a store whose names begin with prefix.
func names(t testing.TB, s Store, prefix string) []string {
	t.Helper()
	var out []string
	for name := range listing(t, s) {
		if strings.HasPrefix(name, prefix) {
			out = append(out, name)
		}
	}
	sort.Strings(out)
	return out
}

func TestMemSourceRoundTrip(t *testing.T) {
	r := newTestRepo(t, mem.New(nil), Options{})
	f := randomFiles(1, 40, 20_000)
	f["large"] = randomText(rand.New(rand.NewPCG(1, 2)), 3<<20)
	s := mustBack(t, r, "a", f)
	mustRestore(t, r, s, f)
	res := mustCheck(t, r)
	if !res.DataOpened || res.PacksRead == 0 || res.Snapshots != 1 {
		t.Errorf("check: %+v", res)
	}
	if _, err := Scrub(t.Context(), r.store, ScrubOptions{}); err != nil {
		t.Errorf("scrub: %v", err)
	}
	if _, err := r.Check(t.Context(), CheckOptions{Subset: "2/1"}); err == nil || errors.Is(err, ErrDamagedFound) {
		t.Errorf("subset 2/1: %v", err)
	}
}

func listing(t testing.TB, s Store) map[string]int64 {
	t.Helper()
	out := map[string]int64{}
	err := s.List(t.Context(), "", func(name string, size int64, _ time.Time) error {
		out[name] = size
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}
