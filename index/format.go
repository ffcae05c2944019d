package index

import (
	"fmt"
	"iter"

	"github.com/snapkeep/snap/internal/wire"
	"github.com/snapkeep/snap/pack"
)

// Limits of the format (docs/format.md section 12).
const (
	MaxBodySize   = 256 << 20 // bytes of its body
	MaxPacks      = 100_000   // packs in an index file
	plainVersion  = 1         // of a file in which no segment has a dictionary
	formatVersion = 2
	idSize        = 32 // bytes of the name of a pack or an index file
)

// Pack is what an index file says about one pack.
type Pack struct {
	ID        pack.ID
	Class     pack.Class
	Size      int64 // bytes of the pack file
	Directory pack.Directory
	// Stored is when it was stored, as far as the caller of Set.Add knows. Index files do not tell.
	Stored Day
}

// Chunks returns how many chunks the pack holds.
func (p Pack) Chunks() int {
	n := 0
	for _, s := range p.Directory {
		n += len(s.Chunks)
	}
	return n
}

// File is the content of an index file.
type File struct {
	Supersedes []pack.ID // names of the index files that this one replaces
	Packs      []Pack
}

// Encode returns the body of an index file (docs/format.md section 7). The caller
// keeps within MaxPacks and MaxBodySize.
//
//	version ‖ count, names of superseded files ‖ count, packs
func Encode(f File) []byte {
	version := uint64(plainVersion)
	for _, p := range f.Packs {
		if p.Directory.HasDictionary() {
			version = formatVersion
			break
		}
	}
	b := wire.AppendUvarint(nil, version)
	b = wire.AppendUvarint(b, uint64(len(f.Supersedes)))
	for _, id := range f.Supersedes {
		b = append(b, id[:]...)
	}
	b = wire.AppendUvarint(b, uint64(len(f.Packs)))
	for _, p := range f.Packs {
		b = append(b, p.ID[:]...)
		b = append(b, byte(p.Class))
		b = wire.AppendUvarint(b, uint64(p.Size))
		b = pack.AppendDirectory(b, p.Directory)
	}
	return b
}

// Decode reads what Encode wrote and keeps no part of body. The error is ErrCorrupt or ErrNewer.
func Decode(body []byte) (File, error) {
	var f File
	r := wire.NewReader(body)
	h, err := readHead(r)
	if err != nil {
		return f, err
	}
	f.Supersedes = h.supersedes
	for range h.packs {
		p, err := h.readPack(r, pack.ReadDirectory)
		if err != nil {
			return File{}, err
		}
		f.Packs = append(f.Packs, p)
	}
	if err := h.end(r); err != nil {
		return File{}, err
	}
	return f, nil
}

// Scan yields the packs of the body of an index file one after the other and holds one at a
// time. An error, ErrCorrupt or ErrNewer, comes last and with the zero Pack; what came before
// it counts for nothing.
func Scan(body []byte) iter.Seq2[Pack, error] { return scan(body, pack.ReadDirectory) }

// scan is Scan with what reads directories.
func scan(body []byte, directory func(r *wire.Reader) pack.Directory) iter.Seq2[Pack, error] {
	return func(yield func(Pack, error) bool) {
		r := wire.NewReader(body)
		h, err := readHead(r)
		if err != nil {
			yield(Pack{}, err)
			return
		}
		for range h.packs {
			p, err := h.readPack(r, directory)
			if !yield(p, err) || err != nil {
				return
			}
		}
		if err := h.end(r); err != nil {
			yield(Pack{}, err)
		}
	}
}

// head is what stands in front of the packs, their number, and what it promises of them.
type head struct {
	version       uint64
	supersedes    []pack.ID
	packs         int
	hasDictionary bool // of a pack that was read
}

func readHead(r *wire.Reader) (*head, error) {
	h := &head{version: r.Uvarint()}
	if r.Err() == nil && h.version > formatVersion {
		return nil, fmt.Errorf("%w: version %d", ErrNewer, h.version)
	}
	if h.version == 0 {
		r.Failf("version 0")
	}
	if n := r.Count(r.Len() / idSize); n > 0 {
		h.supersedes = make([]pack.ID, n)
		for i := range h.supersedes {
			r.Fill(h.supersedes[i][:])
		}
	}
	h.packs = r.Count(MaxPacks)
	if err := r.Err(); err != nil {
		return nil, fmt.Errorf("%w: %v", ErrCorrupt, err)
	}
	return h, nil
}

// end checks that nothing stands behind the packs, and that they were what the version says.
func (h *head) end(r *wire.Reader) error {
	if err := r.End(); err != nil {
		return fmt.Errorf("%w: %v", ErrCorrupt, err)
	}
	if h.hasDictionary != (h.version > plainVersion) {
		return fmt.Errorf("%w: packs do not fit version %d", ErrCorrupt, h.version)
	}
	return nil
}

func (h *head) readPack(r *wire.Reader, directory func(r *wire.Reader) pack.Directory) (Pack, error) {
	var p Pack
	r.Fill(p.ID[:])
	p.Class = pack.Class(r.Byte())
	p.Size = int64(r.Count(pack.MaxPackSize))
	p.Directory = directory(r)
	if r.Err() == nil {
		checkPack(r, p)
		h.hasDictionary = h.hasDictionary || p.Directory.HasDictionary()
	}
	if err := r.Err(); err != nil {
		return Pack{}, fmt.Errorf("%w: pack %s: %v", ErrCorrupt, p.ID, err)
	}
	return p, nil
}

// checkPack fails r if the parts of p do not fit together.
func checkPack(r *wire.Reader, p Pack) {
	if p.Class != pack.ClassData && p.Class != pack.ClassMeta {
		r.Failf("class %d", p.Class)
		return
	}
	end := int64(0)
	for _, s := range p.Directory {
		if s.Kind.Class() != p.Class {
			r.Failf("segment of kind %d in a pack of class %d", s.Kind, p.Class)
			return
		}
		end += int64(s.Length)
	}
	if end > p.Size {
		r.Failf("segments of %d bytes in a pack of %d", end, p.Size)
	}
}
