package tree

import (
	"fmt"
	"math"
	"strings"
	"unicode/utf8"

	"github.com/snapkeep/snap/internal/wire"
)

// Numbers of the pages' encoding (docs/format.md sections 8.2 to 8.4).
const (
	pageVersion = 1
	typeLeaf    = 1
	typeInner   = 2
	typeRefs    = 3
	typeList    = 4

	colKind, colName, colOwner, colModTime, colChangeTime, colInode, colSize, colRare = 1, 2, 3, 4, 5, 6, 7, 8
	firstOptionalColumn                                                               = 64

	rareTarget, rareRdev, rareLinks, rareXattrs, rareFlags, rareMarks, rareProblem, rareAccess = 1, 2, 3, 4, 5, 6, 7, 8
	firstOptionalField                                                                         = 64

	// MaxPageSize bounds a page, in bytes.
	MaxPageSize = 4 << 20
	// MaxPageEntries bounds the entries of a page.
	MaxPageEntries = 65_536

	maxXattrs     = 1_024
	maxXattrBytes = 2 << 20
	maxOwnerName  = 4_096
	maxProblem    = 4_096
)

// Run flags.
const (
	RunContinued  = 1 // begins in an earlier page
	RunContinues  = 2 // goes on in a later page
	RunUnreadable = 4 // the directory could not be read
)

// Run is a directory, or a consecutive part of one, in a leaf page.
type Run struct {
	Path    string
	Flags   uint8
	Digest  Digest
	Entries int   // how many entries
	Files   int   // regular files among them
	Size    int64 // sum of their sizes in bytes

	start int // number of the first entry in the page
}

// leafEncoder encodes leaf pages. It keeps its buffers between pages.
type leafEncoder struct {
	out    []byte
	col    []byte
	owners map[owner]int
	rows   []owner
}

type owner struct {
	mode        uint16
	uid, gid    uint32
	user, group string
}

// encode returns the page of runs, whose entries stand joined in entries. The result
// is valid until the next call.
func (e *leafEncoder) encode(runs []Run, entries []Entry) []byte {
	b := append(e.out[:0], pageVersion, typeLeaf)
	b = wire.AppendUvarint(b, uint64(len(runs)))
	last := ""
	for _, r := range runs {
		n := sharedPrefix(last, r.Path)
		b = wire.AppendUvarint(b, uint64(n))
		b = wire.AppendBytes(b, r.Path[n:])
		b = append(b, r.Flags)
		b = append(b, r.Digest[:]...)
		b = wire.AppendUvarint(b, uint64(r.Entries))
		b = wire.AppendUvarint(b, uint64(r.Files))
		b = wire.AppendUvarint(b, uint64(r.Size))
		last = r.Path
	}
	if len(entries) == 0 {
		e.out = append(b, 0)
		return e.out
	}
	rare, rareCount := e.rare(entries)
	if rareCount > 0 {
		b = append(b, 8)
	} else {
		b = append(b, 7)
	}
	b = e.column(b, colKind, e.kinds(entries))
	b = e.column(b, colName, e.names(runs, entries))
	b = e.column(b, colOwner, e.ownerColumn(entries))
	b = e.column(b, colModTime, e.modTimes(entries))
	b = e.column(b, colChangeTime, e.changeTimes(entries))
	b = e.column(b, colInode, e.inodes(entries))
	b = e.column(b, colSize, e.sizes(entries))
	if rareCount > 0 {
		head := wire.AppendUvarint(nil, uint64(rareCount))
		b = wire.AppendUvarint(b, colRare)
		b = wire.AppendUvarint(b, uint64(len(head)+len(rare)))
		b = append(append(b, head...), rare...)
	}
	e.out = b
	return b
}

func (e *leafEncoder) column(b []byte, tag uint64, col []byte) []byte {
	e.col = col
	return wire.AppendBytes(wire.AppendUvarint(b, tag), col)
}

func (e *leafEncoder) kinds(entries []Entry) []byte {
	c := e.col[:0]
	for i := range entries {
		c = append(c, byte(entries[i].Kind))
	}
	return c
}

func (e *leafEncoder) names(runs []Run, entries []Entry) []byte {
	c := e.col[:0]
	for _, r := range runs {
		last := ""
		for i := r.start; i < r.start+r.Entries; i++ {
			name := entries[i].Name
			n := sharedPrefix(last, name)
			c = wire.AppendUvarint(c, uint64(n))
			c = wire.AppendBytes(c, name[n:])
			last = name
		}
	}
	return c
}

func (e *leafEncoder) ownerColumn(entries []Entry) []byte {
	if e.owners == nil {
		e.owners = make(map[owner]int)
	}
	clear(e.owners)
	e.rows = e.rows[:0]
	numbers := make([]byte, 0, 2*len(entries))
	var last owner
	lastRow := -1
	for i := range entries {
		x := &entries[i]
		o := owner{x.Mode, x.UID, x.GID, x.User, x.Group}
		if lastRow < 0 || o != last {
			row, ok := e.owners[o]
			if !ok {
				row = len(e.rows)
				e.owners[o] = row
				e.rows = append(e.rows, o)
			}
			last, lastRow = o, row
		}
		numbers = wire.AppendUvarint(numbers, uint64(lastRow))
	}
	c := wire.AppendUvarint(e.col[:0], uint64(len(e.rows)))
	for _, o := range e.rows {
		c = wire.AppendUvarint(c, uint64(o.mode))
		c = wire.AppendUvarint(c, uint64(o.uid))
		c = wire.AppendUvarint(c, uint64(o.gid))
		c = wire.AppendBytes(c, o.user)
		c = wire.AppendBytes(c, o.group)
	}
	return append(c, numbers...)
}

func (e *leafEncoder) modTimes(entries []Entry) []byte {
	c := e.col[:0]
	var last int64
	for i := range entries {
		t := entries[i].ModTime
		c = wire.AppendVarint(c, t.Sec-last)
		c = wire.AppendUvarint(c, uint64(t.Nsec))
		last = t.Sec
	}
	return c
}

func (e *leafEncoder) changeTimes(entries []Entry) []byte {
	c := e.col[:0]
	for i := range entries {
		t := entries[i].ChangeTime
		c = wire.AppendVarint(c, t.Sec-entries[i].ModTime.Sec)
		c = wire.AppendUvarint(c, uint64(t.Nsec))
	}
	return c
}

func (e *leafEncoder) inodes(entries []Entry) []byte {
	c := e.col[:0]
	var last uint64
	for i := range entries {
		c = wire.AppendVarint(c, int64(entries[i].Inode-last))
		last = entries[i].Inode
	}
	return c
}

func (e *leafEncoder) sizes(entries []Entry) []byte {
	c := e.col[:0]
	for i := range entries {
		if entries[i].Kind == Regular {
			c = wire.AppendUvarint(c, uint64(entries[i].Size))
		}
	}
	return c
}

// rare returns the rare fields of all entries, without their count.
func (e *leafEncoder) rare(entries []Entry) (fields []byte, count int) {
	last := 0
	put := func(i int, field uint64, value []byte) {
		fields = wire.AppendUvarint(fields, uint64(i-last))
		fields = wire.AppendUvarint(fields, field)
		fields = wire.AppendBytes(fields, value)
		last = i
		count++
	}
	for i := range entries {
		x := &entries[i]
		if x.Kind == Symlink {
			put(i, rareTarget, []byte(x.Target))
		}
		if rdev := x.rdev(); x.Kind == CharDevice || x.Kind == BlockDevice {
			put(i, rareRdev, wire.AppendUvarint(nil, rdev))
		}
		if x.Kind != Directory && x.Links > 1 {
			put(i, rareLinks, wire.AppendUvarint(wire.AppendUvarint(nil, x.Device), uint64(x.Links)))
		}
		if len(x.Xattrs) > 0 {
			v := wire.AppendUvarint(nil, uint64(len(x.Xattrs)))
			for _, a := range x.Xattrs {
				v = wire.AppendBytes(wire.AppendBytes(v, a.Name), a.Value)
			}
			put(i, rareXattrs, v)
		}
		if x.Flags != 0 {
			put(i, rareFlags, wire.AppendUvarint(nil, uint64(x.Flags)))
		}
		if x.Marks != 0 {
			put(i, rareMarks, wire.AppendUvarint(nil, uint64(x.Marks)))
		}
		if x.Problem != "" {
			put(i, rareProblem, []byte(clip(x.Problem, maxProblem)))
		}
		if x.Access != nil {
			put(i, rareAccess, wire.AppendUvarint(wire.AppendVarint(nil, x.Access.Sec), uint64(x.Access.Nsec)))
		}
	}
	return fields, count
}

func clip(s string, n int) string {
	if len(s) > n {
		s = s[:n]
	}
	return strings.ToValidUTF8(s, "\uFFFD")
}

// Leaf is a leaf page. It keeps the bytes that it was parsed from.
type Leaf struct {
	Runs    []Run
	count   int
	columns wire.Reader
}

// ParseLeaf reads the runs of a leaf page; the entries are read by Entries.
func ParseLeaf(page []byte) (*Leaf, error) {
	r, err := pageReader(page, typeLeaf)
	if err != nil {
		return nil, err
	}
	count := r.Count(r.Len()/20 + 1)
	l := &Leaf{Runs: make([]Run, 0, count)}
	last := ""
	for i := range count {
		n := r.Count(len(last))
		path := last[:n] + string(r.Bytes(MaxPath))
		run := Run{Path: path, Flags: r.Byte(), start: l.count}
		r.Fill(run.Digest[:])
		run.Entries = r.Count(MaxPageEntries)
		run.Files = r.Count(run.Entries)
		size := r.Uvarint()
		if r.Err() != nil {
			break
		}
		if run.Flags > 7 || size > math.MaxInt64 || !ValidPath(path) || (i > 0 && ComparePaths(last, path) >= 0) {
			r.Failf("run %q", path)
		}
		if (i > 0 && run.Flags&RunContinued != 0) || (i < count-1 && run.Flags&RunContinues != 0) {
			r.Failf("run %q goes on within the page", path)
		}
		run.Size = int64(size)
		l.count += run.Entries
		l.Runs = append(l.Runs, run)
		last = path
	}
	if len(l.Runs) == 0 || l.count > MaxPageEntries {
		r.Failf("%d runs, %d entries", len(l.Runs), l.count)
	}
	l.columns = *r
	return l, corrupt(r)
}

func corrupt(r *wire.Reader) error {
	if err := r.Err(); err != nil {
		return fmt.Errorf("%w: %v", ErrCorrupt, err)
	}
	return nil
}

func pageReader(page []byte, want byte) (*wire.Reader, error) {
	if len(page) > MaxPageSize || len(page) < 3 {
		return nil, fmt.Errorf("%w: %d bytes", ErrCorrupt, len(page))
	}
	r := wire.NewReader(page)
	if v := r.Byte(); v > pageVersion {
		return nil, fmt.Errorf("%w: version %d", ErrNewer, v)
	} else if v < pageVersion {
		return nil, fmt.Errorf("%w: version %d", ErrCorrupt, v)
	}
	if t := r.Byte(); t != want {
		return nil, fmt.Errorf("%w: type %d, want %d", ErrCorrupt, t, want)
	}
	return r, nil
}

// Entries decodes all entries of the page, those of Runs[i] being the i-th slice.
// Their Parts are empty: AttachRefs fills them.
func (l *Leaf) Entries() ([][]Entry, error) {
	entries := make([]Entry, l.count)
	r := l.columns
	columns := r.Count(1_024)
	lastTag, seen := uint64(0), 0
	for range columns {
		tag := r.Uvarint()
		col := wire.NewReader(r.Bytes(MaxPageSize))
		if r.Err() != nil {
			return nil, corrupt(&r)
		}
		if tag <= lastTag {
			r.Failf("column %d behind %d", tag, lastTag)
			break
		}
		lastTag = tag
		if tag >= firstOptionalColumn {
			continue
		}
		if tag > colRare {
			return nil, fmt.Errorf("%w: column %d", ErrNewer, tag)
		}
		if tag > colKind && seen == 0 {
			r.Failf("column %d without kinds", tag)
			break
		}
		if seen++; tag != colRare && tag != uint64(seen) {
			r.Failf("column %d where column %d belongs", tag, seen)
			break
		}
		if err := l.decodeColumn(tag, col, entries); err != nil {
			return nil, err
		}
	}
	if (l.count > 0 && seen < 7) || (l.count == 0 && seen > 0) {
		r.Failf("%d columns for %d entries", seen, l.count)
	}
	if r.End() != nil {
		return nil, corrupt(&r)
	}
	out := make([][]Entry, len(l.Runs))
	for i, run := range l.Runs {
		out[i] = entries[run.start : run.start+run.Entries : run.start+run.Entries]
	}
	return out, l.checkEntries(out)
}

// checkEntries compares the entries with what the runs say about them.
func (l *Leaf) checkEntries(entries [][]Entry) error {
	for i, run := range l.Runs {
		files, size, last := 0, int64(0), ""
		for k := range entries[i] {
			x := &entries[i][k]
			if !ValidName(x.Name) || (k > 0 && x.Name <= last) {
				return fmt.Errorf("%w: name %q behind %q", ErrCorrupt, x.Name, last)
			}
			if (x.Kind == Symlink) != (x.Target != "") {
				return fmt.Errorf("%w: link target of %q", ErrCorrupt, x.Name)
			}
			last = x.Name
			if x.Kind == Regular {
				files++
				size += x.Size
			}
		}
		if files != run.Files || size != run.Size {
			return fmt.Errorf("%w: run %q counts %d files of %d bytes, has %d of %d", ErrCorrupt, run.Path, run.Files, run.Size, files, size)
		}
	}
	return nil
}

func (l *Leaf) decodeColumn(tag uint64, col *wire.Reader, entries []Entry) error {
	switch tag {
	case colKind:
		for i := range entries {
			k := Kind(col.Byte())
			if k < Regular || k > BlockDevice {
				col.Failf("kind %d", k)
			}
			entries[i].Kind, entries[i].Links = k, 1
		}
	case colName:
		l.decodeNames(col, entries)
	case colOwner:
		decodeOwners(col, entries)
	case colModTime:
		var last int64
		for i := range entries {
			last += col.Varint()
			entries[i].ModTime = Time{last, readNsec(col)}
		}
	case colChangeTime:
		for i := range entries {
			entries[i].ChangeTime = Time{entries[i].ModTime.Sec + col.Varint(), readNsec(col)}
		}
	case colInode:
		var last uint64
		for i := range entries {
			last += uint64(col.Varint())
			entries[i].Inode = last
		}
	case colSize:
		for i := range entries {
			if entries[i].Kind == Regular {
				v := col.Uvarint()
				if v > math.MaxInt64 {
					col.Failf("size %d", v)
				}
				entries[i].Size = int64(v)
			}
		}
	case colRare:
		if err := decodeRare(col, entries); err != nil {
			return err
		}
	}
	col.End()
	return corrupt(col)
}

func readNsec(r *wire.Reader) uint32 { return uint32(r.Count(999_999_999)) }

func (l *Leaf) decodeNames(col *wire.Reader, entries []Entry) {
	// All names stand in one string, which holds them as long as any of them lives.
	type span struct{ start, end int }
	spans := make([]span, len(entries))
	all := make([]byte, 0, col.Len()*2)
	for _, run := range l.Runs {
		last := span{}
		for i := run.start; i < run.start+run.Entries; i++ {
			shared := col.Count(last.end - last.start)
			rest := col.Bytes(MaxName)
			if len(all)+shared+len(rest) > MaxPageSize*4 {
				col.Failf("names over the limit")
				return
			}
			start := len(all)
			all = append(all, all[last.start:last.start+shared]...)
			all = append(all, rest...)
			last = span{start, len(all)}
			spans[i] = last
		}
	}
	s := string(all)
	for i, sp := range spans {
		entries[i].Name = s[sp.start:sp.end]
	}
}

func decodeOwners(col *wire.Reader, entries []Entry) {
	count := col.Count(len(entries))
	rows := make([]owner, 0, min(count, col.Len()))
	for range count {
		o := owner{mode: uint16(col.Count(0o7777)), uid: col.Uint32(), gid: col.Uint32()}
		o.user, o.group = string(col.Bytes(maxOwnerName)), string(col.Bytes(maxOwnerName))
		if col.Err() != nil {
			return
		}
		rows = append(rows, o)
	}
	for i := range entries {
		n := col.Count(len(rows) - 1)
		if col.Err() != nil {
			return
		}
		o := &rows[n]
		x := &entries[i]
		x.Mode, x.UID, x.GID, x.User, x.Group = o.mode, o.uid, o.gid, o.user, o.group
	}
}

func decodeRare(col *wire.Reader, entries []Entry) error {
	count := col.Uvarint()
	i, lastField := uint64(0), uint64(0)
	for n := range count {
		delta, field := col.Uvarint(), col.Uvarint()
		v := wire.NewReader(col.Bytes(MaxPageSize))
		if col.Err() != nil {
			return nil
		}
		if delta > uint64(len(entries)) || (n > 0 && delta == 0 && field <= lastField) {
			col.Failf("rare fields out of order")
			return nil
		}
		if i, lastField = i+delta, field; i >= uint64(len(entries)) {
			col.Failf("rare field of entry %d", i)
			return nil
		}
		if field >= firstOptionalField {
			continue
		}
		if field > rareAccess || field == 0 {
			return fmt.Errorf("%w: field %d", ErrNewer, field)
		}
		decodeField(field, v, &entries[i])
		if err := v.End(); err != nil {
			col.Failf("field %d: %v", field, err)
			return nil
		}
	}
	return nil
}

func decodeField(field uint64, v *wire.Reader, x *Entry) {
	switch field {
	case rareTarget:
		x.Target = string(v.Next(v.Len()))
		if x.Target == "" || len(x.Target) > MaxPath || strings.IndexByte(x.Target, 0) >= 0 {
			v.Failf("link target")
		}
	case rareRdev:
		x.Rdev = v.Uvarint()
	case rareLinks:
		x.Device, x.Links = v.Uvarint(), v.Uint32()
		if x.Links < 2 {
			v.Failf("%d links", x.Links)
		}
	case rareXattrs:
		n := v.Count(min(maxXattrs, v.Len()))
		if v.Len() > maxXattrBytes {
			v.Failf("%d bytes of attributes", v.Len())
		}
		for range n {
			a := Xattr{string(v.Bytes(maxXattrBytes)), string(v.Bytes(maxXattrBytes))}
			if k := len(x.Xattrs); a.Name == "" || strings.IndexByte(a.Name, 0) >= 0 || (k > 0 && x.Xattrs[k-1].Name >= a.Name) {
				v.Failf("attribute %q", a.Name)
				return
			}
			x.Xattrs = append(x.Xattrs, a)
		}
	case rareFlags:
		x.Flags = v.Uint32()
	case rareMarks:
		x.Marks = Marks(v.Count(math.MaxUint8))
	case rareProblem:
		x.Problem = string(v.Next(v.Len()))
		if !utf8.ValidString(x.Problem) {
			v.Failf("a problem that is no text")
		}
	case rareAccess:
		x.Access = &Time{v.Varint(), readNsec(v)}
	}
}
