package repo

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"sort"
	"sync"
	"time"

	"github.com/snapkeep/snap/internal/source"
	"github.com/snapkeep/snap/internal/tree"
)

// treeSource is a snapshot of another repository as a Source. What was wrong with files when they were backed up is wrong
// with the copy. That the other repository is damaged is not: it ends the copy, see failure.
type treeSource struct {
	from  *Repo
	of    *Snapshot
	whole bool // keep the cuts of large files

	mu  sync.Mutex // guards what follows
	err error      // the first with which the other repository could not be read
}

// Root implements source.Source.
func (s *treeSource) Root(context.Context) (source.Dir, error) { return &treeDir{s: s}, nil }

// Now implements source.Clocked: what was changed shortly before the snapshot is as unproven in the copy.
func (s *treeSource) Now() time.Time { return s.of.Time }

// fail keeps the first error of the other repository.
func (s *treeSource) fail(err error) error {
	if err == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err == nil {
		s.err = err
	}
	return err
}

// failure returns the first error with which the other repository could not be read, nil if all could.
func (s *treeSource) failure() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

// treeDir is a directory of a snapshot.
type treeDir struct {
	s       *treeSource
	path    string
	problem error // with which it could not be read when it was backed up

	mu      sync.Mutex // guards what follows
	entries []Entry    // ordered by name
}

// List implements source.Dir.
func (d *treeDir) List(ctx context.Context) ([]tree.Stat, []source.Problem, error) {
	listing, err := d.s.from.ReadListing(ctx, d.s.of, d.path)
	if errors.Is(err, fs.ErrNotExist) && d.problem != nil {
		return nil, nil, d.problem
	}
	if err != nil {
		return nil, nil, d.s.fail(err)
	}
	entries := listing.Entries
	d.mu.Lock()
	d.entries = entries
	d.mu.Unlock()
	stats := make([]tree.Stat, 0, len(entries))
	var problems []source.Problem
	for i := range entries {
		e := &entries[i]
		if e.Marks&tree.MarkUnreadable != 0 && e.Kind != tree.Regular && e.Kind != tree.Directory {
			problems = append(problems, source.Problem{Stat: e.Stat, Err: problemOf(e)})
			continue
		}
		stats = append(stats, e.Stat)
	}
	if listing.Unreadable && d.problem == nil {
		return stats, problems, errUnreadable
	}
	return stats, problems, d.problem
}

// errUnreadable says of a directory of a snapshot what is known.
var errUnreadable = errors.New("it could not be read when it was backed up")

// problemOf returns what was wrong with an entry when it was backed up, nil for nothing.
func problemOf(e *Entry) error {
	if e.Problem == "" && e.Marks&tree.MarkUnreadable == 0 {
		return nil
	}
	return errors.New(e.Problem)
}

// entry returns what List found under a name.
func (d *treeDir) entry(name string) (*Entry, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	i := sort.Search(len(d.entries), func(i int) bool { return d.entries[i].Name >= name })
	if i == len(d.entries) || d.entries[i].Name != name {
		return nil, fs.ErrNotExist
	}
	return &d.entries[i], nil
}

// OpenDir implements source.Dir.
func (d *treeDir) OpenDir(_ context.Context, st *tree.Stat) (source.Dir, error) {
	e, err := d.entry(st.Name)
	if err != nil {
		return nil, err
	}
	sub := &treeDir{s: d.s, path: tree.Join(d.path, st.Name)}
	if e.Marks&tree.MarkUnreadable != 0 {
		sub.problem = problemOf(e)
	}
	return sub, nil
}

// Open implements source.Dir.
func (d *treeDir) Open(ctx context.Context, st *tree.Stat) (source.File, error) {
	e, err := d.entry(st.Name)
	if err != nil {
		return nil, err
	}
	if len(e.Parts) == 0 && e.Marks&tree.MarkUnreadable != 0 {
		return nil, problemOf(e)
	}
	r, err := d.s.from.OpenEntry(ctx, e)
	if err != nil {
		return nil, d.s.fail(err)
	}
	return &treeFile{ctx: ctx, s: d.s, r: r, parts: partReader{r: r}}, nil
}

// Describe implements source.Dir.
func (d *treeDir) Describe(_ context.Context, st *tree.Stat, e *tree.Entry, _ source.File) error {
	from, err := d.entry(st.Name)
	if err != nil {
		return err
	}
	e.User, e.Group, e.Target, e.Xattrs, e.Flags, e.Access = from.User, from.Group, from.Target, from.Xattrs, from.Flags, from.Access
	if from.Marks&tree.MarkUnreadable != 0 {
		return nil // it is told where its content is read
	}
	return problemOf(from)
}

// Close implements source.Dir.
func (*treeDir) Close() error { return nil }

// treeFile is a regular file of a snapshot.
type treeFile struct {
	ctx   context.Context
	s     *treeSource
	r     *FileReader
	parts partReader
	ends  int64 // of the region
	read  bool  // some of it was
}

// Next implements source.File.
func (f *treeFile) Next() (source.Region, error) {
	f.read = true
	part, err := f.parts.next()
	if err != nil {
		if err != io.EOF {
			err = f.s.fail(err)
		}
		return source.Region{}, err
	}
	region := source.Region{Offset: f.ends, Length: part.Length, Hole: part.ID.IsZero()}
	region.Whole = !region.Hole && f.s.whole
	for !f.s.whole {
		more, err := f.parts.peek()
		if err == io.EOF || (err == nil && more.ID.IsZero() != region.Hole) {
			break
		}
		if err != nil {
			return source.Region{}, f.s.fail(err)
		}
		region.Length += more.Length
		f.parts.skip()
	}
	f.ends = region.Offset + region.Length
	_, err = f.r.Seek(region.Offset, io.SeekStart)
	return region, err
}

// Read implements source.File.
func (f *treeFile) Read(p []byte) (int, error) {
	left := f.ends - f.r.offset
	if left <= 0 {
		return 0, io.EOF
	}
	n, err := f.r.Read(p[:min(int64(len(p)), left)])
	if err == io.EOF {
		err = io.ErrUnexpectedEOF // the parts are as long as they say
	}
	return n, f.s.fail(err)
}

// Stat implements source.File. A file that changed while it was backed up has changed here, too.
func (f *treeFile) Stat() (tree.Stat, error) {
	st := f.r.entry.Stat
	if f.read && f.r.entry.Marks&tree.MarkChanged != 0 {
		st.ModTime.Sec++
	}
	return st, nil
}

// Close implements source.File.
func (*treeFile) Close() error { return nil }

// partReader gives the parts of a file in order, reading one list page at a time.
type partReader struct {
	r     *FileReader
	top   int // parts of the entry that were taken
	parts []tree.Part
}

// peek returns the next part, or io.EOF.
func (p *partReader) peek() (tree.Part, error) {
	for len(p.parts) == 0 {
		all := p.r.entry.Parts
		if p.top == len(all) {
			return tree.Part{}, io.EOF
		}
		if !p.r.entry.Listed {
			p.parts, p.top = all, len(all)
			continue
		}
		parts, err := tree.LoadList(p.r.ctx, p.r.load, all[p.top])
		if err != nil {
			return tree.Part{}, err
		}
		p.parts = parts
		p.top++
	}
	return p.parts[0], nil
}

func (p *partReader) skip() { p.parts = p.parts[1:] }

// next returns the next part and goes on to the one behind it.
func (p *partReader) next() (tree.Part, error) {
	part, err := p.peek()
	if err == nil {
		p.skip()
	}
	return part, err
}

var _ source.Clocked = (*treeSource)(nil)
