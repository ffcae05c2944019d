package pack

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/bits"
	"slices"

	"github.com/snapkeep/snap/internal/wire"
	"github.com/zeebo/blake3"
)

// Limits of the format (docs/format.md section 12).
const (
	MaxChunkSize        = 16 << 20  // bytes of a chunk, and of the chunks of a segment together
	MaxSegmentChunks    = 65_536    // chunks in a segment
	MaxPackSize         = 256 << 20 // bytes of a pack file
	MaxSegments         = 1_000_000 // segments in a pack
	maxDirectorySize    = 64 << 20  // bytes of a directory's box
	maxSegmentHeader    = 4 * MaxSegmentChunks
	MaxSegmentBoxSize   = MaxChunkSize + maxSegmentHeader + 64
	MaxDictionarySize   = 256 << 10 // bytes of the chunks of a segment that is a dictionary
	maxBack             = 65_535
	minSegmentRow       = 3 + 17 // bytes that a segment of one chunk takes in a directory
	FooterSize          = 64
	plainVersion        = 1 // of a pack without dictionaries
	formatVersion       = 2
	footerMagic         = "snappack"
	footerChecksummed   = 48
	codecRaw, codecZstd = 0, 1
	codecDictionary     = 2
	kindWithDictionary  = 12 // what a directory calls KindData with a dictionary
)

// Chunk is one chunk of a segment.
type Chunk struct {
	ID     ChunkID
	Length uint32 // bytes, before compression
}

// Segment is a directory's row on one segment.
type Segment struct {
	Kind   Kind
	Offset uint32 // of the box in the pack
	Length uint32 // of the box
	// Back is how many segments before this one its dictionary stands; 0 for none.
	Back   uint16
	Chunks []Chunk
}

// Directory lists the segments of a pack in the order in which they stand.
type Directory []Segment

// HasDictionary reports whether one of the segments has a dictionary, which readers of version 1 of the format do not know.
func (d Directory) HasDictionary() bool {
	return slices.ContainsFunc(d, func(s Segment) bool { return s.Back > 0 })
}

// checkBack returns an error if the dictionary of segment i cannot be one. sizes are how many bytes the chunks of each segment have together: many
// segments may have one of many chunks.
func (d Directory) checkBack(i int, sizes []int) error {
	k := i - int(d[i].Back)
	switch {
	case k < 0 || k >= i:
		return fmt.Errorf("%w: no segment stands %d before segment %d", ErrCorrupt, d[i].Back, i)
	case d[i].Kind != KindData || d[k].Kind != KindData || d[k].Back > 0 || sizes[k] > MaxDictionarySize:
		return fmt.Errorf("%w: segment %d is no dictionary for segment %d", ErrCorrupt, k, i)
	}
	return nil
}

// AppendDirectory appends the encoding of d without padding. It uses the order and
// the lengths of the segments, not their offsets.
//
//	segment count ‖ per segment: kind, length, chunk count, back if it has a dictionary ‖ ids ‖ chunk lengths
func AppendDirectory(dst []byte, d Directory) []byte {
	dst = wire.AppendUvarint(dst, uint64(len(d)))
	for _, s := range d {
		kind := byte(s.Kind)
		if s.Back > 0 {
			kind = kindWithDictionary
		}
		dst = append(dst, kind)
		dst = wire.AppendUvarint(dst, uint64(s.Length))
		dst = wire.AppendUvarint(dst, uint64(len(s.Chunks)))
		if s.Back > 0 {
			dst = wire.AppendUvarint(dst, uint64(s.Back))
		}
	}
	for _, s := range d {
		for _, c := range s.Chunks {
			dst = append(dst, c.ID[:]...)
		}
	}
	for _, s := range d {
		for _, c := range s.Chunks {
			dst = wire.AppendUvarint(dst, uint64(c.Length))
		}
	}
	return dst
}

// ReadDirectory reads what AppendDirectory wrote, with the offsets that follow from
// the lengths. Errors stay in r.
func ReadDirectory(r *wire.Reader) Directory { return new(DirectoryBuffer).Read(r) }

// DirectoryBuffer is memory for one directory after the other. Its zero value is ready.
type DirectoryBuffer struct {
	segments Directory
	counts   []int // of chunks of each segment; from when they are read, their bytes
	chunks   []Chunk
}

// Read is ReadDirectory, whose result is valid until the next call.
func (b *DirectoryBuffer) Read(r *wire.Reader) Directory {
	total, ok := b.readSegments(r)
	if !ok {
		return nil
	}
	ids := r.Next(total * len(ChunkID{}))
	if r.Err() != nil {
		return nil
	}
	if cap(b.chunks) < total {
		b.chunks = make([]Chunk, total)
	}
	rest := b.chunks[:total]
	for i := range b.segments {
		n := b.counts[i]
		chunks := rest[:n:n]
		rest = rest[n:]
		b.segments[i].Chunks = chunks
		sum := 0
		for k := range chunks {
			chunks[k].ID = ChunkID(ids)
			ids = ids[len(ChunkID{}):]
			length := r.Count(MaxChunkSize)
			if sum += length; length == 0 || sum > MaxChunkSize || chunks[k].ID.IsZero() {
				r.Failf("chunk of %d bytes in a segment of %d", length, sum)
				return nil
			}
			chunks[k].Length = uint32(length)
		}
		b.counts[i] = sum
		if b.segments[i].Back > 0 {
			if err := b.segments.checkBack(i, b.counts); err != nil {
				r.Failf("%v", err)
				return nil
			}
		}
	}
	return b.segments
}

// readSegments reads the segments without their chunks, and returns how many of these there are.
func (b *DirectoryBuffer) readSegments(r *wire.Reader) (total int, ok bool) {
	count := r.Count(min(MaxSegments, r.Len()/minSegmentRow))
	if cap(b.segments) < count || b.segments == nil {
		b.segments, b.counts = make(Directory, 0, count), make([]int, 0, count)
	}
	b.segments, b.counts = b.segments[:0], b.counts[:0]
	var offset, chunks uint64
	for range count {
		s := Segment{Kind: Kind(r.Byte()), Offset: uint32(offset), Length: uint32(r.Count(MaxSegmentBoxSize))}
		n := r.Count(MaxSegmentChunks)
		if s.Kind == kindWithDictionary {
			s.Kind, s.Back = KindData, uint16(r.Count(maxBack))
			if s.Back == 0 {
				r.Failf("segment without the dictionary that it has")
			}
		}
		if r.Err() != nil {
			return 0, false
		}
		if s.Kind < KindData || s.Kind > KindRefs || n == 0 {
			r.Failf("segment of kind %d with %d chunks", s.Kind, n)
			return 0, false
		}
		offset += uint64(s.Length)
		chunks += uint64(n)
		if offset > MaxPackSize || chunks*17 > uint64(r.Len()) {
			r.Failf("segments or chunks over the limit")
			return 0, false
		}
		b.segments, b.counts = append(b.segments, s), append(b.counts, n)
	}
	return int(chunks), r.Err() == nil
}

// footer is the fixed end of a pack.
//
//	 0 magic "snappack"   8 version u16   10 class   11 zero   12 directory's length u32
//	16 repository id     32 zero, 16     48 first 16 bytes of hash(0..47)
type footer struct {
	version         uint16
	class           Class
	directoryLength uint32
	repo            [16]byte
}

func (f footer) append(dst []byte) []byte {
	var b [FooterSize]byte
	copy(b[:], footerMagic)
	binary.LittleEndian.PutUint16(b[8:], f.version)
	b[10] = byte(f.class)
	binary.LittleEndian.PutUint32(b[12:], f.directoryLength)
	copy(b[16:], f.repo[:])
	sum := blake3.Sum256(b[:footerChecksummed])
	copy(b[footerChecksummed:], sum[:])
	return append(dst, b[:]...)
}

func decodeFooter(b []byte) (footer, error) {
	var f footer
	if len(b) != FooterSize || string(b[:8]) != footerMagic {
		return f, fmt.Errorf("%w: no footer", ErrCorrupt)
	}
	sum := blake3.Sum256(b[:footerChecksummed])
	if !bytes.Equal(sum[:FooterSize-footerChecksummed], b[footerChecksummed:]) {
		return f, fmt.Errorf("%w: footer's checksum", ErrCorrupt)
	}
	if v := binary.LittleEndian.Uint16(b[8:]); v > formatVersion {
		return f, fmt.Errorf("%w: version %d", ErrNewer, v)
	} else if v == 0 {
		return f, fmt.Errorf("%w: version 0", ErrCorrupt)
	} else {
		f.version = v
	}
	f.class = Class(b[10])
	f.directoryLength = binary.LittleEndian.Uint32(b[12:])
	copy(f.repo[:], b[16:])
	var zero [16]byte
	if (f.class != ClassData && f.class != ClassMeta) || b[11] != 0 || !bytes.Equal(b[32:48], zero[:]) {
		return f, fmt.Errorf("%w: footer", ErrCorrupt)
	}
	return f, nil
}

// PaddedSize returns the smallest length on the PADMÉ grid that is n or more
// (docs/format.md section 6).
func PaddedSize(n int64) int64 {
	if n < 2 {
		return n
	}
	e := bits.Len64(uint64(n)) - 1
	s := bits.Len64(uint64(e))
	mask := int64(1)<<(e-s) - 1
	return (n + mask) &^ mask
}
