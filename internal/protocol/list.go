package protocol

import (
	"github.com/snapkeep/snap/internal/source"
	"github.com/snapkeep/snap/internal/tree"
	"github.com/snapkeep/snap/internal/wire"
)

// Limits of listings (docs/protocol.md section 9).
const (
	MaxDirs     = 1 << 10 // directories of a question
	maxRuns     = 1 << 16
	maxTarget   = 65_535
	maxXattrs   = 1_024
	maxXattrLen = 64 << 10
	maxEntries  = 64 << 10 // of a part of an answer
)

// ListRequest asks for directories.
type ListRequest struct {
	Dirs []DirQuestion
}

// DirQuestion is a directory and how the server knows it.
type DirQuestion struct {
	Path string // "" is the top
	Runs []KnownRun
}

// KnownRun is a run of the directory in the tree that the server compares with: the entries from First up to
// the first one of the next run. The first run begins with the first entry, whatever First says.
type KnownRun struct {
	First   string
	Entries int
	Digest  tree.Digest
}

// Append appends the message.
func (m *ListRequest) Append(b []byte) []byte {
	b = wire.AppendUvarint(b, uint64(len(m.Dirs)))
	last := ""
	for i := range m.Dirs {
		d := &m.Dirs[i]
		b = appendShared(b, last, d.Path)
		last = d.Path
		b = wire.AppendUvarint(b, uint64(len(d.Runs)))
		for k := range d.Runs {
			run := &d.Runs[k]
			b = wire.AppendUvarint(wire.AppendBytes(b, run.First), uint64(run.Entries))
			b = append(b, run.Digest[:]...)
		}
	}
	return b
}

// ParseListRequest parses the message.
func ParseListRequest(payload []byte) (*ListRequest, error) {
	r := wire.NewReader(payload)
	m := &ListRequest{}
	last := ""
	for range r.Count(min(MaxDirs, r.Len())) {
		d := DirQuestion{Path: path(r, last)}
		last = d.Path
		for range r.Count(min(maxRuns, r.Len())) {
			run := KnownRun{First: string(r.Bytes(tree.MaxName)), Entries: r.Count(1 << 31)}
			r.Fill(run.Digest[:])
			d.Runs = append(d.Runs, run)
		}
		m.Dirs = append(m.Dirs, d)
	}
	return m, done(r, "list")
}

// DirStatus says how a directory is answered for.
type DirStatus uint8

// The states of a directory.
const (
	DirSame  DirStatus = 0 // all runs are as the server knows them
	DirPart  DirStatus = 1 // entries; more of the same directory follow
	DirLast  DirStatus = 2 // entries, the last of the directory
	DirError DirStatus = 3 // entries, and then reading failed; or nothing could be read
)

// DirAnswer answers for a directory, or a part of one. Those of a question come in its order.
type DirAnswer struct {
	Status   DirStatus
	Entries  []tree.Entry // of regular files only the Stat is filled
	Problems []DirProblem
	Err      *Error // of DirError
}

// DirProblem is an entry that could not be looked at, or not wholly: then it stands in Entries as well.
type DirProblem struct {
	Name string
	Kind tree.Kind // zero if that is unknown
	Err  *Error
}

// AppendDirAnswer appends one answer. A payload holds any number of them.
func AppendDirAnswer(b []byte, a *DirAnswer) []byte {
	b = append(b, byte(a.Status))
	if a.Status == DirSame {
		return b
	}
	b = wire.AppendUvarint(b, uint64(len(a.Entries)))
	var last tree.Entry
	for i := range a.Entries {
		x := &a.Entries[i]
		b = appendShared(b, last.Name, x.Name)
		b = appendStat(b, &x.Stat, &last.Stat)
		if x.Kind != tree.Regular {
			b = appendDescription(b, x)
		}
		last.Stat = x.Stat
	}
	b = wire.AppendUvarint(b, uint64(len(a.Problems)))
	for _, p := range a.Problems {
		b = p.Err.Append(append(wire.AppendBytes(b, p.Name), byte(p.Kind)))
	}
	if a.Status == DirError {
		b = a.Err.Append(b)
	}
	return b
}

// ParseDirAnswers calls fn with each answer of a payload. The answer belongs to fn. Names are as the peer sent them.
func ParseDirAnswers(payload []byte, fn func(*DirAnswer) error) error {
	r := wire.NewReader(payload)
	for r.Len() > 0 && r.Err() == nil {
		a := readDirAnswer(r)
		if r.Err() != nil {
			break
		}
		if err := fn(a); err != nil {
			return err
		}
	}
	return done(r, "list")
}

func readDirAnswer(r *wire.Reader) *DirAnswer {
	a := &DirAnswer{Status: DirStatus(r.Byte())}
	if a.Status == DirSame {
		return a
	}
	if a.Status > DirError {
		r.Failf("directory status %d", a.Status)
		return a
	}
	var last tree.Entry
	for range r.Count(min(maxEntries, r.Len())) {
		var x tree.Entry
		x.Name = shared(r, last.Name, tree.MaxName)
		readStat(r, &x.Stat, &last.Stat)
		if x.Kind != tree.Regular {
			readDescription(r, &x)
		}
		if r.Err() != nil {
			return a
		}
		a.Entries = append(a.Entries, x)
		last.Stat = x.Stat
	}
	for range r.Count(min(maxEntries, r.Len())) {
		p := DirProblem{Name: string(r.Bytes(tree.MaxName)), Kind: tree.Kind(r.Byte())}
		if p.Kind > tree.BlockDevice {
			r.Failf("kind %d", p.Kind)
		}
		p.Err = readError(r)
		a.Problems = append(a.Problems, p)
	}
	if a.Status == DirError {
		a.Err = readError(r)
	}
	return a
}

// appendStat appends all of st but its name, as differences to the one before.
func appendStat(b []byte, st, last *tree.Stat) []byte {
	b = append(b, byte(st.Kind))
	for _, v := range []uint64{uint64(st.Mode), uint64(st.UID), uint64(st.GID), uint64(st.Links)} {
		b = wire.AppendUvarint(b, v)
	}
	b = wire.AppendVarint(b, int64(st.Inode-last.Inode))
	b = wire.AppendVarint(b, int64(st.Device-last.Device))
	b = wire.AppendUvarint(wire.AppendVarint(b, st.ModTime.Sec-last.ModTime.Sec), uint64(st.ModTime.Nsec))
	b = wire.AppendUvarint(wire.AppendVarint(b, st.ChangeTime.Sec-st.ModTime.Sec), uint64(st.ChangeTime.Nsec))
	switch st.Kind {
	case tree.Regular:
		b = wire.AppendVarint(b, st.Size)
	case tree.CharDevice, tree.BlockDevice:
		b = wire.AppendUvarint(b, st.Rdev)
	}
	return b
}

func readStat(r *wire.Reader, st, last *tree.Stat) {
	st.Kind = tree.Kind(r.Byte())
	st.Mode = uint16(r.Count(0o7777))
	st.UID, st.GID, st.Links = uint32(r.Count(1<<32-1)), uint32(r.Count(1<<32-1)), uint32(r.Count(1<<32-1))
	st.Inode = last.Inode + uint64(r.Varint())
	st.Device = last.Device + uint64(r.Varint())
	st.ModTime = tree.Time{Sec: last.ModTime.Sec + r.Varint(), Nsec: uint32(r.Count(999_999_999))}
	st.ChangeTime = tree.Time{Sec: st.ModTime.Sec + r.Varint(), Nsec: uint32(r.Count(999_999_999))}
	switch st.Kind {
	case tree.Regular:
		if st.Size = r.Varint(); st.Size < -1 {
			r.Failf("size %d", st.Size)
		}
	case tree.CharDevice, tree.BlockDevice:
		st.Rdev = r.Uvarint()
	case tree.Directory, tree.Symlink, tree.Fifo, tree.Socket:
	default:
		r.Failf("kind %d", st.Kind)
	}
}

// appendDescription appends what source.Dir's Describe fills.
func appendDescription(b []byte, x *tree.Entry) []byte {
	b = wire.AppendBytes(wire.AppendBytes(b, x.User), x.Group)
	if x.Kind == tree.Symlink {
		b = wire.AppendBytes(b, x.Target)
	}
	b = wire.AppendUvarint(b, uint64(len(x.Xattrs)))
	for _, a := range x.Xattrs {
		b = wire.AppendBytes(wire.AppendBytes(b, a.Name), a.Value)
	}
	b = wire.AppendUvarint(b, uint64(x.Flags))
	if x.Access == nil {
		return append(b, 0)
	}
	return appendTime(append(b, 1), *x.Access)
}

func readDescription(r *wire.Reader, x *tree.Entry) {
	x.User, x.Group = string(r.Bytes(maxWord)), string(r.Bytes(maxWord))
	if x.Kind == tree.Symlink {
		x.Target = string(r.Bytes(maxTarget))
	}
	for range r.Count(min(maxXattrs, r.Len())) {
		a := tree.Xattr{Name: string(r.Bytes(maxWord)), Value: string(r.Bytes(maxXattrLen))}
		if k := len(x.Xattrs); a.Name == "" || hasNUL(a.Name) || (k > 0 && x.Xattrs[k-1].Name >= a.Name) {
			r.Failf("attribute %q", a.Name)
		}
		x.Xattrs = append(x.Xattrs, a)
	}
	x.Flags = uint32(r.Count(1<<32 - 1))
	switch r.Byte() {
	case 0:
	case 1:
		t := readTime(r)
		x.Access = &t
	default:
		r.Failf("access time")
	}
}

func hasNUL(s string) bool {
	for i := range len(s) {
		if s[i] == 0 {
			return true
		}
	}
	return false
}

// ProblemOf returns a problem for the server.
func ProblemOf(p source.Problem) DirProblem {
	return DirProblem{p.Stat.Name, p.Stat.Kind, ErrorOf(p.Err)}
}

// sharedLength returns how many bytes a and b begin alike.
func sharedLength(a, b string) int {
	n := 0
	for n < min(len(a), len(b)) && a[n] == b[n] {
		n++
	}
	return n
}

// appendShared appends s as the number of bytes that it shares with last, and the rest.
func appendShared(b []byte, last, s string) []byte {
	n := sharedLength(last, s)
	return wire.AppendBytes(wire.AppendUvarint(b, uint64(n)), s[n:])
}

func shared(r *wire.Reader, last string, limit int) string {
	n := r.Count(len(last))
	if n > limit {
		r.Failf("%d shared bytes", n)
		return ""
	}
	rest := string(r.Bytes(limit - n))
	if sharedLength(last[n:], rest) > 0 {
		r.Failf("more bytes are shared than %d", n)
	}
	return last[:n] + rest
}

// filePath reads the path of a file, which is not the top.
func filePath(r *wire.Reader, last string) string {
	p := path(r, last)
	if r.Err() == nil && p == "" {
		r.Failf("a file without a path")
	}
	return p
}

// path reads a path of the tree.
func path(r *wire.Reader, last string) string {
	p := shared(r, last, tree.MaxPath)
	if r.Err() == nil && !tree.ValidPath(p) {
		r.Failf("path %q", p)
	}
	return p
}
