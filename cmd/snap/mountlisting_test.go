package main

import (
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/snapkeep/snap/repo"
)

// folderOf returns a listing of so many entries.
func folderOf(entries int) (l repo.Listing) {
	l.Entries = make([]repo.Entry, entries)
	for i := range l.Entries {
		l.Entries[i].Name = fmt.Sprintf("%06d", i)
	}
	return l
}

func TestEntriesOfAFolderAreReadOnce(t *testing.T) {
	loads := map[string]int{}
	var l listings
	sizes := map[string]int{"a": 1000, "b": 3, "large": keptEntries + 1}
	l.load = func(_ *repo.Snapshot, dir string) (repo.Listing, error) {
		loads[dir]++
		return folderOf(sizes[dir]), nil
	}
	one, two := &repo.Snapshot{ID: repo.SnapshotID{1}}, &repo.Snapshot{ID: repo.SnapshotID{2}}
	for i := range 1000 {
		x, err := l.lookup(one, "a", fmt.Sprintf("%06d", i))
		if err != nil || x == nil || x.Name != fmt.Sprintf("%06d", i) {
			t.Fatalf("got %v, %v", x, err)
		}
		if x, err := l.lookup(one, "b", "none"); x != nil || err != nil {
			t.Fatalf("got %v, %v for what is not there", x, err)
		}
	}
	if loads["a"] != 1 || loads["b"] != 1 {
		t.Errorf("folders were read %v times", loads)
	}
	l.lookup(two, "a", "000000")
	if loads["a"] != 2 {
		t.Error("the folder of another snapshot was taken")
	}
	for range 3 { // it alone is more than is kept, and is kept as long as it is used
		l.lookup(one, "large", "000001")
	}
	if loads["large"] != 1 || len(l.list) != 1 {
		t.Errorf("a large folder was read %d times, %d are kept", loads["large"], len(l.list))
	}
	for i := range keptFolders + 10 {
		l.lookup(one, fmt.Sprint(i), "")
	}
	if len(l.list) != keptFolders {
		t.Errorf("%d folders are kept, want %d", len(l.list), keptFolders)
	}
}

func TestFolderThatCannotBeReadIsReadAgain(t *testing.T) {
	var l listings
	fails := errors.New("fails")
	s := &repo.Snapshot{}
	l.load = func(*repo.Snapshot, string) (repo.Listing, error) { return repo.Listing{}, fails }
	if _, err := l.lookup(s, "a", "000000"); err != fails {
		t.Errorf("got %v", err)
	}
	var mu sync.Mutex
	loads := 0
	l.load = func(*repo.Snapshot, string) (repo.Listing, error) {
		mu.Lock()
		defer mu.Unlock()
		loads++
		return folderOf(1), nil
	}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if x, err := l.lookup(s, "a", "000000"); x == nil || err != nil {
				t.Errorf("got %v, %v", x, err)
			}
		})
	}
	if wg.Wait(); loads != 1 {
		t.Errorf("it was read %d times at once", loads)
	}
}
