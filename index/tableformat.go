package index

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/bits"

	"github.com/snapkeep/snap/pack"
	"github.com/zeebo/blake3"
)

// A table is a local file: rows of many packs, sorted by chunk id. It is a cache, made and read
// on one machine, and no part of the repository's format. Chunks are numbered by position: in
// the order of packs, segments, and their place in them. All integers are little-endian.
//
//	header      512           below
//	ids         rows × 16     chunk ids in order, equal ones by position
//	positions   rows × 4      position of each
//	fan-out     buckets × 4   row of the first id of each bucket; a bucket is the first bits of an id
//	segments    × 10          position of the first chunk 4, end of the box in its pack 4, how many segments before it its dictionary stands 2
//	packs       × 48          id 32, size 4, class 1, elsewhere 1, day it was stored 2, first position 4, first segment 4
//	order       packs × 4     numbers of packs in the order of their ids
//	samples     × 4           pack of each 32nd position
//	sources     × 36          index files whose packs are here: name 32, first listing 4
//	listings    × 4           numbers of packs that a source lists
//	filters     bytes         slots of binary fuse filters, one filter for each shard of the rows
//	shards      × 40          first id 16, seed 8, first slot 8, segment length 4, segments 4
//
// Sections begin on multiples of 64. A pack that is elsewhere is only listed here, and has no rows.
//
//	header:  0  8  magic     8  4  version    12  4  zero
//	        16  8 × 9: rows, segments, packs, sources, listings, bytes of filters, shards,
//	                   bits of a bucket, packs elsewhere
//	        88 32  hash of the hashes of all sections in order
//	       480 32  hash of bytes 0 to 479
const (
	tableMagic   = "snaptabl"
	tableVersion = 2
	headerSize   = 512
	bodySumAt    = 88
	headerSumAt  = 480

	idBytes         = 16
	segmentRowBytes = 10
	packRowBytes    = 48
	sourceRowBytes  = 36
	shardRowBytes   = 40
	sampleShift     = 5
	bucketRows      = 16 // a bucket has so many rows, up to twice that
	maxBucketBits   = 28

	// maxTableRows keeps positions within an int32.
	maxTableRows = 1<<31 - 1
)

// The sections of a table.
const (
	sectionIDs = iota
	sectionPositions
	sectionFanout
	sectionSegments
	sectionPacks
	sectionOrder
	sectionSamples
	sectionSources
	sectionListings
	sectionFilters
	sectionShards
	sectionCount
)

// tableCounts says how much a table holds; the place of each section follows from it.
type tableCounts struct {
	rows, segments, packs, sources, listings, filterBytes, shards, bucketBits, elsewhere uint64
}

func (c *tableCounts) fields() []*uint64 {
	return []*uint64{&c.rows, &c.segments, &c.packs, &c.sources, &c.listings, &c.filterBytes, &c.shards,
		&c.bucketBits, &c.elsewhere}
}

// bucketBitsFor returns how many first bits of an id choose a bucket.
func bucketBitsFor(rows uint64) uint64 {
	return uint64(min(bits.Len64(rows/bucketRows|1)-1, maxBucketBits))
}

// sizes returns the length of each section.
func (c tableCounts) sizes() [sectionCount]uint64 {
	return [sectionCount]uint64{
		sectionIDs:       c.rows * idBytes,
		sectionPositions: c.rows * 4,
		sectionFanout:    (1<<c.bucketBits + 1) * 4,
		sectionSegments:  c.segments * segmentRowBytes,
		sectionPacks:     c.packs * packRowBytes,
		sectionOrder:     c.packs * 4,
		sectionSamples:   c.samples() * 4,
		sectionSources:   c.sources * sourceRowBytes,
		sectionListings:  c.listings * 4,
		sectionFilters:   c.filterBytes,
		sectionShards:    c.shards * shardRowBytes,
	}
}

func (c tableCounts) samples() uint64 { return (c.rows + 1<<sampleShift - 1) >> sampleShift }

// offsets returns where each section begins, and the length of the file.
func (c tableCounts) offsets() (at [sectionCount]uint64, end uint64) {
	end = headerSize
	for i, size := range c.sizes() {
		at[i] = end
		end += (size + 63) &^ 63
	}
	return at, end
}

// check refuses counts whose sizes could overflow.
func (c tableCounts) check() error {
	const most = 1<<31 - 1
	for _, n := range []uint64{c.segments, c.packs, c.sources, c.listings, c.shards} {
		if n > most {
			return errBadTable
		}
	}
	if c.rows > 0 && (c.packs == 0 || c.segments == 0) || c.listings > 0 && c.packs == 0 {
		return errBadTable
	}
	if c.rows > maxTableRows || c.filterBytes > 1<<40 || c.bucketBits > maxBucketBits {
		return errBadTable
	}
	return nil
}

// errBadTable says that a local table is damaged or of another version. It never leaves the
// package: the table is dropped and made again.
var errBadTable = errors.New("unusable table")

func encodeHeader(c tableCounts, bodySum [32]byte) []byte {
	b := make([]byte, headerSize)
	copy(b, tableMagic)
	binary.LittleEndian.PutUint32(b[8:], tableVersion)
	for i, f := range c.fields() {
		binary.LittleEndian.PutUint64(b[16+8*i:], *f)
	}
	copy(b[bodySumAt:], bodySum[:])
	sum := blake3.Sum256(b[:headerSumAt])
	copy(b[headerSumAt:], sum[:])
	return b
}

func decodeHeader(b []byte) (c tableCounts, bodySum [32]byte, err error) {
	if len(b) < headerSize || string(b[:8]) != tableMagic || binary.LittleEndian.Uint32(b[8:]) != tableVersion {
		return c, bodySum, fmt.Errorf("%w: no header", errBadTable)
	}
	if sum := blake3.Sum256(b[:headerSumAt]); string(sum[:]) != string(b[headerSumAt:headerSize]) {
		return c, bodySum, fmt.Errorf("%w: header's checksum", errBadTable)
	}
	for i, f := range c.fields() {
		*f = binary.LittleEndian.Uint64(b[16+8*i:])
	}
	copy(bodySum[:], b[bodySumAt:])
	return c, bodySum, c.check()
}

func appendPackRow(dst []byte, p packRow) []byte {
	dst = append(dst, p.id[:]...)
	dst = binary.LittleEndian.AppendUint32(dst, p.size)
	elsewhere := byte(0)
	if p.elsewhere {
		elsewhere = 1
	}
	dst = append(dst, byte(p.class), elsewhere)
	dst = binary.LittleEndian.AppendUint16(dst, uint16(p.stored))
	dst = binary.LittleEndian.AppendUint32(dst, p.firstChunk)
	return binary.LittleEndian.AppendUint32(dst, p.firstSegment)
}

func decodePackRow(b []byte) packRow {
	return packRow{
		id:           pack.ID(b[:32]),
		size:         binary.LittleEndian.Uint32(b[32:]),
		class:        pack.Class(b[36]),
		elsewhere:    b[37] != 0,
		stored:       Day(binary.LittleEndian.Uint16(b[38:])),
		firstChunk:   binary.LittleEndian.Uint32(b[40:]),
		firstSegment: binary.LittleEndian.Uint32(b[44:]),
	}
}

func appendSegmentRow(dst []byte, s segmentRow) []byte {
	dst = binary.LittleEndian.AppendUint32(dst, s.firstChunk)
	dst = binary.LittleEndian.AppendUint32(dst, s.end)
	return binary.LittleEndian.AppendUint16(dst, s.back)
}

// shardRow is the filter of a shard: of the rows from first up to the next shard's.
type shardRow struct {
	hi, lo uint64 // first id
	slots  uint64 // where its slots begin
	fuse
}

func appendShardRow(dst []byte, s shardRow) []byte {
	dst = binary.BigEndian.AppendUint64(dst, s.hi)
	dst = binary.BigEndian.AppendUint64(dst, s.lo)
	dst = binary.LittleEndian.AppendUint64(dst, s.seed)
	dst = binary.LittleEndian.AppendUint64(dst, s.slots)
	dst = binary.LittleEndian.AppendUint32(dst, s.segmentLength)
	return binary.LittleEndian.AppendUint32(dst, s.fuse.segments)
}

// decodeShardRow reads a row whose filter must lie within size bytes.
func decodeShardRow(b []byte, size uint64) (shardRow, error) {
	s := shardRow{
		hi:    binary.BigEndian.Uint64(b),
		lo:    binary.BigEndian.Uint64(b[8:]),
		slots: binary.LittleEndian.Uint64(b[24:]),
		fuse: fuse{
			seed:          binary.LittleEndian.Uint64(b[16:]),
			segmentLength: binary.LittleEndian.Uint32(b[32:]),
			segments:      binary.LittleEndian.Uint32(b[36:]),
		},
	}
	if s.fuse.segments == 0 {
		return s, nil
	}
	n := (uint64(s.fuse.segments) + 2) * uint64(s.segmentLength)
	if bits.OnesCount32(s.segmentLength) != 1 || n > size || s.slots > size-n {
		return s, fmt.Errorf("%w: filter", errBadTable)
	}
	return s, nil
}

// split returns the halves of an id, whose order is that of ids.
func split(id *[16]byte) (hi, lo uint64) {
	return binary.BigEndian.Uint64(id[:8]), binary.BigEndian.Uint64(id[8:])
}
