package verifier

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/snapkeep/snap/repo"
)

func TestExtractWritesPlainFiles(t *testing.T) {
	tree := filepath.Join(t.TempDir(), "tree")
	write(t, tree+"/a/file", noise(1, 70_000))
	write(t, tree+"/a/empty", nil)
	write(t, tree+"/sparse", []byte("x"))
	write(t, tree+"/odd \xff\n name", []byte("odd"))
	for _, err := range []error{
		os.Truncate(tree+"/sparse", 8<<20), os.Link(tree+"/a/file", tree+"/linked"), os.Symlink("../outside", tree+"/a/link"),
		os.Symlink("/etc", tree+"/absolute"), syscall.Mkfifo(tree+"/fifo", 0o600), os.Chmod(tree+"/a/empty", 0o400),
		os.Chtimes(tree+"/a", time.Time{}, time.Unix(1e9, 5)), os.Chmod(tree+"/a", 0o555),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() { os.Chmod(tree+"/a", 0o755) })
	r, dir := newWorld(t, repo.ParityOff)
	var w world
	w.backup(t, r, tree)
	c, _ := Passphrase(passphrase)
	v, err := Open(os.DirFS(dir), c, Options{Damage: func(what string, err error) { t.Errorf("%s: %v", what, err) }})
	if err != nil {
		t.Fatal(err)
	}
	target := filepath.Join(t.TempDir(), "target")
	if err := v.Extract(target, w.ids[0][:8]); err != nil {
		t.Fatal(err)
	}
	got := target + tree
	t.Cleanup(func() { os.Chmod(got+"/a", 0o755) })
	var want []string
	for _, l := range expect(t, tree) {
		if !strings.Contains(l, " fifo ") {
			want = append(want, plain(l))
		}
	}
	var have []string
	for _, l := range expect(t, got) {
		have = append(have, plain(strings.Replace(l, target[1:]+"/", "", 1)))
	}
	compare(t, have, want)
	a, _ := os.Stat(got + "/linked")
	b, _ := os.Stat(got + "/a/file")
	if !os.SameFile(a, b) {
		t.Error("hard links are two files")
	}
	if st, err := os.Stat(got + "/sparse"); err != nil || st.Sys().(*syscall.Stat_t).Blocks > 1000 {
		t.Errorf("the hole was written: %v", err)
	}
	if err := v.Extract(target, w.ids[0]); err == nil {
		t.Error("extracted into a folder that is not empty")
	}
	if err := v.Extract(filepath.Join(t.TempDir(), "x"), "0000ffff0000"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no such snapshot: %v", err)
	}
}

// plain leaves out what Extract does not keep: inode numbers, and times of links.
func plain(line string) string {
	line, _, _ = strings.Cut(line, " links=")
	if before, _, found := strings.Cut(line, " symlink "); found {
		_, target, _ := strings.Cut(line, " target=")
		return before + " " + target
	}
	return line
}

// A tree that plants a link and writes through it, or repeats a name, reaches nothing outside and replaces nothing.
func TestExtractNeverWritesThroughLinks(t *testing.T) {
	outside, target := t.TempDir(), t.TempDir()
	write(t, outside+"/victim", []byte("before"))
	root, err := os.OpenRoot(target)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	x := &extraction{r: &Repository{}, root: root, snapshot: &snapshot{}, first: map[[2]uint64]string{}}
	file := func(name string) entry { return entry{name: name, kind: kindFile, links: 1} }
	x.run("", []entry{{name: "link", kind: kindSymlink, target: outside}, {name: "twice", kind: kindSymlink, target: outside + "/victim"}, file("twice")})
	x.run("link", []entry{file("victim"), file("new")})
	x.run("link/deeper", []entry{file("new")})
	for _, dir := range []string{"..", "../" + filepath.Base(outside), "/etc"} {
		x.run(dir, []entry{file("new")})
	}
	x.finish()
	if len(x.errs) < 4 {
		t.Errorf("too few refusals: %v", x.errs)
	}
	if data, err := os.ReadFile(outside + "/victim"); err != nil || !bytes.Equal(data, []byte("before")) {
		t.Errorf("the victim holds %q, %v", data, err)
	}
	if names, _ := filepath.Glob(outside + "/*"); len(names) != 1 {
		t.Errorf("outside: %q", names)
	}
	if names, _ := filepath.Glob(filepath.Dir(target) + "/new"); len(names) != 0 {
		t.Errorf("above: %q", names)
	}
}

// What is damaged is left out, named, and does not keep the rest from being written.
func TestExtractLeavesOutWhatIsDamaged(t *testing.T) {
	tree := filepath.Join(t.TempDir(), "tree")
	r, dir := newWorld(t, repo.ParityOff)
	var w world
	write(t, tree+"/good", noise(1, 100))
	w.backup(t, r, tree)
	before, _ := filepath.Glob(dir + "/data/*/*")
	write(t, tree+"/bad", noise(2, 100))
	w.backup(t, r, tree)
	after, _ := filepath.Glob(dir + "/data/*/*")
	if len(before) != 1 || len(after) != 2 {
		t.Fatalf("%d and %d packs", len(before), len(after))
	}
	for _, path := range after {
		if path != before[0] {
			data, _ := os.ReadFile(path)
			data[50] ^= 1
			os.Chmod(path, 0o600)
			write(t, path, data)
		}
	}
	var damage []string
	c, _ := Passphrase(passphrase)
	v, err := Open(os.DirFS(dir), c, Options{Damage: func(what string, _ error) { damage = append(damage, what) }})
	if err != nil {
		t.Fatal(err)
	}
	target := t.TempDir()
	if err := v.Extract(target, w.ids[1]); err != nil {
		t.Fatal(err)
	}
	if data, err := os.ReadFile(target + tree + "/good"); err != nil || !bytes.Equal(data, noise(1, 100)) {
		t.Errorf("good: %v", err)
	}
	if _, err := os.Lstat(target + tree + "/bad"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("bad: %v", err)
	}
	if len(damage) != 2 || !strings.HasSuffix(damage[1], `tree/bad"`) {
		t.Errorf("damaged: %q", damage)
	}
}
