package storetest

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// badNames breaks each rule for names.
var badNames = []string{
	"", "/", ".", "..", "/absolute", "folder/", "a//b", "a/./b", "a/../b", "../up", "a/..", "./a",
	"Upper", "a/UPPER", "sp ace", "back\\slash", "nul\x00", "line\n", "col:on", "ünicode", "st*r", "qu?ery", "per%cent",
	strings.Repeat("x", 201), strings.Repeat("abcd/", 40) + "x",
}

// goodNames comes near the rules without breaking one.
func goodNames() []string {
	return []string{
		"snap.json", "data/3f/3f2a", "a/b/c/d/e/f", ".hidden", "..twice", "dots..", "a-b_c.d", "-dash", "_", "0", "9/9",
		strings.Repeat("n", 200), strings.Repeat("abc/", 49) + "wxyz",
	}
}

func testNames(t *testing.T, s Store) {
	for _, name := range badNames {
		if err := s.Create(t.Context(), name, strings.NewReader("bad"), 3); err == nil {
			t.Errorf("Create %q: no error", name)
		}
		if n, err := s.ReadAt(t.Context(), name, make([]byte, 3), 0); err == nil || n != 0 {
			t.Errorf("ReadAt %q: %d bytes, error %v", name, n, err)
		}
		if _, _, err := s.Stat(t.Context(), name); err == nil {
			t.Errorf("Stat %q: no error", name)
		}
		if err := s.Remove(t.Context(), name); err == nil {
			t.Errorf("Remove %q: no error", name)
		}
		if name != "" && len(list(t, s, name)) > 0 {
			t.Errorf("List %q gives files", name)
		}
	}
	want := make(map[string][]byte)
	for i, name := range goodNames() {
		want[name] = randomBytes(uint64(i), 10)
		create(t, s, name, want[name])
	}
	expect(t, s, want)
}

func testList(t *testing.T, s Store) {
	names := []string{
		"snap.json", "data/3f/3f2a", "data/3f/3f2b", "data/3e/3e00", "data-old/3f/3f2a", "dat", "index/1", "index/10", "index/2",
		"locks/a/b/c/d",
	}
	for i, name := range names {
		create(t, s, name, randomBytes(uint64(i), i))
	}
	prefixes := []string{"", "d", "da", "dat", "data", "data/", "data/3", "data/3f", "data/3f/", "data/3f/3f2", "data/3f/3f2a",
		"data/3f/3f2a/", "data/3f/3f2ax", "data-", "data/4", "data/4/", "index/1", "index/1/", "snap.json", "snap.jsonx", "x", "x/y/z",
		"locks/", "locks/a/b", "locks/a/b/c/d", "locks/a/c/", "i", "..", "../", "/", "data//", "./"}
	for _, prefix := range prefixes {
		want := make(map[string]int64)
		for i, name := range names {
			if strings.HasPrefix(name, prefix) {
				want[name] = int64(i)
			}
		}
		if got := list(t, s, prefix); !maps.Equal(got, want) {
			t.Errorf("List %q gives %v, want %v", prefix, got, want)
		}
	}
}

// manyFiles are more than services list in one page.
const manyFiles = 1_100

// testListMany lists more files than a page has: none may be missing, and none come twice.
func testListMany(t *testing.T, s Store) {
	const writers = 20
	want := make(map[string]int64)
	name := func(i int) string { return fmt.Sprintf("many/%d/%04d", i%3, i) }
	for i := range manyFiles {
		want[name(i)] = int64(i % 2)
	}
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for i := w; i < manyFiles; i += writers {
				size := i % 2
				if err := s.Create(t.Context(), name(i), strings.NewReader("x"[:size]), int64(size)); err != nil {
					t.Errorf("Create %q: %v", name(i), err)
					return
				}
			}
		})
	}
	wg.Wait()
	for _, prefix := range []string{"", "many/", "many/1/"} {
		maps.DeleteFunc(want, func(name string, _ int64) bool { return !strings.HasPrefix(name, prefix) })
		if got := list(t, s, prefix); !maps.Equal(got, want) {
			t.Errorf("List %q of %d files gives %d, or others", prefix, len(want), len(got))
		}
	}
}

func testListStops(t *testing.T, s Store) {
	for _, name := range []string{"d/a", "d/b", "d/c/d"} {
		create(t, s, name, nil)
	}
	enough := errors.New("enough")
	calls := 0
	err := s.List(t.Context(), "d/", func(string, int64, time.Time) error {
		calls++
		return enough
	})
	if err != enough || calls != 1 {
		t.Errorf("List with a function that fails: error %v after %d calls, want the function's own error after 1", err, calls)
	}
	err = s.List(t.Context(), "d/", func(name string, _ int64, _ time.Time) error { return s.Remove(t.Context(), name) })
	if err != nil {
		t.Errorf("List with a function that removes: %v", err)
	}
	if left := slices.Collect(maps.Keys(list(t, s, ""))); len(left) > 0 {
		t.Errorf("List with a function that removes leaves %q", left)
	}
}

func testListCancelled(t *testing.T, s Store) {
	for _, name := range []string{"a", "b", "d/c", "d/e"} {
		create(t, s, name, nil)
	}
	ctx, cancel := within(t)
	cancel()
	none := func(name string, _ int64, _ time.Time) error {
		t.Errorf("List with a cancelled context gives %q", name)
		return nil
	}
	if err := s.List(ctx, "", none); !errors.Is(err, context.Canceled) {
		t.Errorf("List with a cancelled context: error %v", err)
	}
}

func testMissing(t *testing.T, s Store) {
	create(t, s, "data/3f/there", []byte("there"))
	for _, name := range []string{"missing", "missing/x/y", "data", "data/3f", "data/3f/ther", "data/3f/there2", "data/3e/there"} {
		expectAbsent(t, s, name)
		if err := s.Remove(t.Context(), name); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("Remove %q: error %v, want fs.ErrNotExist", name, err)
		}
	}
	expectFile(t, s, "data/3f/there", []byte("there"))
}

func testRemove(t *testing.T, s Store) {
	want := map[string][]byte{"d/keep": []byte("keep"), "d/gone2": []byte("keep too")}
	for name, data := range want {
		create(t, s, name, data)
	}
	for round := range 3 {
		data := randomBytes(uint64(round), 1000*round)
		create(t, s, "d/gone", data)
		expectFile(t, s, "d/gone", data)
		if err := s.Remove(t.Context(), "d/gone"); err != nil {
			t.Fatalf("Remove: %v", err)
		}
		expectAbsent(t, s, "d/gone")
		if err := s.Remove(t.Context(), "d/gone"); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("Remove a second time: error %v, want fs.ErrNotExist", err)
		}
	}
	expect(t, s, want)
}
