package repo

import (
	"sync"

	"github.com/snapkeep/snap/internal/snapshot"
	"github.com/snapkeep/snap/pack"
)

// decodedBytes bounds the memory of the records that are kept, as it is estimated: some 20,000 snapshots, or 6,000 that name
// hundreds of index files each.
const decodedBytes = 32 << 20

const (
	decodedFrame = 512 // bytes that a decoded snapshot takes beside its texts
	nameInText   = 67  // bytes that the name of an index file or a prune record takes in a snapshot's record
	nameInList   = 16  // and in a kept snapshot, whose names are shared with others
)

// decodedRecords are snapshots and labels that were loaded. The hash in the name vouches that they stay what they are; whether they are
// still there tells a listing alone.
type decodedRecords struct {
	mu        sync.Mutex // guards what follows
	snapshots map[pack.ID]*Snapshot
	labels    map[pack.ID]*snapshot.Label
	names     map[string]string // of index files and prune records that snapshots name
	bytes     int
}

// snapshot returns a copy of the snapshot as it was decoded, nil if it is not kept. What it refers to must not be changed.
func (k *decodedRecords) snapshot(id pack.ID) *Snapshot {
	k.mu.Lock()
	defer k.mu.Unlock()
	s := k.snapshots[id]
	if s == nil {
		return nil
	}
	c := *s
	return &c
}

// label returns the label, nil if it is not kept. It must not be changed.
func (k *decodedRecords) label(id pack.ID) *snapshot.Label {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.labels[id]
}

// keepSnapshot keeps a copy of a snapshot that was decoded from so many bytes, if there is room.
func (k *decodedRecords) keepSnapshot(s *Snapshot, size int) {
	k.mu.Lock()
	defer k.mu.Unlock()
	size += decodedFrame - (len(s.Index)+len(s.Prune))*(nameInText-nameInList)
	if k.snapshots[s.ID] != nil || !k.room(size) {
		return
	}
	if k.snapshots == nil {
		k.snapshots, k.names = map[pack.ID]*Snapshot{}, map[string]string{}
	}
	for _, names := range [][]string{s.Index, s.Prune} {
		for i, name := range names {
			if _, ok := k.names[name]; !ok {
				k.names[name] = name
			}
			names[i] = k.names[name]
		}
	}
	c := *s
	k.snapshots[s.ID] = &c
}

// keepLabel keeps a label that was decoded from so many bytes, if there is room.
func (k *decodedRecords) keepLabel(l *snapshot.Label, size int) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.labels[l.ID] != nil || !k.room(size) {
		return
	}
	if k.labels == nil {
		k.labels = map[pack.ID]*snapshot.Label{}
	}
	k.labels[l.ID] = l
}

// room takes room for so many bytes and reports whether there was any.
func (k *decodedRecords) room(size int) bool {
	if k.bytes+size > decodedBytes {
		return false
	}
	k.bytes += size
	return true
}
