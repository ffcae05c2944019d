package main

import (
	"slices"
	"strings"
	"sync"

	"github.com/snapkeep/snap/repo"
)

// Bounds of the folders whose entries a mount keeps. The kernel asks for the entries of a folder one by one, and
// each time all of them have to be decoded to find it.
const (
	keptFolders = 64
	keptEntries = 1 << 17 // of all folders but the last one, some 250 bytes each
)

// listings are the folders that were used last.
type listings struct {
	load func(s *repo.Snapshot, dir string) (repo.Listing, error)

	mu   sync.Mutex    // guards what follows
	list []*heldFolder // the one used last is the last
}

// heldFolder is a folder of a snapshot.
type heldFolder struct {
	snapshot repo.SnapshotID
	dir      string

	done  chan struct{} // closed when what follows is set
	found repo.Listing
	err   error
	size  int // entries, 0 until they are there; guarded by the mu of the listings
}

// read returns what a snapshot has in a folder.
func (l *listings) read(s *repo.Snapshot, dir string) (repo.Listing, error) {
	l.mu.Lock()
	i := slices.IndexFunc(l.list, func(f *heldFolder) bool { return f.snapshot == s.ID && f.dir == dir })
	if i >= 0 {
		f := l.list[i]
		l.list = append(slices.Delete(l.list, i, i+1), f)
		l.mu.Unlock()
		<-f.done
		return f.found, f.err
	}
	f := &heldFolder{snapshot: s.ID, dir: dir, done: make(chan struct{})}
	l.list = append(l.list, f)
	l.mu.Unlock()

	f.found, f.err = l.load(s, dir)
	l.mu.Lock()
	defer l.mu.Unlock()
	f.size = len(f.found.Entries)
	if f.err != nil { // it may go better the next time
		l.list = slices.DeleteFunc(l.list, func(x *heldFolder) bool { return x == f })
	}
	l.shrink()
	close(f.done)
	return f.found, f.err
}

// shrink forgets what was not used for longest while there is too much.
func (l *listings) shrink() {
	entries := 0
	for i := len(l.list) - 1; i >= 0; i-- {
		if entries += l.list[i].size; i < len(l.list)-1 && (entries > keptEntries || len(l.list)-i > keptFolders) {
			l.list = slices.Delete(l.list, 0, i+1)
			return
		}
	}
}

// lookup returns a copy of an entry of a folder, nil if it has none of this name.
func (l *listings) lookup(s *repo.Snapshot, dir, name string) (*repo.Entry, error) {
	found, err := l.read(s, dir)
	if err != nil {
		return nil, err
	}
	i, ok := slices.BinarySearchFunc(found.Entries, name, func(x repo.Entry, name string) int { return strings.Compare(x.Name, name) })
	if !ok {
		return nil, nil
	}
	x := found.Entries[i] // which outlives the others
	return &x, nil
}
