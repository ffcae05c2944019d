package index

import (
	"context"
	"sync"

	"github.com/snapkeep/snap/pack"
)

// loadsAhead is how many bodies of index files are loaded, or wait to be used, at once; each is at
// most MaxBodySize and commonly a few MiB.
const loadsAhead = 4

// loadAll calls use for each of the names in their order, and loads the next ones meanwhile. It
// ends at the first error of use.
//
//	names → load (4 at once) → use
func loadAll(ctx context.Context, names []pack.ID, load Load, use func(pack.ID, []byte, error) error) error {
	type result struct {
		body []byte
		err  error
	}
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	waiting := make([]chan result, len(names))
	start := func(i int) {
		if i >= len(names) {
			return
		}
		waiting[i] = make(chan result, 1)
		wg.Go(func() {
			body, err := load(ctx, names[i])
			waiting[i] <- result{body, err}
		})
	}
	for i := range loadsAhead {
		start(i)
	}
	for i, name := range names {
		r := <-waiting[i]
		waiting[i] = nil
		if err := use(name, r.body, r.err); err != nil {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		start(i + loadsAhead)
	}
	return nil
}
