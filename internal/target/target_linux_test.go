package target

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/snapkeep/snap/internal/inode"
	"github.com/snapkeep/snap/internal/tree"
)

// eachRoot runs a test with openat2 and with the way of older kernels.
func eachRoot(t *testing.T, o Options, test func(t *testing.T, r *Root, path string)) {
	for _, beneath := range []bool{true, false} {
		name := map[bool]string{true: "beneath", false: "by name"}[beneath]
		t.Run(name, func(t *testing.T) {
			path := tempTree(t)
			r, err := Open(path, o)
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			if beneath && !r.beneath {
				t.Skip("no openat2 here")
			}
			r.beneath = beneath
			test(t, r, path)
		})
	}
}

// regular returns an entry that whoever runs the test may own.
func regular(name, content string) *tree.Entry {
	return &tree.Entry{Stat: tree.Stat{
		Name: name, Kind: tree.Regular, Mode: 0o640, Links: 1, Size: int64(len(content)),
		UID: uint32(os.Geteuid()), GID: uint32(os.Getegid()), ModTime: tree.Time{Sec: 1_000_000_000, Nsec: 5},
	}}
}

func open(t *testing.T, r *Root, path string) *Dir {
	t.Helper()
	d, err := r.Dir(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.Release)
	return d
}

// write restores one file.
func write(d *Dir, e *tree.Entry, x Existing, content string) ([]*AttributeError, error) {
	f, err := d.Create(e, x)
	if err != nil {
		return nil, err
	}
	defer f.Abort()
	if _, err := f.WriteAt([]byte(content), 0); err != nil {
		return nil, err
	}
	return f.Finish(e)
}

func mustWrite(t *testing.T, d *Dir, e *tree.Entry, x Existing, content string) {
	t.Helper()
	if problems, err := write(d, e, x, content); err != nil || len(problems) > 0 {
		t.Fatalf("%s: %v, %v", e.Name, problems, err)
	}
}

func mustRead(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestImpossibleNamesAreRefused(t *testing.T) {
	eachRoot(t, Options{}, func(t *testing.T, r *Root, _ string) {
		d := open(t, r, "")
		for _, name := range []string{"", ".", "..", "/", "a/b", "/a", "a\x00b", "../x"} {
			link := &tree.Entry{Stat: tree.Stat{Name: name, Kind: tree.Symlink}, Target: "x"}
			checks := map[string]error{}
			_, checks["create"] = d.Create(regular(name, ""), Refuse)
			_, checks["mkdir"] = d.Mkdir(name, false)
			_, checks["special"] = d.MakeSpecial(link, Replace)
			checks["link"] = d.Link(name, d, "x", Refuse)
			checks["link from"] = d.Link("x", d, name, Refuse)
			checks["remove"] = d.Remove(name)
			checks["remove all"] = d.RemoveAll(name)
			_, checks["lstat"] = d.Lstat(name)
			_, checks["open"] = d.OpenFile(name)
			_, checks["meta"] = d.SetFileMeta(regular(name, ""))
			for what, err := range checks {
				if !errors.Is(err, ErrName) {
					t.Errorf("%s %q: got %v, want ErrName", what, name, err)
				}
			}
			if name == "" || name == "a/b" {
				continue
			}
			if _, err := r.Dir("d/" + name); !errors.Is(err, ErrName) {
				t.Errorf("folder %q: got %v, want ErrName", name, err)
			}
			if err := r.MkdirAll("d/" + name + "/e"); !errors.Is(err, ErrName) {
				t.Errorf("make folder %q: got %v, want ErrName", name, err)
			}
		}
		for _, path := range []string{"/", "a/", "/a", "a//b"} {
			if _, err := r.Dir(path); !errors.Is(err, ErrName) {
				t.Errorf("folder %q: got %v, want ErrName", path, err)
			}
		}
	})
}

func TestNothingLeavesTheTarget(t *testing.T) {
	eachRoot(t, Options{}, func(t *testing.T, r *Root, path string) {
		outside := tempTree(t)
		secret := filepath.Join(outside, "secret")
		if err := os.WriteFile(secret, []byte("safe"), 0o600); err != nil {
			t.Fatal(err)
		}
		for name, target := range map[string]string{
			"dirlink": outside, "filelink": secret, "up": "..", "proc": "/proc/self/root", "here": ".",
		} {
			if err := os.Symlink(target, filepath.Join(path, name)); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.Link(secret, filepath.Join(path, "hard")); err != nil {
			t.Fatal(err)
		}
		before := manifest(t, outside)
		for _, p := range []string{"dirlink", "up", "proc", "here", "dirlink/x", "up/x"} {
			if d, err := r.Dir(p); !errors.Is(err, ErrLink) {
				t.Errorf("folder %q: got %v, %v, want ErrLink", p, d, err)
			}
		}
		d := open(t, r, "")
		for _, name := range []string{"dirlink", "here"} {
			if _, err := d.Mkdir(name, false); !errors.Is(err, fs.ErrExist) {
				t.Errorf("make folder %q: got %v, want ErrExist", name, err)
			}
		}
		if err := r.MkdirAll("dirlink/x"); !errors.Is(err, fs.ErrExist) {
			t.Errorf("make folders: got %v, want ErrExist", err)
		}
		for _, name := range []string{"filelink", "hard", "dirlink"} {
			if _, err := d.Create(regular(name, ""), Refuse); !errors.Is(err, fs.ErrExist) {
				t.Errorf("create %q: got %v, want ErrExist", name, err)
			}
			if _, err := d.Create(regular(name, ""), Update); !errors.Is(err, ErrShared) {
				t.Errorf("update %q: got %v, want ErrShared", name, err)
			}
			if _, err := d.SetFileMeta(regular(name, "")); !errors.Is(err, ErrShared) {
				t.Errorf("metadata of %q: got %v, want ErrShared", name, err)
			}
		}
		for _, name := range []string{"filelink", "hard", "dirlink"} {
			mustWrite(t, d, regular(name, "mine"), Replace, "mine")
			if got := mustRead(t, filepath.Join(path, name)); got != "mine" {
				t.Errorf("%s: got %q", name, got)
			}
		}
		for _, name := range []string{"up", "proc", "here"} {
			if err := d.RemoveAll(name); err != nil {
				t.Errorf("remove %q: %v", name, err)
			}
		}
		want := slices.Clone(before)
		for i := range want {
			want[i] = strings.Replace(want[i], "links=2", "links=1", 1)
		}
		for i, l := range manifest(t, outside) {
			if l := strings.Replace(l, "links=2", "links=1", 1); l != want[i] {
				t.Errorf("outside: got %s, want %s", l, want[i])
			}
		}
	})
}

func TestFilesAndWhatIsInTheirWay(t *testing.T) {
	eachRoot(t, Options{}, func(t *testing.T, r *Root, path string) {
		d := open(t, r, "")
		mustWrite(t, d, regular("f", "first"), Refuse, "first")
		if _, err := write(d, regular("f", "x"), Refuse, "x"); !errors.Is(err, fs.ErrExist) {
			t.Errorf("got %v, want ErrExist", err)
		}
		e := regular("f", "second")
		e.Mode = 0o4711
		mustWrite(t, d, e, Replace, "second")
		st, err := d.Lstat("f")
		if err != nil || st.Mode != 0o4711 || st.ModTime != e.ModTime || mustRead(t, path+"/f") != "second" {
			t.Errorf("got %+v, %v", st, err)
		}
		inode := st.Inode
		e = regular("f", "3rd")
		e.Mode = 0o4711
		mustWrite(t, d, e, Update, "3rd")
		if st, err = d.Lstat("f"); err != nil || st.Inode != inode || st.Mode != 0o4711 || mustRead(t, path+"/f") != "3rd" {
			t.Errorf("updated: got %+v, %v", st, err)
		}
		if _, err := d.Mkdir("dir", false); err != nil {
			t.Fatal(err)
		}
		if _, err := d.Create(regular("dir", ""), Replace); !errors.Is(err, unix.EISDIR) {
			t.Errorf("over a folder: got %v, want EISDIR", err)
		}
		if existed, err := d.Mkdir("dir", false); !existed || err != nil {
			t.Errorf("a folder that is there: %v, %v", existed, err)
		}
		if _, err := d.Mkdir("f", false); !errors.Is(err, fs.ErrExist) {
			t.Errorf("folder over file: got %v, want ErrExist", err)
		}
		if names, err := d.Names(); err != nil || !slices.Equal(names, []string{"dir", "f"}) {
			t.Errorf("left over: %q, %v", names, err)
		}
	})
}

func TestWholeFilesGetTheirNameAtTheEnd(t *testing.T) {
	eachRoot(t, Options{}, func(t *testing.T, r *Root, path string) {
		d := open(t, r, "")
		e := regular("late", "content")
		f, err := d.Create(e, Whole)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.WriteAt([]byte("content"), 0); err != nil {
			t.Fatal(err)
		}
		if _, err := os.Lstat(path + "/late"); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("before the end: %v", err)
		}
		if problems, err := f.Finish(e); err != nil || len(problems) != 0 {
			t.Fatal(err, problems)
		}
		if got, err := os.ReadFile(path + "/late"); err != nil || string(got) != "content" {
			t.Errorf("%q, %v", got, err)
		}
		before, err := d.Names()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := write(d, e, Whole, "another"); !errors.Is(err, fs.ErrExist) {
			t.Errorf("over what is there: %v", err)
		}
		after, err := d.Names()
		if got, _ := os.ReadFile(path + "/late"); err != nil || string(got) != "content" || !slices.Equal(before, after) {
			t.Errorf("%q, %v, %v", got, after, err)
		}
	})
}

func TestAbortLeavesNothingNew(t *testing.T) {
	eachRoot(t, Options{}, func(t *testing.T, r *Root, path string) {
		d := open(t, r, "")
		mustWrite(t, d, regular("old", "old"), Refuse, "old")
		for name, x := range map[string]Existing{"new": Refuse, "old": Replace} {
			f, err := d.Create(regular(name, "content"), x)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := f.WriteAt([]byte("con"), 0); err != nil {
				t.Fatal(err)
			}
			f.Abort()
			f.Abort()
		}
		if names, err := d.Names(); err != nil || !slices.Equal(names, []string{"old"}) || mustRead(t, path+"/old") != "old" {
			t.Errorf("got %q, %v", names, err)
		}
	})
}

func TestHolesOfAnUpdatedFile(t *testing.T) {
	path := tempTree(t)
	r, err := Open(path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	d := open(t, r, "")
	const unit = 64 << 10
	full := bytes.Repeat([]byte{7}, 4*unit)
	mustWrite(t, d, regular("f", string(full)), Refuse, string(full))
	f, err := d.Create(regular("f", ""), Update)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Abort()
	b := make([]byte, 10)
	if n, err := f.ReadAt(b, 4*unit-5); n != 5 || err != io.EOF || b[0] != 7 {
		t.Errorf("read %d, %v", n, err)
	}
	if err := f.Hole(unit, unit); err != nil {
		t.Fatal(err)
	}
	e := regular("f", "")
	e.Size = 3 * unit
	if problems, err := f.Finish(e); err != nil || len(problems) > 0 {
		t.Fatal(problems, err)
	}
	want := slices.Concat(full[:unit], make([]byte, unit), full[:unit])
	if got := mustRead(t, path+"/f"); got != string(want) {
		t.Error("wrong content")
	}
	if line := manifest(t, path)[0]; !strings.Contains(line, "extents=0-65536,131072-196608") {
		t.Errorf("no hole: %s", line)
	}
}

func TestWritersOfOneFile(t *testing.T) {
	path := tempTree(t)
	r, err := Open(path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	d := open(t, r, "")
	want := make([]byte, 1<<20)
	for i := range want {
		want[i] = byte(i >> 8)
	}
	e := regular("f", string(want))
	f, err := d.Create(e, Refuse)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Abort()
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for at := i * 4096; at < len(want); at += 8 * 4096 {
				if _, err := f.WriteAt(want[at:at+4096], int64(at)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if _, err := f.Finish(e); err != nil {
		t.Fatal(err)
	}
	if mustRead(t, path+"/f") != string(want) {
		t.Error("wrong content")
	}
}

func TestMakeSpecialAndLink(t *testing.T) {
	eachRoot(t, Options{}, func(t *testing.T, r *Root, path string) {
		if _, err := open(t, r, "").Mkdir("d", false); err != nil {
			t.Fatal(err)
		}
		d, sub := open(t, r, ""), open(t, r, "d")
		link := regular("l", "")
		link.Kind, link.Target, link.Mode = tree.Symlink, "\xff", 0o777
		for _, x := range []Existing{Refuse, Replace} {
			if problems, err := d.MakeSpecial(link, x); err != nil || len(problems) > 0 {
				t.Fatal(problems, err)
			}
		}
		if got, err := os.Readlink(path + "/l"); err != nil || got != "\xff" {
			t.Errorf("got %q, %v", got, err)
		}
		if _, err := d.MakeSpecial(link, Refuse); !errors.Is(err, fs.ErrExist) {
			t.Errorf("got %v, want ErrExist", err)
		}
		for _, x := range []Existing{Refuse, Replace, Replace} {
			if err := sub.Link("l2", d, "l", x); err != nil {
				t.Fatal(err)
			}
		}
		if err := sub.Link("l2", d, "l", Refuse); !errors.Is(err, fs.ErrExist) {
			t.Errorf("got %v, want ErrExist", err)
		}
		a, _ := d.Lstat("l")
		b, _ := sub.Lstat("l2")
		if a.Inode != b.Inode || a.Links != 2 || a.ModTime != link.ModTime {
			t.Errorf("got %+v and %+v", a, b)
		}
		for _, e := range []*tree.Entry{
			{Stat: tree.Stat{Name: "empty", Kind: tree.Symlink}},
			{Stat: tree.Stat{Name: "nul", Kind: tree.Symlink}, Target: "a\x00b"},
			{Stat: tree.Stat{Name: "dir", Kind: tree.Directory}},
			{Stat: tree.Stat{Name: "kind", Kind: 99}},
		} {
			if _, err := d.MakeSpecial(e, Replace); err == nil {
				t.Errorf("%s was made", e.Name)
			}
		}
		if names, err := d.Names(); err != nil || !slices.Equal(names, []string{"d", "l"}) {
			t.Errorf("left over: %q, %v", names, err)
		}
	})
}

func TestRemoveAllStaysBeneath(t *testing.T) {
	eachRoot(t, Options{}, func(t *testing.T, r *Root, path string) {
		outside := tempTree(t)
		if err := os.WriteFile(outside+"/keep", nil, 0o600); err != nil {
			t.Fatal(err)
		}
		// Deeper than what is held open, and than a path may be long.
		fd, err := unix.Open(path, unix.O_DIRECTORY, 0)
		if err != nil {
			t.Fatal(err)
		}
		for range 3 * maxRemoveDepth {
			unix.Mkdirat(fd, strings.Repeat("d", 50), 0o755)
			unix.Symlinkat(outside, fd, "link")
			next, err := unix.Openat(fd, strings.Repeat("d", 50), unix.O_DIRECTORY, 0)
			if err != nil {
				t.Fatal(err)
			}
			unix.Close(fd)
			fd = next
		}
		unix.Close(fd)
		d := open(t, r, "")
		deep := open(t, r, strings.Repeat("d", 50)+"/"+strings.Repeat("d", 50))
		for _, name := range []string{strings.Repeat("d", 50), "link", "nothing"} {
			if err := d.RemoveAll(name); err != nil {
				t.Fatal(err)
			}
		}
		if names, err := d.Names(); err != nil || len(names) > 0 {
			t.Errorf("left over: %q, %v", names, err)
		}
		if _, err := os.Stat(outside + "/keep"); err != nil {
			t.Error(err)
		}
		if _, err := deep.Create(regular("f", ""), Refuse); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("in a removed folder: got %v, want ErrNotExist", err)
		}
		if _, err := r.Dir(strings.Repeat("d", 50)); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("a removed folder is still known: %v", err)
		}
		if err := d.Remove("nothing"); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("got %v, want ErrNotExist", err)
		}
	})
}

func TestRemoveAllSparesMounts(t *testing.T) {
	path := tempTree(t)
	if err := os.MkdirAll(path+"/a/mnt", 0o755); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("none", path+"/a/mnt", "tmpfs", 0, "size=64k"); err != nil {
		t.Skip("cannot mount: ", err)
	}
	defer unix.Unmount(path+"/a/mnt", unix.MNT_DETACH)
	if err := os.WriteFile(path+"/a/mnt/keep", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	r, err := Open(path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if err := open(t, r, "").RemoveAll("a"); !errors.Is(err, ErrMount) {
		t.Errorf("got %v, want ErrMount", err)
	}
	if _, err := os.Stat(path + "/a/mnt/keep"); err != nil {
		t.Error(err)
	}
}

func TestFoldersAreKeptWithinTheBound(t *testing.T) {
	eachRoot(t, Options{MaxDirs: 4}, func(t *testing.T, r *Root, path string) {
		for _, p := range []string{"a/b/c", "d", "e", "f", "g"} {
			if err := r.MkdirAll(p); err != nil {
				t.Fatal(err)
			}
		}
		held := open(t, r, "a/b")
		for range 3 {
			for _, p := range []string{"a/b/c", "d", "e", "f", "g", "a"} {
				d, err := r.Dir(p)
				if err != nil {
					t.Fatal(err)
				}
				mustWrite(t, d, regular("file", "x"), Replace, "x")
				d.Release()
			}
			if n := r.recent.Len(); n > 4 || n != len(r.dirs) {
				t.Errorf("%d folders are open", n)
			}
		}
		mustWrite(t, held, regular("still", "x"), Refuse, "x")
	})
}

func TestFoldersDeeperThanAPath(t *testing.T) {
	eachRoot(t, Options{}, func(t *testing.T, r *Root, _ string) {
		p := strings.TrimSuffix(strings.Repeat(strings.Repeat("d", 200)+"/", 60), "/")
		if err := r.MkdirAll(p); err != nil {
			t.Fatal(err)
		}
		mustWrite(t, open(t, r, p), regular("f", "deep"), Refuse, "deep")
		for _, d := range []string{"", "x"} {
			if _, err := r.Dir(p + "/y" + d); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("got %v, want ErrNotExist", err)
			}
		}
		if _, err := r.Dir(strings.Repeat("n", 5000)); !errors.Is(err, unix.ENAMETOOLONG) {
			t.Errorf("got %v, want ENAMETOOLONG", err)
		}
	})
}

func TestClosedRoot(t *testing.T) {
	r, err := Open(tempTree(t)+"/new/folder", Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(r.Sync(), r.Close(), r.Close()); err != nil {
		t.Error(err)
	}
	if _, err := r.Dir(""); !errors.Is(err, fs.ErrClosed) {
		t.Errorf("got %v, want ErrClosed", err)
	}
}

func TestAttributesThatCannotBeSet(t *testing.T) {
	path := tempTree(t)
	r, err := Open(path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	d := open(t, r, "")
	e := regular("f", "x")
	e.Xattrs = []tree.Xattr{{Name: "nonsense", Value: "v"}, {Name: "user.good", Value: "v"}}
	e.Flags = 1 << 31
	problems, err := write(d, e, Refuse, "x")
	if err != nil || len(problems) == 0 {
		t.Fatalf("got %v, %v", problems, err)
	}
	p := problems[0]
	if p.Path != "f" || p.Attribute != Xattr || p.Name != "nonsense" || p.Unwrap() == nil || !strings.Contains(p.Error(), `"nonsense"`) {
		t.Errorf("got %+v", p)
	}
	if mustRead(t, path+"/f") != "x" {
		t.Error("the file is not there")
	}
	// Without attributes nothing can be refused.
	quiet, err := Open(tempTree(t), Options{NoXattrs: true, NoFlags: true, NoOwners: true})
	if err != nil {
		t.Fatal(err)
	}
	defer quiet.Close()
	e.UID, e.GID = 12345, 54321
	if problems, err := write(open(t, quiet, ""), e, Refuse, "x"); err != nil || len(problems) > 0 {
		t.Errorf("got %v, %v", problems, err)
	}
	if st, err := open(t, quiet, "").Lstat("f"); err != nil || st.UID != uint32(os.Geteuid()) {
		t.Errorf("got %+v, %v", st, err)
	}
}

func TestOwnersOfAnotherMapping(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root gives files away")
	}
	path := tempTree(t)
	o := Options{Owner: func(e *tree.Entry) (uid, gid uint32) { return e.UID + 1000, e.GID + 2000 }}
	r, err := Open(path, o)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	d := open(t, r, "")
	for i := range uint32(3) {
		e := regular(string(rune('a'+i)), "x")
		e.UID, e.GID, e.Mode = i, i, 0o6755
		mustWrite(t, d, e, Refuse, "x")
		if st, err := d.Lstat(e.Name); err != nil || st.UID != 1000+i || st.GID != 2000+i || st.Mode != 0o6755 {
			t.Errorf("got %+v, %v", st, err)
		}
	}
}

// TestSomebodyElsesFiles shows what is left of owners and set-id bits for whoever is
// not root.
func TestSomebodyElsesFiles(t *testing.T) {
	for _, forgive := range []bool{false, true} {
		path := tempTree(t)
		r, err := Open(path, Options{ForgiveOwners: forgive})
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		e := regular("f", "x")
		e.UID, e.GID, e.Mode = 4_000_000_000, 4_000_000_000, 0o6755
		problems, err := write(open(t, r, ""), e, Refuse, "x")
		if err != nil {
			t.Fatal(err)
		}
		st, err := open(t, r, "").Lstat("f")
		if err != nil {
			t.Fatal(err)
		}
		if os.Geteuid() == 0 {
			if st.UID != e.UID || st.Mode != 0o6755 || len(problems) > 0 {
				t.Errorf("got %+v, %v", st, problems)
			}
			continue
		}
		var got []Attribute
		for _, p := range problems {
			got = append(got, p.Attribute)
		}
		want := []Attribute{Owner, Mode}
		if forgive {
			want = want[1:]
		}
		if st.Mode != 0o755 || !slices.Equal(got, want) {
			t.Errorf("mode %o, problems %v", st.Mode, problems)
		}
	}
}

func TestExistingFolderIsMadeWritableAndOwn(t *testing.T) {
	path := tempTree(t)
	if err := os.MkdirAll(path+"/d/sub", 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path+"/d", 0o555); err != nil {
		t.Fatal(err)
	}
	unix.Setxattr(path+"/d", "user.old", []byte("v"), 0)
	r, err := Open(path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if existed, err := open(t, r, "").Mkdir("d", false); !existed || err != nil {
		t.Fatal(existed, err)
	}
	d := open(t, r, "d")
	mustWrite(t, d, regular("f", "x"), Refuse, "x")
	e := regular("d", "")
	e.Kind, e.Mode, e.Links = tree.Directory, 0o550, 2
	if problems := d.SetMeta(e, true); len(problems) > 0 {
		t.Error(problems)
	}
	st, err := open(t, r, "").Lstat("d")
	if err != nil || st.Mode != 0o550 || st.ModTime != e.ModTime {
		t.Errorf("got %+v, %v", st, err)
	}
	if n, err := unix.Getxattr(path+"/d", "user.old", nil); err != unix.ENODATA && err != unix.EOPNOTSUPP {
		t.Errorf("an attribute that the entry lacks is still there: %d, %v", n, err)
	}
}

func TestFilesAfterTheFolderGotItsMetadata(t *testing.T) {
	path := tempTree(t)
	r, err := Open(path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	top := open(t, r, "")
	if _, err := top.Mkdir("d", false); err != nil {
		t.Fatal(err)
	}
	d := open(t, r, "d")
	mustWrite(t, d, regular("before", "x"), Refuse, "x")
	e := regular("d", "")
	e.Kind, e.Mode, e.Links = tree.Directory, 0o2755, 2
	e.Xattrs = []tree.Xattr{{Name: aclDefault, Value: string(smallACL)}}
	if problems := d.SetMeta(e, false); len(problems) > 0 {
		t.Skip("no access control lists here: ", problems)
	}
	again := open(t, r, "d")
	mustWrite(t, again, regular("after", "x"), Refuse, "x")
	if n, err := unix.Getxattr(path+"/d/after", aclAccess, nil); err == nil {
		t.Errorf("an access control list of %d bytes was inherited", n)
	}
	if st, err := again.Lstat("after"); err != nil || st.Mode != 0o640 {
		t.Errorf("got %+v, %v", st, err)
	}
}

// smallACL lets user 1234 in besides the owners.
var smallACL = []byte{2, 0, 0, 0,
	1, 0, 7, 0, 255, 255, 255, 255, 2, 0, 7, 0, 210, 4, 0, 0, 4, 0, 5, 0, 255, 255, 255, 255,
	16, 0, 7, 0, 255, 255, 255, 255, 32, 0, 0, 0, 255, 255, 255, 255}

func TestInheritedACLIsTakenOff(t *testing.T) {
	path := tempTree(t)
	if err := unix.Setxattr(path, aclDefault, smallACL, 0); err != nil {
		t.Skip("no access control lists here: ", err)
	}
	r, err := Open(path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	d := open(t, r, "")
	mustWrite(t, d, regular("f", "x"), Refuse, "x")
	if _, err := d.Mkdir("d", false); err != nil {
		t.Fatal(err)
	}
	sub := open(t, r, "d")
	mustWrite(t, sub, regular("g", "x"), Refuse, "x")
	for _, p := range []string{"/f", "/d", "/d/g"} {
		for _, name := range []string{aclAccess, aclDefault} {
			if n, err := unix.Getxattr(path+p, name, nil); err == nil {
				t.Errorf("%s has %s of %d bytes", p, name, n)
			}
		}
	}
	if st, err := d.Lstat("f"); err != nil || st.Mode != 0o640 {
		t.Errorf("got %+v, %v", st, err)
	}
}

func TestReadersOfTheTarget(t *testing.T) {
	path := tempTree(t)
	r, err := Open(path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	d := open(t, r, "")
	mustWrite(t, d, regular("f", "content"), Refuse, "content")
	f, err := d.OpenFile("f")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	b := make([]byte, 4)
	if n, err := f.ReadAt(b, 3); n != 4 || err != nil || string(b) != "tent" {
		t.Errorf("got %q, %v", b, err)
	}
	if st, err := f.Stat(); err != nil || st.Size != 7 || st.Name != "f" {
		t.Errorf("got %+v, %v", st, err)
	}
	if err := unix.Mkfifo(path+"/fifo", 0o600); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"fifo", "."} {
		if _, err := d.OpenFile(name); err == nil {
			t.Errorf("%q was opened", name)
		}
	}
	if _, err := d.OpenFile("none"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v, want ErrNotExist", err)
	}
	e := regular("f", "content")
	e.Mode = 0o400
	if problems, err := d.SetFileMeta(e); err != nil || len(problems) > 0 {
		t.Errorf("%v, %v", problems, err)
	}
	if st, err := d.Lstat("f"); err != nil || st.Mode != 0o400 {
		t.Errorf("got %+v, %v", st, err)
	}
}

// What is immutable or append-only in the target is replaced only by what is so in the snapshot, and then as well.
func TestHeldFilesStay(t *testing.T) {
	path := tempTree(t)
	r, err := Open(path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	d := open(t, r, "")
	held := func(name string, flag uint32) *tree.Entry {
		e := regular(name, "x")
		e.Flags = flag
		return e
	}
	hold := func(name string, flag uint32) {
		t.Helper()
		if problems, err := write(d, held(name, flag), Refuse, "x"); err != nil || len(problems) > 0 {
			t.Skip("no inode flags here: ", problems, err)
		}
		if err := os.WriteFile(path+"/"+name, nil, 0o600); err == nil {
			t.Errorf("%s can be changed", name)
		}
	}
	isHeld := func(what string, err error, name string) {
		t.Helper()
		if !errors.Is(err, ErrHeld) || mustRead(t, path+"/"+name) != "x" {
			t.Errorf("%s of %s: %v", what, name, err)
		}
	}
	for name, flag := range map[string]uint32{"a": inode.FlagImmutable, "b": inode.FlagAppend} {
		hold(name, flag)
		_, err := write(d, regular(name, "new"), Replace, "new")
		isHeld("replacing", err, name)
		link := regular(name, "")
		link.Kind, link.Target = tree.Symlink, "x"
		_, err = d.MakeSpecial(link, Replace)
		isHeld("replacing by a link", err, name)
		isHeld("removing", d.Remove(name), name)
		isHeld("removing", d.RemoveAll(name), name)
		problems, err := d.SetFileMeta(regular(name, "x"))
		if len(problems) != 1 || problems[0].Attribute != Flags || err != nil {
			t.Errorf("metadata of %s: %v, %v", name, problems, err)
		} else {
			isHeld("metadata", problems[0], name)
		}
		if problems, err := d.SetFileMeta(held(name, flag)); err != nil || len(problems) > 0 {
			t.Errorf("metadata of %s as it is: %v, %v", name, problems, err)
		}
		e := held(name, flag)
		e.Size = 3
		if problems, err := write(d, e, Replace, "new"); err != nil || len(problems) > 0 || mustRead(t, path+"/"+name) != "new" {
			t.Errorf("%s by what is held as well: %v, %v", name, problems, err)
		}
		if err := os.WriteFile(path+"/"+name, nil, 0o600); err == nil {
			t.Errorf("%s can be changed", name)
		}
	}
	if names, err := d.Leftovers(); err != nil || len(names) > 0 {
		t.Errorf("left: %q, %v", names, err)
	}
	// A file with another name may lie outside: it is left as it is.
	e := regular("c", "x")
	mustWrite(t, d, e, Refuse, "x")
	if err := d.Link("c2", d, "c", Refuse); err != nil {
		t.Fatal(err)
	}
	e.Flags, e.Links = inode.FlagImmutable, 2
	if problems := d.Hold(e); len(problems) > 0 {
		t.Fatal(problems)
	}
	if err := d.Remove("c"); !errors.Is(err, fs.ErrPermission) {
		t.Errorf("got %v, want ErrPermission", err)
	}
}

func TestHeldFoldersStay(t *testing.T) {
	path := tempTree(t)
	r, err := Open(path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	d := open(t, r, "")
	if _, err := d.Mkdir("f", false); err != nil {
		t.Fatal(err)
	}
	folder := regular("f", "")
	folder.Kind, folder.Mode, folder.Flags = tree.Directory, 0o750, inode.FlagImmutable
	sub := open(t, r, "f")
	mustWrite(t, sub, regular("in", "x"), Refuse, "x")
	if problems := sub.SetMeta(folder, false); len(problems) > 0 {
		t.Skip("no inode flags here: ", problems)
	}
	if existed, err := d.Mkdir("f", false); err != nil || !existed {
		t.Fatal(existed, err)
	}
	sub = open(t, r, "f")
	if _, err := write(sub, regular("new", "x"), Refuse, "x"); !errors.Is(err, ErrHeld) {
		t.Errorf("a file in it: %v", err)
	}
	if err := d.RemoveAll("f"); !errors.Is(err, ErrHeld) || mustRead(t, path+"/f/in") != "x" {
		t.Errorf("removing it: %v", err)
	}
	plain := *folder
	plain.Flags = 0
	if problems := sub.SetMeta(&plain, true); len(problems) != 1 || !errors.Is(problems[0], ErrHeld) {
		t.Errorf("metadata: %v", problems)
	}
	if _, err := d.Mkdir("f", true); err != nil {
		t.Fatal(err)
	}
	sub = open(t, r, "f")
	mustWrite(t, sub, regular("new", "x"), Refuse, "x")
	if problems := sub.SetMeta(folder, true); len(problems) > 0 {
		t.Error(problems)
	}
	if err := os.WriteFile(path+"/f/more", nil, 0o600); err == nil {
		t.Error("it is not held any more")
	}
}
