package index

import (
	"encoding/binary"
	"fmt"
	"iter"
	"slices"

	"github.com/snapkeep/snap/pack"
	"github.com/zeebo/blake3"
)

// content is what a table is written from.
type content struct {
	rows      int
	sorted    iter.Seq[[]sortRow] // in order, with the positions that they get; a block is valid until the next
	segments  iter.Seq[[]byte]    // encoded rows
	nSegments int
	packs     []packRow
	sources   []sourceRow
	listings  []uint32
}

// sourceRow is an index file whose packs are in a table, and the first of its listings.
type sourceRow struct {
	name  pack.ID
	first uint32
}

// shardRows is how many rows share a filter. More make it a little smaller, and take 24 bytes of
// memory each while it is built.
const shardRows = 1 << 18

// tableWriter writes the sections of a table, some of them side by side.
type tableWriter struct {
	spool  *spool
	counts tableCounts
	at     [sectionCount]uint64
	sums   [sectionCount][32]byte
	err    error
}

// writeTable writes a table to s.
func writeTable(s *spool, c content) error {
	w := &tableWriter{spool: s, counts: tableCounts{
		rows: uint64(c.rows), segments: uint64(c.nSegments), packs: uint64(len(c.packs)),
		sources: uint64(len(c.sources)), listings: uint64(len(c.listings)), bucketBits: bucketBitsFor(uint64(c.rows)),
	}}
	for _, p := range c.packs {
		if p.elsewhere {
			w.counts.elsewhere++
		}
	}
	if err := w.counts.check(); err != nil {
		return err
	}
	w.at, _ = w.counts.offsets()
	w.writeSegments(c)
	w.writePacks(c)
	w.writeSources(c)
	w.writeRows(c)
	w.finish()
	return w.err
}

// section returns a cursor at the beginning of a section, and what ends it.
func (w *tableWriter) section(i int) (c *cursor, end func()) {
	h := blake3.New()
	c = &cursor{spool: w.spool, offset: int64(w.at[i]), sum: func(b []byte) { h.Write(b) }}
	return c, func() {
		c.flush()
		if c.err != nil && w.err == nil {
			w.err = c.err
		}
		h.Sum(w.sums[i][:0])
	}
}

func (w *tableWriter) writeSegments(c content) {
	out, end := w.section(sectionSegments)
	defer end()
	n := 0
	for rows := range c.segments {
		n += len(rows) / segmentRowBytes
		for len(rows) > 0 {
			part := rows[:min(len(rows), cursorBuffer/2)]
			out.write(part)
			rows = rows[len(part):]
		}
	}
	if n != c.nSegments && w.err == nil {
		w.err = fmt.Errorf("%w: %d segments, want %d", errBadTable, n, c.nSegments)
	}
}

func (w *tableWriter) writePacks(c content) {
	out, end := w.section(sectionPacks)
	b := make([]byte, 0, packRowBytes)
	order := make([]uint32, len(c.packs))
	for i, p := range c.packs {
		b = appendPackRow(b[:0], p)
		out.write(b)
		order[i] = uint32(i)
	}
	end()

	out, end = w.section(sectionOrder)
	slices.SortFunc(order, func(i, j uint32) int {
		a, b := &c.packs[i], &c.packs[j]
		if n := slices.Compare(a.id[:], b.id[:]); n != 0 {
			return n
		}
		return int(i) - int(j)
	})
	out.writeNumbers(order)
	end()

	out, end = w.section(sectionSamples)
	defer end()
	holder := 0
	var number [4]byte
	for i := range w.counts.samples() {
		for holder+1 < len(c.packs) && uint64(c.packs[holder+1].firstChunk) <= i<<sampleShift {
			holder++
		}
		binary.LittleEndian.PutUint32(number[:], uint32(holder))
		out.write(number[:])
	}
}

func (w *tableWriter) writeSources(c content) {
	out, end := w.section(sectionSources)
	for _, s := range c.sources {
		out.write(s.name[:])
		out.writeNumbers([]uint32{s.first})
	}
	end()
	out, end = w.section(sectionListings)
	out.writeNumbers(c.listings)
	end()
}

func (c *cursor) writeNumbers(numbers []uint32) {
	var b [4]byte
	for _, n := range numbers {
		binary.LittleEndian.PutUint32(b[:], n)
		c.write(b[:])
	}
}

// writeRows writes what depends on the order of ids: rows, fan-out and filters.
func (w *tableWriter) writeRows(c content) {
	ids, endIDs := w.section(sectionIDs)
	positions, endPositions := w.section(sectionPositions)
	fanout, endFanout := w.section(sectionFanout)
	filters, endFilters := w.section(sectionFilters)
	shards := shardWriter{out: filters}
	n, bucket := 0, uint64(0)
	buckets := func(end uint64) {
		for ; bucket < end; bucket++ {
			fanout.buffer = binary.LittleEndian.AppendUint32(fanout.room(4), uint32(n))
		}
	}
	for block := range c.sorted {
		for len(block) > 0 {
			rows := block[:min(len(block), writtenRows)]
			block = block[len(rows):]
			ids.buffer = appendIDs(ids.room(len(rows)*idBytes), rows)
			positions.buffer = appendPositions(positions.room(len(rows)*4), rows)
			for i := range rows {
				buckets(rows[i].hi>>(64-w.counts.bucketBits) + 1)
				n++
			}
			shards.add(rows)
		}
	}
	buckets(1<<w.counts.bucketBits + 1)
	shards.flush()
	endIDs()
	endPositions()
	endFanout()
	endFilters()
	if n != c.rows && w.err == nil {
		w.err = fmt.Errorf("%w: %d rows, want %d", errBadTable, n, c.rows)
	}
	w.counts.filterBytes, w.counts.shards = shards.bytes, uint64(len(shards.rows))
	w.at, _ = w.counts.offsets()
	out, end := w.section(sectionShards)
	for _, s := range shards.rows {
		out.write(appendShardRow(nil, s))
	}
	end()
}

// writtenRows is how many rows are encoded at once.
const writtenRows = 1024

func appendIDs(dst []byte, rows []sortRow) []byte {
	for i := range rows {
		dst = binary.BigEndian.AppendUint64(dst, rows[i].hi)
		dst = binary.BigEndian.AppendUint64(dst, rows[i].lo)
	}
	return dst
}

func appendPositions(dst []byte, rows []sortRow) []byte {
	for i := range rows {
		dst = binary.LittleEndian.AppendUint32(dst, rows[i].position)
	}
	return dst
}

// finish gives the file its length, which padding may end, and its header.
func (w *tableWriter) finish() {
	var sums []byte
	for _, sum := range w.sums {
		sums = append(sums, sum[:]...)
	}
	_, size := w.counts.offsets()
	if w.err == nil && w.spool.size < int64(size) {
		_, w.err = w.spool.WriteAt([]byte{0}, int64(size)-1)
	}
	if w.err == nil {
		_, w.err = w.spool.WriteAt(encodeHeader(w.counts, blake3.Sum256(sums)), 0)
	}
}

// shardWriter cuts the rows of a table into shards and writes their filters.
type shardWriter struct {
	out     *cursor
	rows    []shardRow
	bytes   uint64
	keys    []uint64
	last    sortRow
	builder fuseBuilder
	slots   []byte
}

// add adds the next rows. Of those with one id a filter has one key.
func (w *shardWriter) add(rows []sortRow) {
	for i := range rows {
		r := &rows[i]
		if r.hi == w.last.hi && r.lo == w.last.lo && len(w.rows) > 0 {
			continue
		}
		if len(w.keys) == shardRows {
			w.flush()
		}
		if len(w.keys) == 0 {
			w.rows = append(w.rows, shardRow{hi: r.hi, lo: r.lo, slots: w.bytes})
		}
		w.keys = append(w.keys, fuseKey(r.hi, r.lo))
		w.last = *r
	}
}

func (w *shardWriter) flush() {
	if len(w.keys) == 0 {
		return
	}
	last := &w.rows[len(w.rows)-1]
	last.fuse, w.slots = w.builder.build(w.slots[:0], w.keys)
	w.bytes += uint64(len(w.slots))
	w.out.write(w.slots)
	w.keys = w.keys[:0]
}
