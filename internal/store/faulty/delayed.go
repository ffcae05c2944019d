package faulty

import (
	"context"
	"encoding/binary"
	"hash/fnv"
	"io"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/snapkeep/snap/internal/store"
)

// DelayFunc returns how long it takes until the listings of a client show a
// change of a file. The author is the client that made the change.
type DelayFunc func(client, author int, name string) time.Duration

// RandomDelay returns delays between zero and limit that depend on the seed,
// the client and the name. Clients see their own changes at once.
func RandomDelay(seed uint64, limit time.Duration) DelayFunc {
	return func(client, author int, name string) time.Duration {
		if client == author || limit <= 0 {
			return 0
		}
		h := fnv.New64a()
		io.WriteString(h, name)
		binary.Write(h, binary.LittleEndian, int64(client))
		return time.Duration(rand.New(rand.NewPCG(seed, h.Sum64())).Int64N(int64(limit) + 1))
	}
}

// Delayed gives several clients access to one store whose listings lag behind:
// a file that was created appears late, and one that was removed goes late.
// Every other operation sees the present. Time is virtual: it is what a
// function says.
type Delayed struct {
	inner store.Store
	now   func() time.Time
	delay DelayFunc

	mu       sync.Mutex
	creating map[string]int   // calls under way; guarded by mu, as is all below
	created  map[string]event // of names that are there now
	removed  map[string]ghost // of names that are not
}

// event is when a file was changed, and by whom.
type event struct {
	at     time.Time
	author int
}

// ghost is a file that was removed.
type ghost struct {
	created, removed event
	size             int64
	modTime          time.Time
}

// NewDelayed returns a Delayed over inner. The files that inner has are seen
// by everybody. Close of the clients does not close inner.
func NewDelayed(inner store.Store, now func() time.Time, delay DelayFunc) *Delayed {
	return &Delayed{
		inner:    inner,
		now:      now,
		delay:    delay,
		creating: make(map[string]int),
		created:  make(map[string]event),
		removed:  make(map[string]ghost),
	}
}

// Client returns the store as the client with the given number sees it.
func (d *Delayed) Client(client int) store.Store {
	outer := &delayedClient{Store: d.inner, shared: d, client: client}
	return store.WithSpool(outer, d.inner, func(inner store.Spooler) store.SpoolFunc {
		return func(ctx context.Context) (io.WriteCloser, func(context.Context, string) error, error) {
			w, commit, err := inner.Spool(ctx)
			if err != nil {
				return nil, nil, err
			}
			return w, func(ctx context.Context, name string) error {
				return d.create(name, client, func() error { return commit(ctx, name) })
			}, nil
		}
	})
}

type delayedClient struct {
	store.Store
	shared *Delayed
	client int
}

func (c *delayedClient) Close() error { return nil }

func (c *delayedClient) Create(ctx context.Context, name string, data io.Reader, size int64) error {
	return c.shared.create(name, c.client, func() error { return c.Store.Create(ctx, name, data, size) })
}

func (c *delayedClient) Remove(ctx context.Context, name string) error {
	return c.shared.remove(ctx, name, c.client)
}

func (c *delayedClient) List(ctx context.Context, prefix string, fn func(string, int64, time.Time) error) error {
	return c.shared.list(ctx, prefix, c.client, fn)
}

// create runs a creation and notes when it happened. The lock is not held
// meanwhile, since the data may come from a reader that uses the store.
func (d *Delayed) create(name string, author int, run func() error) error {
	d.mu.Lock()
	d.creating[name]++
	d.mu.Unlock()
	err := run()
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.creating[name]--; d.creating[name] == 0 {
		delete(d.creating, name)
	}
	if err != nil {
		return err
	}
	d.created[name] = event{at: d.now(), author: author}
	delete(d.removed, name)
	return nil
}

func (d *Delayed) remove(ctx context.Context, name string, author int) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	size, modTime, err := d.inner.Stat(ctx, name)
	if err != nil {
		return err
	}
	if err := d.inner.Remove(ctx, name); err != nil {
		return err
	}
	d.removed[name] = ghost{
		created: d.created[name],
		removed: event{at: d.now(), author: author},
		size:    size,
		modTime: modTime,
	}
	delete(d.created, name)
	return nil
}

// entry is a file as listings show it.
type entry struct {
	size    int64
	modTime time.Time
}

func (d *Delayed) list(ctx context.Context, prefix string, client int, fn func(string, int64, time.Time) error) error {
	present := make(map[string]entry)
	err := d.inner.List(ctx, prefix, func(name string, size int64, modTime time.Time) error {
		present[name] = entry{size, modTime}
		return nil
	})
	if err != nil {
		return err
	}
	visible := d.filter(present, prefix, client)
	for _, name := range slices.Sorted(maps.Keys(visible)) {
		if err := fn(name, visible[name].size, visible[name].modTime); err != nil {
			return err
		}
	}
	return nil
}

// filter returns the files that a client sees if those present are there.
func (d *Delayed) filter(present map[string]entry, prefix string, client int) map[string]entry {
	d.mu.Lock()
	defer d.mu.Unlock()
	now := d.now()
	arrived := func(name string, e event) bool {
		return e.at.IsZero() || !now.Before(e.at.Add(d.delay(client, e.author, name)))
	}
	visible := make(map[string]entry)
	for name, file := range present {
		// A file that is being created at this moment counts as not arrived.
		e, noted := d.created[name]
		if arrived(name, e) && (noted || d.creating[name] == 0) {
			visible[name] = file
		}
	}
	for name, gone := range d.removed {
		_, back := present[name]
		if !back && strings.HasPrefix(name, prefix) && arrived(name, gone.created) && !arrived(name, gone.removed) {
			visible[name] = entry{gone.size, gone.modTime}
		}
	}
	return visible
}
