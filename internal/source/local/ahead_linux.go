package local

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/snapkeep/snap/internal/source"
	"github.com/snapkeep/snap/internal/tree"
)

// Bounds of listing ahead.
const (
	defaultAhead = 4       // default of Options.Ahead
	aheadNames   = 4 << 10 // names of a folder; a larger one is listed when the walk comes to it
	mostBegun    = 64      // folders of a walk that are open ahead, at all depths: a process may have few descriptors
)

// errLarge says that a folder is too large to be listed ahead.
var errLarge = errors.New("too large to be listed ahead")

// ahead lists the folders in a folder that a walk in order of names comes to next, while the one before is still looked through. It is guarded by
// the mu of its dir.
type ahead struct {
	below []child  // folders that OpenDir has not come to, rising by name
	begun []*early // the first of them, which are being listed
}

// child is a folder that was listed.
type child struct {
	name   string
	device uint64
}

// early is a folder that is listed before somebody asks for it.
type early struct {
	name     string
	dir      *dir
	stats    []tree.Stat
	problems []source.Problem
	err      error
	done     chan struct{} // closed when the listing is there
}

// expect notes the folders among stats, which a walk opens next. One alone gains nothing.
func (a *ahead) expect(stats []tree.Stat) {
	folders := 0
	for i := range stats {
		if stats[i].Kind == tree.Directory {
			folders++
		}
	}
	if folders < 2 || len(a.begun) > 0 {
		return
	}
	a.below = make([]child, 0, folders)
	for i := range stats {
		if stats[i].Kind == tree.Directory {
			a.below = append(a.below, child{stats[i].Name, stats[i].Device})
		}
	}
}

// take returns the folder name if it is listed already or about to be, and forgets those before it.
func (a *ahead) take(name string) (found *early, passed []*early) {
	for len(a.begun) > 0 && a.begun[0].name <= name {
		e := a.begun[0]
		a.begun = a.begun[1:]
		if e.name == name {
			found = e
		} else {
			passed = append(passed, e)
		}
	}
	n, there := slices.BinarySearchFunc(a.below, name, func(c child, name string) int { return strings.Compare(c.name, name) })
	if there {
		n++
	}
	a.below = a.below[n:]
	return found, passed
}

// begin opens the next folders, and lists each on the side.
func (d *dir) begin(ctx context.Context) {
	for a := &d.ahead; len(a.begun) < d.w.ahead && len(a.begun) < len(a.below); {
		if d.w.begun.Add(1) > mostBegun {
			d.w.begun.Add(-1)
			return
		}
		c := a.below[len(a.begun)]
		sub, err := d.open(c)
		if err != nil {
			d.w.begun.Add(-1)
			// OpenDir says why when the walk comes to it.
			a.below = slices.Delete(a.below, len(a.begun), len(a.begun)+1)
			continue
		}
		if e := sub.early; e != nil { // listed already
			e.name, e.dir = c.name, sub
			a.begun = append(a.begun, e)
			continue
		}
		e := &early{name: c.name, dir: sub, done: make(chan struct{})}
		a.begun = append(a.begun, e)
		go func() { // ends with the listing, for which OpenDir, List or Close wait
			defer close(e.done)
			e.stats, e.problems, e.err = sub.list(ctx, aheadNames)
		}()
	}
}

// drop closes folders that were opened in vain.
func (w *walk) drop(list []*early) {
	w.begun.Add(-int32(len(list)))
	for _, e := range list {
		<-e.done
		e.dir.Close()
	}
}
