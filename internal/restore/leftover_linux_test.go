package restore

import (
	"os"
	"testing"

	"golang.org/x/sys/unix"
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
