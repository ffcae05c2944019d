package index

import (
	"math/bits"

	"github.com/snapkeep/snap/pack"
)

// Location says where a chunk is.
type Location struct {
	Pack    pack.ID
	Class   pack.Class
	Offset  uint32 // of the segment's box in the pack
	Length  uint32 // of the segment's box
	Ordinal uint16 // of the chunk in the segment
	// Dictionary is the segment of the same pack that is the dictionary of this one; zero if it has none.
	Dictionary Range
	Condemned  bool // the pack is condemned: nothing new may refer to this row
	// Fresh says that no index file names the pack but those that Cache.SetFresh is about, or that its rows were added: other machines
	// need not see them yet.
	Fresh bool
	// Stored is when the pack was stored, as far as this machine knows: when the index file was stored by which it came to know of the pack.
	Stored Day
}

// Range is where the box of a segment stands in a pack.
type Range struct{ Offset, Length uint32 }

// PackInfo is what a Set knows about a pack.
type PackInfo struct {
	ID        pack.ID
	Class     pack.Class
	Size      int64 // bytes of the pack file
	Segments  int
	Chunks    int
	Condemned bool
}

// packRow is a pack in a table. Its chunks and segments reach to the firsts of the row behind it.
type packRow struct {
	id           pack.ID
	size         uint32
	class        pack.Class
	elsewhere    bool // only listed here; another table holds its rows
	stored       Day
	firstChunk   uint32
	firstSegment uint32
}

// segmentRow is a segment in a table: the position of its first chunk, and where its box ends
// in the pack. The box begins where the one before it ends. The dictionary stands back segments before it, if that is not 0.
type segmentRow struct {
	firstChunk uint32
	end        uint32
	back       uint16
}

// bitset is a set of small numbers. The nil bitset is empty and stays so.
type bitset []uint64

func newBitset(n int) bitset { return make(bitset, (n+63)/64) }

func (b bitset) has(i int) bool { return i>>6 < len(b) && b[i>>6]&(1<<(i&63)) != 0 }

func (b bitset) set(i int) { b[i>>6] |= 1 << (i & 63) }

// complement returns the numbers below n that are not in the set; nil if there are none.
func (b bitset) complement(n int) bitset {
	if b.count(0, n) == n {
		return nil
	}
	c := newBitset(n)
	for i := range c {
		c[i] = ^b[i]
	}
	if rest := n & 63; rest > 0 {
		c[len(c)-1] &= 1<<rest - 1
	}
	return c
}

// add adds the numbers of another set, which has none that are too large for b.
func (b bitset) add(other bitset) {
	for i, word := range other {
		b[i] |= word
	}
}

// count returns how many numbers from first to end, exclusive, are in the set.
func (b bitset) count(first, end int) int {
	n := 0
	for i := first; i < end; {
		word := b[i>>6] >> (i & 63)
		width := min(64-i&63, end-i)
		if width < 64 {
			word &= 1<<width - 1
		}
		n += bits.OnesCount64(word)
		i += width
	}
	return n
}
