package chunker

// longTail is the number of bytes for which a block is quicker than searchTail.
const longTail = 1024

// Cutter finds the cuts of one set of parameters. It is immutable after New and
// may be used by several goroutines at once.
type Cutter struct {
	params Params
	mask   uint64 // the bits of a state that are zero at a candidate
	table  *table
	wide   *wide // nil if the processor has none
}

// New returns a Cutter for p. It returns the error of p.Validate.
func New(p Params) (*Cutter, error) {
	if err := p.Validate(); err != nil {
		return nil, err
	}
	return cutterOf(p, newTable(p.Polynomial)), nil
}

func cutterOf(p Params, t *table) *Cutter {
	return &Cutter{params: p, mask: (1<<p.AverageBits - 1) << nextBits, table: t, wide: newWide(t, p.AverageBits)}
}

// Like is New for parameters that have the polynomial of c as a rule, which then
// is not proven once more.
func (c *Cutter) Like(p Params) (*Cutter, error) {
	if p.Polynomial != c.params.Polynomial {
		return New(p)
	}
	if err := p.validateSizes(); err != nil {
		return nil, err
	}
	return cutterOf(p, c.table), nil
}

// Params returns what the Cutter was made of.
func (c *Cutter) Params() Params { return c.params }

// Next returns the length of the first chunk of buf, which begins where the
// last chunk ended. final says that the input ends with buf: what remains is
// then a chunk however short. Otherwise 0 means that buf holds no whole chunk;
// a buffer of MaxSize bytes always does. An empty buffer gives 0.
//
// Next neither keeps nor changes buf and allocates nothing.
func (c *Cutter) Next(buf []byte, final bool) int {
	return c.Resume(buf, 0, final)
}

// Resume is Next for a buffer that has grown: an earlier call found no chunk in
// its first scanned bytes, and these are not searched again. The result is that
// of Next.
func (c *Cutter) Resume(buf []byte, scanned int, final bool) int {
	end := min(len(buf), c.params.MaxSize)
	if n := c.search(buf[:end], max(scanned+1, c.params.MinSize)); n > 0 {
		return n
	}
	if final || end == c.params.MaxSize {
		return end
	}
	return 0
}

// search returns the first length from shortest to len(buf) at which buf has a
// candidate, or 0. It looks at windowSize bytes before shortest, too.
func (c *Cutter) search(buf []byte, shortest int) int {
	n := shortest
	if c.wide != nil { // what is left is shorter than a wide block
		for block := c.wide.block(); len(buf)-n >= block; n += block {
			if i := c.wide.firstCandidate(buf[n-windowSize:]); i < block {
				return n + i
			}
		}
	}
	for ; len(buf)-n > blockLength; n += blockLength {
		if i := c.searchBlock(buf, n); i < blockLength {
			return n + i
		}
	}
	// A last block overlaps the one before, where no candidate is.
	if n > shortest && len(buf)-n > longTail {
		last := len(buf) - blockLength - 1
		if i := c.searchBlock(buf, last); i < blockLength {
			return last + i
		}
		n = last + blockLength
	}
	return c.searchTail(buf, n)
}

// searchBlock searches the lengths from n to n+blockLength-1, of which the last
// is below len(buf), and returns how far beyond n the first candidate is.
func (c *Cutter) searchBlock(buf []byte, n int) int {
	return c.table.firstCandidate((*[blockSize]byte)(buf[n-windowSize:]), c.mask)
}

// searchTail is search, byte by byte.
func (c *Cutter) searchTail(buf []byte, shortest int) int {
	if shortest > len(buf) {
		return 0
	}
	t := c.table
	state := uint64(0)
	for _, b := range buf[shortest-windowSize : shortest] {
		state = t.append(state, b)
	}
	state = t.append(state, 0) // nothing waits yet
	for n := shortest; ; n++ {
		if state&c.mask == 0 {
			return n
		}
		if n == len(buf) {
			return 0
		}
		state = t.slide(state^uint64(buf[n]), buf[n-windowSize], 0)
	}
}
