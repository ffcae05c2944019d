package restore

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"testing"

	"github.com/snapkeep/snap/internal/looptest"
)

// TestRestoreIsDurable takes the disk away at the end of a restore, and looks at a copy of what is on it.
func TestRestoreIsDurable(t *testing.T) {
	few := fileSpec{"file": "content", "sub/file": noise(3<<20, 7), "sub/link": "-> file", "sub/below/small": "small", "sub/empty/": ""}
	many := fileSpec{}
	for i := range 2 * maxSynced {
		many[fmt.Sprintf("sub/file%d", i)] = noise(1000, byte(i))
	}
	for name, test := range map[string]struct {
		files       fileSpec
		below, into string // where the file system is in the target, and the target in the file system
	}{
		"few files": {files: few}, "few files below the target": {files: few, below: "/sub"}, "few files in a new target": {files: few, into: "/new/folder"},
		"many files": {files: many}, "many files below the target": {files: many, below: "/sub"}, "many files in a new target": {files: many, into: "/new/folder"},
	} {
		t.Run(name, func(t *testing.T) {
			from := t.TempDir()
			test.files.make(t, from)
			b := newBench()
			dir := t.TempDir()
			disk, at := dir+"/disk", dir+"/target"
			unmount := mount(t, disk, at+test.below)
			o := b.options(b.save(t, from), from, at+test.into)
			o.Overwrite, o.Sync = OverwriteAlways, true
			mustRun(t, o)
			if out, err := exec.Command("cp", "--sparse=always", disk, disk+".copy").CombinedOutput(); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			unmount()
			mount(t, disk+".copy", dir+"/again")
			got := readTree(t, dir+"/again"+test.into)
			delete(got, "lost+found/")
			sameTree(t, readTree(t, from+test.below), got)
		})
	}
}

// A file that cannot be opened to be synced is synced with all others.
func TestFilesNobodyMayReadAreDurable(t *testing.T) {
	from := t.TempDir()
	fileSpec{"file": "content"}.make(t, from)
	if err := os.Chmod(from+"/file", 0); err != nil {
		t.Fatal(err)
	}
	b := newBench()
	o := b.options(b.save(t, from), from, t.TempDir())
	o.Sync = true
	mustRun(t, o)
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
