package verifier

import (
	"bytes"
	"encoding/binary"
	"io"

	"github.com/klauspost/compress/zstd"
	"github.com/zeebo/blake3"
)

// Limits of section 12.
const (
	maxChunk        = 16 << 20
	maxSegmentCount = 65_536
	maxSegmentBox   = maxChunk + 64<<10*4 + 64
	maxPack         = 256 << 20
	maxDirectoryBox = 64 << 20
	maxSegments     = 1_000_000
	maxDictionary   = 256 << 10
	withDictionary  = 12 // kind of a segment of file data that has a dictionary, in directories
	footerSize      = 64
)

// chunkID names a chunk; zero stands for a hole.
type chunkID [16]byte

// packRow is what a pack's directory says, or an index file of a pack.
type packRow struct {
	name     [32]byte
	class    byte
	size     int64
	segments []segmentRow
}

type segmentRow struct {
	kind    byte
	offset  int64
	length  int
	back    int // how many segments before it its dictionary stands; 0 for none
	ids     []chunkID
	lengths []int
}

// size returns how many bytes the chunks of a segment have together.
func (s *segmentRow) size() (n int) {
	for _, length := range s.lengths {
		n += length
	}
	return n
}

// dictionaries counts the segments that have one.
func dictionaries(rows []segmentRow) (n int) {
	for _, s := range rows {
		if s.back > 0 {
			n++
		}
	}
	return n
}

// footer is the end of a pack, section 6.
type footer struct {
	version   uint16
	class     byte
	directory int64 // length of the directory's box
	repo      [16]byte
}

func parseFooter(b []byte) (f footer, err error) {
	if len(b) != footerSize || string(b[:8]) != "snappack" {
		return f, damaged("no footer")
	}
	if sum := blake3.Sum256(b[:48]); !bytes.Equal(sum[:16], b[48:]) {
		return f, damaged("footer's checksum")
	}
	version := binary.LittleEndian.Uint16(b[8:])
	if version > 2 {
		return f, newer("pack of version %d", version)
	} else if version == 0 {
		return f, damaged("pack of version 0")
	}
	f = footer{version, b[10], int64(binary.LittleEndian.Uint32(b[12:])), [16]byte(b[16:])}
	if (f.class != 1 && f.class != 2) || b[11] != 0 || !bytes.Equal(b[32:48], make([]byte, 16)) {
		return f, damaged("footer")
	}
	return f, nil
}

// readSegments reads a directory, section 6, without padding.
func readSegments(in *input) []segmentRow {
	count := in.upTo(maxSegments)
	if count > len(in.rest)/3 { // a row has three bytes at least
		in.fail(damaged("%d segments in %d bytes", count, len(in.rest)))
		return nil
	}
	rows := make([]segmentRow, count)
	offset, chunks := int64(0), 0
	for i := range rows {
		s := &rows[i]
		s.kind, s.offset, s.length = in.byte(), offset, in.upTo(maxSegmentBox)
		n := in.upTo(maxSegmentCount)
		if s.kind == withDictionary {
			if s.kind, s.back = boxData, in.upTo(65_535); s.back == 0 || s.back > i {
				in.fail(damaged("segment %d: its dictionary stands %d before it", i, s.back))
			}
		}
		offset, chunks = offset+int64(s.length), chunks+n
		if in.err == nil && (s.kind < boxData || s.kind > boxRefs || n == 0 || offset > maxPack || chunks > len(in.rest)/17) {
			in.fail(damaged("segment %d: kind %d, %d chunks", i, s.kind, n))
		}
		if in.err != nil {
			return nil
		}
		s.ids, s.lengths = make([]chunkID, n), make([]int, n)
	}
	for i := range rows {
		for k := range rows[i].ids {
			id := &rows[i].ids[k]
			if copy(id[:], in.take(16)); *id == (chunkID{}) {
				in.fail(damaged("segment %d: chunk without an id", i))
			}
		}
	}
	for i := range rows {
		sum := 0
		for k := range rows[i].lengths {
			n := in.upTo(maxChunk)
			if sum += n; n == 0 || sum > maxChunk {
				in.fail(damaged("segment %d: chunk of %d bytes", i, n))
			}
			rows[i].lengths[k] = n
		}
		if in.err == nil && rows[i].back > 0 {
			if d := &rows[i-rows[i].back]; d.kind != boxData || d.back > 0 || d.size() > maxDictionary {
				in.fail(damaged("segment %d: segment %d is no dictionary", i, i-rows[i].back))
			}
		}
	}
	return rows
}

// classOf returns the class of packs that hold segments of the kind.
func classOf(kind byte) byte {
	if kind == boxData {
		return 1
	}
	return 2
}

// checkRow checks that the segments are of the class and end at the latest at end.
func checkRow(class byte, segments []segmentRow, end int64) error {
	if class != 1 && class != 2 {
		return damaged("pack of class %d", class)
	}
	for _, s := range segments {
		if classOf(s.kind) != class || s.offset+int64(s.length) > end {
			return damaged("segment of kind %d at %d does not fit the pack", s.kind, s.offset)
		}
	}
	return nil
}

// readPack reads the directory of a pack of size bytes.
func readPack(r io.ReaderAt, size int64, k *keys) (*packRow, error) {
	if size < footerSize || size > maxPack {
		return nil, damaged("pack of %d bytes", size)
	}
	end := make([]byte, footerSize)
	if _, err := r.ReadAt(end, size-footerSize); err != nil && err != io.EOF {
		return nil, err
	}
	f, err := parseFooter(end)
	if err != nil {
		return nil, err
	}
	start := size - footerSize - f.directory
	if f.repo != k.repo || f.directory > maxDirectoryBox || start < 0 {
		return nil, damaged("pack of the repository %x, directory of %d bytes", f.repo, f.directory)
	}
	box := make([]byte, f.directory)
	if _, err := r.ReadAt(box, start); err != nil && err != io.EOF {
		return nil, err
	}
	segments, err := openDirectory(k.meta, box)
	if err != nil {
		return nil, err
	}
	if (dictionaries(segments) > 0) != (f.version == 2) {
		return nil, damaged("pack of version %d in which %d segments have a dictionary", f.version, dictionaries(segments))
	}
	return &packRow{class: f.class, size: size, segments: segments}, checkRow(f.class, segments, start)
}

// openDirectory opens the box of a directory. What follows it is zero bytes.
func openDirectory(key *boxKey, box []byte) ([]segmentRow, error) {
	plain, err := key.open(boxDirectory, box)
	if err != nil {
		return nil, err
	}
	return parseDirectory(plain)
}

func parseDirectory(plain []byte) ([]segmentRow, error) {
	in := &input{rest: plain}
	segments := readSegments(in)
	for _, b := range in.rest {
		if b != 0 {
			return nil, damaged("directory's padding is not zero")
		}
	}
	return segments, in.err
}

// openSegment returns the chunks of a segment of the kind, which has a dictionary unless that is nil.
func openSegment(key *boxKey, kind byte, box, dictionary []byte) ([][]byte, error) {
	if len(box) > maxSegmentBox {
		return nil, damaged("segment of %d bytes", len(box))
	}
	plain, err := key.open(kind, box)
	if err != nil {
		return nil, err
	}
	return parseSegment(plain, dictionary)
}

// parseSegment takes the plaintext of a segment apart.
func parseSegment(plain, dictionary []byte) ([][]byte, error) {
	in := &input{rest: plain}
	codec, count := in.byte(), in.upTo(maxSegmentCount)
	if in.err == nil && codec > 2 {
		return nil, newer("codec %d", codec)
	}
	if in.err == nil && (codec == 2) != (dictionary != nil) {
		return nil, damaged("codec %d, dictionary of %d bytes", codec, len(dictionary))
	}
	if count == 0 || count > len(in.rest) {
		in.fail(damaged("%d chunks in a segment", count))
		return nil, in.err
	}
	lengths, sum := make([]int, count), 0
	for i := range lengths {
		lengths[i] = in.upTo(maxChunk)
		if sum += lengths[i]; lengths[i] == 0 || sum > maxChunk {
			in.fail(damaged("chunk of %d bytes", lengths[i]))
		}
	}
	if in.err != nil {
		return nil, in.err
	}
	var options []zstd.DOption
	if dictionary != nil {
		options = []zstd.DOption{zstd.WithDecoderDictRaw(0, dictionary)}
	}
	body, err := decode(codec, in.rest, sum, options...)
	if err != nil {
		return nil, err
	}
	chunks := make([][]byte, count)
	for i, n := range lengths {
		chunks[i], body = body[:n:n], body[n:]
	}
	return chunks, nil
}

// idOf returns the id of a chunk of the kind.
func (k *keys) idOf(kind byte, chunk []byte) (id chunkID) {
	h, err := blake3.NewKeyed(k.idKey[:])
	if err != nil {
		panic("verifier: internal error: " + err.Error()) // only a wrong length fails
	}
	plain := blake3.Sum256(chunk)
	h.Write([]byte{kind})
	h.Write(plain[:])
	copy(id[:], h.Sum(nil))
	return id
}

// parseIndex parses the body of an index file, section 7.
func parseIndex(body []byte) (superseded [][32]byte, rows []packRow, err error) {
	in := &input{rest: body}
	version, primed := in.varint(), 0
	if in.err == nil && version > 2 {
		return nil, nil, newer("index of version %d", version)
	} else if version == 0 {
		in.fail(damaged("index of version 0"))
	}
	count := in.upTo(len(in.rest) / 32)
	for range count {
		superseded = append(superseded, [32]byte(in.take(32)))
	}
	count = in.upTo(100_000)
	for range count {
		row := packRow{name: [32]byte(in.take(32)), class: in.byte(), size: int64(in.upTo(maxPack)), segments: nil}
		row.segments = readSegments(in)
		if in.err != nil {
			return nil, nil, in.err
		}
		if err := checkRow(row.class, row.segments, row.size); err != nil {
			return nil, nil, err
		}
		rows, primed = append(rows, row), primed+dictionaries(row.segments)
	}
	if err := in.end(); err != nil {
		return nil, nil, err
	}
	if (primed > 0) != (version == 2) {
		return nil, nil, damaged("index of version %d in which %d segments have a dictionary", version, primed)
	}
	return superseded, rows, nil
}
