package index

import (
	"runtime"
	"sync"
	"sync/atomic"

	"github.com/snapkeep/snap/pack"
)

const (
	// MarkBatch is how many ids Mark puts in order at once, at 16 bytes each. It is fastest for so many.
	MarkBatch = 1 << 19
	// shareIDs is how many ids are worth a goroutine.
	shareIDs = 1 << 15
)

// Mark marks chunks and appends those without a row outside of condemned packs to missing. It
// is fastest for many ids at once; it neither changes nor keeps them.
func (m *Marks) Mark(ids []pack.ChunkID, missing []pack.ChunkID) []pack.ChunkID {
	m.stale.Store(true)
	scratch, _ := m.scratch.Get().(*[]pack.ChunkID)
	if scratch == nil {
		scratch = new([]pack.ChunkID)
	}
	defer m.scratch.Put(scratch)
	for len(ids) > 0 {
		block := ids[:min(len(ids), MarkBatch)]
		ids = ids[len(block):]
		if len(block) > lookupGroup {
			*scratch = dealOut(block, *scratch)
			block = *scratch
		}
		missing = append(missing, m.markBlock(block)...)
	}
	return missing
}

// markBlock marks ids that lie in order, by several goroutines if they are many, and returns those without a row.
func (m *Marks) markBlock(ids []pack.ChunkID) (missing []pack.ChunkID) {
	shares := max(1, min(runtime.GOMAXPROCS(0), len(ids)/shareIDs))
	found := make([][]pack.ChunkID, shares)
	var wg sync.WaitGroup
	for i := range shares {
		share := ids[len(ids)*i/shares : len(ids)*(i+1)/shares]
		if i == shares-1 {
			found[i] = m.markShare(share)
			break
		}
		wg.Go(func() { found[i] = m.markShare(share) })
	}
	wg.Wait()
	for _, f := range found {
		missing = append(missing, f...)
	}
	return missing
}

func (m *Marks) markShare(ids []pack.ChunkID) (missing []pack.ChunkID) {
	first := make([][lookupGroup]int, len(m.parts))
	for len(ids) > 0 {
		group := ids[:min(len(ids), lookupGroup)]
		ids = ids[len(group):]
		for k, p := range m.parts {
			p.rowsOf(group, first[k][:], len(m.parts) > 1)
		}
		for i, id := range group {
			var c choice
			for k := range m.parts {
				m.consider(&c, k, id, first[k][i])
			}
			if !c.found {
				missing = append(missing, id)
				continue
			}
			m.set(c)
		}
	}
	return missing
}

// set marks a row.
func (m *Marks) set(c choice) {
	word, bit := &m.rows[c.part][c.row>>6], uint64(1)<<(c.row&63)
	if atomic.LoadUint64(word)&bit == 0 {
		atomic.OrUint64(word, bit)
	}
}

// rowsOf sets rows to the first row of each of up to lookupGroup ids, negative where there is none. filtered says that many are in no row.
func (p *part) rowsOf(ids []pack.ChunkID, rows []int, filtered bool) {
	if p.table != nil {
		p.table.rowsOf(ids, rows, filtered)
		return
	}
	for i, id := range ids {
		rows[i] = p.firstRow(id)
	}
}

// dealOut returns ids, in the memory of scratch if it is large enough, ordered by their first
// bits: so close to each other are their rows in a table. To do it where they lie would take twice as long, since each move would have to wait for the
// one before.
func dealOut(ids, scratch []pack.ChunkID) []pack.ChunkID {
	const heaps = 1 << 12
	first := func(id *pack.ChunkID) int { return int(id[0])<<4 | int(id[1])>>4 }
	var at [heaps + 1]int
	for i := range ids {
		at[first(&ids[i])+1]++
	}
	for i := 1; i < len(at); i++ {
		at[i] += at[i-1]
	}
	if cap(scratch) < len(ids) {
		scratch = make([]pack.ChunkID, len(ids))
	}
	scratch = scratch[:len(ids)]
	for i := range ids {
		heap := first(&ids[i])
		scratch[at[heap]] = ids[i]
		at[heap]++
	}
	return scratch
}
