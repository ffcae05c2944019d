package index

import (
	"encoding/binary"
	"iter"
	"slices"
)

const (
	// runRows is how many rows are dealt out on the heap at once, at 48 bytes each.
	runRows = 1 << 18
	// heapBits is how many first bits of an id choose its heap.
	heapBits = 12
	// sortedPiece is how many rows of a run in one heap are so many that they are sorted before they are written: sixteen times what
	// ids that are spread evenly give.
	sortedPiece = 16 * runRows >> heapBits
	// maxHeapRows is how many rows of a heap are sorted in memory. Beyond that its pieces are merged.
	maxHeapRows = 1 << 18
)

// runs puts rows in order in bounded memory. Rows are dealt out to heaps by the first bits of their ids, in runs that go to a temporary
// file. Then heap by heap is collected from all runs and sorted. A row is moved four times, and never looked for among many runs.
type runs struct {
	run     []sortRow
	sorter  sorter
	spooled *cursor // of each run: ids, then positions
	ends    [][]uint32
}

func (r *runs) add(row sortRow) {
	if len(r.run) == runRows {
		r.spill()
	}
	r.run = append(r.run, row)
}

// spill writes the run on the heap to the temporary file.
func (r *runs) spill() {
	dealt, ends := r.sorter.deal(r.run, 0, heapBits)
	begin := uint32(0)
	for _, end := range ends {
		if end-begin > sortedPiece {
			slices.SortFunc(dealt[begin:end], compareSortRows)
		}
		begin = end
	}
	out := r.spooled
	for rows := range slices.Chunk(dealt, writtenRows) {
		out.buffer = appendIDs(out.room(len(rows)*idBytes), rows)
	}
	for rows := range slices.Chunk(dealt, writtenRows) {
		out.buffer = appendPositions(out.room(len(rows)*4), rows)
	}
	r.ends = append(r.ends, slices.Clone(ends))
	r.run = r.run[:0]
}

// sorted returns all rows in order, block by block, and what releases them. No more can be added then.
func (r *runs) sorted() (rows iter.Seq[[]sortRow], release func(), err error) {
	if len(r.ends) == 0 {
		return func(yield func([]sortRow) bool) { yield(r.sorter.sort(r.run, 0)) }, func() {}, nil
	}
	r.spill()
	r.run = nil
	data, release, err := r.spooled.end()
	if err != nil {
		return nil, nil, err
	}
	return func(yield func([]sortRow) bool) {
		var pieces []piece
		for heap := range 1 << heapBits {
			total := 0
			pieces = r.pieces(data, heap, pieces[:0])
			for _, p := range pieces {
				total += p.len()
			}
			if total > maxHeapRows {
				for block := range r.merged(pieces) {
					if !yield(block) {
						return
					}
				}
			} else if !yield(r.gather(pieces)) {
				return
			}
		}
	}, release, nil
}

// piece is what a run has of a heap.
type piece struct{ ids, positions []byte }

func (p piece) len() int { return len(p.positions) / 4 }

// pieces appends the pieces of a heap to dst.
func (r *runs) pieces(data []byte, heap int, dst []piece) []piece {
	for _, ends := range r.ends {
		rows, begin, end := int(ends[len(ends)-1]), 0, int(ends[heap])
		if heap > 0 {
			begin = int(ends[heap-1])
		}
		ids, positions := data[:rows*idBytes], data[rows*idBytes:rows*(idBytes+4)]
		data = data[rows*(idBytes+4):]
		if begin < end {
			dst = append(dst, piece{ids[begin*idBytes : end*idBytes], positions[begin*4 : end*4]})
		}
	}
	return dst
}

// gather returns the rows of pieces in order, until the next call.
func (r *runs) gather(pieces []piece) []sortRow {
	r.run = r.run[:0]
	for _, p := range pieces {
		for i := range p.len() {
			hi, lo := split((*[16]byte)(p.ids[i*idBytes:]))
			r.run = append(r.run, sortRow{hi, lo, binary.LittleEndian.Uint32(p.positions[4*i:])})
		}
	}
	return r.sorter.sort(r.run, heapBits)
}

// merged yields the rows of pieces that are too many to be held at once. The large ones are sorted.
func (r *runs) merged(pieces []piece) iter.Seq[[]sortRow] {
	var small []piece
	var streams []*stream
	for _, p := range pieces {
		if p.len() > sortedPiece {
			streams = append(streams, &stream{ids: p.ids, positions: p.positions})
		} else {
			small = append(small, p)
		}
	}
	return blocks(append(streams, &stream{rows: r.gather(small)}))
}
