package faulty

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/snapkeep/snap/internal/store"
	"github.com/snapkeep/snap/internal/store/mem"
)

// ErrCrashed is the error of everything that is asked of a Disk after its
// crash.
var ErrCrashed = errors.New("the machine has crashed")

// Disk is a store in memory that can crash. A change (Create, Remove or a
// commit) that returned nil outlives a crash. One that did not may or may not
// have happened.
type Disk struct {
	now   func() time.Time
	files *mem.Store // what is durable

	mu         sync.Mutex
	unfinished []*change // guarded by mu, as is all below
	changes    int       // begun
	crashAfter int       // the number of changes before the crash; negative for none
	crashed    bool
}

// change is a Create or Remove. Only the first of them has data.
type change struct {
	name   string
	data   []byte
	remove bool
}

var (
	_ store.Store   = (*Disk)(nil)
	_ store.Spooler = (*Disk)(nil)
)

// NewDisk returns an empty Disk that never crashes by itself. The function now
// stamps the files; nil stands for time.Now.
func NewDisk(now func() time.Time) *Disk {
	return &Disk{now: now, files: mem.New(now), crashAfter: -1}
}

// CrashAfter lets n more changes pass. The one after that is left unfinished:
// it and whatever is asked of the disk from there on fails with ErrCrashed.
func (d *Disk) CrashAfter(n int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.crashAfter = d.changes + n
}

// Crashed reports whether the crash has happened.
func (d *Disk) Crashed() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.crashed
}

// Changes returns how many changes were begun.
func (d *Disk) Changes() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.changes
}

// CrashClone returns the disk as it might be found after a crash at this
// moment: with every change that has finished, and of those that are under way
// each with even odds. It may be called whether or not the crash has happened;
// d is not changed.
func (d *Disk) CrashClone(random *rand.Rand) *Disk {
	return d.crashClone(random, func(c *change) []byte { return c.data })
}

// TornCrashClone is like CrashClone for storage that gives names to files
// before they are whole: of a file that is under way, there may be any first
// part, or the right length with zeros at the end.
func (d *Disk) TornCrashClone(random *rand.Rand) *Disk {
	return d.crashClone(random, func(c *change) []byte {
		whole := random.IntN(len(c.data) + 1)
		switch random.IntN(3) {
		case 0:
			return c.data
		case 1:
			return slices.Clone(c.data[:whole])
		default:
			torn := make([]byte, len(c.data))
			copy(torn, c.data[:whole])
			return torn
		}
	})
}

func (d *Disk) crashClone(random *rand.Rand, found func(*change) []byte) *Disk {
	d.mu.Lock()
	defer d.mu.Unlock()
	clone := &Disk{now: d.now, files: d.files.Clone(), crashAfter: -1}
	for _, c := range d.unfinished {
		if random.IntN(2) == 0 {
			continue
		}
		// Two changes of one name may be under way; the later one may find
		// that there is nothing for it to do.
		ctx := context.Background()
		if c.remove {
			_ = clone.files.Remove(ctx, c.name)
			continue
		}
		data := found(c)
		_ = clone.files.Create(ctx, c.name, bytes.NewReader(data), int64(len(data)))
	}
	return clone
}

// begin notes a change as under way, or as the one that the crash left.
func (d *Disk) begin(c *change) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.crashed {
		return ErrCrashed
	}
	d.unfinished = append(d.unfinished, c)
	d.changes++
	if d.crashAfter >= 0 && d.changes > d.crashAfter {
		d.crashed = true
		return ErrCrashed
	}
	return nil
}

// finish lets a change take effect, unless the crash came first: then it stays
// among the unfinished.
func (d *Disk) finish(c *change, apply func() error) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.crashed {
		return ErrCrashed
	}
	d.unfinished = slices.DeleteFunc(d.unfinished, func(other *change) bool { return other == c })
	return apply()
}

func (d *Disk) alive() error {
	if d.Crashed() {
		return ErrCrashed
	}
	return nil
}

// Create implements store.Store.
func (d *Disk) Create(ctx context.Context, name string, data io.Reader, size int64) error {
	if err := d.alive(); err != nil {
		return err
	}
	if _, _, err := d.files.Stat(ctx, name); err == nil {
		return &fs.PathError{Op: "create", Path: name, Err: fs.ErrExist}
	} else if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	var buffer bytes.Buffer
	if _, err := buffer.ReadFrom(store.ExactReader(ctx, data, size)); err != nil {
		return &fs.PathError{Op: "create", Path: name, Err: err}
	}
	return d.put(ctx, name, buffer.Bytes())
}

func (d *Disk) put(ctx context.Context, name string, data []byte) error {
	c := &change{name: name, data: data}
	if err := d.begin(c); err != nil {
		return err
	}
	return d.finish(c, func() error {
		return d.files.Create(ctx, name, bytes.NewReader(data), int64(len(data)))
	})
}

// Remove implements store.Store.
func (d *Disk) Remove(ctx context.Context, name string) error {
	if _, _, err := d.Stat(ctx, name); err != nil {
		return err
	}
	c := &change{name: name, remove: true}
	if err := d.begin(c); err != nil {
		return err
	}
	return d.finish(c, func() error { return d.files.Remove(ctx, name) })
}

// ReadAt implements store.Store.
func (d *Disk) ReadAt(ctx context.Context, name string, p []byte, off int64) (int, error) {
	if err := d.alive(); err != nil {
		return 0, err
	}
	return d.files.ReadAt(ctx, name, p, off)
}

// List implements store.Store.
func (d *Disk) List(ctx context.Context, prefix string, fn func(name string, size int64, modTime time.Time) error) error {
	if err := d.alive(); err != nil {
		return err
	}
	return d.files.List(ctx, prefix, fn)
}

// Stat implements store.Store.
func (d *Disk) Stat(ctx context.Context, name string) (size int64, modTime time.Time, err error) {
	if err := d.alive(); err != nil {
		return 0, time.Time{}, err
	}
	return d.files.Stat(ctx, name)
}

// Close implements store.Store. It does nothing.
func (d *Disk) Close() error { return nil }

// Spool implements store.Spooler. A file without a name never outlives a
// crash; its writes are no changes.
func (d *Disk) Spool(ctx context.Context) (io.WriteCloser, func(context.Context, string) error, error) {
	if err := errors.Join(d.alive(), context.Cause(ctx)); err != nil {
		return nil, nil, &fs.PathError{Op: "spool", Path: "", Err: err}
	}
	w := &diskSpool{disk: d}
	return w, w.commit, nil
}

type diskSpool struct {
	disk  *Disk
	data  []byte
	ended bool
}

func (w *diskSpool) Write(p []byte) (int, error) {
	if w.ended {
		return 0, fs.ErrClosed
	}
	if err := w.disk.alive(); err != nil {
		return 0, err
	}
	w.data = append(w.data, p...)
	return len(p), nil
}

func (w *diskSpool) commit(ctx context.Context, name string) error {
	if w.ended {
		return &fs.PathError{Op: "create", Path: name, Err: fs.ErrClosed}
	}
	data := string(w.data)
	w.data, w.ended = nil, true
	return w.disk.Create(ctx, name, strings.NewReader(data), int64(len(data)))
}

func (w *diskSpool) Close() error {
	w.data, w.ended = nil, true
	return nil
}
