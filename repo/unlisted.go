package repo

import (
	"context"
	"maps"
	"sync"
	"time"

	"github.com/snapkeep/snap/index"
	"github.com/snapkeep/snap/pack"
)

// freshIndex is for how long not everybody need see an index file: twice as long as a listing may be late.
const freshIndex = 2 * time.Hour

// unlisted are index files whose rows are known although no listing has shown them: those that this Repo has stored, and those that were
// loaded because a snapshot names them.
type unlisted struct {
	turn    chan struct{} // held while wanted ones are loaded; guards what follows
	brought bool          // some were

	mu     sync.Mutex // guards what follows
	files  map[pack.ID]unlistedFile
	own    map[pack.ID]bool // all that this Repo has stored
	wanted map[pack.ID]bool // that snapshots name which were opened, and that were not looked for
}

type unlistedFile struct {
	packs []pack.ID // that it names
	since time.Time // by this machine's monotonic clock
}

func newUnlisted() *unlisted {
	return &unlisted{turn: make(chan struct{}, 1), files: map[pack.ID]unlistedFile{}, own: map[pack.ID]bool{}, wanted: map[pack.ID]bool{}}
}

// add notes an index file that names packs. own says that this Repo has stored it.
func (u *unlisted) add(name pack.ID, packs []index.Pack, own bool) {
	f := unlistedFile{since: time.Now()}
	for _, p := range packs {
		f.packs = append(f.packs, p.ID)
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	u.files[name] = f
	if own {
		u.own[name] = true
	}
}

// stored notes an index file that this Repo has stored.
func (u *unlisted) stored(name pack.ID, packs []index.Pack) { u.add(name, packs, true) }

// shown forgets index files that a listing shows and whose rows were brought in by it, and those that everybody sees by now, or nobody any more.
func (u *unlisted) shown(listed map[pack.ID]time.Time, damaged []index.Damage) {
	unread := make(map[pack.ID]bool, len(damaged))
	for _, d := range damaged {
		unread[d.Name] = true
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	for name, f := range u.files {
		if _, ok := listed[name]; ok && !unread[name] || time.Since(f.since) >= freshIndex {
			delete(u.files, name)
		}
	}
}

// has reports whether the rows of an index file are known.
func (u *unlisted) has(name pack.ID) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	_, ok := u.files[name]
	return ok
}

// isOwn reports whether this Repo has stored an index file.
func (u *unlisted) isOwn(name pack.ID) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.own[name]
}

// naming adds to names the index files that name one of the packs.
func (u *unlisted) naming(packs, names map[pack.ID]bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for name, f := range u.files {
		for _, p := range f.packs {
			if packs[p] {
				names[name] = true
				break
			}
		}
	}
}

// want notes the index files that a snapshot names and that no listing has shown.
func (r *Repo) want(s *Snapshot) {
	r.indexMu.Lock()
	listed := r.indexNames
	r.indexMu.Unlock()
	u := r.unlisted
	u.mu.Lock()
	defer u.mu.Unlock()
	for _, word := range s.Index {
		name, err := pack.ParseID(word)
		if _, known := u.files[name]; err == nil && !known && !listed[name] {
			u.wanted[name] = true
		}
	}
}

// bringWanted loads the index files that want has noted, and reports whether it, or another call, has found any. Those of old snapshots are gone,
// their rows being in others: to look for them whenever one is opened would cost a request for each.
func (r *Repo) bringWanted(ctx context.Context) (brought bool, err error) {
	u := r.unlisted
	select {
	case u.turn <- struct{}{}:
		defer func() { <-u.turn }()
	case <-ctx.Done():
		return false, context.Cause(ctx)
	}
	u.mu.Lock()
	wanted := maps.Clone(u.wanted)
	u.mu.Unlock()
	if len(wanted) == 0 {
		return u.brought, nil
	}
	named := &Snapshot{}
	for name := range wanted {
		named.Index = append(named.Index, name.String())
	}
	added, err := r.addNamedIndexes(ctx, map[pack.ID]*Snapshot{named.ID: named})
	if err != nil {
		return false, err
	}
	u.brought = u.brought || added
	u.mu.Lock()
	defer u.mu.Unlock()
	maps.DeleteFunc(u.wanted, func(name pack.ID, _ bool) bool { return wanted[name] })
	return u.brought, nil
}

// namesOf returns the index files that name one of the packs and that not everybody sees yet.
func (r *Repo) namesOf(packs map[pack.ID]bool) map[pack.ID]bool {
	names := map[pack.ID]bool{}
	if len(packs) == 0 {
		return names
	}
	r.unlisted.naming(packs, names)
	r.indexMu.Lock()
	defer r.indexMu.Unlock()
	for name, p := range r.cache.Listings(func(name pack.ID) bool { return r.indexFresh[name] }) {
		if packs[p] {
			names[name] = true
		}
	}
	return names
}

// freshIndexes returns those of the index files that are so fresh that a listing need not show them to everybody. Which these are is told by the
// newest one, so that nobody has to ask the storage for the time: at worst some are older.
func freshIndexes(stored map[pack.ID]time.Time) map[pack.ID]bool {
	var newest time.Time
	for _, at := range stored {
		if at.After(newest) {
			newest = at
		}
	}
	fresh := map[pack.ID]bool{}
	for name, at := range stored {
		if newest.Sub(at) < freshIndex {
			fresh[name] = true
		}
	}
	return fresh
}
