package backup_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/snapkeep/snap/chunker"
	"github.com/snapkeep/snap/index"
	"github.com/snapkeep/snap/internal/backup"
	"github.com/snapkeep/snap/internal/chunks"
	"github.com/snapkeep/snap/internal/seal"
	"github.com/snapkeep/snap/internal/source"
	"github.com/snapkeep/snap/internal/source/local"
	"github.com/snapkeep/snap/internal/store/faulty"
	"github.com/snapkeep/snap/internal/store/mem"
	"github.com/snapkeep/snap/internal/tree"
	"github.com/snapkeep/snap/pack"
)

// bench is a repository in memory, just enough for the engine.
type bench struct {
	store           chunks.Store
	set             *index.Set
	keys            chunks.Keys
	loader          *chunks.Loader
	files, database *chunker.Cutter
	corrupt         func(box []byte)
	now             func() time.Time
}

func newBench(t testing.TB, store chunks.Store) *bench {
	t.Helper()
	repo := [16]byte{9}
	content := seal.NewKey(&[32]byte{2}, repo, nil)
	b := &bench{store: store, set: index.NewSet(), keys: chunks.Keys{Repository: repo, ChunkIDs: pack.IDKey{3}, Metadata: seal.NewKey(&[32]byte{4}, repo, nil),
		Content:    func(context.Context, seal.KeyID) (*seal.Key, error) { return content, nil },
		NewContent: func(context.Context) (*seal.Key, error) { return content, nil }}}
	b.loader = chunks.NewLoader(store, b.set, b.keys, 16<<20)
	poly, err := chunker.RandomPolynomial(rand.NewChaCha8([32]byte{5}))
	if err != nil {
		t.Fatal(err)
	}
	if b.files, err = chunker.New(chunker.Files(poly)); err != nil {
		t.Fatal(err)
	}
	if b.database, err = chunker.New(chunker.Database(poly)); err != nil {
		t.Fatal(err)
	}
	return b
}

// back backs a source up, with the tree of an earlier run as its parent.
func (b *bench) back(ctx context.Context, src source.Source, parent pack.ChunkID, change func(*backup.Options)) (*backup.Result, error) {
	w, err := chunks.NewWriter(ctx, b.store, b.set, b.keys, chunks.Options{Corrupt: b.corrupt, Now: b.now, Replaces: !parent.IsZero()})
	if err != nil {
		return nil, err
	}
	o := backup.Options{Source: src, Writer: w, Load: b.loader.Load, Parent: parent, Files: b.files, Database: b.database, Start: time.Now(), Granularity: time.Nanosecond}
	if change != nil {
		change(&o)
	}
	res, err := backup.Run(ctx, o)
	if err != nil {
		w.Abandon(context.WithoutCancel(ctx))
		return nil, err
	}
	_, err = w.Finish(ctx)
	return res, err
}

func localSource(t testing.TB, dir string) source.Source {
	t.Helper()
	src, err := local.New(local.Options{Roots: []string{dir}})
	if err != nil {
		t.Fatal(err)
	}
	return src
}

// contents reads all regular files below dir of a tree back.
func (b *bench) contents(t testing.TB, root pack.ChunkID, dir string) map[string]string {
	t.Helper()
	dir = strings.TrimPrefix(dir, "/")
	out := map[string]string{}
	err := tree.Walk(t.Context(), b.loader.Load, root, dir, func(run *tree.Run, entries []tree.Entry) error {
		for i := range entries {
			x := &entries[i]
			if x.Kind != tree.Regular {
				continue
			}
			data, err := b.content(t.Context(), x)
			if err != nil {
				return fmt.Errorf("%s: %w", x.Name, err)
			}
			out[strings.TrimPrefix(tree.Join(run.Path, x.Name), dir+"/")] = data
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func (b *bench) content(ctx context.Context, x *tree.Entry) (string, error) {
	parts, err := tree.Parts(ctx, b.loader.Load, x)
	if err != nil {
		return "", err
	}
	var all bytes.Buffer
	for _, p := range parts {
		if p.ID.IsZero() {
			all.Write(make([]byte, p.Length))
			continue
		}
		data, err := b.loader.Load(ctx, pack.KindData, p.ID)
		if err != nil {
			return "", err
		}
		all.Write(data)
	}
	if int64(all.Len()) != x.Size {
		return "", fmt.Errorf("%d bytes, want %d", all.Len(), x.Size)
	}
	return all.String(), nil
}

func onDisk(t testing.TB, dir string) map[string]string {
	t.Helper()
	out := map[string]string{}
	err := filepath.Walk(dir, func(path string, info os.FileInfo, err error) error {
		if err != nil || !info.Mode().IsRegular() {
			return err
		}
		data, err := os.ReadFile(path)
		out[strings.TrimPrefix(path, dir+"/")] = string(data)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func compare(t testing.TB, got, want map[string]string) {
	t.Helper()
	for name, data := range want {
		if g, ok := got[name]; !ok || g != data {
			t.Fatalf("%s: %d bytes, want %d (there: %v)", name, len(g), len(data), ok)
		}
	}
	if len(got) != len(want) {
		t.Fatalf("%d files, want %d", len(got), len(want))
	}
}

func randomBytes(r *rand.Rand, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

// makeTree writes a tree of small and large, sparse and database-like files.
func makeTree(t testing.TB, r *rand.Rand, dir string, files int) {
	t.Helper()
	for i := range files {
		size := r.IntN(5000)
		switch i % 40 {
		case 1:
			size = 600<<10 + r.IntN(3<<20)
		case 2:
			size = 0
		}
		name := filepath.Join(dir, fmt.Sprintf("d%d", r.IntN(8)), fmt.Sprintf("e%d", r.IntN(5)), fmt.Sprintf("f%d.%s", i, []string{"txt", "go", "db"}[r.IntN(3)]))
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, randomBytes(r, size), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	f, err := os.Create(filepath.Join(dir, "sparse"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	f.WriteAt(randomBytes(r, 100_000), 3<<20)
	f.WriteAt(randomBytes(r, 700_000), 9<<20)
	f.Truncate(12 << 20)
	if files < 100 {
		return
	}
	big, err := os.Create(filepath.Join(dir, "big.sqlite"))
	if err != nil {
		t.Fatal(err)
	}
	defer big.Close()
	for range 14 {
		big.Write(randomBytes(r, 3<<20)) // over 1,024 chunks of the database class: listed
	}
}

func TestBackupHoldsEveryByte(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	dir := t.TempDir()
	makeTree(t, r, dir, 300)
	b := newBench(t, mem.New(nil))
	root := pack.ChunkID{}
	for range 3 {
		res, err := b.back(t.Context(), localSource(t, dir), root, nil)
		if err != nil {
			t.Fatal(err)
		}
		root = res.Root
		compare(t, b.contents(t, root, dir), onDisk(t, dir))
		makeTree(t, r, dir, 20) // small: the large file stays as it is
	}
}

// TestEditsWithTheTimeSetBackAreFound edits files in place, without changing their size,
// and sets their modification time back.
func TestEditsWithTheTimeSetBackAreFound(t *testing.T) {
	r := rand.New(rand.NewPCG(2, 2))
	dir := t.TempDir()
	for i := range 200 {
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprint(i)), randomBytes(r, 1+r.IntN(100)), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	b := newBench(t, mem.New(nil))
	root := pack.ChunkID{}
	rounds := 10
	if os.Getenv("SNAP_LONG_TESTS") != "" {
		rounds = 100
	}
	for range rounds {
		// With the default granularity, as edits here come within the clock's tick.
		res, err := b.back(t.Context(), localSource(t, dir), root, func(o *backup.Options) { o.Granularity = 0 })
		if err != nil {
			t.Fatal(err)
		}
		root = res.Root
		compare(t, b.contents(t, root, dir), onDisk(t, dir))
		for range 100 {
			path := filepath.Join(dir, fmt.Sprint(r.IntN(200)))
			info, err := os.Stat(path)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, randomBytes(r, int(info.Size())), 0o644); err != nil {
				t.Fatal(err)
			}
			if err := os.Chtimes(path, info.ModTime(), info.ModTime()); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// TestFilesReadAgainForTheirTimeAreUnchanged saves files that changed just before: they are read again the next time, and called
// changed only if they are.
func TestFilesReadAgainForTheirTimeAreUnchanged(t *testing.T) {
	dir := t.TempDir()
	for i := range 20 {
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprint(i)), bytes.Repeat([]byte{byte(i)}, 10_000), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	b := newBench(t, mem.New(nil))
	var seen map[backup.Action]int
	save := func(root pack.ChunkID) *backup.Result {
		seen = map[backup.Action]int{}
		res, err := b.back(t.Context(), localSource(t, dir), root, func(o *backup.Options) {
			o.Granularity = time.Hour
			o.Item = func(i backup.Item) {
				if i.Kind == tree.Regular {
					seen[i.Action]++
				}
			}
		})
		if err != nil {
			t.Fatal(err)
		}
		return res
	}
	first := save(pack.ChunkID{})
	second := save(first.Root)
	if seen[backup.ActionReread] != 20 || second.Summary.FilesChanged != 0 || second.Summary.FilesUnmodified != 20 {
		t.Errorf("nothing changed: %v, %+v", seen, second.Summary)
	}
	if err := os.WriteFile(filepath.Join(dir, "7"), bytes.Repeat([]byte{70}, 10_000), 0o644); err != nil {
		t.Fatal(err)
	}
	third := save(second.Root)
	if seen[backup.ActionReread] != 19 || seen[backup.ActionModified] != 1 || third.Summary.FilesChanged != 1 {
		t.Errorf("one file changed: %v, %+v", seen, third.Summary)
	}
	compare(t, b.contents(t, third.Root, dir), onDisk(t, dir))
}

// TestFilesThatChangeWhileRead has a writer at work on the files during the backup: each
// is a consistent read or marked.
func TestFilesThatChangeWhileRead(t *testing.T) {
	dir := t.TempDir()
	const files, size = 40, 700 << 10
	write := func(i int, fill byte) {
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprint(i)), bytes.Repeat([]byte{fill}, size), 0o644); err != nil {
			t.Error(err)
		}
	}
	for i := range files {
		write(i, 'a')
	}
	stop := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for n := 0; ; n++ {
			select {
			case <-stop:
				return
			default:
				write(n%files, byte('b'+n%20))
			}
		}
	})
	b := newBench(t, mem.New(nil))
	var problems sync.Map
	res, err := b.back(t.Context(), localSource(t, dir), pack.ChunkID{}, func(o *backup.Options) {
		o.Problem = func(p backup.Problem) { problems.Store(p.Path, p) }
	})
	close(stop)
	wg.Wait()
	if err != nil {
		t.Fatal(err)
	}
	err = tree.Walk(t.Context(), b.loader.Load, res.Root, strings.TrimPrefix(dir, "/"), func(run *tree.Run, entries []tree.Entry) error {
		for i := range entries {
			data, err := b.content(t.Context(), &entries[i])
			if err != nil {
				return err
			}
			// A file cut short is a state that the writer's file was in.
			uniform := data == "" || strings.Count(data, data[:1]) == len(data)
			if !uniform && entries[i].Marks&tree.MarkChanged == 0 {
				t.Errorf("%s is torn and not marked", entries[i].Name)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestUnreadableFileIsNamedAndTheRestKept(t *testing.T) {
	dir := t.TempDir()
	for _, n := range []string{"a", "b", "c"} {
		os.WriteFile(filepath.Join(dir, n), []byte(n), 0o644)
	}
	b := newBench(t, mem.New(nil))
	src := failing{localSource(t, dir), "b"}
	var named []string
	var mu sync.Mutex
	res, err := b.back(t.Context(), src, pack.ChunkID{}, func(o *backup.Options) {
		o.Problem = func(p backup.Problem) { mu.Lock(); named = append(named, filepath.Base(p.Path)); mu.Unlock() }
	})
	if err != nil {
		t.Fatal(err)
	}
	if res.Summary.Unreadable != 1 || len(named) != 1 || named[0] != "b" {
		t.Errorf("unreadable %d, named %q", res.Summary.Unreadable, named)
	}
	x, err := tree.Lookup(t.Context(), b.loader.Load, res.Root, strings.TrimPrefix(filepath.Join(dir, "b"), "/"))
	if err != nil || x.Marks&tree.MarkUnreadable == 0 || x.Problem == "" {
		t.Errorf("entry of the unreadable file: %+v, %v", x, err)
	}
	// When it can be read again, the next run has it.
	res, err = b.back(t.Context(), src.Source, res.Root, nil)
	if err != nil {
		t.Fatal(err)
	}
	compare(t, b.contents(t, res.Root, dir), onDisk(t, dir))
}

// failing is a source in which opening the file of one name fails.
type failing struct {
	source.Source
	name string
}

func (f failing) Root(ctx context.Context) (source.Dir, error) {
	d, err := f.Source.Root(ctx)
	return failingDir{d, f.name}, err
}

type failingDir struct {
	source.Dir
	name string
}

func (d failingDir) OpenDir(ctx context.Context, st *tree.Stat) (source.Dir, error) {
	child, err := d.Dir.OpenDir(ctx, st)
	if err != nil {
		return nil, err
	}
	return failingDir{child, d.name}, nil
}

func (d failingDir) Open(ctx context.Context, st *tree.Stat) (source.File, error) {
	if st.Name == d.name {
		return nil, &os.PathError{Op: "open", Path: st.Name, Err: os.ErrPermission}
	}
	return d.Dir.Open(ctx, st)
}

func (d failingDir) Describe(ctx context.Context, st *tree.Stat, e *tree.Entry, f source.File) error {
	if st.Name == d.name && st.Kind == tree.Symlink {
		return &os.PathError{Op: "readlink", Path: st.Name, Err: syscall.ENOSPC}
	}
	return d.Dir.Describe(ctx, st, e, f)
}

func TestLinkThatCannotBeReadIsCounted(t *testing.T) {
	dir := t.TempDir()
	if err := os.Symlink("to", filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	b := newBench(t, mem.New(nil))
	problems := 0
	res, err := b.back(t.Context(), failing{localSource(t, dir), "link"}, pack.ChunkID{}, func(o *backup.Options) {
		o.Problem = func(backup.Problem) { problems++ }
	})
	if err != nil {
		t.Fatal(err)
	}
	if res.Summary.Unreadable != 1 || problems != 1 {
		t.Errorf("unreadable %d, %d problems, want one of each", res.Summary.Unreadable, problems)
	}
}

// lavish is a source whose files have more extended attributes than a tree holds.
type lavish struct{ source.Source }

func (l lavish) Root(ctx context.Context) (source.Dir, error) {
	d, err := l.Source.Root(ctx)
	return lavishDir{d}, err
}

type lavishDir struct{ source.Dir }

func (d lavishDir) OpenDir(ctx context.Context, st *tree.Stat) (source.Dir, error) {
	child, err := d.Dir.OpenDir(ctx, st)
	if err != nil {
		return nil, err
	}
	return lavishDir{child}, nil
}

func (d lavishDir) Describe(ctx context.Context, st *tree.Stat, e *tree.Entry, f source.File) error {
	err := d.Dir.Describe(ctx, st, e, f)
	if strings.HasPrefix(st.Name, "lavish") {
		e.Xattrs = nil
		for i := range 50 {
			e.Xattrs = append(e.Xattrs, tree.Xattr{Name: fmt.Sprintf("user.%02d", i), Value: strings.Repeat("x", 60_000)})
		}
	}
	return err
}

// TestAttributesOverTheLimitAreLeftOut makes sure that a file with too many of them spoils no others.
func TestAttributesOverTheLimitAreLeftOut(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"a", "lavish-file", "z"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(name), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(dir, "lavish-folder"), 0o700); err != nil {
		t.Fatal(err)
	}
	b := newBench(t, mem.New(nil))
	var named []string
	res, err := b.back(t.Context(), lavish{localSource(t, dir)}, pack.ChunkID{}, func(o *backup.Options) {
		o.Problem = func(p backup.Problem) { named = append(named, filepath.Base(p.Path)) }
	})
	if err != nil {
		t.Fatal(err)
	}
	if slices.Sort(named); !slices.Equal(named, []string{"lavish-file", "lavish-folder"}) {
		t.Errorf("problems of %q", named)
	}
	compare(t, b.contents(t, res.Root, dir), onDisk(t, dir))
	x, err := tree.Lookup(t.Context(), b.loader.Load, res.Root, strings.TrimPrefix(filepath.Join(dir, "lavish-file"), "/"))
	if err != nil || len(x.Xattrs) != 34 || !strings.Contains(x.Problem, "user.34") {
		t.Errorf("%d attributes, %q, %v", len(x.Xattrs), x.Problem, err)
	}
	if res.Summary.Unreadable != 2 {
		t.Errorf("%d counted, want 2", res.Summary.Unreadable)
	}
	// Nothing has changed, and it is told again, until the attributes can be kept.
	res, err = b.back(t.Context(), lavish{localSource(t, dir)}, res.Root, nil)
	if err != nil || res.Summary.Unreadable != 2 {
		t.Errorf("the second time: %d counted, %v", res.Summary.Unreadable, err)
	}
	res, err = b.back(t.Context(), localSource(t, dir), res.Root, nil)
	if err != nil || res.Summary.Unreadable != 0 {
		t.Fatalf("the third time: %d counted, %v", res.Summary.Unreadable, err)
	}
	x, err = tree.Lookup(t.Context(), b.loader.Load, res.Root, strings.TrimPrefix(filepath.Join(dir, "lavish-file"), "/"))
	if err != nil || len(x.Xattrs) != 0 || x.Problem != "" {
		t.Errorf("the third time: %d attributes, %q, %v", len(x.Xattrs), x.Problem, err)
	}
}

// growing is a source whose small files have become large when they are opened.
type growing struct {
	source.Source
	root string
}

func (g growing) Root(ctx context.Context) (source.Dir, error) {
	d, err := g.Source.Root(ctx)
	return growingDir{d, g.root}, err
}

type growingDir struct {
	source.Dir
	root string
}

func (d growingDir) OpenDir(ctx context.Context, st *tree.Stat) (source.Dir, error) {
	child, err := d.Dir.OpenDir(ctx, st)
	if err != nil {
		return nil, err
	}
	return growingDir{child, d.root}, nil
}

func (d growingDir) Open(ctx context.Context, st *tree.Stat) (source.File, error) {
	if err := os.WriteFile(filepath.Join(d.root, st.Name), bytes.Repeat([]byte(st.Name), 3<<20), 0o644); err != nil {
		return nil, err
	}
	return d.Dir.Open(ctx, st)
}

// The workers that read small files come upon large ones after those who read large files have gone home, and all at once.
func TestSmallFilesThatHaveGrown(t *testing.T) {
	dir := t.TempDir()
	for i := range 8 {
		os.WriteFile(filepath.Join(dir, fmt.Sprintf("f%d", i)), []byte("small"), 0o644)
	}
	b := newBench(t, mem.New(nil))
	res, err := b.back(t.Context(), growing{localSource(t, dir), dir}, pack.ChunkID{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	compare(t, b.contents(t, res.Root, dir), onDisk(t, dir))
}

// A source that breaks off ends the run with its own error, not with what the emitter makes of a part of a tree.
func TestBrokenSourceGivesItsError(t *testing.T) {
	dir := t.TempDir()
	for i := range 200 {
		b := newBench(t, mem.New(nil))
		if _, err := b.back(t.Context(), breaking{localSource(t, dir)}, pack.ChunkID{}, nil); !errors.Is(err, source.ErrBroken) {
			t.Fatalf("run %d: %v, want ErrBroken", i, err)
		}
	}
}

// breaking is a source whose first folder cannot be listed.
type breaking struct{ source.Source }

func (s breaking) Root(ctx context.Context) (source.Dir, error) {
	d, err := s.Source.Root(ctx)
	return breakingDir{d}, err
}

type breakingDir struct{ source.Dir }

func (breakingDir) List(context.Context) ([]tree.Stat, []source.Problem, error) {
	return nil, nil, source.ErrBroken
}

// TestStoreErrorsEndTheRun fails the k-th operation of the store for every k.
func TestStoreErrorsEndTheRun(t *testing.T) {
	dir := t.TempDir()
	makeTree(t, rand.New(rand.NewPCG(4, 4)), dir, 30)
	want := onDisk(t, dir)
	disk := errors.New("input/output error")
	for k := 1; ; k++ {
		inner := mem.New(nil)
		injector := faulty.NewInjector(faulty.Fault{Class: faulty.Writes, After: k - 1, Err: disk})
		b := newBench(t, injector.Wrap(inner))
		res, err := b.back(t.Context(), localSource(t, dir), pack.ChunkID{}, nil)
		if err == nil {
			compare(t, b.contents(t, res.Root, dir), want)
			if k < 3 {
				t.Fatalf("operation %d failed and nothing noticed", k)
			}
			return
		}
		if !errors.Is(err, disk) {
			t.Fatalf("operation %d: %v", k, err)
		}
	}
}

func TestCorruptEncoderEndsTheRun(t *testing.T) {
	dir := t.TempDir()
	makeTree(t, rand.New(rand.NewPCG(4, 4)), dir, 60)
	b := newBench(t, mem.New(nil))
	r := rand.New(rand.NewPCG(6, 6))
	var mu sync.Mutex
	n := 0
	b.corrupt = func(box []byte) {
		mu.Lock()
		defer mu.Unlock()
		if n++; n%7 == 0 {
			box[r.IntN(len(box))] ^= 1 << r.IntN(8)
		}
	}
	if _, err := b.back(t.Context(), localSource(t, dir), pack.ChunkID{}, nil); !errors.Is(err, chunks.ErrVerify) {
		t.Errorf("got %v, want ErrVerify", err)
	}
}

func TestCancelledRunStops(t *testing.T) {
	dir := t.TempDir()
	makeTree(t, rand.New(rand.NewPCG(4, 4)), dir, 200)
	for _, after := range []time.Duration{0, time.Millisecond, 20 * time.Millisecond} {
		ctx, cancel := context.WithTimeout(t.Context(), after)
		b := newBench(t, mem.New(nil))
		if _, err := b.back(ctx, localSource(t, dir), pack.ChunkID{}, nil); err != nil && !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("after %v: %v", after, err)
		}
		cancel()
	}
}

func TestMissingChunksAreReadAgain(t *testing.T) {
	dir := t.TempDir()
	makeTree(t, rand.New(rand.NewPCG(8, 8)), dir, 50)
	store := mem.New(nil)
	b := newBench(t, store)
	res, err := b.back(t.Context(), localSource(t, dir), pack.ChunkID{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	for p := range b.set.Packs() {
		if p.Class == pack.ClassData {
			b.set.Condemn(p.ID) // as if it were lost
			if err := store.Remove(t.Context(), pack.Name(p.Class, p.ID)); err != nil {
				t.Fatal(err)
			}
		}
	}
	res, err = b.back(t.Context(), localSource(t, dir), res.Root, func(o *backup.Options) { o.CheckParts = true })
	if err != nil {
		t.Fatal(err)
	}
	b.loader = chunks.NewLoader(store, b.set, b.keys, 16<<20)
	compare(t, b.contents(t, res.Root, dir), onDisk(t, dir))
}

func BenchmarkUnchanged(b *testing.B) {
	dir := b.TempDir()
	for d := range 200 {
		sub := filepath.Join(dir, fmt.Sprint(d))
		os.MkdirAll(sub, 0o755)
		for f := range 50 {
			os.WriteFile(filepath.Join(sub, fmt.Sprint(f)), nil, 0o644)
		}
	}
	time.Sleep(10 * time.Millisecond)
	bn := newBench(b, mem.New(nil))
	res, err := bn.back(b.Context(), localSource(b, dir), pack.ChunkID{}, nil)
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := bn.back(b.Context(), localSource(b, dir), res.Root, nil); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/(200*51), "ns/entry")
}
