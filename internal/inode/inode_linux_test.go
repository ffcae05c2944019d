package inode

import (
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/snapkeep/snap/internal/tree"
)

func TestOldStatAgreesWithStatx(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "file"), make([]byte, 5000), 0o640); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("nowhere", filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mkfifo(filepath.Join(dir, "fifo"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, p := range []string{"/dev/null", dir, dir + "/file", dir + "/link", dir + "/fifo"} {
		var a, b Look
		c := append([]byte(p), 0)
		if err := a.At(unix.AT_FDCWD, &c[0], unix.AT_SYMLINK_NOFOLLOW); err != nil {
			t.Fatal(err)
		}
		if err := b.old(unix.AT_FDCWD, p, unix.AT_SYMLINK_NOFOLLOW); err != nil {
			t.Fatal(err)
		}
		var x, y tree.Stat
		a.Stat(&x)
		b.Stat(&y)
		if x != y || a.Access() != b.Access() || a.Blocks() != b.Blocks() {
			t.Errorf("%s: got %+v, want %+v", p, y, x)
		}
	}
}

func TestXattrsOfEveryKind(t *testing.T) {
	dir := t.TempDir()
	file, link := filepath.Join(dir, "file"), filepath.Join(dir, "link")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("file", link); err != nil {
		t.Fatal(err)
	}
	big := string(make([]byte, 2000))
	want := []tree.Xattr{{Name: "user.a", Value: big}, {Name: "user.b\xff", Value: ""}}
	fd, err := OpenQuiet(unix.AT_FDCWD, file, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer Close(fd)
	for _, x := range want {
		if err := SetXattr(fd, false, x); err == unix.EOPNOTSUPP {
			t.Skip("no extended attributes here")
		} else if err != nil {
			t.Fatal(err)
		}
	}
	path, err := OpenAt(unix.AT_FDCWD, file, unix.O_PATH, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer Close(path)
	for _, isPath := range []bool{false, true} {
		use := fd
		if isPath {
			use = path
		}
		got, err := ReadXattrs(use, isPath)
		if err != nil || len(got) != 2 || got[0] != want[0] || got[1] != want[1] {
			t.Errorf("by path %v: got %q, %v", isPath, got, err)
		}
	}
	if err := RemoveXattr(fd, false, "user.a"); err != nil {
		t.Error(err)
	}
	if err := RemoveXattr(fd, false, "user.none"); err != nil {
		t.Errorf("removing what is not there: %v", err)
	}

	lfd, err := OpenAt(unix.AT_FDCWD, link, unix.O_PATH, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer Close(lfd)
	if got, err := ReadXattrs(lfd, true); err != nil || len(got) != 0 {
		t.Errorf("the link shows its target's attributes: %q, %v", got, err)
	}
	if os.Geteuid() != 0 {
		return
	}
	x := tree.Xattr{Name: "trusted.link", Value: "v"}
	if err := SetXattr(lfd, true, x); err != nil {
		t.Fatal(err)
	}
	if got, err := ReadXattrs(lfd, true); err != nil || len(got) != 1 || got[0] != x {
		t.Errorf("got %q, %v, want %q", got, err, x)
	}
	if got, err := ReadXattrs(fd, false); err != nil || len(got) != 1 {
		t.Errorf("the link's attribute went to its target: %q, %v", got, err)
	}
}

func TestReadLinkOfAnyLength(t *testing.T) {
	dir := t.TempDir()
	for _, n := range []int{1, 255, 256, 257, 4095} {
		target := string(make([]byte, n))
		b := []byte(target)
		for i := range b {
			b[i] = byte('a' + i%26)
		}
		name := filepath.Join(dir, "l")
		os.Remove(name)
		if err := os.Symlink(string(b), name); err != nil {
			t.Fatal(err)
		}
		fd, err := OpenAt(unix.AT_FDCWD, name, unix.O_PATH, 0)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := ReadLink(fd); err != nil || got != string(b) {
			t.Errorf("%d bytes: got %d, %v", n, len(got), err)
		}
		Close(fd)
	}
}

func TestKindsMirror(t *testing.T) {
	for k := tree.Regular; k <= tree.BlockDevice; k++ {
		if got := KindOfMode(ModeOfKind(k) | 0o7777); got != k {
			t.Errorf("kind %d: got %d", k, got)
		}
	}
	if got := KindOfDirent(unix.DT_UNKNOWN); got != 0 {
		t.Errorf("unknown type: got kind %d", got)
	}
}
