package repo

import (
	"context"
	"slices"
	"strings"
	"time"
)

// lister lists the files of a store, or tells what a listing has shown.
type lister interface {
	List(ctx context.Context, prefix string, fn func(name string, size int64, modTime time.Time) error) error
}

// eachLister is a Store that lists several folders in fewer requests than one after the other. It lists them in the order of their names.
type eachLister interface {
	// ListEach lists the folders in prefixes, and of those in along the ones that come by the way, which it returns. Of the
	// others in along fn may be told as well, but not of all that is in them.
	ListEach(ctx context.Context, prefixes, along []string, fn func(name string, size int64, modTime time.Time) error) (came []string, err error)
}

// shown is what some folders of a store held when it was made. Of others it asks the store.
type shown struct {
	store    Store
	prefixes []string
	files    []shownFile
	at       time.Time // when it began, with its monotonic part
}

// shownFile is a file as a listing shows it.
type shownFile struct {
	name    string
	size    int64
	modTime time.Time
}

// covers reports whether all of these folders were listed.
func (l *shown) covers(prefixes ...string) bool {
	return !slices.ContainsFunc(prefixes, func(p string) bool { return !slices.Contains(l.prefixes, p) })
}

// listOnce lists folders in one go if the store can do so, in the order of their names: a folder is listed before those with later names. Otherwise it
// returns the store, which lists each when it is asked for it. Whoever relies on an order has to want the same from both.
func listOnce(ctx context.Context, store Store, prefixes ...string) (lister, error) {
	return listAlong(ctx, store, prefixes, nil)
}

// listAlong is listOnce that takes in what comes by the way of the folders in along.
func listAlong(ctx context.Context, store Store, prefixes, along []string) (lister, error) {
	each, ok := able[eachLister](store)
	if !ok {
		return store, nil
	}
	l := &shown{store: store, at: time.Now()}
	came, err := each.ListEach(ctx, prefixes, along, func(name string, size int64, modTime time.Time) error {
		l.files = append(l.files, shownFile{name, size, modTime})
		return nil
	})
	if err != nil {
		return nil, err
	}
	l.prefixes = slices.Concat(prefixes, came)
	slices.SortFunc(l.files, func(a, b shownFile) int { return strings.Compare(a.name, b.name) })
	return l, nil
}

// List implements lister.
func (l *shown) List(ctx context.Context, prefix string, fn func(name string, size int64, modTime time.Time) error) error {
	if !slices.Contains(l.prefixes, prefix) {
		return l.store.List(ctx, prefix, fn)
	}
	first, _ := slices.BinarySearchFunc(l.files, prefix, func(f shownFile, prefix string) int { return strings.Compare(f.name, prefix) })
	for _, f := range l.files[first:] {
		if !strings.HasPrefix(f.name, prefix) {
			break
		}
		if err := fn(f.name, f.size, f.modTime); err != nil {
			return err
		}
	}
	return nil
}

// listed is a Store of which some folders are listed already.
type listed struct {
	Store
	lister
}

// List implements Store.
func (s listed) List(ctx context.Context, prefix string, fn func(name string, size int64, modTime time.Time) error) error {
	return s.lister.List(ctx, prefix, fn)
}
