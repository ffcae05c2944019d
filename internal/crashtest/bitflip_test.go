package crashtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"filippo.io/age"
	"github.com/snapkeep/snap/internal/source/iofs"
	"github.com/snapkeep/snap/internal/store/faulty"
	"github.com/snapkeep/snap/internal/store/mem"
	"github.com/snapkeep/snap/repo"
)

// vault is a repository in memory, and what its snapshots hold.
type vault struct {
	testing.TB
	store  *mem.Store
	secret *age.X25519Identity
	want   map[repo.SnapshotID]map[string]string // by path, the content, or "dir"
	files  []string                              // of the store
}

func (v *vault) open(ctx context.Context, store repo.Store) (*repo.Repo, error) {
	credential, err := repo.AgeIdentities([]byte(v.secret.String()))
	if err != nil {
		v.Fatal(err)
	}
	return repo.Open(ctx, store, credential, repo.Options{})
}

// dumpOf returns the dump of a database that is long enough for pieces, which have dictionaries. A few rows differ from one round to the next.
func dumpOf(round int) []byte {
	var b bytes.Buffer
	for i := range 20_000 {
		id := uint64(i) * 7919 % 1500
		if i%2000 == 0 {
			id += uint64(round)
		}
		id *= 0x9e3779b97f4a7c15 // of one of some hundred customers, so that pieces have more in common than their form
		fmt.Fprintf(&b, "INSERT INTO orders VALUES (%d, 'customer %x', 'paid');\n", i, id)
	}
	return b.Bytes()
}

// newVault makes a repository that has files of all kinds, and if dump is set packs with dictionaries.
func newVault(t testing.TB, seed uint64, parity repo.ParityMode, dump bool) *vault {
	t.Helper()
	v := &vault{TB: t, store: mem.New(nil), want: map[repo.SnapshotID]map[string]string{}}
	var err error
	if v.secret, err = age.GenerateX25519Identity(); err != nil {
		t.Fatal(err)
	}
	to, err := repo.ForAge(v.secret.Recipient().String())
	if err != nil {
		t.Fatal(err)
	}
	r, err := repo.Create(t.Context(), v.store, to, repo.CreateOptions{Options: repo.Options{Parity: parity}})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	rng := rand.New(rand.NewPCG(seed, 1))
	source := fstest.MapFS{}
	var all []*repo.Snapshot
	for round := range 4 {
		for range 6 {
			data := make([]byte, rng.IntN(4000))
			for i := range data {
				data[i] = byte(rng.Uint32())
			}
			source[fmt.Sprintf("d%d/f%d", rng.IntN(3), rng.IntN(12))] = &fstest.MapFile{Data: data, Mode: 0o644, ModTime: time.Unix(int64(1_700_000_000+round), 0)}
		}
		if dump {
			source["shop.sql"] = &fstest.MapFile{Data: dumpOf(round), Mode: 0o644, ModTime: time.Unix(int64(1_700_000_000+round), 0)}
		}
		res, err := r.Backup(t.Context(), repo.BackupOptions{Source: iofs.New(source), SourceName: "s"})
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, res.Snapshot)
		v.want[res.Snapshot.ID] = contents(t, source)
	}
	if err := r.Tag(t.Context(), all[3], nil, []string{"tagged"}, nil); err != nil {
		t.Fatal(err)
	}
	for i, now := range []bool{true, false} {
		if _, err := r.Forget(t.Context(), []repo.SnapshotID{all[i].ID}, repo.ForgetOptions{Now: now}); err != nil {
			t.Fatal(err)
		}
		delete(v.want, all[i].ID)
	}
	v.list()
	hasDictionary := func(name string) bool { data := v.bytes(name); return data[len(data)-56] == 2 } // the version in the footer
	if is := func(name string) bool { return strings.HasPrefix(name, "data/") && hasDictionary(name) }; dump != slices.ContainsFunc(v.files, is) {
		t.Fatalf("dictionaries: %v, want %v", !dump, dump)
	}
	return v
}

func (v *vault) list() {
	v.Helper()
	err := v.store.List(v.Context(), "", func(name string, _ int64, _ time.Time) error {
		v.files = append(v.files, name)
		return nil
	})
	if err != nil {
		v.Fatal(err)
	}
}

// contents reads a file system.
func contents(t testing.TB, f fs.FS) map[string]string {
	t.Helper()
	out := map[string]string{}
	err := readTree(f, func(path, data string) { out[path] = data })
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// readTree calls fn with all files and folders of f that it can read.
func readTree(f fs.FS, fn func(path, data string)) error {
	var failed []error
	err := fs.WalkDir(f, ".", func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			failed = append(failed, err)
		case d.IsDir():
			fn(path, "dir")
		default:
			data, err := fs.ReadFile(f, path)
			if err != nil {
				failed = append(failed, err)
			} else {
				fn(path, string(data))
			}
		}
		return nil
	})
	return errors.Join(append(failed, err)...)
}

// wound is damage to a store.
type wound struct {
	name string
	make func(store repo.Store) error
}

func (v *vault) rewrite(what, name string, change func([]byte) []byte) wound {
	return wound{fmt.Sprintf("%s %s", what, name), func(s repo.Store) error { return faulty.Rewrite(v.Context(), s, name, change) }}
}

// flip flips a bit of a file.
func (v *vault) flip(rng *rand.Rand, name string) wound {
	bit := rng.Uint64()
	return v.rewrite(fmt.Sprintf("flip %x in", bit), name, func(data []byte) []byte {
		if len(data) > 0 {
			data[bit>>3%uint64(len(data))] ^= 1 << (bit & 7)
		}
		return data
	})
}

// cut takes the end of a file away.
func (v *vault) cut(rng *rand.Rand, name string) wound {
	at := rng.Uint64()
	return v.rewrite(fmt.Sprintf("cut %x from", at), name, func(data []byte) []byte { return data[:at%uint64(len(data))] })
}

// swap puts the bytes of another file of the same kind, of this or of another repository, in place of a file.
func (v *vault) swap(rng *rand.Rand, name string, from *vault) (wound, bool) {
	folder, _, _ := strings.Cut(name, "/")
	var same []string
	for _, other := range from.files {
		if f, _, _ := strings.Cut(other, "/"); f == folder && (other != name || from != v) {
			same = append(same, other)
		}
	}
	if len(same) == 0 {
		return wound{}, false
	}
	other := same[rng.IntN(len(same))]
	return v.rewrite("put "+other+" in place of", name, func([]byte) []byte { return from.bytes(other) }), true
}

func (v *vault) bytes(name string) []byte {
	size, _, err := v.store.Stat(v.Context(), name)
	data := make([]byte, size)
	if err == nil {
		_, err = v.store.ReadAt(v.Context(), name, data, 0)
	}
	if err != nil && err != io.EOF {
		v.Error(err)
	}
	return data
}

// TestDamage damages the files of a repository one at a time and reads it: nothing wrong is ever returned, a check
// names the damage, and nothing panics or hangs.
func TestDamage(t *testing.T) {
	t.Parallel()
	for _, mode := range []repo.ParityMode{repo.ParityOff, repo.ParityOn} {
		t.Run("parity "+string(mode), func(t *testing.T) {
			v, other := newVault(t, seed(1), mode, true), newVault(t, seed(2), mode, true)
			rng := rand.New(rand.NewPCG(seed(7), 7))
			kinds := map[string]int{}
			most := size(300, 10_000)
			if testing.Short() {
				most = 100
			}
			for n := range most {
				name := v.files[n%len(v.files)]
				w := v.flip(rng, name)
				kind := "flip"
				switch n / len(v.files) % 5 {
				case 1:
					w, kind = v.cut(rng, name), "cut"
				case 2:
					if s, ok := v.swap(rng, name, v); ok {
						w, kind = s, "swap"
					}
				case 3:
					if s, ok := v.swap(rng, name, other); ok {
						w, kind = s, "replay"
					}
				}
				kinds[kind]++
				v.suffer(w)
			}
			t.Logf("%d files of %d kinds; %v", len(v.files), len(folders(v.files)), kinds)
		})
	}
}

func folders(names []string) []string {
	seen := map[string]bool{}
	for _, name := range names {
		folder, _, _ := strings.Cut(name, "/")
		seen[folder] = true
	}
	return slices.Sorted(maps.Keys(seen))
}

// TestEveryTruncation cuts every small file at every length that suite or full size allow.
func TestEveryTruncation(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds")
	}
	t.Parallel()
	v := newVault(t, 3, repo.ParityOff, false)
	step, n := size(400, 5), 0
	for _, name := range v.files {
		whole := v.bytes(name)
		for at := len(whole) - 1; at >= 0; at -= step {
			n++
			v.suffer(v.rewrite(fmt.Sprintf("cut to %d", at), name, func(data []byte) []byte { return data[:at] }))
		}
	}
	t.Logf("%d truncations", n)
}

// suffer reads a wounded copy of the store.
func (v *vault) suffer(w wound) {
	v.Helper()
	wounded := v.store.Clone()
	if err := w.make(wounded); err != nil {
		v.Fatal(err)
	}
	if v.same(wounded) {
		return
	}
	done := make(chan []string, 1)
	ctx, cancel := context.WithTimeout(v.Context(), deadline)
	defer cancel()
	go func() { done <- v.read(ctx, wounded) }()
	select {
	case wrong := <-done:
		for _, what := range wrong {
			v.Errorf("%s: %s", w.name, what)
		}
	case <-time.After(2 * deadline):
		v.Fatalf("%s: hangs", w.name)
	}
}

// deadline bounds a call of the program, and reading a damaged repository.
const deadline = 10 * time.Minute

// same reports whether a wound changed nothing.
func (v *vault) same(wounded *mem.Store) bool {
	for _, name := range v.files {
		size, _, err := wounded.Stat(v.Context(), name)
		data := make([]byte, size)
		if err == nil {
			_, err = wounded.ReadAt(v.Context(), name, data, 0)
		}
		if (err != nil && err != io.EOF) || !bytes.Equal(data, v.bytes(name)) {
			return false
		}
	}
	return true
}

// read does all that only reads, and returns what is wrong with the answers.
func (v *vault) read(ctx context.Context, store repo.Store) (wrong []string) {
	r, err := v.open(ctx, store)
	if err != nil {
		if !repo.IsDamage(err) && !repo.IsNewer(err) && !slices.ContainsFunc([]error{repo.ErrConfigSwapped, repo.ErrNoRepository, repo.ErrWrongPassphrase, repo.ErrNoSlot},
			func(e error) bool { return errors.Is(err, e) }) {
			wrong = append(wrong, fmt.Sprintf("open: no error that has a name: %v", err))
		}
		return wrong
	}
	defer r.Close()
	all, err := r.Snapshots(ctx, repo.Filter{})
	if err == nil && len(all) != len(v.want) {
		wrong = append(wrong, fmt.Sprintf("%d snapshots of %d and no error", len(all), len(v.want)))
	}
	for _, s := range all {
		want := v.want[s.ID]
		if want == nil {
			wrong = append(wrong, fmt.Sprintf("snapshot %s was never made", s.ID))
			continue
		}
		n := 0
		err := readTree(r.FS(ctx, s), func(path, data string) {
			n++
			if have, ok := want[path]; !ok || have != data {
				wrong = append(wrong, fmt.Sprintf("snapshot %s: %q is not what was saved", s.ID, path))
			}
		})
		if err == nil && n != len(want) {
			wrong = append(wrong, fmt.Sprintf("snapshot %s: %d of %d files, and no error", s.ID, n, len(want)))
		}
	}
	if _, err := r.Check(ctx, repo.CheckOptions{ReadData: true}); err == nil {
		wrong = append(wrong, "check found nothing")
	}
	if ctx.Err() != nil {
		wrong = append(wrong, "took too long")
	}
	return wrong
}
