package protocol

import (
	"github.com/snapkeep/snap/internal/tree"
	"github.com/snapkeep/snap/internal/wire"
	"github.com/snapkeep/snap/pack"
)

// Limits of reading (docs/protocol.md section 9).
const (
	MaxFiles    = 4 << 10  // files of a question
	MaxReadSize = 64 << 20 // bytes of a file that a question may ask for
)

// ReadRequest asks for the content of files.
type ReadRequest struct {
	Files []FileQuestion
}

// FileQuestion asks for a part of a file.
type FileQuestion struct {
	Path  string
	Inode uint64 // that was listed, 0 if any will do
	From  int64  // the beginning of a region, or of a chunk that follows one in an earlier answer
	Most  int64  // bytes; the answer ends behind the chunk or hole that reaches them
	Send  bool   // chunks are sent; else only their hashes are
}

// Append appends the message.
func (m *ReadRequest) Append(b []byte) []byte {
	b = wire.AppendUvarint(b, uint64(len(m.Files)))
	last := FileQuestion{}
	for i := range m.Files {
		f := &m.Files[i]
		b = wire.AppendVarint(appendShared(b, last.Path, f.Path), int64(f.Inode-last.Inode))
		b = wire.AppendUvarint(wire.AppendUvarint(b, uint64(f.From)), uint64(f.Most))
		b = append(b, flagByte(f.Send))
		last = *f
	}
	return b
}

// ParseReadRequest parses the message.
func ParseReadRequest(payload []byte) (*ReadRequest, error) {
	r := wire.NewReader(payload)
	m := &ReadRequest{}
	last := FileQuestion{}
	for range r.Count(min(MaxFiles, r.Len())) {
		f := FileQuestion{Path: filePath(r, last.Path), Inode: last.Inode + uint64(r.Varint()), From: size(r), Most: size(r), Send: readFlag(r)}
		if f.Most < 1 || f.Most > MaxReadSize {
			r.Failf("%d bytes of %q", f.Most, f.Path)
		}
		m.Files = append(m.Files, f)
		last = f
	}
	return m, done(r, "read")
}

// ItemKind says what an Item is.
type ItemKind uint8

// The kinds of items. Those of a file come as: begin, then any number of holes, chunks and hashes, then end; or
// failed at any point.
const (
	ItemBegin  ItemKind = 1 // the file was opened: Stat and the description of Entry
	ItemHole   ItemKind = 2 // Length
	ItemChunk  ItemKind = 3 // Data
	ItemHash   ItemKind = 4 // Hash and Length of a chunk
	ItemEnd    ItemKind = 5 // Entry.Stat as it is behind the last byte read; Whole if the file was read to its end
	ItemFailed ItemKind = 6 // Err
)

// Item is a part of the answer to a ReadRequest.
type Item struct {
	File   int // number of the file in the question
	Kind   ItemKind
	Entry  tree.Entry
	Length int64
	Data   []byte // a part of the payload
	Hash   [32]byte
	Whole  bool
	Err    *Error // of ItemFailed; of ItemBegin what could not be described, nil for nothing
}

// AppendItem appends an item. A payload holds any number of them.
func AppendItem(b []byte, it *Item) []byte {
	b = append(wire.AppendUvarint(b, uint64(it.File)), byte(it.Kind))
	var none tree.Stat
	switch it.Kind {
	case ItemBegin:
		b = appendDescription(appendStat(b, &it.Entry.Stat, &none), &it.Entry)
		b = append(b, flagByte(it.Err != nil))
		if it.Err != nil {
			b = it.Err.Append(b)
		}
	case ItemHole:
		b = wire.AppendUvarint(b, uint64(it.Length))
	case ItemChunk:
		b = wire.AppendBytes(b, it.Data)
	case ItemHash:
		b = append(wire.AppendUvarint(b, uint64(it.Length)), it.Hash[:]...)
	case ItemEnd:
		b = append(appendStat(b, &it.Entry.Stat, &none), flagByte(it.Whole))
	case ItemFailed:
		b = it.Err.Append(b)
	}
	return b
}

// ParseItems calls fn with each item of a payload. The item, and the Data in it, are valid until fn returns.
func ParseItems(payload []byte, fn func(*Item) error) error {
	r := wire.NewReader(payload)
	var none tree.Stat
	for r.Len() > 0 && r.Err() == nil {
		it := Item{File: r.Count(MaxFiles), Kind: ItemKind(r.Byte())}
		switch it.Kind {
		case ItemBegin:
			readStat(r, &it.Entry.Stat, &none)
			readDescription(r, &it.Entry)
			if readFlag(r) {
				it.Err = readError(r)
			}
		case ItemHole:
			it.Length = size(r)
		case ItemChunk:
			it.Data = r.Bytes(pack.MaxChunkSize)
			it.Length = int64(len(it.Data))
		case ItemHash:
			it.Length = int64(r.Count(pack.MaxChunkSize))
			r.Fill(it.Hash[:])
		case ItemEnd:
			readStat(r, &it.Entry.Stat, &none)
			it.Whole = readFlag(r)
		case ItemFailed:
			it.Err = readError(r)
		default:
			r.Failf("item of kind %d", it.Kind)
		}
		if k := it.Kind; (k == ItemHole || k == ItemChunk || k == ItemHash) && it.Length < 1 {
			r.Failf("item of %d bytes", it.Length)
		}
		if r.Err() != nil {
			break
		}
		if err := fn(&it); err != nil {
			return err
		}
	}
	return done(r, "read")
}

// FetchRequest asks for chunks of one file whose hashes a read has told.
type FetchRequest struct {
	Path   string
	Inode  uint64
	Pieces []Piece
}

// Piece is a chunk of a file.
type Piece struct {
	Offset, Length int64
}

// Append appends the message.
func (m *FetchRequest) Append(b []byte) []byte {
	b = wire.AppendUvarint(appendShared(b, "", m.Path), m.Inode)
	b = wire.AppendUvarint(b, uint64(len(m.Pieces)))
	end := int64(0)
	for _, p := range m.Pieces {
		b = wire.AppendUvarint(wire.AppendVarint(b, p.Offset-end), uint64(p.Length))
		end = p.Offset + p.Length
	}
	return b
}

// ParseFetchRequest parses the message.
func ParseFetchRequest(payload []byte) (*FetchRequest, error) {
	r := wire.NewReader(payload)
	m := &FetchRequest{Path: filePath(r, ""), Inode: r.Uvarint()}
	end, sum := int64(0), int64(0)
	for range r.Count(min(MaxFiles, r.Len())) {
		p := Piece{Offset: end + r.Varint(), Length: int64(r.Count(pack.MaxChunkSize))}
		end, sum = p.Offset+p.Length, sum+p.Length
		if p.Offset < 0 || p.Length < 1 || end < p.Offset || sum > MaxReadSize {
			r.Failf("piece of %d bytes at %d", p.Length, p.Offset)
		}
		m.Pieces = append(m.Pieces, p)
	}
	return m, done(r, "fetch")
}

// A fetch is answered by items of the kinds ItemChunk and ItemFailed, whose File is the number of the piece. A
// chunk that is shorter than the piece ends where the file does; a piece behind that end is answered by
// ItemFailed with CodeReplaced.

func flagByte(set bool) byte {
	if set {
		return 1
	}
	return 0
}

func readFlag(r *wire.Reader) bool {
	switch r.Byte() {
	case 0:
		return false
	case 1:
		return true
	}
	r.Failf("flag")
	return false
}
