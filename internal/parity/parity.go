package parity

import (
	"context"
	"fmt"
	"hash/crc32"
	"io"
	"sync"

	"github.com/klauspost/reedsolomon"
	"github.com/snapkeep/snap/pack"
)

// Coder makes parity and mends packs with it. The zero Coder is ready and safe for concurrent use.
type Coder struct {
	mu    sync.Mutex
	codes [stripeShards + 1]reedsolomon.Encoder // by width of a stripe; guarded by mu
}

func (c *Coder) code(width int) (reedsolomon.Encoder, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.codes[width] == nil {
		code, err := reedsolomon.New(width, parityShards, reedsolomon.WithMaxGoroutines(1))
		if err != nil {
			return nil, fmt.Errorf("parity: %w", err)
		}
		c.codes[width] = code
	}
	return c.codes[width], nil
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Encode returns the parity file of the pack that r reads, of that name and size. It takes as much memory as the file has,
// and reads front to back, once.
func (c *Coder) Encode(ctx context.Context, r io.ReaderAt, size int64, name pack.ID) ([]byte, error) {
	l, err := layoutOf(size)
	if err != nil {
		return nil, err
	}
	code, err := c.code(l.width)
	if err != nil {
		return nil, err
	}
	file := make([]byte, l.fileSize())
	sums := make([]uint32, l.sums())
	parity := make([][][]byte, l.stripes)
	for s := range parity {
		for k := range parityShards {
			at := l.parityAt(s, k)
			parity[s] = append(parity[s], file[at:at+l.shard])
		}
	}
	shard := make([]byte, l.shard)
	for i := range l.shards {
		if err := ctx.Err(); err != nil {
			return nil, context.Cause(ctx)
		}
		start, end := l.bounds(i)
		part := shard[:end-start]
		if n, err := r.ReadAt(part, start); n < len(part) {
			return nil, fmt.Errorf("read pack for its parity: %w", err)
		}
		clear(shard[len(part):])
		sums[i] = crc32.Checksum(shard, castagnoli)
		if err := code.EncodeIdx(shard, i/l.stripes, parity[i%l.stripes]); err != nil {
			return nil, fmt.Errorf("parity: %w", err)
		}
	}
	for s := range parity {
		for k := range parityShards {
			sums[l.shards+s*parityShards+k] = crc32.Checksum(parity[s][k], castagnoli)
		}
	}
	header := appendHeader(nil, &l, name, sums)
	copy(file, header)
	copy(file[len(file)-len(header):], header)
	return file, nil
}

// File is a parity file.
type File struct {
	Name pack.ID // of the pack
	Size int64   // of the pack
	// Damaged says that something of the file itself is damaged. It may be of use nevertheless.
	Damaged error

	layout layout
	sums   []uint32
	parity [][]byte // all parity shards, nil for those that are damaged
}

// Parse reads a parity file and keeps parts of data. The error says that it is of no use.
func Parse(data []byte) (*File, error) {
	if len(data) > MaxFileSize {
		return nil, fmt.Errorf("%w: %d bytes", ErrCorrupt, len(data))
	}
	f := &File{}
	var err error
	f.layout, f.Name, f.sums, err = decodeHeader(data)
	if err != nil {
		var endErr error
		if f.layout, f.Name, f.sums, endErr = findHeader(data); endErr != nil {
			return nil, err
		}
		f.Damaged = err
	} else if len(data) != f.layout.fileSize() || string(data[:f.layout.headerSize()]) != string(data[len(data)-f.layout.headerSize():]) {
		f.Damaged = fmt.Errorf("%w: its end", ErrCorrupt)
	}
	f.Size = f.layout.size
	l := &f.layout
	for i := range l.stripes * parityShards {
		start := l.parityAt(0, i)
		end := start + l.shard
		if end > len(data) || crc32.Checksum(data[start:end], castagnoli) != f.sums[l.shards+i] {
			f.parity = append(f.parity, nil)
			f.Damaged = fmt.Errorf("%w: parity shard %d", ErrCorrupt, i)
			continue
		}
		f.parity = append(f.parity, data[start:end:end])
	}
	return f, nil
}

// Mend returns the bytes of the pack, made from what r still reads of it: where it gives errors or ends early, bytes count as
// damaged. Mended says how many shards were bad. The error wraps ErrTooMuch if parity does not suffice.
func (c *Coder) Mend(ctx context.Context, f *File, r io.ReaderAt) (data []byte, mended int, err error) {
	l := &f.layout
	code, err := c.code(l.width)
	if err != nil {
		return nil, 0, err
	}
	// All shards in one piece of memory, the last one filled up.
	data = make([]byte, l.shards*l.shard)
	shards := make([][]byte, l.shards)
	for i := range shards {
		if err := ctx.Err(); err != nil {
			return nil, 0, context.Cause(ctx)
		}
		start, end := l.bounds(i)
		s := data[start : i*l.shard+l.shard]
		n, _ := r.ReadAt(s[:end-start], start) // whatever went wrong, the shard is bad then
		if n == int(end-start) && crc32.Checksum(s, castagnoli) == f.sums[i] {
			shards[i] = s
		}
	}
	for stripe := range l.stripes {
		n, err := f.mendStripe(code, stripe, shards, data)
		if err != nil {
			return nil, 0, err
		}
		mended += n
	}
	data = data[:l.size]
	if pack.SumID(data) != f.Name {
		return nil, 0, fmt.Errorf("%w: what came out does not match its name", ErrTooMuch)
	}
	return data, mended, nil
}

// mendStripe makes the bad shards of a stripe, which are nil in shards, in their places in data.
func (f *File) mendStripe(code reedsolomon.Encoder, stripe int, shards [][]byte, data []byte) (mended int, err error) {
	l := &f.layout
	all := make([][]byte, l.width+parityShards)
	left := 0
	for k := range l.width {
		i := k*l.stripes + stripe
		switch {
		case i >= l.shards:
			all[k] = make([]byte, l.shard) // a stripe is filled up with zeros
		case shards[i] != nil:
			all[k] = shards[i]
		default:
			all[k] = data[i*l.shard : i*l.shard : (i+1)*l.shard]
			mended++
		}
	}
	if mended == 0 {
		return 0, nil
	}
	for k := range parityShards {
		if p := f.parity[stripe*parityShards+k]; p != nil {
			all[l.width+k] = p
			left++
		}
	}
	if mended > left {
		return 0, fmt.Errorf("%w: %d bad shards in a stripe, %d can be mended", ErrTooMuch, mended, left)
	}
	if err := code.ReconstructData(all); err != nil {
		return 0, fmt.Errorf("%w: %v", ErrTooMuch, err)
	}
	for k := range l.width {
		if i := k*l.stripes + stripe; i < l.shards && shards[i] == nil {
			copy(data[i*l.shard:(i+1)*l.shard], all[k])
		}
	}
	return mended, nil
}
