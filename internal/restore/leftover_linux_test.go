package restore

import (
	"errors"
	"os"
	"os/exec"
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/snapkeep/snap/internal/looptest"
)

const (
	leftover = ".snap-restore-0123456789abcdef"
	inUse    = ".snap-restore-00000000000000aa"
	wrong    = ".snap-restore-0123456789abcde"
)

func TestLeftoversOfAKilledRestoreAreRemoved(t *testing.T) {
	from := t.TempDir()
	fileSpec{"a/file": "content", "b/file": "content", "saved/" + leftover: "saved", "saved/file": "x", "other/file": "x"}.make(t, from)
	b := newBench()
	root := b.save(t, from)
	there := fileSpec{leftover: "part", "a/file": "old", "a/" + leftover: "part", "a/" + inUse: "part", "a/" + wrong: "mine", "b/" + leftover + "/": "",
		"b/" + inUse: "-> file", "saved/" + leftover: "older", "other/" + leftover: "part", "own/" + leftover: "part"}
	prepare := func(t *testing.T) string {
		to := t.TempDir()
		there.make(t, to)
		f, err := os.Open(to + "/a/" + inUse)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { f.Close() })
		if err := unix.Flock(int(f.Fd()), unix.LOCK_EX); err != nil {
			t.Fatal(err)
		}
		return to
	}
	check := func(t *testing.T, to string, present, gone []string) {
		t.Helper()
		got := readTree(t, to)
		for _, name := range present {
			if _, ok := got[name]; !ok {
				t.Errorf("%s is gone", name)
			}
		}
		for _, name := range gone {
			if _, ok := got[name]; ok {
				t.Errorf("%s is left", name)
			}
		}
	}
	t.Run("all", func(t *testing.T) {
		to := prepare(t)
		o := b.options(root, from, to)
		res, _ := mustRun(t, o)
		if res.Leftovers != 4 || res.Deleted != 0 {
			t.Errorf("%+v", res)
		}
		check(t, to, []string{"a/" + inUse, "a/" + wrong, "b/" + leftover + "/", "saved/" + leftover, "own/" + leftover},
			[]string{leftover, "a/" + leftover, "b/" + inUse, "other/" + leftover})
		if got := readTree(t, to)["saved/"+leftover]; got != "saved" {
			t.Errorf("what the snapshot has by such a name: %q", got)
		}
	})
	t.Run("only folders that are written to", func(t *testing.T) {
		to := prepare(t)
		o := b.options(root, from, to)
		o.Include = compileLists(t, "/a/file")
		if res, _ := mustRun(t, o); res.Leftovers != 2 {
			t.Errorf("%+v", res)
		}
		check(t, to, []string{"other/" + leftover, "b/" + inUse}, []string{leftover, "a/" + leftover})
	})
	t.Run("a single file", func(t *testing.T) {
		to := prepare(t)
		if res, _ := mustRun(t, b.options(root, from+"/a/file", to)); res.Leftovers != 1 {
			t.Errorf("%+v", res)
		}
		check(t, to, []string{"a/" + leftover}, []string{leftover})
	})
	t.Run("dry run", func(t *testing.T) {
		to := prepare(t)
		o := b.options(root, from, to)
		o.DryRun = true
		before := readTree(t, to)
		if res, _ := mustRun(t, o); res.Leftovers != 0 {
			t.Errorf("%+v", res)
		}
		sameTree(t, before, readTree(t, to))
	})
}

// TestRestoreIsDurable takes the disk away at the end of a restore, and looks at a copy of what is on it.
func TestRestoreIsDurable(t *testing.T) {
	from := t.TempDir()
	files := fileSpec{"file": "content", "sub/file": noise(3<<20, 7), "sub/link": "-> file", "sub/below/small": "small"}
	files.make(t, from)
	b := newBench()
	root := b.save(t, from)
	for name, below := range map[string]string{"the target": "", "below the target": "/sub"} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			disk, to := dir+"/disk", dir+"/target"
			mounted := mount(t, disk, to+below)
			o := b.options(root, from, to)
			o.Overwrite = OverwriteAlways
			mustRun(t, o)
			if out, err := exec.Command("cp", "--sparse=always", disk, disk+".copy").CombinedOutput(); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			mounted()
			mount(t, disk+".copy", dir+"/again")
			want := readTree(t, from+below)
			got := readTree(t, dir+"/again")
			delete(got, "lost+found/")
			sameTree(t, want, got)
		})
	}
}

// mount makes a file system in the file disk unless it exists, mounts it, and returns what unmounts it. It skips the test where it cannot.
func mount(t *testing.T, disk, at string) (unmount func()) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("needs root, to mount")
	}
	must := func(command ...string) {
		t.Helper()
		if out, err := exec.Command(command[0], command[1:]...).CombinedOutput(); err != nil {
			t.Skipf("%q: %v: %s", command, err, out)
		}
	}
	if _, err := os.Stat(disk); errors.Is(err, os.ErrNotExist) {
		must("truncate", "-s", "64M", disk)
		must("mkfs.ext4", "-q", "-F", disk)
	}
	device, detach := looptest.Attach(t, disk, false)
	var ends []func()
	unmount = func() {
		for _, end := range slices.Backward(ends) {
			end()
		}
		ends = nil
	}
	ends = append(ends, detach)
	t.Cleanup(unmount)
	must("mkdir", "-p", at)
	must("mount", device, at)
	ends = append(ends, func() {
		if out, err := exec.Command("umount", at).CombinedOutput(); err != nil {
			t.Errorf("umount: %v: %s", err, out)
		}
	})
	return unmount
}
