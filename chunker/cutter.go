package chunker

// Cutter finds the cuts of one set of parameters. It is immutable after New and
// may be used by several goroutines at once.
type Cutter struct {
	params Params
	mask   uint64 // low AverageBits bits
	table  *table
}

// New returns a Cutter for p. It returns the error of p.Validate.
func New(p Params) (*Cutter, error) {
	if err := p.Validate(); err != nil {
		return nil, err
	}
	return &Cutter{params: p, mask: 1<<p.AverageBits - 1, table: newTable(p.Polynomial)}, nil
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

// search returns the first length from shortest to len(buf) that ends in a
// candidate, or 0.
func (c *Cutter) search(buf []byte, shortest int) int {
	if shortest > len(buf) {
		return 0
	}
	t := c.table
	d := uint64(0)
	for _, b := range buf[shortest-windowSize : shortest] {
		d = d<<8 ^ t.reduce[d>>topShift] ^ uint64(b)
	}
	for n := shortest; ; n++ {
		if d&c.mask == 0 {
			return n
		}
		if n == len(buf) {
			return 0
		}
		d = d<<8 ^ t.reduce[d>>topShift] ^ t.leave[buf[n-windowSize]] ^ uint64(buf[n])
	}
}
