package target

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/snapkeep/snap/internal/source"
	"github.com/snapkeep/snap/internal/source/local"
	"github.com/snapkeep/snap/internal/torturetest"
	"github.com/snapkeep/snap/internal/tree"
)

// copier copies a source into a target by what tree.Entry holds, as a backup
// and a restore together would.
type copier struct {
	root     *Root
	existing Existing
	links    map[[2]uint64]string // device and inode to the first path
	problems []error
	held     []string // paths of linked files whose flags come last
	entries  map[string]*tree.Entry
}

// copyTree copies what lies in the folder from.
func copyTree(ctx context.Context, from, to string, o Options, x Existing) ([]error, error) {
	s, err := local.New(local.Options{Roots: []string{from}})
	if err != nil {
		return nil, err
	}
	d, err := s.Root(ctx)
	if err != nil {
		return nil, err
	}
	for name := range strings.SplitSeq(strings.Trim(from, "/"), "/") {
		stats, _, err := d.List(ctx)
		if err != nil {
			return nil, err
		}
		for i := range stats {
			if stats[i].Name == name {
				sub, err := d.OpenDir(ctx, &stats[i])
				if err != nil {
					return nil, err
				}
				d.Close()
				d = sub
			}
		}
	}
	r, err := Open(to, o)
	if err != nil {
		return nil, err
	}
	c := copier{root: r, existing: x, links: map[[2]uint64]string{}, entries: map[string]*tree.Entry{}}
	err = c.folder(ctx, d, "")
	for _, p := range c.held {
		at, name := split(p)
		out, err := r.Dir(at)
		if err != nil {
			return c.problems, err
		}
		e := *c.entries[p]
		e.Name = name
		c.note(out.Hold(&e))
		out.Release()
	}
	if closeErr := r.Close(); err == nil {
		err = closeErr
	}
	return c.problems, err
}

func split(path string) (dir, name string) {
	i := strings.LastIndexByte(path, '/')
	return path[:max(i, 0)], path[i+1:]
}

func (c *copier) note(list []*AttributeError) {
	for _, p := range list {
		c.problems = append(c.problems, p)
	}
}

func (c *copier) folder(ctx context.Context, in source.Dir, at string) error {
	defer in.Close()
	out, err := c.root.Dir(at)
	if err != nil {
		return err
	}
	defer out.Release()
	stats, problems, err := in.List(ctx)
	for _, p := range problems {
		c.problems = append(c.problems, p.Err)
	}
	if err != nil {
		return err
	}
	for i := range stats {
		e := tree.Entry{Stat: stats[i]}
		if err := c.entry(ctx, in, out, &e); err != nil {
			return fmt.Errorf("%q: %w", out.join(e.Name), err)
		}
	}
	return nil
}

func (c *copier) entry(ctx context.Context, in source.Dir, out *Dir, e *tree.Entry) error {
	path := out.join(e.Name)
	if group := [2]uint64{e.Device, e.Inode}; e.Kind != tree.Directory && e.Links > 1 {
		if first, ok := c.links[group]; ok {
			at, name := split(first)
			old, err := c.root.Dir(at)
			if err != nil {
				return err
			}
			defer old.Release()
			return out.Link(e.Name, old, name, c.existing)
		}
		c.links[group] = path
		c.entries[path] = e
		c.held = append(c.held, path)
	}
	st := e.Stat
	switch e.Kind {
	case tree.Regular:
		f, err := in.Open(ctx, &st)
		if err != nil {
			return err
		}
		defer f.Close()
		if err := in.Describe(ctx, &st, e, f); err != nil {
			return err
		}
		return c.file(out, e, f)
	case tree.Directory:
		if err := in.Describe(ctx, &st, e, nil); err != nil {
			return err
		}
		existed, err := out.Mkdir(e.Name, false)
		if err != nil {
			return err
		}
		sub, err := in.OpenDir(ctx, &st)
		if err != nil {
			return err
		}
		if err := c.folder(ctx, sub, path); err != nil {
			return err
		}
		d, err := c.root.Dir(path)
		if err != nil {
			return err
		}
		defer d.Release()
		c.note(d.SetMeta(e, existed))
		return nil
	}
	if err := in.Describe(ctx, &st, e, nil); err != nil {
		return err
	}
	list, err := out.MakeSpecial(e, c.existing)
	c.note(list)
	return err
}

func (c *copier) file(out *Dir, e *tree.Entry, f source.File) error {
	w, err := out.Create(e, c.existing)
	if err != nil {
		return err
	}
	defer w.Abort()
	buf := make([]byte, 64<<10)
	for {
		region, err := f.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return err
		}
		for at := region.Offset; !region.Hole; {
			n, err := io.ReadFull(f, buf)
			if _, err := w.WriteAt(buf[:n], at); err != nil {
				return err
			}
			at += int64(n)
			if err != nil {
				break
			}
		}
	}
	list, err := w.Finish(e)
	c.note(list)
	return err
}

// tempTree returns a folder that is cleared of what keeps it from being removed at the end.
func tempTree(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	t.Cleanup(func() { torturetest.Clear(dir) })
	return dir
}

func manifest(t *testing.T, dir string) []string {
	t.Helper()
	m, err := torturetest.Manifest(dir)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// testFidelity copies the torture tree from one folder to another, twice: into an
// empty one, and over what is there.
func testFidelity(t *testing.T, from, to string) {
	t.Helper()
	if err := torturetest.Build(from); err != nil {
		t.Log("not everything could be made: ", err)
	}
	want := manifest(t, from)
	for _, existing := range []Existing{Refuse, Replace} {
		if existing == Replace {
			// A file that must not change and has other names is left alone.
			torturetest.Clear(to + "/flags")
		}
		problems, err := copyTree(t.Context(), from, to, Options{}, existing)
		if err != nil {
			t.Fatalf("existing %d: %v", existing, err)
		}
		for _, p := range problems {
			t.Errorf("existing %d: %v", existing, p)
		}
		diff := torturetest.Diff(want, manifest(t, to))
		for _, d := range diff[:min(len(diff), 20)] {
			t.Errorf("existing %d: %s", existing, d)
		}
		if len(diff) > 20 {
			t.Errorf("and %d more", len(diff)-20)
		}
	}
	if again := manifest(t, from); len(torturetest.Diff(want, again)) > 0 {
		t.Error("the source changed while it was read")
	}
}

func TestTortureTreeIsCopiedWhole(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Log("without root some classes are left out")
	}
	testFidelity(t, tempTree(t), tempTree(t))
}
