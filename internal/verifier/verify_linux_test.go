package verifier

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/snapkeep/snap/internal/keyring"
	"github.com/snapkeep/snap/internal/source/local"
	"github.com/snapkeep/snap/internal/torturetest"
	"github.com/snapkeep/snap/repo"
	"github.com/zeebo/blake3"
	"golang.org/x/sys/unix"
)

const passphrase = "zwölf Boxkämpfer"

// world is a repository in a folder and what was backed up into it.
type world struct {
	dir  string
	want []string // lines of Verify, without the ids of the snapshots in front
	ids  []string
}

// newWorld makes a repository in a folder.
func newWorld(t testing.TB, parity repo.ParityMode) (*repo.Repo, string) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "repository")
	store, err := repo.CreateStore(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Close() })
	to, err := keyring.ForPassphrase(passphrase, keyring.PassphraseOptions{Cost: keyring.WeakestCost, AllowWeak: true})
	if err != nil {
		t.Fatal(err)
	}
	r, err := repo.Create(t.Context(), store, to, repo.CreateOptions{Options: repo.Options{PackSize: 1 << 20, Parity: parity}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return r, dir
}

// backup makes a snapshot of the folder tree and notes what it must hold.
func (w *world) backup(t testing.TB, r *repo.Repo, tree string) {
	t.Helper()
	source, err := local.New(local.Options{Roots: []string{tree}})
	if err != nil {
		t.Fatal(err)
	}
	res, err := r.Backup(t.Context(), repo.BackupOptions{Source: source, SourceName: "test", Granularity: 1, Tags: []string{"t"},
		Problem: func(p repo.Problem) { t.Errorf("%q: %v", p.Path, p.Err) }})
	if err != nil {
		t.Fatal(err)
	}
	id := res.Snapshot.ID.String()
	w.ids = append(w.ids, id)
	for _, line := range expect(t, tree) {
		w.want = append(w.want, id+" "+line)
	}
}

// expect returns what Verify must write of the tree, by system calls.
func expect(t testing.TB, tree string) (lines []string) {
	t.Helper()
	add := func(path string) {
		var st syscall.Stat_t
		if err := syscall.Lstat(path, &st); err != nil {
			t.Fatal(err)
		}
		kind := map[uint32]string{syscall.S_IFREG: "file", syscall.S_IFDIR: "dir", syscall.S_IFLNK: "symlink", syscall.S_IFIFO: "fifo",
			syscall.S_IFSOCK: "socket", syscall.S_IFCHR: "chardev", syscall.S_IFBLK: "blockdev"}[st.Mode&syscall.S_IFMT]
		hash, size := "-", int64(0)
		if kind == "file" {
			data, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			sum := blake3.Sum256(data)
			hash, size = fmt.Sprintf("%x", sum), st.Size
		}
		line := fmt.Sprintf("%q %s %04o %d:%d %d %d.%09d %s", strings.TrimPrefix(path, "/"), kind, st.Mode&0o7777, st.Uid, st.Gid, size, st.Mtim.Sec, st.Mtim.Nsec, hash)
		if kind == "symlink" {
			target, err := os.Readlink(path)
			if err != nil {
				t.Fatal(err)
			}
			line += fmt.Sprintf(" target=%q", target)
		}
		if kind == "chardev" || kind == "blockdev" {
			line += fmt.Sprintf(" device=%d", st.Rdev)
		}
		if st.Nlink > 1 && kind != "dir" {
			line += fmt.Sprintf(" links=%d inode=%d:%d", st.Nlink, st.Dev, st.Ino)
		}
		lines = append(lines, line+attributes(t, path))
	}
	err := filepath.WalkDir(tree, func(path string, _ fs.DirEntry, err error) error {
		if err == nil {
			add(path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return lines
}

// attributes returns the extended attributes of a file as Verify writes them.
func attributes(t testing.TB, path string) string {
	t.Helper()
	list := make([]byte, 1<<16)
	n, err := unix.Llistxattr(path, list)
	if err != nil && err != unix.EOPNOTSUPP {
		t.Fatal(err)
	}
	names := strings.Split(string(list[:max(n, 0)]), "\x00")
	slices.Sort(names)
	var b strings.Builder
	for _, name := range names {
		if name == "" {
			continue
		}
		value := make([]byte, 1<<16)
		n, err := unix.Lgetxattr(path, name, value)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&b, " xattr=%q:%q", name, value[:n])
	}
	return b.String()
}

// verify returns the lines and the names of what is damaged.
func verify(t testing.TB, dir string, useIndex bool) (lines, damage []string) {
	t.Helper()
	c, err := Passphrase(passphrase)
	if err != nil {
		t.Fatal(err)
	}
	r, err := Open(os.DirFS(dir), c, Options{UseIndex: useIndex, Damage: func(what string, err error) {
		if !errors.Is(err, ErrDamaged) && !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: %v is no damage", what, err)
		}
		damage = append(damage, what+": "+err.Error())
	}})
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := r.Verify(&out); err != nil {
		t.Fatal(err)
	}
	if r.Damaged() != len(damage) {
		t.Errorf("%d damaged, %d reported", r.Damaged(), len(damage))
	}
	lines = strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")
	return lines, damage
}

// normal sorts lines and leaves out the folders that lead to the tree, which others change.
func normal(lines []string) (out []string) {
	for _, l := range lines {
		if strings.Contains(l, "/tree") {
			out = append(out, l)
		}
	}
	slices.Sort(out)
	return out
}

func compare(t *testing.T, got, want []string) {
	t.Helper()
	got, want = normal(got), normal(want)
	if slices.Equal(got, want) {
		return
	}
	shown := 0
	for _, l := range want {
		if _, found := slices.BinarySearch(got, l); !found && shown < 10 {
			shown++
			t.Errorf("missing: %.500s", l)
		}
	}
	for _, l := range got {
		if _, found := slices.BinarySearch(want, l); !found && shown < 20 {
			shown++
			t.Errorf("unexpected: %.500s", l)
		}
	}
}

func noise(seed uint64, n int) []byte {
	b := make([]byte, n)
	random := rand.New(rand.NewPCG(seed, 0))
	for i := range b {
		b[i] = byte(random.Uint32())
	}
	return b
}

func write(t testing.TB, path string, data []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
}

// writeListed writes a database of so many chunks that its parts are listed: classes of content go by name.
func writeListed(t testing.TB, path string) {
	t.Helper()
	data := noise(9, 80<<20)
	copy(data, "SQLite format 3\x00")
	write(t, path, data)
}

func TestVerifyListsWhatWasBackedUp(t *testing.T) {
	tree := filepath.Join(t.TempDir(), "tree")
	if err := torturetest.Build(tree, "names", "modes", "owners", "links", "nodes", "symlinks", "times", "sizes", "xattrs", "rights", "many", "empty"); err != nil {
		t.Log(err) // what the file system refuses
	}
	writeListed(t, tree+"/large.sqlite")
	if err := os.Truncate(tree+"/sizes/1", 40<<20); err != nil { // a hole behind one byte
		t.Fatal(err)
	}
	write(t, tree+"/hole", nil)
	if err := os.Truncate(tree+"/hole", 3<<20); err != nil {
		t.Fatal(err)
	}
	r, dir := newWorld(t, repo.ParityOn)
	var w world
	w.backup(t, r, tree)
	write(t, tree+"/sizes/4095", noise(1, 4095))
	write(t, tree+"/late/file", noise(2, 2<<20))
	os.Remove(tree + "/names/a")
	w.backup(t, r, tree)
	os.Rename(tree+"/late", tree+"/later")
	w.backup(t, r, tree)
	listed := func(r *Repository) (n int) {
		for _, s := range r.snapshots() {
			r.walk(s.root, func(_ string, entries []entry) {
				for i := range entries {
					if entries[i].listed {
						n++
					}
				}
			}, func(err error) { t.Error(err) })
		}
		return n
	}
	for _, useIndex := range []bool{false, true} {
		lines, damage := verify(t, dir, useIndex)
		compare(t, lines, w.want)
		if len(damage) > 0 {
			t.Errorf("damaged: %q", damage)
		}
	}
	c, _ := Passphrase(passphrase)
	v, err := Open(os.DirFS(dir), c, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if n := listed(v); n != 3 {
		t.Errorf("%d listed files in three snapshots: this test does not show what it should", n)
	}
}
