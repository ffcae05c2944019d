package local

import (
	"os"
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/snapkeep/snap/internal/tree"
)

// nested lists what is saved of folders below the first root, which all others lie in.
func nested(t *testing.T, root string, o Options, below ...string) []string {
	t.Helper()
	o.Roots = []string{root}
	for _, p := range below {
		o.Roots = append(o.Roots, root+"/"+p)
	}
	paths, _ := list(t, o)
	return beneath(root, paths)
}

func TestRootBehindALinkInAnotherRoot(t *testing.T) {
	root := build(t, "z=", "a/file=")
	elsewhere := build(t, "way/deep/file=", "way/other=")
	if err := os.Symlink(elsewhere+"/way", root+"/link"); err != nil {
		t.Fatal(err)
	}
	got := nested(t, root, Options{}, "link/deep")
	if want := []string{"a", "a/file", "link", "link/deep", "link/deep/file", "z"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	// The last one on the way is saved as it is.
	if got, want := nested(t, root, Options{}, "link"), []string{"a", "a/file", "link", "z"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	// Where links are not followed, the root is missing.
	src, err := New(Options{Roots: []string{root, root + "/link/deep"}, Confined: []string{root}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := src.Root(t.Context()); err == nil {
		t.Error("a link was followed")
	}
}

func TestRootInAnotherRootIsKept(t *testing.T) {
	files := []string{"big=12345", "m/.skip=", "m/deep/x=", "m/y=", "p/deep/x=", "p/y=", "s=1", "s2=1"}
	root := build(t, files...)
	o := Options{ExcludeIfPresent: []string{".skip"}, ExcludeLargerThan: 4, Exclude: compile(t, root+"/p/y", "s", "s2", "/**/p/deep")}
	got := nested(t, root, o, "m/deep", "p/deep", "s", "big")
	if want := []string{"m", "m/.skip", "m/deep", "m/deep/x", "p"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	o.KeepRoots = true
	got = nested(t, root, o, "m/deep", "p/deep", "s", "big")
	if want := []string{"big", "m", "m/.skip", "m/deep", "m/deep/x", "p", "p/deep", "s"}; !slices.Equal(got, want) {
		t.Errorf("kept: got %q, want %q", got, want)
	}
	o.Exclude = compile(t, "p", "s", "s2") // no pattern matches the way alone: nothing else of p belongs to the backup
	got = nested(t, root, o, "p/deep/x")
	if want := []string{"m", "m/.skip", "p", "p/deep", "p/deep/x"}; !slices.Equal(got, want) {
		t.Errorf("on the way: got %q, want %q", got, want)
	}
	o.ExcludeFunc = func(string, *tree.Stat) bool { return true }
	got = nested(t, root, o, "p/deep/x")
	if want := []string{"p", "p/deep", "p/deep/x"}; !slices.Equal(got, want) {
		t.Errorf("with a function: got %q, want %q", got, want)
	}
}

func TestRootBehindAnotherFileSystem(t *testing.T) {
	root := build(t, "a=", "mnt=")
	mount := root + "/disk"
	for _, dir := range []string{mount, mount + "/inner"} {
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := unix.Mount("none", dir, "tmpfs", 0, "size=1m"); err != nil {
			t.Skipf("no mounts here: %v", err)
		}
		t.Cleanup(func() { unix.Unmount(dir, unix.MNT_DETACH) })
	}
	for _, name := range []string{mount + "/not", mount + "/inner/file"} {
		if err := os.WriteFile(name, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	got := nested(t, root, Options{OneFileSystem: true}, "disk/inner")
	if want := []string{"a", "disk", "disk/inner", "disk/inner/file", "mnt"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}
