package chunks

import (
	"bytes"
	"sync/atomic"

	"github.com/snapkeep/snap/internal/compress"
	"github.com/snapkeep/snap/pack"
)

// Pieces of a database or a dump are alike, and each is too short to show it: so a segment of a few of them is the dictionary of those that come after it,
// for as long as they go to the same pack: docs/decisions/0019-dictionaries-for-pieces.md.
const (
	dictionarySegment = 96 << 10  // raw bytes at which a segment is ended that shall be a dictionary
	maxPrimed         = 128 << 10 // raw bytes of a segment that gets one: more shows by itself that it is alike
	primedSegments    = 64        // segments for which a dictionary is used: what comes later is less like it
)

// dictionary is a segment that others have for dictionary. It does not change but for ended, which is all that a packer keeps of it: a pack of what
// shrinks much has thousands.
type dictionary struct {
	sealedSegment
	plain *pack.Dictionary
	back  *pack.Dictionary // the same as it was read back from the sealed segment; nil if it was not
	ended *atomic.Bool     // the pack that holds it takes no more segments
}

// sealedSegment is a segment on its way to a pack.
type sealedSegment struct {
	kind   pack.Kind
	box    []byte
	chunks []pack.Chunk
	is     *dictionary // what it is the dictionary's segment of; nil if it is none
	with   *dictionary // what it has for dictionary; nil for none
}

// group is how a Saver compresses the pieces of one life.
type group struct {
	dictionary *dictionary // nil if the last try gave none
	left       int         // segments until the next try
	tried      bool        // the dictionary has made a segment smaller than it is alone
}

// encoderWith compresses with the dictionary of one life after the other: at level better an encoder takes 5 MB, and the pieces of a file are mostly of one life.
type encoderWith struct {
	encoder *compress.Primed // nil until there is a dictionary
	with    *dictionary      // what it compresses with
}

// of returns the encoder with a dictionary.
func (e *encoderWith) of(d *dictionary, level compress.Level) *compress.Primed {
	if e.encoder == nil {
		e.encoder = compress.NewPrimed(level)
	}
	if e.with != d {
		e.encoder.Prime(d.plain.Bytes())
		e.with = d
	}
	return e.encoder
}

// begins reports whether the next segment shall be a dictionary.
func (g *group) begins() bool { return g.left == 0 || g.dictionary != nil && g.dictionary.ended.Load() }

// primes reports whether segments of pieces have dictionaries at the level. Max would take twice its 43 MiB.
func primes(level compress.Level) bool { return level != compress.Off && level != compress.Max }

// sealPiece seals a segment of pieces, with the dictionary of its life or as the next one.
func (s *Saver) sealPiece(life Life, body []byte, chunks []pack.Chunk, digest [32]byte) (out sealedSegment, err error) {
	out.kind, out.chunks = pack.KindData, chunks
	g := &s.groups[life]
	begins := primes(s.w.opts.Shared.pieceLevel) && g.begins()
	if !begins && g.dictionary != nil && len(body) <= maxPrimed {
		return s.sealPrimed(g, out, body, digest)
	}
	if out.box, err = s.piece.Append(s.box[:0], pack.KindData, s.lengths, body, digest); err != nil {
		return out, err
	}
	if !begins {
		g.left = max(0, g.left-1)
		return out, nil
	}
	g.dictionary, g.left, g.tried = nil, primedSegments, false
	if len(out.box) < len(body) && len(body) <= pack.MaxDictionarySize {
		out.is, err = g.begin(out, body)
	}
	return out, err
}

// sealPrimed seals a segment with the dictionary of its group, if that makes it smaller. The first one decides for those that come after it: rows of
// numbers and keys are alike in form alone, and matches far back cost more than those nearby.
func (s *Saver) sealPrimed(g *group, out sealedSegment, body []byte, digest [32]byte) (sealedSegment, error) {
	g.left--
	box, has, err := s.piece.AppendPrimed(s.box[:0], s.lengths, body, digest, s.primed.of(g.dictionary, s.w.opts.Shared.pieceLevel))
	if err != nil {
		return out, err
	}
	out.box = box
	if has {
		out.with = g.dictionary
	}
	if g.tried || !has {
		return out, nil
	}
	g.tried = true
	alone, err := s.piece.Append(make([]byte, 0, len(box)+boxMargin), pack.KindData, s.lengths, body, digest)
	if err == nil && len(alone) <= len(box) {
		g.dictionary, out.with, out.box = nil, nil, alone
	}
	return out, err
}

// begin makes a sealed segment the dictionary of those that come next.
func (g *group) begin(s sealedSegment, body []byte) (*dictionary, error) {
	plain, err := pack.NewDictionary([][]byte{body})
	if err != nil {
		return nil, err
	}
	s.box = bytes.Clone(s.box)
	g.dictionary = &dictionary{plain: plain, sealedSegment: s, ended: new(atomic.Bool)}
	return g.dictionary, nil
}
