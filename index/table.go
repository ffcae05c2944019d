package index

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/bits"
	"sort"
	"sync/atomic"

	"github.com/snapkeep/snap/pack"
	"github.com/zeebo/blake3"
)

// table reads a table that is mapped or on the heap. What stands in it is only trusted as far
// as that nothing in it can make an access fail: damage gives wrong answers, never a panic.
type table struct {
	data    []byte
	counts  tableCounts
	bodySum [32]byte
	section [sectionCount][]byte
	shards  []shardRow
	shift   uint64 // of the first half of an id to its bucket

	users   atomic.Int32 // who may still read; the last one releases
	release func()
}

// openTable returns a table of data, with one user. It looks at the header alone.
func openTable(data []byte, release func()) (*table, error) {
	counts, bodySum, err := decodeHeader(data)
	if err != nil {
		return nil, err
	}
	at, end := counts.offsets()
	if end != uint64(len(data)) {
		return nil, fmt.Errorf("%w: %d bytes, want %d", errBadTable, len(data), end)
	}
	t := &table{data: data, counts: counts, bodySum: bodySum, shift: 64 - counts.bucketBits, release: release}
	for i, size := range counts.sizes() {
		t.section[i] = data[at[i] : at[i]+size : at[i]+size]
	}
	t.shards = make([]shardRow, counts.shards)
	for i := range t.shards {
		if t.shards[i], err = decodeShardRow(t.section[sectionShards][i*shardRowBytes:], counts.filterBytes); err != nil {
			return nil, err
		}
	}
	t.users.Store(1)
	return t, nil
}

// verify compares the whole table with its checksum.
func (t *table) verify() error {
	if t.sum() != t.bodySum {
		return fmt.Errorf("%w: checksum", errBadTable)
	}
	return nil
}

func (t *table) sum() [32]byte {
	var sums []byte
	for _, section := range t.section {
		sum := blake3.Sum256(section)
		sums = append(sums, sum[:]...)
	}
	return blake3.Sum256(sums)
}

func (t *table) acquire() { t.users.Add(1) }

func (t *table) drop() {
	if t.users.Add(-1) == 0 {
		t.release()
	}
}

func (t *table) chunks() int    { return int(t.counts.rows) }
func (t *table) packCount() int { return int(t.counts.packs) }

// pack returns row i; its firsts are within the table.
func (t *table) pack(i int) packRow {
	p := packRow{firstChunk: uint32(t.counts.rows), firstSegment: uint32(t.counts.segments)}
	if uint(i) < uint(t.counts.packs) {
		row := decodePackRow(t.section[sectionPacks][i*packRowBytes:])
		row.firstChunk = min(row.firstChunk, p.firstChunk)
		row.firstSegment = min(row.firstSegment, p.firstSegment)
		p = row
	}
	return p
}

// segment returns row i; its first chunk is within the table.
func (t *table) segment(i int) segmentRow {
	if uint(i) >= uint(t.counts.segments) {
		return segmentRow{firstChunk: uint32(t.counts.rows)}
	}
	b := t.section[sectionSegments][i*segmentRowBytes:]
	return segmentRow{
		firstChunk: min(binary.LittleEndian.Uint32(b), uint32(t.counts.rows)),
		end:        binary.LittleEndian.Uint32(b[4:]),
		back:       binary.LittleEndian.Uint16(b[8:]),
	}
}

// number returns number i of a section of such, which no table has over the largest int32.
func (t *table) number(section, i int) int {
	return int(min(binary.LittleEndian.Uint32(t.section[section][4*i:]), math.MaxInt32))
}

func (t *table) findPack(id pack.ID) (int, bool) {
	n := t.packCount()
	number := func(i int) int { return min(t.number(sectionOrder, i), n-1) }
	i := sort.Search(n, func(i int) bool {
		at := number(i) * packRowBytes
		return string(t.section[sectionPacks][at:at+32]) >= string(id[:])
	})
	if i == n {
		return 0, false
	}
	i = number(i)
	return i, string(t.section[sectionPacks][i*packRowBytes:i*packRowBytes+32]) == string(id[:])
}

// packOf returns the pack that holds position.
func (t *table) packOf(position uint32) int {
	sample := int(position >> sampleShift)
	n, samples := t.packCount(), int(t.counts.samples())
	if sample >= samples {
		return max(n-1, 0)
	}
	lo, hi := t.number(sectionSamples, sample), n
	if sample+1 < samples {
		hi = min(t.number(sectionSamples, sample+1)+1, n)
	}
	lo = min(lo, n-1)
	for hi-lo > 1 {
		mid := int(uint(lo+hi) >> 1)
		if binary.LittleEndian.Uint32(t.section[sectionPacks][mid*packRowBytes+40:]) <= position {
			lo = mid
		} else {
			hi = mid
		}
	}
	return lo
}

// positions appends the positions of id to dst.
func (t *table) positions(id pack.ChunkID, dst []uint32) []uint32 {
	hi, lo := split((*[16]byte)(&id))
	if !t.mayHave(hi, lo) {
		return dst
	}
	for i := t.find(hi, lo, t.guess(hi)); t.is(i, hi, lo); i++ {
		dst = append(dst, t.position(i))
	}
	return dst
}

// mayHave asks the filter of the shard that the id would be in.
func (t *table) mayHave(hi, lo uint64) bool {
	n := len(t.shards)
	if n == 0 {
		return false
	}
	// Ids are spread evenly, so that the guess is at most a step away.
	guess, _ := bits.Mul64(hi, uint64(n))
	i := int(guess)
	for i > 0 && less(hi, lo, t.shards[i].hi, t.shards[i].lo) {
		i--
	}
	for i+1 < n && !less(hi, lo, t.shards[i+1].hi, t.shards[i+1].lo) {
		i++
	}
	s := &t.shards[i]
	if s.fuse.segments == 0 {
		return true
	}
	return s.mayHave(t.section[sectionFilters][s.slots:s.slots+uint64(s.fuse.slots())], fuseKey(hi, lo))
}

// id returns the halves of the id of row i.
func (t *table) id(i int) (hi, lo uint64) {
	b := t.section[sectionIDs][i*idBytes : i*idBytes+idBytes]
	return binary.BigEndian.Uint64(b), binary.BigEndian.Uint64(b[8:])
}

// position returns the position of row i, which is within the table.
func (t *table) position(i int) uint32 {
	return min(binary.LittleEndian.Uint32(t.section[sectionPositions][4*i:]), uint32(t.counts.rows)-1)
}

// window fills ids with those of the chunks from position first on.
func (t *table) window(first int, ids []pack.ChunkID) []pack.ChunkID {
	all := t.section[sectionIDs]
	for i := range t.chunks() {
		if at := int(t.position(i)) - first; uint(at) < uint(len(ids)) {
			ids[at] = pack.ChunkID(all[i*idBytes : i*idBytes+idBytes])
		}
	}
	return ids
}

// source returns the name of index file i and the numbers of its listings.
func (t *table) source(i int) (name pack.ID, first, end int) {
	b := t.section[sectionSources][i*sourceRowBytes:]
	name = pack.ID(b[:32])
	end = int(t.counts.listings)
	if i+1 < int(t.counts.sources) {
		end = int(min(binary.LittleEndian.Uint32(b[sourceRowBytes+32:]), uint32(end)))
	}
	return name, int(min(binary.LittleEndian.Uint32(b[32:]), uint32(end))), end
}

// listing returns the pack of listing i, which is within the table.
func (t *table) listing(i int) int {
	return min(t.number(sectionListings, i), max(t.packCount()-1, 0))
}

func less(hi, lo, thanHi, thanLo uint64) bool {
	return hi < thanHi || hi == thanHi && lo < thanLo
}
