package repo_test

import (
	"errors"
	"slices"
	"strconv"
	"sync"
	"testing"
	"testing/fstest"

	"github.com/snapkeep/snap/repo"
)

// labelled returns a snapshot as the repository shows it now.
func labelled(t *testing.T, r *repo.Repo) *repo.Snapshot {
	t.Helper()
	s, err := r.Find(t.Context(), "latest", repo.Filter{})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestTagGoesByWhatHolds labels one and the same *Snapshot several times over, which goes on showing what was there at first.
func TestTagGoesByWhatHolds(t *testing.T) {
	t.Parallel()
	r := inMemory(t)
	res, err := r.Backup(t.Context(), repo.BackupOptions{Source: repo.FromFS(fstest.MapFS{"a": {Data: []byte("alpha")}}), SourceName: "here", Tags: []string{"first"}})
	if err != nil {
		t.Fatal(err)
	}
	s := res.Snapshot
	for _, step := range []struct {
		do     func() error
		want   []string
		pinned bool
	}{
		{func() error { return r.Pin(t.Context(), s, true) }, []string{"first"}, true},
		{func() error { return r.Tag(t.Context(), s, nil, []string{"a", "a", ""}, nil) }, []string{"first", "a"}, true},
		{func() error { return r.Tag(t.Context(), s, nil, []string{"b"}, []string{"first"}) }, []string{"a", "b"}, true},
		{func() error { return r.Pin(t.Context(), s, false) }, []string{"a", "b"}, false},
		{func() error { return r.Tag(t.Context(), s, []string{"c"}, []string{"d"}, nil) }, []string{"c", "d"}, false},
		{func() error { return r.Tag(t.Context(), s, []string{}, nil, nil) }, nil, false},
	} {
		if err := step.do(); err != nil {
			t.Fatal(err)
		}
		if got := labelled(t, r); !slices.Equal(got.Tags, step.want) || got.Pinned != step.pinned {
			t.Errorf("tags %q, pinned %v; want %q, %v", got.Tags, got.Pinned, step.want, step.pinned)
		}
	}
	if !slices.Equal(s.Tags, []string{"first"}) || s.Pinned {
		t.Errorf("the caller's snapshot was changed: %+v", s)
	}

	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			if err := r.Tag(t.Context(), s, nil, []string{strconv.Itoa(i)}, nil); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if got := labelled(t, r); len(got.Tags) != 8 {
		t.Errorf("tags of eight goroutines: %q", got.Tags)
	}
	for _, none := range []*repo.Snapshot{nil, {}} {
		if err := r.Tag(t.Context(), none, nil, []string{"x"}, nil); !errors.Is(err, repo.ErrNoSnapshot) {
			t.Errorf("tag without a snapshot: %v", err)
		}
	}
}
