package index

import (
	"context"
	"errors"
	"io/fs"
	"iter"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/snapkeep/snap/pack"
)

// Cache keeps the rows of a repository's index files in a local folder, so that a run reads
// only the index files that are new to this machine. Several processes may use one folder at
// once. Whatever happens to the folder costs time alone: what is missing or damaged is made
// again, and without a folder that can be written everything is kept for the run only.
type Cache struct {
	dir string
	set *Set

	mu     sync.Mutex // guards what follows
	tables []*cached
	known  map[pack.ID]bool // live index files whose rows the tables hold
	last   []byte           // the manifest that the tables go back to
	locked bool             // the folder is ours to change, during a Sync
	fresh  func(name pack.ID) bool
	stored func(name pack.ID) time.Time
}

// cached is a table of index files.
type cached struct {
	*table
	name string // in the folder; empty if the table is this process's own

	memos  [listChoices]memo
	wholes wholes
}

// List returns the names of all index files of the repository.
type List func(ctx context.Context) ([]pack.ID, error)

// Load returns the body of an index file. An error that wraps fs.ErrNotExist says that it has
// been removed meanwhile, one that wraps ErrCorrupt that it is damaged. It is called by up to
// four goroutines at once.
type Load func(ctx context.Context, name pack.ID) ([]byte, error)

// Report says what a Sync found.
type Report struct {
	Files   int      // index files of the repository
	Loaded  int      // those that were new here and were loaded
	Damaged []Damage // index files that could not be used: their rows are missing
}

// Damage is an index file that is damaged, or listed and cannot be found.
type Damage struct {
	Name pack.ID
	Err  error
}

// OpenCache returns a Cache in the folder dir, which is made if it is missing. If dir is empty
// or cannot be used, nothing is kept between runs. The Set is empty until Sync.
func OpenCache(dir string) *Cache {
	if dir != "" && os.MkdirAll(dir, 0o700) != nil {
		dir = ""
	}
	return &Cache{dir: dir, set: newSet(dir), fresh: func(pack.ID) bool { return false },
		stored: func(pack.ID) time.Time { return time.Time{} }}
}

// SetFresh says, from the next Sync on, which index files are so fresh that other machines need not see them yet; see Location. fresh is
// asked during a Sync, after its list; without SetFresh no index file is.
func (c *Cache) SetFresh(fresh func(name pack.ID) bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.fresh = fresh
}

// SetStored says, from the next Sync on, when index files were stored, zero for those of which that is not known; see Location. stored is asked
// during a Sync, after its list; without SetStored it is known of none.
func (c *Cache) SetStored(stored func(name pack.ID) time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stored = stored
}

// Listings yields the packs that index files name of which wanted is true, each with the index file, as far as they were brought in. The
// Cache must not be used meanwhile.
func (c *Cache) Listings(wanted func(name pack.ID) bool) iter.Seq2[pack.ID, pack.ID] {
	return func(yield func(name, listed pack.ID) bool) {
		c.mu.Lock()
		defer c.mu.Unlock()
		for _, t := range c.tables {
			for i := range int(t.counts.sources) {
				name, first, end := t.source(i)
				if !c.known[name] || !wanted(name) {
					continue
				}
				for j := first; j < end; j++ {
					if !yield(name, t.pack(t.listing(j)).id) {
						return
					}
				}
			}
		}
	}
}

// Set returns the Set that Sync keeps up to date. Close of the Cache closes it.
func (c *Cache) Set() *Set { return c.set }

// Close releases the tables. The Set must not be used any more.
func (c *Cache) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.forget(c.tables)
	return c.set.Close()
}

// syncRounds bounds how often a Sync begins again because index files vanished under it or a
// table proved to be damaged.
const syncRounds = 4

// Sync makes the Set hold the rows of exactly the index files that list names, beside those
// that were added. Damaged index files are reported and left out. After an error the Set holds
// some of the rows.
func (c *Cache) Sync(ctx context.Context, list List, load Load) (Report, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	defer c.lock()()
	c.reopen()
	var total Report
	for round := 1; ; round++ {
		names, err := list(ctx)
		if err != nil {
			return total, err
		}
		r, again, err := c.round(ctx, names, load)
		total.Files, total.Damaged = r.Files, r.Damaged
		total.Loaded += r.Loaded
		if err != nil || !again || round == syncRounds {
			c.show()
			c.publish()
			return total, err
		}
	}
}

// round brings the tables in line with names. It is to be done again if index files vanished or
// a table was dropped.
func (c *Cache) round(ctx context.Context, names []pack.ID, load Load) (r Report, again bool, err error) {
	live := make(map[pack.ID]bool, len(names))
	for _, name := range names {
		live[name] = true
	}
	r.Files = len(live)
	isLive := func(name pack.ID) bool { return live[name] }
	c.known = complete(c.tables, isLive)
	var missing []pack.ID
	for name := range live {
		if !c.known[name] {
			missing = append(missing, name)
		}
	}
	slices.SortFunc(missing, func(a, b pack.ID) int { return slices.Compare(a[:], b[:]) })
	again, err = c.bringIn(ctx, missing, load, &r)
	c.known = complete(c.tables, isLive)
	if err != nil {
		return r, false, err
	}
	return r, c.tidy() || again, nil
}

// buildRows is how many rows go into one table before the next is begun; it bounds the
// temporary files.
const buildRows = 1 << 25

// bringIn makes tables of index files that are in none. again says that one of them was not
// there any more.
func (c *Cache) bringIn(ctx context.Context, names []pack.ID, load Load, r *Report) (again bool, err error) {
	if len(names) == 0 {
		return false, nil
	}
	b := newBuilder(c.dir)
	defer func() { b.close() }()
	err = loadAll(ctx, names, load, func(name pack.ID, body []byte, err error) error {
		if err == nil {
			err = c.addFile(b, name, body)
		}
		switch {
		case errors.Is(err, fs.ErrNotExist):
			again = true // unless it is still listed when rounds end
			r.Damaged = append(r.Damaged, Damage{name, err})
		case errors.Is(err, ErrCorrupt):
			r.Damaged = append(r.Damaged, Damage{name, err})
		case err != nil:
			return err
		default:
			r.Loaded++
		}
		if b.content.rows < buildRows {
			return nil
		}
		err = c.finish(b)
		b.close()
		b = newBuilder(c.dir)
		return err
	})
	return again, errors.Join(err, c.finish(b))
}

// addFile adds the packs of an index file, those that a table holds as listings only.
func (c *Cache) addFile(b *builder, name pack.ID, body []byte) error {
	b.source(name, DayOf(c.stored(name)))
	for p, err := range scan(body, b.directory.Read) {
		if err != nil {
			b.abandon()
			return err
		}
		b.add(p, holder(c.tables, p.ID) != nil)
	}
	return nil
}

// finish makes a table of what was added.
func (c *Cache) finish(b *builder) error {
	if len(b.content.sources) == 0 {
		return nil
	}
	file := c.newSpool()
	defer file.drop()
	if err := b.write(file); err != nil {
		return err
	}
	return c.adopt(file)
}

// newSpool returns a spool for a table.
func (c *Cache) newSpool() *spool {
	file := newSpool(c.dir)
	file.named = c.locked
	return file
}

// adopt adds a table to those of the Cache.
func (c *Cache) adopt(file *spool) error {
	if c.locked {
		if t, err := publishTable(c.dir, file); err == nil {
			c.tables = append(c.tables, t)
			return nil
		}
	}
	t, err := privateTable(file)
	if err == nil {
		c.tables = append(c.tables, &cached{table: t})
	}
	return err
}

// forget drops tables.
func (c *Cache) forget(tables []*cached) {
	for _, t := range tables {
		t.drop()
	}
	c.tables = slices.DeleteFunc(slices.Clone(c.tables), func(t *cached) bool { return slices.Contains(tables, t) })
}

// Verify reads all tables and drops those that are damaged; the next Sync makes them again. It
// reports how many these were. The Set loses their rows at once.
func (c *Cache) Verify() (damaged int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	before := len(c.tables)
	if c.dropDamaged(slices.Clone(c.tables)) {
		c.show()
	}
	return before - len(c.tables)
}

// show gives the Set the tables as they are.
func (c *Cache) show() {
	c.set.shape.Lock()
	defer c.set.shape.Unlock()
	parts := c.parts()
	for _, p := range parts {
		p.table.acquire()
	}
	c.set.setBase(parts)
}
