package repo

import (
	"bytes"
	"strings"
	"testing"

	"github.com/snapkeep/snap/internal/store/faulty"
	"github.com/snapkeep/snap/internal/store/mem"
)

// protected returns a repository with parity and copies, and two snapshots of what it also returns.
func protected(t testing.TB) (store *mem.Store, o Options, first, second *Snapshot, f1, f2 files) {
	t.Helper()
	c := newClock()
	o = c.options()
	o.Parity = ParityOn
	store = c.store()
	r := newTestRepo(t, store, o)
	f1 = randomFiles(1, 12, 60_000)
	first = mustBack(t, r, "a", f1)
	f2 = randomFiles(2, 12, 60_000)
	f2["large"] = strings.Repeat("0123456789", 200_000)
	second = mustBack(t, r, "a", f2)
	if err := r.Tag(t.Context(), second, nil, []string{"x"}, nil); err != nil {
		t.Fatal(err)
	}
	o.Parity = ParityAuto
	return store, o, first, second, f1, f2
}

// TestEverySmallFileHasACopy damages each small file in turn, in several ways. The repository opens and everything
// restores.
func TestEverySmallFileHasACopy(t *testing.T) {
	store, o, first, second, f1, f2 := protected(t)
	ways := map[string]func([]byte) []byte{
		"flip":   func(b []byte) []byte { b[len(b)/2] ^= 4; return b },
		"cut":    func(b []byte) []byte { return b[:len(b)/2] },
		"empty":  func(b []byte) []byte { return []byte{} },
		"remove": func(b []byte) []byte { return nil },
	}
	seen := 0
	for name := range listing(t, store) {
		kind, _ := classify(name)
		if !copied(kind) {
			continue
		}
		seen++
		for way, damage := range ways {
			if way == "remove" && (kind == fileIndex || kind == fileSnapshot || kind == fileLabel) {
				continue // what is not there at all only a repair brings back
			}
			clone := store.Clone()
			if err := faulty.Rewrite(t.Context(), clone, name, func(b []byte) []byte { return damage(bytes.Clone(b)) }); err != nil {
				t.Fatal(err)
			}
			r, err := tryOpen(t, clone, o)
			if err != nil {
				t.Errorf("%s of %s: %v", way, name, err)
				continue
			}
			mustRestore(t, r, first, f1)
			mustRestore(t, r, second, f2)
			if all, err := r.Snapshots(t.Context(), Filter{}); err != nil || len(all) != 2 {
				t.Errorf("%s of %s: %d snapshots, %v", way, name, len(all), err)
			}
		}
	}
	if seen < 8 {
		t.Errorf("only %d small files", seen)
	}
}

// TestProtectionGoesOn makes sure that one who opens the repository protects what is written as its maker did.
func TestProtectionGoesOn(t *testing.T) {
	store, o, first, _, _, _ := protected(t)
	r := reopen(t, store, o)
	mustBack(t, r, "b", files{"x": "1"})
	mustForget(t, r, ForgetOptions{Now: true}, first)
	mustPrune(t, r, PruneOptions{Now: true})
	all := listing(t, store)
	packs, small := 0, 0
	for name := range all {
		kind, id := classify(name)
		other := copyPrefix + name
		switch {
		case kind == fileData || kind == fileMeta:
			other = parityName(id)
			packs++
		case copied(kind):
			small++
		default:
			continue
		}
		if _, ok := all[other]; !ok {
			t.Errorf("%s has no %s", name, other)
		}
	}
	if got := len(names(t, store, parityPrefix)); got != packs {
		t.Errorf("%d files of parity for %d packs", got, packs)
	}
	if got := len(names(t, store, copyPrefix)); got != small {
		t.Errorf("%d copies of %d files", got, small)
	}
}
