package s3_test

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/snapkeep/snap/internal/s3test"
	"github.com/snapkeep/snap/internal/store/s3"
)

// TestListEach lists folders at once, in pages of all sizes, and compares that with one listing after the other: the same files, in the order of their names, in
// one request if a page holds all, and hardly more otherwise.
func TestListEach(t *testing.T) {
	t.Parallel()
	server := s3test.Start(t)
	place := location(server, "p")
	filled := create(t, place, server, s3.Options{})
	for folder, n := range map[string]int{"copy": 0, "data": 9, "index": 3, "keys": 1, "meta": 4, "prune": 2, "snapshots": 5, "trash": 1} {
		for i := range n {
			name := fmt.Sprintf("%s/%d", folder, i)
			if err := filled.Create(t.Context(), name, bytes.NewReader([]byte(name)), int64(len(name))); err != nil {
				t.Fatal(err)
			}
		}
	}
	choices := [][]string{
		{"index/", "prune/"}, {"prune/", "index/"}, {"copy/", "keys/", "settings/", "labels/", "snapshots/"}, {"data/", "index/", "meta/", "prune/"},
		{"keys/"}, {"zzz/"}, {"a/", "zzz/"}, {"copy/", "trash/"}, nil,
	}
	for _, page := range []int{1, 2, 3, 7, 1000} {
		c := &counter{counts: make(map[string]int)}
		st, err := s3.Open(t.Context(), place, s3.Options{Credentials: server.Credentials(), ListPage: page, Region: "us-east-1", Wrap: c.wrap})
		if err != nil {
			t.Fatal(err)
		}
		total := func() (n int) {
			for count := range maps.Values(c.take()) {
				n += count
			}
			return n
		}
		for _, prefixes := range choices {
			var want, got []string
			for _, prefix := range prefixes {
				err := st.List(t.Context(), prefix, func(name string, _ int64, _ time.Time) error { want = append(want, name); return nil })
				if err != nil {
					t.Fatal(err)
				}
			}
			slices.Sort(want)
			most := total()
			_, err := st.ListEach(t.Context(), prefixes, nil, func(name string, size int64, at time.Time) error {
				if size != int64(len(name)) || at.IsZero() {
					t.Errorf("%s has %d bytes, stored %v", name, size, at)
				}
				got = append(got, name)
				return nil
			})
			requests := total()
			if err != nil || !slices.Equal(got, want) {
				t.Errorf("pages of %d, %v: %v, %v, want %v", page, prefixes, got, err, want)
			}
			for _, along := range choices {
				if _, err := st.ListEach(t.Context(), prefixes, nil, func(string, int64, time.Time) error { return nil }); err != nil {
					t.Fatal(err)
				}
				without := total()
				checkAlong(t, st, prefixes, along)
				if n := total(); n != without {
					t.Errorf("pages of %d, %v and %v along: %d requests, %d without", page, prefixes, along, n, without)
				}
			}
			if n := requests; n > most+len(prefixes)-1 && len(prefixes) > 0 || page == 1000 && len(prefixes) > 0 && n != 1 {
				t.Errorf("pages of %d, %v: %d requests, and %d one by one", page, prefixes, n, most)
			}
		}
		st.Close()
	}
}

// checkAlong lists folders, and others along with them: of those that came, and of those that were asked for, all files are there.
func checkAlong(t *testing.T, st *s3.Store, prefixes, along []string) {
	t.Helper()
	got := map[string]bool{}
	came, err := st.ListEach(t.Context(), prefixes, along, func(name string, _ int64, _ time.Time) error {
		got[name] = true
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	sizes := map[string]int{"data/": 9, "index/": 3, "keys/": 1, "meta/": 4, "prune/": 2, "snapshots/": 5, "trash/": 1}
	for _, folder := range append(came, prefixes...) {
		for i := range sizes[folder] {
			if name := fmt.Sprint(folder, i); !got[name] {
				t.Errorf("%v and %v along: %v came, without %s", prefixes, along, came, name)
			}
		}
	}
	for _, folder := range came {
		if !slices.Contains(along, folder) {
			t.Errorf("%s came, which nobody asked for", folder)
		}
	}
}
