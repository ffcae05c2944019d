package local

import (
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/snapkeep/snap/internal/tree"
)

// scouting returns a source of one root whose Begin has found what it can.
func scouting(t *testing.T, o Options) (*Source, *scout) {
	src, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	src.Begin(t.Context())
	c := src.scout.Load()
	if c != nil {
		<-c.ended
	}
	return src, c
}

func never(string) bool { return false }

// TestBeginFindsTheSame walks with and without what was listed before, also when that was cut off, is old, or belongs to folders that were replaced.
func TestBeginFindsTheSame(t *testing.T) {
	top := wideTree(t)
	addLarge(t, filepath.Join(top, "d07", "large"))
	before := openFiles(t)
	walk := func(src *Source) []string {
		d, above := rootDir(t, src)
		defer above()
		all, err := gather(t.Context(), d, "", never)
		if err != nil {
			t.Fatal(err)
		}
		return all
	}
	plain, err := New(Options{Roots: []string{top}})
	if err != nil {
		t.Fatal(err)
	}
	want := walk(plain)

	src, c := scouting(t, Options{Roots: []string{top}})
	if n := len(c.found); n != 11+1+11*12/2+1 {
		t.Fatalf("%d folders were listed", n)
	}
	if got := walk(src); !reflect.DeepEqual(got, want) {
		t.Errorf("%d entries, want %d, or others", len(got), len(want))
	}
	if len(c.found) != 0 {
		t.Errorf("%d listings served nobody", len(c.found))
	}
	if got := walk(src); !reflect.DeepEqual(got, want) { // the second walk looks itself
		t.Errorf("%d entries the second time, want %d, or others", len(got), len(want))
	}

	src, c = scouting(t, Options{Roots: []string{top}})
	for _, f := range c.found {
		f.at = f.at.Add(-scoutLife)
		f.stats = nil // shows whether it is used
	}
	if got := walk(src); !reflect.DeepEqual(got, want) {
		t.Errorf("%d entries with old listings, want %d, or others", len(got), len(want))
	}

	src, c = scouting(t, Options{Roots: []string{top}})
	for path := range c.found {
		if path > filepath.Join(top, "d07") {
			delete(c.found, path)
		}
	}
	if got := walk(src); !reflect.DeepEqual(got, want) {
		t.Errorf("%d entries when the listing was cut off, want %d, or others", len(got), len(want))
	}
	if after := openFiles(t); after > before {
		t.Errorf("%d files are open, %d were before", after, before)
	}
}

// TestFolderIsReplacedAfterBegin puts other folders in the place of those that were listed.
func TestFolderIsReplacedAfterBegin(t *testing.T) {
	top := wideTree(t)
	src, _ := scouting(t, Options{Roots: []string{top}})
	for _, pair := range [][2]string{{"d01", "was-d01"}, {"d02", "d01"}, {"was-d01", "d02"}} {
		if err := os.Rename(filepath.Join(top, pair[0]), filepath.Join(top, pair[1])); err != nil {
			t.Fatal(err)
		}
	}
	d, stats := listedRoot(t, src)
	for i, want := range []int{2, 1, 3} {
		sub, err := d.OpenDir(t.Context(), &stats[i])
		if err != nil {
			t.Fatal(err)
		}
		if below, _, err := sub.List(t.Context()); err != nil || len(below) != want {
			t.Errorf("%s: %d entries, %v, want %d", stats[i].Name, len(below), err, want)
		}
		sub.Close()
	}
}

// tick waits until what changes has another change time than what has changed before.
func tick(t *testing.T) {
	t.Helper()
	name := filepath.Join(t.TempDir(), "probe")
	var first time.Time
	for began := time.Now(); time.Since(began) < time.Minute; time.Sleep(time.Millisecond) {
		if err := os.WriteFile(name, []byte("x"), 0o644); err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(name)
		if err != nil {
			t.Fatal(err)
		}
		if first.IsZero() {
			first = info.ModTime()
		}
		if info.ModTime().After(first) {
			return
		}
	}
	t.Fatal("change times stand still")
}

// TestFolderChangesAfterBegin adds a file to a folder that was listed, and makes one anew, whose number may be the same.
func TestFolderChangesAfterBegin(t *testing.T) {
	top := wideTree(t)
	src, _ := scouting(t, Options{Roots: []string{top}})
	tick(t)
	for _, name := range []string{"d01", "d02"} {
		if name == "d02" {
			if err := os.RemoveAll(filepath.Join(top, name)); err != nil {
				t.Fatal(err)
			}
			if err := os.Mkdir(filepath.Join(top, name), 0o755); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.WriteFile(filepath.Join(top, name, "new"), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	d, above := rootDir(t, src)
	defer above()
	all, err := gather(t.Context(), d, "", never)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"/d01/new ", "/d02/new "} {
		if !slices.ContainsFunc(all, func(s string) bool { return strings.HasPrefix(s, want) }) {
			t.Errorf("%s is not found", want)
		}
	}
}

// TestBeginEnds cuts the scout off by its bound, by Root, and by what may be told to somebody.
func TestBeginEnds(t *testing.T) {
	top := wideTree(t)
	src, err := New(Options{Roots: []string{top}})
	if err != nil {
		t.Fatal(err)
	}
	c := &scout{cancel: func() {}, ended: make(chan struct{}), left: 20, found: map[string]*scouted{}}
	root, err := src.open(t.Context(), &walk{Source: src})
	if err != nil {
		t.Fatal(err)
	}
	c.list(t.Context(), root)
	entries := 0
	for _, f := range c.found {
		entries += 1 + len(f.stats)
	}
	if entries == 0 || entries > 21 {
		t.Errorf("%d entries were found, 20 had room", entries)
	}
	src.Begin(t.Context())
	if root, err = src.Root(t.Context()); err != nil {
		t.Fatal(err)
	}
	root.Close()
	if src.scout.Load() != nil {
		t.Error("the scout goes on")
	}
	if _, c := scouting(t, Options{Roots: []string{top}, ExcludeFunc: func(string, *tree.Stat) bool { return false }}); c != nil {
		t.Error("it would tell of what is excluded")
	}
	missing, err := New(Options{Roots: []string{filepath.Join(top, "missing")}})
	if err != nil {
		t.Fatal(err)
	}
	missing.Begin(t.Context())
	missing.Begin(t.Context())
	select {
	case <-missing.scout.Load().ended:
	case <-time.After(time.Minute):
		t.Error("the scout waits for a root that is missing")
	}
	if _, err := missing.Root(t.Context()); err == nil {
		t.Error("a missing root was opened")
	}
}
