package repo_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/snapkeep/snap/internal/looptest"
	"github.com/snapkeep/snap/internal/store/mem"
	"github.com/snapkeep/snap/internal/torturetest"
	"github.com/snapkeep/snap/repo"
)

// fileSystems are the kinds that the torture tree has to come back on, with what makes
// one in a file.
var fileSystems = map[string][]string{
	"ext4":  {"mkfs.ext4", "-q", "-F"},
	"xfs":   {"mkfs.xfs", "-q"},
	"btrfs": {"mkfs.btrfs", "-q"},
}

// mount makes a file system in a file and mounts it, or skips the test.
func mount(t *testing.T, kind string) string {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("mounting needs root")
	}
	mkfs := fileSystems[kind]
	if _, err := exec.LookPath(mkfs[0]); err != nil {
		t.Skipf("%s is not installed", mkfs[0])
	}
	dir := t.TempDir()
	image, point := filepath.Join(dir, "image"), filepath.Join(dir, "mnt")
	f, err := os.Create(image)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Truncate(700 << 20); err != nil { // XFS wants 300 MiB at least
		t.Fatal(err)
	}
	f.Close()
	if out, err := exec.Command(mkfs[0], append(mkfs[1:len(mkfs):len(mkfs)], image)...).CombinedOutput(); err != nil {
		t.Skipf("%s: %v: %s", mkfs[0], err, out)
	}
	if err := os.Mkdir(point, 0o755); err != nil {
		t.Fatal(err)
	}
	device, detach := looptest.Attach(t, image, false)
	t.Cleanup(detach)
	if out, err := exec.Command("mount", device, point).CombinedOutput(); err != nil {
		t.Skipf("mount %s: %v: %s", kind, err, out)
	}
	t.Cleanup(func() {
		if out, err := exec.Command("umount", point).CombinedOutput(); err != nil {
			t.Errorf("umount: %v: %s", err, out)
		}
	})
	return point
}

// TestTortureTreeComesBackOnEveryFileSystem backs the torture tree up and restores it to
// the same file system: nothing may differ.
func TestTortureTreeComesBackOnEveryFileSystem(t *testing.T) {
	for kind := range fileSystems {
		t.Run(kind, func(t *testing.T) {
			point := mount(t, kind)
			source, target := filepath.Join(point, "source"), filepath.Join(point, "target")
			if err := os.Mkdir(source, 0o755); err != nil {
				t.Fatal(err)
			}
			if err := torturetest.Build(source); err != nil {
				t.Logf("not every class can be made on %s: %v", kind, err)
			}
			defer torturetest.Clear(source)
			want, err := torturetest.Manifest(source)
			if err != nil {
				t.Fatal(err)
			}
			if len(want) < 1000 {
				t.Fatalf("only %d entries", len(want))
			}
			r, s := backUp(t, source)
			if err := os.Mkdir(target, 0o755); err != nil {
				t.Fatal(err)
			}
			defer torturetest.Clear(target)
			res, err := r.Restore(t.Context(), s, repo.RestoreOptions{Target: target, Path: strings.TrimPrefix(source, "/"),
				Problem: func(path string, err error) { t.Errorf("%s: %v", path, err) }})
			if err != nil {
				t.Fatalf("%v: %+v", err, res)
			}
			got, err := torturetest.Manifest(target)
			if err != nil {
				t.Fatal(err)
			}
			diff := torturetest.Diff(want, got)
			if len(diff) > 0 {
				t.Errorf("%d differences, the first:\n%s", len(diff), strings.Join(diff[:min(10, len(diff))], "\n"))
			}
		})
	}
}

// backUp makes a repository in memory and a snapshot of dir in it.
func backUp(t *testing.T, dir string) (*repo.Repo, *repo.Snapshot) {
	t.Helper()
	to, _ := weak(t)
	r, err := repo.Create(t.Context(), mem.New(nil), to, repo.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	src, err := repo.FromLocal(repo.LocalOptions{Roots: []string{dir}})
	if err != nil {
		t.Fatal(err)
	}
	res, err := r.Backup(t.Context(), repo.BackupOptions{Source: src, SourceName: dir, Problem: func(p repo.Problem) { t.Errorf("%s: %v", p.Path, p.Err) }})
	if err != nil {
		t.Fatal(err)
	}
	return r, res.Snapshot
}
