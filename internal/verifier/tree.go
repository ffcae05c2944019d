package verifier

import (
	"math"
	"strings"
	"unicode/utf8"
)

// Limits of sections 8 and 12.
const (
	maxPage     = 4 << 20
	maxEntries  = 65_536
	maxName     = 4_096
	maxPath     = 65_535
	maxChildren = 65_536
	maxAttrs    = 1_024
	maxAttrSize = 2 << 20
)

// Types of pages.
const (
	pageLeaf  = 1
	pageInner = 2
	pageRefs  = 3
	pageList  = 4
)

// Kinds of files.
const (
	kindFile = 1 + iota
	kindDir
	kindSymlink
	kindFIFO
	kindSocket
	kindCharDevice
	kindBlockDevice
)

// unreadable is the mark of what could not be read.
const unreadable = 2

type stamp struct {
	sec  int64
	nsec int
}

// entry is one file of a leaf page.
type entry struct {
	name         string
	kind         byte
	owner        owner
	mtime, ctime stamp
	inode        uint64
	size         int64

	target        string
	rdev          uint64
	device, links uint64 // of a hard-link group; links is 1 without
	attrs         [][2]string
	flags, marks  uint64
	problem       string
	atime         *stamp

	parts  []part
	listed bool
}

type owner struct {
	mode        int
	uid, gid    int
	user, group string
}

// part is a piece of a file: a chunk, a list page of a listed file, or a hole.
type part struct {
	id     chunkID
	length int64
}

func (p part) isHole() bool { return p.id == chunkID{} }

// run is a directory or a part of one.
type run struct {
	path    string
	flags   byte
	digest  [16]byte
	entries []entry
	files   int
	size    int64
}

// Flags of a run.
const (
	runContinued  = 1
	runContinues  = 2
	runUnreadable = 4
)

// openPage checks the head of a page.
func openPage(page []byte, want byte) *input {
	in := &input{rest: page}
	if len(page) > maxPage {
		in.fail(damaged("page of %d bytes", len(page)))
	}
	version, kind := in.byte(), in.byte()
	switch {
	case in.err != nil:
	case version > 1:
		in.fail(newer("page of version %d", version))
	case version == 0 || kind != want:
		in.fail(damaged("page of version %d and type %d, want type %d", version, kind, want))
	}
	return in
}

// parseLeaf parses a leaf page, section 8.2.
func parseLeaf(page []byte) ([]run, error) {
	in := openPage(page, pageLeaf)
	count := in.varint()
	if count == 0 || count > uint64(len(in.rest)) {
		in.fail(damaged("%d runs in %d bytes", count, len(in.rest)))
		return nil, in.err
	}
	var runs []run
	var counts []int
	total, before := 0, ""
	for i := uint64(0); i < count && in.err == nil; i++ {
		r := run{path: in.prefixed(before, maxPath), flags: in.byte()}
		copy(r.digest[:], in.take(16))
		n := in.upTo(maxEntries)
		r.files, r.size = in.upTo(n), in.size()
		if in.err == nil && (r.flags > 7 || !validPath(r.path) || (i > 0 && comparePaths(before, r.path) >= 0)) {
			in.fail(damaged("run %q behind %q", r.path, before))
		}
		if (i > 0 && r.flags&runContinued != 0) || (i < count-1 && r.flags&runContinues != 0) {
			in.fail(damaged("run %q goes on within the page", r.path))
		}
		total, before = total+n, r.path
		runs, counts = append(runs, r), append(counts, n)
	}
	if total > maxEntries {
		in.fail(damaged("%d entries", total))
	}
	entries := parseColumns(in, counts, total)
	if err := in.end(); err != nil {
		return nil, err
	}
	for i, n := range counts {
		runs[i].entries, entries = entries[:n:n], entries[n:]
		if err := runs[i].check(); err != nil {
			return nil, err
		}
	}
	return runs, nil
}

// prefixed reads a string of which the first bytes are those of another.
func (in *input) prefixed(before string, limit int) string {
	shared := in.upTo(len(before))
	return before[:shared] + in.text(limit)
}

// check compares the entries with what the run says of them.
func (r *run) check() error {
	files, size, before := 0, int64(0), ""
	for i := range r.entries {
		e := &r.entries[i]
		if !validName(e.name) || (i > 0 && e.name <= before) {
			return damaged("name %q behind %q", e.name, before)
		}
		if (e.kind == kindSymlink) != (e.target != "") {
			return damaged("link target of %q", e.name)
		}
		before = e.name
		if e.kind == kindFile {
			files++
			size += e.size
		}
	}
	if files != r.files || size != r.size {
		return damaged("run %q has %d files of %d bytes and says %d of %d", r.path, files, size, r.files, r.size)
	}
	return nil
}

// parseColumns reads the columns of a leaf page with runs of so many entries.
func parseColumns(in *input, counts []int, total int) []entry {
	var entries []entry
	var before uint64
	seen := map[uint64]bool{}
	for left := in.varint(); left > 0 && in.err == nil; left-- {
		tag := in.varint()
		col := &input{rest: []byte(in.text(maxPage))}
		if in.err == nil && tag <= before {
			in.fail(damaged("column %d behind %d", tag, before))
		}
		before, seen[tag] = tag, true
		switch {
		case in.err != nil || tag >= 64:
			continue
		case tag > 8:
			in.fail(newer("column %d", tag))
			continue
		case tag == 1 && len(col.rest) != total:
			in.fail(damaged("%d kinds for %d entries", len(col.rest), total))
			continue
		case tag == 1:
			entries = make([]entry, total)
		case entries == nil:
			in.fail(damaged("column %d before the kinds", tag))
			continue
		}
		parseColumn(tag, col, counts, entries)
		if err := col.end(); err != nil {
			in.fail(err)
		}
	}
	for tag := uint64(1); tag <= 8 && in.err == nil; tag++ {
		if (tag < 8 && seen[tag] != (total > 0)) || (total == 0 && seen[tag]) {
			in.fail(damaged("column %d and %d entries", tag, total))
		}
	}
	return entries
}

func parseColumn(tag uint64, col *input, counts []int, entries []entry) {
	switch tag {
	case 1:
		for i := range entries {
			k := col.byte()
			if k < kindFile || k > kindBlockDevice {
				col.fail(damaged("kind %d", k))
			}
			entries[i].kind, entries[i].links = k, 1
		}
	case 2:
		parseNames(col, counts, entries)
	case 3:
		parseOwners(col, entries)
	case 4:
		var sec int64
		for i := range entries {
			sec += col.svarint()
			entries[i].mtime = stamp{sec, col.upTo(999_999_999)}
		}
	case 5:
		for i := range entries {
			entries[i].ctime = stamp{entries[i].mtime.sec + col.svarint(), col.upTo(999_999_999)}
		}
	case 6:
		var inode uint64
		for i := range entries {
			inode += uint64(col.svarint())
			entries[i].inode = inode
		}
	case 7:
		for i := range entries {
			if entries[i].kind == kindFile {
				entries[i].size = col.size()
			}
		}
	case 8:
		parseRare(col, entries)
	}
}

func parseNames(col *input, counts []int, entries []entry) {
	total := 0 // names share memory in the page and not here
	for _, n := range counts {
		before := ""
		for i := range entries[:n] {
			before = col.prefixed(before, maxName)
			if total += len(before); total > 4*maxPage || col.err != nil {
				col.fail(damaged("names of %d bytes", total))
				return
			}
			entries[i].name = before
		}
		entries = entries[n:]
	}
}

func parseOwners(col *input, entries []entry) {
	rows := make([]owner, 0, 8)
	for left := col.upTo(len(entries)); left > 0; left-- {
		o := owner{mode: col.upTo(0o7777), uid: col.upTo(math.MaxUint32), gid: col.upTo(math.MaxUint32), user: col.text(maxName), group: col.text(maxName)}
		if col.err != nil {
			return
		}
		rows = append(rows, o)
	}
	for i := range entries {
		n := col.varint()
		if n >= uint64(len(rows)) {
			col.fail(damaged("owner %d of %d", n, len(rows)))
			return
		}
		entries[i].owner = rows[n]
	}
}

func parseRare(col *input, entries []entry) {
	at, before := uint64(0), uint64(0)
	count := col.varint()
	for n := uint64(0); n < count && col.err == nil; n++ {
		delta, field := col.varint(), col.varint()
		value := &input{rest: []byte(col.text(maxPage))}
		if delta > uint64(len(entries)) || (n > 0 && delta == 0 && field <= before) {
			col.fail(damaged("rare fields out of order"))
		}
		at, before = at+delta, field
		if at >= uint64(len(entries)) {
			col.fail(damaged("rare field of entry %d", at))
		}
		if col.err != nil || field >= 64 {
			continue
		}
		parseField(field, value, &entries[at])
		if err := value.end(); err != nil {
			col.fail(err)
		}
	}
}

func parseField(field uint64, v *input, e *entry) {
	switch field {
	case 1:
		if e.target = string(v.all()); e.target == "" || len(e.target) > maxPath || strings.Contains(e.target, "\x00") {
			v.fail(damaged("link target of %q", e.name))
		}
	case 2:
		e.rdev = v.varint()
	case 3:
		e.device, e.links = v.varint(), uint64(v.upTo(math.MaxUint32))
		if e.links < 2 {
			v.fail(damaged("%d links", e.links))
		}
	case 4:
		parseAttrs(v, e)
	case 5:
		e.flags = uint64(v.upTo(math.MaxUint32))
	case 6:
		e.marks = uint64(v.upTo(255))
	case 7:
		if e.problem = string(v.all()); !utf8.ValidString(e.problem) {
			v.fail(damaged("a problem that is no text"))
		}
	case 8:
		e.atime = &stamp{v.svarint(), v.upTo(999_999_999)}
	default:
		v.fail(newer("rare field %d", field))
	}
}

func parseAttrs(v *input, e *entry) {
	count := v.upTo(maxAttrs)
	if len(v.rest) > maxAttrSize {
		v.fail(damaged("attributes of %d bytes", len(v.rest)))
	}
	before := ""
	for range count {
		name, value := v.text(maxAttrSize), v.text(maxAttrSize)
		if name <= before || strings.Contains(name, "\x00") { // also the empty one
			v.fail(damaged("attribute %q behind %q", name, before))
			return
		}
		e.attrs = append(e.attrs, [2]string{name, value})
		before = name
	}
}

// fileRefs is what a reference page says of a file.
type fileRefs struct {
	parts  []part // a single one that is no hole has no length
	listed bool
}

// parseRefs parses a reference page, section 8.3.
func parseRefs(page []byte) ([]fileRefs, error) {
	in := openPage(page, pageRefs)
	count := in.upTo(min(maxEntries, len(in.rest)))
	files := make([]fileRefs, count)
	total := 0
	for i := range files {
		v := in.varint()
		n := int(min(v/2, maxPage))
		if total += n; total > len(in.rest)/16 {
			in.fail(damaged("%d parts in %d bytes", total, len(in.rest)))
			return nil, in.err
		}
		files[i] = fileRefs{make([]part, n), v%2 == 1}
		if in.err == nil && n == 0 && files[i].listed {
			in.fail(damaged("listed file without parts"))
		}
	}
	for i := range files {
		in.ids(files[i].parts)
	}
	for i := range files {
		f := &files[i]
		for k := range f.parts {
			if p := &f.parts[k]; f.listed || len(f.parts) > 1 || p.isHole() {
				p.length = in.partLength(*p, f.listed)
			}
		}
	}
	return files, in.end()
}

func (in *input) ids(parts []part) {
	for i := range parts {
		copy(parts[i].id[:], in.take(16))
	}
}

func (in *input) partLength(p part, listed bool) int64 {
	n := in.size()
	if in.err == nil && (n == 0 || (listed && p.isHole()) || (!listed && !p.isHole() && n > maxChunk)) {
		in.fail(damaged("part of %d bytes", n))
	}
	return n
}

// parseList parses a list page whose parts have length bytes together.
func parseList(page []byte, length int64) ([]part, error) {
	in := openPage(page, pageList)
	count := in.upTo(maxChildren)
	if count == 0 || count > len(in.rest)/16 {
		in.fail(damaged("%d parts in %d bytes", count, len(in.rest)))
		return nil, in.err
	}
	parts := make([]part, count)
	in.ids(parts)
	sum := uint64(0)
	for i := range parts {
		parts[i].length = in.partLength(parts[i], false)
		sum += uint64(parts[i].length)
		if sum > math.MaxInt64 {
			in.fail(damaged("list page of too many bytes"))
		}
	}
	if in.err == nil && sum != uint64(length) {
		in.fail(damaged("list page of %d bytes, want %d", sum, length))
	}
	return parts, in.end()
}

// attach gives the regular files of a leaf page their parts.
func attach(runs []run, refs []fileRefs) error {
	for i := range runs {
		for k := range runs[i].entries {
			e := &runs[i].entries[k]
			if e.kind != kindFile {
				continue
			}
			if len(refs) == 0 {
				return damaged("more files than references")
			}
			e.parts, e.listed, refs = refs[0].parts, refs[0].listed, refs[1:]
			if err := e.checkParts(); err != nil {
				return err
			}
		}
	}
	if len(refs) > 0 {
		return damaged("%d references too many", len(refs))
	}
	return nil
}

func (e *entry) checkParts() error {
	if len(e.parts) == 1 && !e.listed && !e.parts[0].isHole() {
		if e.size < 1 || e.size > maxChunk {
			return damaged("%q: one chunk of %d bytes", e.name, e.size)
		}
		e.parts[0].length = e.size
	}
	sum := uint64(0)
	for _, p := range e.parts {
		if sum += uint64(p.length); sum > uint64(e.size) {
			break
		}
	}
	if sum != uint64(e.size) && (len(e.parts) > 0 || e.marks&unreadable == 0) {
		return damaged("%q: parts of %d bytes, size %d", e.name, sum, e.size)
	}
	return nil
}

// child is what an inner page says of a page below it.
type child struct {
	path, name           string
	page, refs           chunkID
	runs, entries, files int64
	size                 int64
}

// parseInner parses an inner page, section 8.4.
func parseInner(page []byte) (level int, children []child, err error) {
	in := openPage(page, pageInner)
	level = in.upTo(16)
	count := in.upTo(maxChildren)
	if level == 0 || count == 0 {
		in.fail(damaged("inner page of level %d with %d children", level, count))
	}
	var before child
	for i := range count {
		c := child{path: in.prefixed(before.path, maxPath), name: in.text(maxName)}
		copy(c.page[:], in.take(16))
		if level == 1 {
			copy(c.refs[:], in.take(16))
		}
		c.runs, c.entries, c.files, c.size = in.size(), in.size(), in.size(), in.size()
		if in.err != nil {
			return 0, nil, in.err
		}
		if !validPath(c.path) || (c.name != "" && !validName(c.name)) || c.page == (chunkID{}) || (i > 0 && !before.before(&c)) {
			return 0, nil, damaged("child %q %q behind %q %q", c.path, c.name, before.path, before.name)
		}
		if level == 1 && (c.refs == chunkID{}) != (c.files == 0) {
			return 0, nil, damaged("child %q %q has %d files and references of some or none", c.path, c.name, c.files)
		}
		children, before = append(children, c), c
	}
	return level, children, in.end()
}

func (c *child) before(d *child) bool {
	if o := comparePaths(c.path, d.path); o != 0 {
		return o < 0
	}
	return c.name < d.name
}

// comparePaths compares component by component.
func comparePaths(a, b string) int {
	if a == "" || b == "" {
		return strings.Compare(a, b)
	}
	x, y := strings.Split(a, "/"), strings.Split(b, "/")
	for i := range min(len(x), len(y)) {
		if o := strings.Compare(x[i], y[i]); o != 0 {
			return o
		}
	}
	return len(x) - len(y)
}

func validName(name string) bool {
	return name != "" && len(name) <= maxName && name != "." && name != ".." && !strings.ContainsAny(name, "/\x00")
}

func validPath(path string) bool {
	if path == "" {
		return true
	}
	if len(path) > maxPath {
		return false
	}
	for _, name := range strings.Split(path, "/") {
		if !validName(name) {
			return false
		}
	}
	return true
}
