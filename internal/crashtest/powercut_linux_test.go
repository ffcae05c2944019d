package crashtest

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/snapkeep/snap/internal/looptest"
)

// TestPowerCut records what the program makes a file system write to its disk, and looks at the file system as it would be
// found if the power had gone after the n-th write.
func TestPowerCut(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds")
	}
	if os.Getuid() != 0 {
		t.Skip("needs root, for loop devices")
	}
	if _, err := os.Stat("/dev/fuse"); err != nil {
		t.Skip("no FUSE")
	}
	kinds := []*cut{{name: "ext4", size: 96 << 20, mkfs: []string{"mkfs.ext4", "-q", "-F"}, points: size(5, 1000), subsets: size(3, 200)}}
	if long() {
		kinds = append(kinds, &cut{name: "xfs", size: 320 << 20, mkfs: []string{"mkfs.xfs", "-q", "-f"}, points: size(5, 1000), subsets: size(3, 200)})
	}
	for _, c := range kinds {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, seed(3), 30)
			c.record(w)
			if len(c.history) > 0 {
				c.replay(w)
			}
		})
	}
}

// cut is a power cut on a file system.
type cut struct {
	name            string
	size            int64
	mkfs            []string
	points, subsets int

	start   image
	log     []event
	history []happened
}

// happened is an operation, and where the disk's log was when it began and when it was reported as done.
type happened struct {
	op         operation
	out        outcome
	begin, end int
}

// record runs operations on a file system whose disk keeps a log.
func (c *cut) record(w *world) {
	w.Helper()
	dir := filepath.Dir(w.state)
	plain, point := filepath.Join(dir, "image"), filepath.Join(dir, "fuse")
	image{}.save(w, plain, c.size)
	if _, err := system(c.mkfs[0], append(c.mkfs[1:], plain)...); err != nil {
		w.Skip(err)
	}
	c.start = load(w, plain)
	d := &disk{size: c.size, now: image{}}
	for n, data := range c.start {
		d.now[n] = data
	}
	if err := os.Mkdir(point, 0o700); err != nil {
		w.Fatal(err)
	}
	file := d.serve(w, point)
	if err := os.RemoveAll(w.state); err != nil {
		w.Fatal(err)
	}
	if err := os.Mkdir(w.state, 0o700); err != nil {
		w.Fatal(err)
	}
	unmount := c.mount(w, file)
	defer unmount()
	w.must("init")
	names := []string{"backup", "backup", "backup", "forget", "backup", "prune", "prune --now", "undelete", "backup", "forget --now", "backup", "prune --now", "forget", "undelete"}
	for i := range size(len(names), 3*len(names)) {
		w.mutate()
		if i%len(names) == 5 {
			w.age(9 * 24 * time.Hour)
		}
		op, ok := w.command(names[i%len(names)])
		if !ok {
			continue
		}
		h := happened{op: op, begin: d.position()}
		h.out = w.run(op.args...)
		h.end = d.position()
		if h.out.code != 0 {
			w.Fatalf("%s: %s", op.name, h.out.String())
		}
		c.history = append(c.history, h)
		w.account(op, h.out)
		w.settle()
	}
	c.log = d.events()
}

// mount mounts a disk on the folder of the world's state.
func (c *cut) mount(w *world, file string) (unmount func()) {
	w.Helper()
	device, detach := looptest.Attach(w, file, false)
	if _, err := system("mount", "-t", c.name, device, w.state); err != nil {
		detach()
		w.Fatal(err)
	}
	return func() {
		if _, err := system("umount", w.state); err != nil {
			w.Error(err)
			_, _ = system("umount", "--lazy", w.state) // or the next one cannot be mounted
		}
		detach()
	}
}

// replay judges the disk as it was found after a cut, at many points.
func (c *cut) replay(w *world) {
	w.Helper()
	from, to := c.history[0].begin, len(c.log)
	for i := range c.points + c.subsets {
		n := from + w.rng.IntN(to-from+1)
		if i%3 == 0 {
			// Right at a flush, or next to it, is where order matters.
			for n < to && c.log[n].data != nil {
				n++
			}
			n = min(to, n+w.rng.IntN(3))
		}
		found := before(c.start, c.log, n, nil)
		if i >= c.points {
			found = before(c.start, c.log, n, w.rng)
		}
		file := filepath.Join(filepath.Dir(w.state), "found")
		found.save(w, file, c.size)
		c.judge(w, file, n)
		if w.Failed() {
			w.Fatalf("%s: cut after %d of %d events, all of the last epoch: %v", c.name, n, to, i < c.points)
		}
	}
	w.Logf("%s: %d points and %d subsets of %d events, %d operations", c.name, c.points, c.subsets, to-from, len(c.history))
}

// judge looks at what was found after n events.
func (c *cut) judge(w *world, file string, n int) {
	w.Helper()
	unmount := c.mount(w, file)
	defer unmount()
	w.known = map[string]*known{}
	w.attempt = nil
	for _, h := range c.history {
		if h.end <= n {
			w.account(h.op, h.out)
		} else if h.begin < n {
			w.account(h.op, outcome{killed: true})
		}
	}
	// That a record was removed from its old place need not be durable.
	w.mark(w.withFate(trashed), moving)
	w.settle()
	w.judge()
	w.check("--read-data")
	w.next()
	w.judge()
	w.check()
}
