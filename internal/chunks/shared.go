package chunks

import (
	"runtime"

	"github.com/snapkeep/snap/internal/compress"
	"github.com/snapkeep/snap/internal/freelist"
	"github.com/snapkeep/snap/pack"
)

// benchesPerCore is how many benches are kept for later Savers, each of up to 10 MB: a run has two Savers more than
// workers, and several run side by side.
const benchesPerCore = 4

// Shared is what Writers of one repository use one after the other, or at the same time, so that not each makes it anew: encoders,
// and buffers of Savers. For a run that saves a few megabytes, making them takes longer than the rest. It is safe for concurrent use.
type Shared struct {
	ids        pack.IDKey
	data       *compress.Compressor
	pieces     *compress.Compressor // of chunks of large files
	meta       *compress.Compressor
	pieceLevel compress.Level // of pieces
	unpack     compress.Decompressor
	benches    freelist.List[bench]
}

// bench is what one Saver works with.
type bench struct {
	verifier *pack.Decoder
	box      []byte
	body     []byte // of a segment of small files
	primed   *compress.Primed
}

// NewShared returns what Writers that name chunks with ids and compress file data to the level can share.
func NewShared(ids pack.IDKey, level compress.Level) (*Shared, error) {
	data, err := compress.NewCompressor(level)
	if err != nil {
		return nil, err
	}
	meta, err := compress.NewSmallCompressor(compress.Default)
	if err != nil {
		return nil, err
	}
	// In so small a segment level default finds 2 % more than fastest, and takes half as long again: docs/decisions/0011-level-of-pieces.md.
	pieces, pieceLevel := data, level
	if level == "" || level == compress.Default {
		pieceLevel = compress.Fastest
		if pieces, err = compress.NewCompressor(compress.Fastest); err != nil {
			return nil, err
		}
	}
	s := &Shared{ids: ids, data: data, pieces: pieces, pieceLevel: pieceLevel, meta: meta}
	s.benches.Max = benchesPerCore * runtime.GOMAXPROCS(0)
	return s, nil
}

func (s *Shared) bench() bench {
	b, ok := s.benches.Get()
	if !ok {
		b.verifier = pack.NewDecoder(&s.ids, &s.unpack)
	}
	return b
}

// Release gives back what a Saver works with to those that come after it. It must not be used any more. Without Release the
// collector takes it.
func (s *Saver) Release() {
	b := bench{verifier: s.verifier, box: s.box, body: s.open[pack.KindData].body[:0], primed: s.primed.encoder}
	if cap(b.box) > maxBox {
		b.box = nil
	}
	if cap(b.body) > maxBox {
		b.body = nil
	}
	shared := s.w.opts.Shared
	*s = Saver{}
	shared.benches.Put(b)
}
