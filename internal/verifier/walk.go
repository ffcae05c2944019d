package verifier

import "strings"

// walker goes through a tree in path order and checks what no single page shows.
type walker struct {
	r       *Repository
	visit   func(dir string, entries []entry)
	trouble func(err error) // told of each page that cannot be read, and of disorder

	before   *run // the run before, nil at the start or behind a page that could not be read
	lost     bool // a page could not be read: what it announced is unknown
	expected map[string]bool
}

// walk calls visit for each run of the tree with that root. A page that cannot be read is told to trouble, and
// the rest is visited all the same.
func (r *Repository) walk(root chunkID, visit func(dir string, entries []entry), trouble func(err error)) {
	w := &walker{r: r, visit: visit, trouble: trouble, expected: map[string]bool{}}
	w.inner(root, 0, nil)
	if w.lost {
		return
	}
	switch {
	case w.before == nil:
		trouble(damaged("tree without a directory"))
	case w.before.flags&runContinues != 0:
		trouble(damaged("directory %q has no end", w.before.path))
	}
	for path := range w.expected {
		trouble(damaged("directory %q is missing", path))
	}
}

// totals are what an inner page says of the pages below one of its children.
type totals struct{ runs, entries, files, size int64 }

func (t *totals) add(c totals) {
	t.runs, t.entries, t.files, t.size = t.runs+c.runs, t.entries+c.entries, t.files+c.files, t.size+c.size
}

func (c *child) totals() totals { return totals{c.runs, c.entries, c.files, c.size} }

// inner visits what is below an inner page, which is at level want unless that is 0, and what parent says.
func (w *walker) inner(id chunkID, want int, parent *child) {
	level, children, err := w.loadInner(id, want, parent)
	if err != nil {
		w.lose(err)
		return
	}
	for i := range children {
		c := &children[i]
		if level > 1 {
			w.inner(c.page, level-1, c)
		} else if err := w.leaf(c); err != nil {
			w.lose(err)
		}
	}
}

func (w *walker) lose(err error) {
	w.before, w.lost = nil, true
	w.trouble(err)
}

func (w *walker) loadInner(id chunkID, want int, parent *child) (int, []child, error) {
	page, err := w.r.load(boxTree, id)
	if err != nil {
		return 0, nil, err
	}
	level, children, err := parseInner(page)
	if err != nil {
		return 0, nil, err
	}
	var sum totals
	for i := range children {
		sum.add(children[i].totals())
	}
	first := &children[0]
	if (want != 0 && level != want) || (parent != nil && (sum != parent.totals() || first.path != parent.path || first.name != parent.name)) {
		return 0, nil, damaged("inner page of level %d is not what the page above says", level)
	}
	return level, children, nil
}

func (w *walker) leaf(c *child) error {
	page, err := w.r.load(boxTree, c.page)
	if err != nil {
		return err
	}
	runs, err := parseLeaf(page)
	if err != nil {
		return err
	}
	var sum totals
	for i := range runs {
		sum.add(totals{1, int64(len(runs[i].entries)), int64(runs[i].files), runs[i].size})
	}
	name := ""
	if runs[0].flags&runContinued != 0 && len(runs[0].entries) > 0 {
		name = runs[0].entries[0].name
	}
	if sum != c.totals() || runs[0].path != c.path || name != c.name || (c.files == 0) != (c.refs == chunkID{}) {
		return damaged("leaf page at %q is not what the page above says", c.path)
	}
	if c.files > 0 {
		page, err := w.r.load(boxRefs, c.refs)
		if err != nil {
			return err
		}
		refs, err := parseRefs(page)
		if err != nil {
			return err
		}
		if err := attach(runs, refs); err != nil {
			return err
		}
	}
	for i := range runs {
		w.run(&runs[i])
	}
	return nil
}

// run checks the order of runs and visits one.
func (w *walker) run(r *run) {
	if b := w.before; b != nil {
		follows := b.flags&runContinues != 0 && r.flags&runContinued != 0 && b.path == r.path &&
			(len(b.entries) == 0 || len(r.entries) == 0 || b.entries[len(b.entries)-1].name < r.entries[0].name)
		begins := b.flags&runContinues == 0 && r.flags&runContinued == 0 && comparePaths(b.path, r.path) < 0
		if !follows && !begins {
			w.trouble(damaged("directory %q behind %q", r.path, b.path))
		}
	} else if !w.lost && (r.path != "" || r.flags&runContinued != 0) {
		w.trouble(damaged("tree begins at %q", r.path))
	}
	if r.flags&runContinued == 0 && r.path != "" {
		if !w.expected[r.path] && !w.lost {
			w.trouble(damaged("directory %q is in no directory", r.path))
		}
		delete(w.expected, r.path)
	}
	for i := range r.entries {
		if e := &r.entries[i]; e.kind == kindDir && len(join(r.path, e.name)) <= maxPath {
			w.expected[join(r.path, e.name)] = true
		}
	}
	w.before = r
	w.visit(r.path, r.entries)
}

func join(dir, name string) string { return strings.TrimPrefix(dir+"/"+name, "/") }

// eachPart calls fn for each chunk and each hole of a file, in order.
func (r *Repository) eachPart(e *entry, fn func(chunk []byte, hole int64) error) error {
	parts := e.parts
	if e.listed {
		parts = nil
		for _, list := range e.parts {
			page, err := r.load(boxRefs, list.id)
			if err != nil {
				return err
			}
			some, err := parseList(page, list.length)
			if err != nil {
				return err
			}
			parts = append(parts, some...)
		}
	}
	for _, p := range parts {
		if p.isHole() {
			if err := fn(nil, p.length); err != nil {
				return err
			}
			continue
		}
		chunk, err := r.load(boxData, p.id)
		if err != nil {
			return err
		}
		if int64(len(chunk)) != p.length {
			return damaged("chunk %x of %d bytes, want %d", p.id, len(chunk), p.length)
		}
		if err := fn(chunk, 0); err != nil {
			return err
		}
	}
	return nil
}
