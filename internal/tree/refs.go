package tree

import (
	"encoding/binary"
	"fmt"
	"math"

	"github.com/snapkeep/snap/internal/wire"
	"github.com/snapkeep/snap/pack"
)

// Files of more than maxDirectParts parts are listed; list pages end by the rule of
// docs/format.md section 8.6.
const (
	maxDirectParts = 1_024
	maxListParts   = 8_192
	listTarget     = 1_024
)

// encodeRefs appends the reference page of the regular files among entries.
//
//	version ‖ type ‖ file count ‖ part counts ‖ ids ‖ lengths of parts that need one
func encodeRefs(dst []byte, entries []Entry) []byte {
	files := 0
	for i := range entries {
		if entries[i].Kind == Regular {
			files++
		}
	}
	dst = append(dst, pageVersion, typeRefs)
	dst = wire.AppendUvarint(dst, uint64(files))
	for i := range entries {
		if x := &entries[i]; x.Kind == Regular {
			n := uint64(len(x.Parts)) << 1
			if x.Listed {
				n |= 1
			}
			dst = wire.AppendUvarint(dst, n)
		}
	}
	for i := range entries {
		for _, p := range entries[i].Parts {
			dst = append(dst, p.ID[:]...)
		}
	}
	for i := range entries {
		x := &entries[i]
		for _, p := range x.Parts {
			if len(x.Parts) > 1 || x.Listed || p.ID.IsZero() {
				dst = wire.AppendUvarint(dst, uint64(p.Length))
			}
		}
	}
	return dst
}

// fileRefs says how many parts a file has, and of which sort.
type fileRefs struct {
	parts  int
	listed bool
}

// Refs is a reference page.
type Refs struct {
	files []fileRefs
	parts []Part // of all files in order; the length is 0 where the page has none
}

// ParseRefs reads a reference page.
func ParseRefs(page []byte) (*Refs, error) {
	refs := &Refs{}
	if err := refs.Read(page); err != nil {
		return nil, err
	}
	return refs, nil
}

// Read reads a reference page into the memory of refs. What AttachRefs made of the page before is not valid any more.
func (refs *Refs) Read(page []byte) error {
	r, err := pageReader(page, typeRefs)
	if err != nil {
		return err
	}
	refs.files = sized(refs.files, r.Count(min(MaxPageEntries, r.Len())))
	refs.parts = refs.parts[:0]
	total := 0
	for i := range refs.files {
		n := r.Count(r.Len()/len(pack.ChunkID{})*2 + 1)
		refs.files[i] = fileRefs{n >> 1, n&1 == 1}
		total += n >> 1
	}
	if total*len(pack.ChunkID{}) > r.Len() {
		r.Failf("%d parts in %d bytes", total, r.Len())
	}
	if r.Err() != nil {
		return corrupt(r)
	}
	refs.parts = readIDs(r, refs.parts, total)
	rest := refs.parts
	for _, f := range refs.files {
		if f.listed && f.parts == 0 {
			r.Failf("listed file without parts")
		}
		for i := range rest[:f.parts] {
			if f.parts > 1 || f.listed || rest[i].ID.IsZero() {
				rest[i].Length = readLength(r, rest[i].ID, f.listed)
			}
		}
		rest = rest[f.parts:]
	}
	r.End()
	return corrupt(r)
}

// readIDs reads parts without their lengths, in the memory of parts if that is large enough. They are zero if r has an error.
func readIDs(r *wire.Reader, parts []Part, count int) []Part {
	const size = len(pack.ChunkID{})
	parts = sized(parts, count)
	ids := r.Next(count * size)
	if len(ids) < count*size { // r holds an error, perhaps from before
		clear(parts)
		return parts
	}
	for i := range parts {
		parts[i] = Part{ID: pack.ChunkID(ids[i*size:])}
	}
	return parts
}

// sized returns a slice of length n, in the memory of s if that is large enough.
func sized[T any](s []T, n int) []T {
	if cap(s) < n {
		return make([]T, n)
	}
	return s[:n]
}

func readLength(r *wire.Reader, id pack.ChunkID, listed bool) int64 {
	length := r.Uvarint()
	tooLong := length > pack.MaxChunkSize && !listed && !id.IsZero()
	if length == 0 || length > math.MaxInt64 || tooLong || (listed && id.IsZero()) {
		r.Failf("part of %d bytes", length)
	}
	return int64(length)
}

// Chunks calls fn for the id of each chunk that the page names, holes left out.
// list says that the chunk is a list page, of kind pack.KindRefs.
func (refs *Refs) Chunks(fn func(id pack.ChunkID, list bool)) {
	rest := refs.parts
	for _, f := range refs.files {
		for _, p := range rest[:f.parts] {
			if !p.ID.IsZero() {
				fn(p.ID, f.listed)
			}
		}
		rest = rest[f.parts:]
	}
}

// Lists calls fn for each list page that the page names, with the sum of the lengths of its parts.
func (refs *Refs) Lists(fn func(list Part)) {
	rest := refs.parts
	for _, f := range refs.files {
		if f.listed {
			for _, p := range rest[:f.parts] {
				fn(p)
			}
		}
		rest = rest[f.parts:]
	}
}

// AttachRefs gives the regular files among the entries of a leaf page, as Entries
// returned them, their parts.
func AttachRefs(entries [][]Entry, refs *Refs) error {
	file, rest := 0, refs.parts
	for _, run := range entries {
		for i := range run {
			x := &run[i]
			if x.Kind != Regular {
				continue
			}
			if file == len(refs.files) {
				return fmt.Errorf("%w: more files than references", ErrCorrupt)
			}
			f := refs.files[file]
			x.Parts, x.Listed, rest = rest[:f.parts:f.parts], f.listed, rest[f.parts:]
			file++
			if err := completeParts(x); err != nil {
				return err
			}
		}
	}
	if file != len(refs.files) {
		return fmt.Errorf("%w: %d files, references of %d", ErrCorrupt, file, len(refs.files))
	}
	return nil
}

// completeParts fills in the length of a single part and compares the sum with the size.
func completeParts(x *Entry) error {
	if len(x.Parts) == 0 {
		if x.Size != 0 && x.Marks&MarkUnreadable == 0 {
			return fmt.Errorf("%w: %q has %d bytes and no content", ErrCorrupt, x.Name, x.Size)
		}
		return nil
	}
	if len(x.Parts) == 1 && !x.Listed && !x.Parts[0].ID.IsZero() {
		if x.Size > pack.MaxChunkSize || x.Size == 0 {
			return fmt.Errorf("%w: %q has one chunk of %d bytes", ErrCorrupt, x.Name, x.Size)
		}
		x.Parts[0].Length = x.Size
	}
	var sum uint64
	for _, p := range x.Parts {
		if sum += uint64(p.Length); sum > math.MaxInt64 {
			break
		}
	}
	if sum != uint64(x.Size) {
		return fmt.Errorf("%w: parts of %q have %d bytes, want %d", ErrCorrupt, x.Name, sum, x.Size)
	}
	return nil
}

// ParseList reads a list page, whose parts must have length bytes together.
func ParseList(page []byte, length int64) ([]Part, error) {
	r, err := pageReader(page, typeList)
	if err != nil {
		return nil, err
	}
	count := r.Count(min(maxChildren, r.Len()/len(pack.ChunkID{})))
	parts := readIDs(r, nil, count)
	var sum uint64
	for i := range parts {
		parts[i].Length = readLength(r, parts[i].ID, false)
		if sum += uint64(parts[i].Length); sum > math.MaxInt64 {
			r.Failf("list of over %d bytes", int64(math.MaxInt64))
			break
		}
	}
	if count == 0 || sum != uint64(length) {
		r.Failf("list of %d parts and %d bytes, want %d", count, sum, length)
	}
	r.End()
	return parts, corrupt(r)
}

// PartList collects the parts of a file in order and turns a long list into list
// pages, so that a file of any size takes bounded memory.
type PartList struct {
	save   func(page []byte) (pack.ChunkID, error)
	parts  []Part
	lists  []Part
	size   int64
	listed bool
}

// NewPartList returns an empty PartList that saves list pages, as chunks of kind
// pack.KindRefs, with save.
func NewPartList(save func(page []byte) (pack.ChunkID, error)) *PartList {
	return &PartList{save: save}
}

// Add adds the next part. Neighbouring holes become one.
func (l *PartList) Add(p Part) error {
	if p.Length == 0 {
		return nil
	}
	l.size += p.Length
	if n := len(l.parts); p.ID.IsZero() && n > 0 && l.parts[n-1].ID.IsZero() {
		l.parts[n-1].Length += p.Length
		return nil
	}
	l.parts = append(l.parts, p)
	if len(l.parts) > maxDirectParts && !l.listed {
		return l.becomeListed()
	}
	if l.listed {
		return l.cut(len(l.parts))
	}
	return nil
}

// Finish returns the file's parts, whether they are listed, and its size in bytes.
func (l *PartList) Finish() (parts []Part, listed bool, size int64, err error) {
	if !l.listed {
		return l.parts, false, l.size, nil
	}
	err = l.flush(len(l.parts))
	return l.lists, true, l.size, err
}

// becomeListed cuts what has come so far as if it had been listed from the start.
func (l *PartList) becomeListed() error {
	all := l.parts
	l.listed, l.parts = true, nil
	for _, p := range all {
		l.parts = append(l.parts, p)
		if err := l.cut(len(l.parts)); err != nil {
			return err
		}
	}
	return nil
}

// cut ends the list page behind the n-th part if the rule says so.
func (l *PartList) cut(n int) error {
	id := l.parts[n-1].ID
	if n < maxListParts && (id.IsZero() || binary.LittleEndian.Uint32(id[:]) >= math.MaxUint32/listTarget) {
		return nil
	}
	return l.flush(n)
}

func (l *PartList) flush(n int) error {
	if n == 0 {
		return nil
	}
	page := wire.AppendUvarint([]byte{pageVersion, typeList}, uint64(n))
	var size int64
	for _, p := range l.parts[:n] {
		page = append(page, p.ID[:]...)
	}
	for _, p := range l.parts[:n] {
		page = wire.AppendUvarint(page, uint64(p.Length))
		size += p.Length
	}
	id, err := l.save(page)
	if err != nil {
		return err
	}
	l.lists = append(l.lists, Part{id, size})
	l.parts = append(l.parts[:0], l.parts[n:]...)
	return nil
}
