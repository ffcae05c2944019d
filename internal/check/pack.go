package check

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"

	"github.com/snapkeep/snap/index"
	"github.com/snapkeep/snap/internal/compress"
	"github.com/snapkeep/snap/internal/seal"
	"github.com/snapkeep/snap/pack"
	"github.com/zeebo/blake3"
)

// Store is what this package needs of a store.
type Store interface {
	ReadAt(ctx context.Context, name string, p []byte, off int64) (int, error)
}

// Index is what this package needs of an index.
type Index interface {
	Lookup(id pack.ChunkID) (index.Location, bool)
	Locations(id pack.ChunkID) []index.Location
	Pack(id pack.ID) (index.PackInfo, bool)
}

// Keys are the secrets that packs are opened with.
type Keys struct {
	Repository [16]byte
	ChunkIDs   pack.IDKey
	Metadata   *seal.Key
	// Content returns the key of that id for file data. nil means that file data stays sealed.
	Content func(ctx context.Context, id seal.KeyID) (*seal.Key, error)
	// HasContent reports whether there is a content key of that id. It is asked if Content is nil.
	HasContent func(id seal.KeyID) bool
}

// readSize is how much of a pack is read at once, at least; a segment is read as a whole.
const readSize = 1 << 20

// PackReader checks packs. It serves one goroutine.
type PackReader struct {
	store        Store
	index        Index
	keys         *Keys
	unpack       compress.Decompressor
	decoder      *pack.Decoder
	hash         *blake3.Hasher
	buffer       []byte
	dictionaries map[int]*primer // of the pack that is read, by the numbers of their segments
	kept         int             // bytes of those that are kept
}

// NewPackReader returns a PackReader for packs in store. keys is kept.
func NewPackReader(store Store, index Index, keys *Keys) *PackReader {
	r := &PackReader{store: store, index: index, keys: keys, hash: blake3.New()}
	r.decoder = pack.NewDecoder(&keys.ChunkIDs, &r.unpack)
	r.decoder.KeepLarge()
	return r
}

// PackReport tells what is wrong with a pack.
type PackReport struct {
	// Err is the first damage that was found, nil for none.
	Err error
	// Bad are the offsets of the segments that cannot be used. If Unknown is set any may be bad.
	Bad     []uint32
	Unknown bool
	Bytes   int64 // read
	// Directory is that of the pack, if nothing is wrong with it.
	Directory pack.Directory
}

func (p *PackReport) note(err error) {
	if p.Err == nil {
		p.Err = err
	}
}

// Check reads the pack id of size bytes. The error is one of the context; damage, and whatever keeps
// the pack from being read, is in the report.
func (r *PackReader) Check(ctx context.Context, class pack.Class, id pack.ID, size int64) (PackReport, error) {
	var report PackReport
	file := &storeFile{ctx: ctx, store: r.store, name: pack.Name(class, id)}
	got, directory, err := pack.ReadDirectoryFrom(file, size, r.keys.Metadata, r.keys.Repository)
	if err == nil && got != class {
		err = fmt.Errorf("%w: pack of class %d among those of class %d", pack.ErrCorrupt, got, class)
	}
	if err != nil {
		report.note(err)
		report.Unknown, directory = true, nil
	} else {
		// Whoever goes by the index would look in the wrong places.
		report.Err = r.compare(id, directory)
		report.Unknown = report.Err != nil
	}
	r.hash.Reset()
	end, err := r.segments(ctx, file, directory, &report)
	if err == nil {
		err = r.rest(file, end, size)
	}
	report.Bytes = file.read
	if ctx.Err() != nil {
		return report, context.Cause(ctx)
	}
	var sum pack.ID
	r.hash.Sum(sum[:0])
	if err == nil && sum != id {
		err = fmt.Errorf("%w: its bytes do not match its name", pack.ErrCorrupt)
	}
	if err != nil {
		report.note(err)
		// Whether file data that stays sealed is whole, only the hash tells.
		report.Unknown = report.Unknown || (class == pack.ClassData && r.keys.Content == nil)
	}
	if report.Err == nil {
		report.Directory = directory
	}
	return report, nil
}

// segments hashes and opens the segments and returns where they end. A segment that cannot be opened
// does not end it, one that cannot be read does.
func (r *PackReader) segments(ctx context.Context, file *storeFile, directory pack.Directory, report *PackReport) (int64, error) {
	end := int64(0)
	r.dictionaries, r.kept = dictionaries(directory), 0
	for i := range directory {
		s := &directory[i]
		box := r.room(int(s.Length))
		err := file.full(box, int64(s.Offset))
		if err != nil {
			report.Unknown = true
			return end, err
		}
		r.hash.Write(box)
		end += int64(len(box))
		if err := r.open(ctx, file, directory, i, box); err != nil {
			if ctx.Err() != nil {
				return end, context.Cause(ctx)
			}
			report.note(fmt.Errorf("segment at %d: %w", s.Offset, err))
			report.Bad = append(report.Bad, s.Offset)
		}
	}
	return end, nil
}

func (r *PackReader) room(n int) []byte {
	if cap(r.buffer) < n {
		r.buffer = make([]byte, max(n, readSize))
	}
	return r.buffer[:n]
}

// rest hashes what follows the segments.
func (r *PackReader) rest(file *storeFile, off, size int64) error {
	for off < size {
		p := r.room(int(min(size-off, readSize)))
		if err := file.full(p, off); err != nil {
			return err
		}
		r.hash.Write(p)
		off += int64(len(p))
	}
	return nil
}

// keptDictionaries is how many bytes of dictionaries are kept. Those of the Savers of a run stand side by side, up to 96 KiB each; a pack of which
// more are needed at once was made for that, and they are read again.
const keptDictionaries = 16 << 20

// primer is a dictionary, and how many of the segments that have it are still to come.
type primer struct {
	dictionary *pack.Dictionary // nil if it is not kept
	left       int
	bad        bool // its segment cannot be opened
}

// dictionaries returns the dictionaries of a pack by the numbers of their segments.
func dictionaries(directory pack.Directory) map[int]*primer {
	all := map[int]*primer{}
	for i := range directory {
		if back := int(directory[i].Back); back > 0 {
			p, ok := all[i-back]
			if !ok {
				p = &primer{}
				all[i-back] = p
			}
			p.left++
		}
	}
	return all
}

// open opens segment i and hashes its chunks.
func (r *PackReader) open(ctx context.Context, file *storeFile, directory pack.Directory, i int, box []byte) error {
	s := &directory[i]
	if s.Kind == pack.KindData && r.keys.Content == nil {
		id, err := seal.BoxKey(box)
		if err != nil {
			return fmt.Errorf("%w: %w", pack.ErrCorrupt, err)
		}
		if !r.keys.HasContent(id) {
			return fmt.Errorf("content key %s: %w", id, fs.ErrNotExist)
		}
		return nil
	}
	chunks, err := r.unseal(ctx, file, directory, i, box)
	if err != nil {
		return err
	}
	if len(chunks) != len(s.Chunks) {
		return fmt.Errorf("%w: %d chunks, the directory has %d", pack.ErrCorrupt, len(chunks), len(s.Chunks))
	}
	for i, chunk := range chunks {
		if len(chunk) != int(s.Chunks[i].Length) {
			return fmt.Errorf("%w: chunk of %d bytes, the directory has %d", pack.ErrCorrupt, len(chunk), s.Chunks[i].Length)
		}
		if err := r.decoder.Check(s.Kind, s.Chunks[i].ID, chunk); err != nil {
			return err
		}
	}
	return nil
}

// unseal opens segment i with its dictionary, which came before, and keeps its chunks if it is one.
func (r *PackReader) unseal(ctx context.Context, file *storeFile, directory pack.Directory, i int, box []byte) ([][]byte, error) {
	s := &directory[i]
	if s.Back == 0 {
		key, err := r.key(ctx, s.Kind, box)
		var chunks [][]byte
		if err == nil {
			chunks, err = r.decoder.Open(key, s.Kind, box)
		}
		if p := r.dictionaries[i]; p != nil {
			if err == nil && r.kept < keptDictionaries {
				if p.dictionary, err = pack.NewDictionary(chunks); err == nil {
					r.kept += len(p.dictionary.Bytes())
				}
			}
			p.bad = err != nil
		}
		return chunks, err
	}
	with, err := r.dictionary(ctx, file, directory, i-int(s.Back))
	if err != nil {
		return nil, fmt.Errorf("its dictionary cannot be opened: %w", err)
	}
	key, err := r.key(ctx, s.Kind, box)
	if err != nil {
		return nil, err
	}
	return r.decoder.OpenPrimed(key, box, with)
}

// key returns the key that opens the box of a segment.
func (r *PackReader) key(ctx context.Context, kind pack.Kind, box []byte) (*seal.Key, error) {
	if kind != pack.KindData {
		return r.keys.Metadata, nil
	}
	id, err := seal.BoxKey(box)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", pack.ErrCorrupt, err)
	}
	return r.keys.Content(ctx, id)
}

// dictionary returns the dictionary at segment number at, for one of those that have it.
func (r *PackReader) dictionary(ctx context.Context, file *storeFile, directory pack.Directory, at int) (*pack.Dictionary, error) {
	p := r.dictionaries[at]
	if p.left--; p.left == 0 {
		delete(r.dictionaries, at)
		if p.dictionary != nil {
			r.kept -= len(p.dictionary.Bytes())
		}
	}
	if p.bad {
		return nil, pack.ErrCorrupt
	}
	if p.dictionary != nil {
		return p.dictionary, nil
	}
	s := &directory[at]
	box := make([]byte, s.Length)
	if err := file.full(box, int64(s.Offset)); err != nil {
		return nil, err
	}
	key, err := r.key(ctx, s.Kind, box)
	if err != nil {
		return nil, err
	}
	chunks, err := r.decoder.Open(key, s.Kind, box)
	if err != nil {
		return nil, err
	}
	return pack.NewDictionary(chunks)
}

// compare returns an error if a pack's directory and the index differ.
func (r *PackReader) compare(id pack.ID, directory pack.Directory) error {
	info, ok := r.index.Pack(id)
	if !ok {
		return nil
	}
	chunks := 0
	for i := range directory {
		s := &directory[i]
		chunks += len(s.Chunks)
		var with index.Range
		if s.Back > 0 {
			d := &directory[i-int(s.Back)]
			with = index.Range{Offset: d.Offset, Length: d.Length}
		}
		for ordinal := range s.Chunks {
			if !r.indexed(id, s, with, ordinal) {
				return fmt.Errorf("%w: chunk %s of its directory stands elsewhere in the index", index.ErrCorrupt, s.Chunks[ordinal].ID)
			}
		}
	}
	if info.Segments != len(directory) || info.Chunks != chunks {
		return fmt.Errorf("%w: the index has %d segments and %d chunks, the directory %d and %d",
			index.ErrCorrupt, info.Segments, info.Chunks, len(directory), chunks)
	}
	return nil
}

func (r *PackReader) indexed(id pack.ID, s *pack.Segment, with index.Range, ordinal int) bool {
	chunk := s.Chunks[ordinal].ID
	is := func(l index.Location) bool {
		return l.Pack == id && l.Offset == s.Offset && l.Length == s.Length && int(l.Ordinal) == ordinal && l.Dictionary == with
	}
	if l, ok := r.index.Lookup(chunk); ok && is(l) {
		return true
	}
	for _, l := range r.index.Locations(chunk) {
		if is(l) {
			return true
		}
	}
	return false
}

// storeFile is a file of a store as an io.ReaderAt, for the time of one call.
type storeFile struct {
	ctx   context.Context
	store Store
	name  string
	read  int64
}

func (f *storeFile) ReadAt(p []byte, off int64) (int, error) {
	n, err := f.store.ReadAt(f.ctx, f.name, p, off)
	f.read += int64(n)
	return n, err
}

// full reads all of p.
func (f *storeFile) full(p []byte, off int64) error {
	n, err := f.ReadAt(p, off)
	if n == len(p) {
		return nil
	}
	if err == nil || errors.Is(err, io.EOF) {
		return fmt.Errorf("%w: cut off", pack.ErrCorrupt)
	}
	return err
}
