package chunks

import (
	"cmp"
	"context"
	"fmt"

	"github.com/snapkeep/snap/pack"
	"github.com/zeebo/blake3"
)

// Sizes of segments. SegmentSize was chosen by stored size against the time to read
// one file and the waste of a half dead segment: docs/decisions.
const (
	SegmentSize     = 2 << 20   // raw bytes at which a segment of small files is ended
	pieceSegment    = 32 << 10  // the same for chunks of large files, which die one by one: docs/decisions/0008-segments-of-pieces.md
	metaSegmentSize = 512 << 10 // the same for pages
	ownSegment      = 512 << 10 // a chunk of at least so many bytes is a segment of its own
)

// Saver saves chunks for one goroutine: it hashes, deduplicates, compresses, seals and
// verifies. What it collects for a segment is saved at the latest by Flush.
type Saver struct {
	w        *Writer
	hasher   *pack.Hasher
	verifier *pack.Decoder
	data     *pack.Encoder // nil until file data is sealed
	piece    *pack.Encoder // of chunks of large files, likewise
	meta     *pack.Encoder
	open     [pieces + 1]segment // by kind; those of large files apart
	groups   [lives]group
	primed   encoderWith
	lengths  []uint32
	box      []byte
}

// pieces is where chunks of large files are collected.
const pieces = pack.KindRefs + 1

// segment collects small chunks of a kind.
type segment struct {
	life   Life // of all of them
	body   []byte
	chunks []pack.Chunk
	plain  []byte // plain hashes of the chunks, joined
}

// NewSaver returns a Saver of w, to be released after its last Flush.
func (w *Writer) NewSaver() *Saver {
	b := w.opts.Shared.bench()
	s := &Saver{w: w, hasher: w.keys.ChunkIDs.NewHasher(), verifier: b.verifier, box: b.box, meta: pack.NewEncoder(w.keys.Metadata, w.opts.Shared.meta)}
	s.primed.encoder = b.primed
	s.open[pack.KindData].body = b.body
	return s
}

// Tail returns a buffer of at least n bytes for the next small chunk of the kind, to be
// filled from its start and handed to SaveTail, without a copy in between. It is void
// after any other call with that kind.
func (s *Saver) Tail(ctx context.Context, kind pack.Kind, n int) ([]byte, error) {
	return s.tail(ctx, kind, n)
}

func (s *Saver) tail(ctx context.Context, slot pack.Kind, n int) ([]byte, error) {
	seg := &s.open[slot]
	if len(seg.body)+n > pack.MaxChunkSize || (len(seg.body) > 0 && len(seg.body)+n > s.target(slot)*2) {
		if err := s.flush(ctx, slot); err != nil {
			return nil, err
		}
	}
	if need := len(seg.body) + n; cap(seg.body) < need {
		body := make([]byte, len(seg.body), max(need, s.target(slot)+s.target(slot)/4))
		copy(body, seg.body)
		seg.body = body
	}
	return seg.body[len(seg.body):cap(seg.body)], nil
}

// SaveTail saves the first n bytes of the buffer that Tail returned as a chunk.
func (s *Saver) SaveTail(ctx context.Context, kind pack.Kind, n int) (pack.ChunkID, error) {
	seg := &s.open[kind]
	chunk := seg.body[len(seg.body) : len(seg.body)+n]
	id, plain := s.hasher.Sum(kind, chunk)
	if !s.w.claim(id) {
		return id, nil
	}
	seg.body = seg.body[:len(seg.body)+n]
	return id, s.added(ctx, kind, id, plain, n)
}

// Save saves a chunk of the kind, 1 byte to 16 MiB long, and returns its id. It does
// not keep chunk. One of data is a piece of a large file.
func (s *Saver) Save(ctx context.Context, kind pack.Kind, chunk []byte) (pack.ChunkID, error) {
	return s.save(ctx, kind, chunk, nil)
}

// SavePiece saves a piece of a large file. life is asked if it is not stored; nil stands for LifeLong.
func (s *Saver) SavePiece(ctx context.Context, chunk []byte, life func() Life) (pack.ChunkID, error) {
	return s.save(ctx, pack.KindData, chunk, life)
}

func (s *Saver) save(ctx context.Context, kind pack.Kind, chunk []byte, lifeOf func() Life) (pack.ChunkID, error) {
	id, plain := s.hasher.Sum(kind, chunk)
	if !s.w.claim(id) {
		return id, nil
	}
	life := LifeLong
	if lifeOf != nil {
		life = lifeOf()
	}
	if len(chunk) >= ownSegment {
		return id, s.seal(ctx, goal{kind, kind, life}, chunk, []pack.Chunk{{ID: id, Length: uint32(len(chunk))}}, plain)
	}
	slot := kind
	if kind == pack.KindData {
		slot = pieces
	}
	seg := &s.open[slot]
	if seg.life != life {
		if err := s.flush(ctx, slot); err != nil {
			return id, err
		}
		seg.life = life
	}
	if _, err := s.tail(ctx, slot, len(chunk)); err != nil {
		return id, err
	}
	seg.body = append(seg.body, chunk...)
	return id, s.added(ctx, slot, id, plain, len(chunk))
}

func (s *Saver) added(ctx context.Context, slot pack.Kind, id pack.ChunkID, plain [32]byte, n int) error {
	seg := &s.open[slot]
	seg.chunks = append(seg.chunks, pack.Chunk{ID: id, Length: uint32(n)})
	seg.plain = append(seg.plain, plain[:]...)
	if len(seg.body) >= s.target(slot) || len(seg.chunks) == pack.MaxSegmentChunks {
		return s.flush(ctx, slot)
	}
	return nil
}

func (s *Saver) target(slot pack.Kind) int {
	switch slot {
	case pack.KindData:
		return SegmentSize
	case pieces:
		if primes(s.w.opts.Shared.pieceLevel) && s.groups[s.open[pieces].life].begins() {
			return dictionarySegment
		}
		return pieceSegment
	}
	return metaSegmentSize
}

// Flush saves what has been collected. A Saver can be used on after it.
func (s *Saver) Flush(ctx context.Context) error {
	for slot := pack.KindData; slot <= pieces; slot++ {
		if err := s.flush(ctx, slot); err != nil {
			return err
		}
	}
	return nil
}

func (s *Saver) flush(ctx context.Context, slot pack.Kind) error {
	seg := &s.open[slot]
	if len(seg.chunks) == 0 {
		return nil
	}
	kind := slot
	if slot == pieces {
		kind = pack.KindData
	}
	err := s.seal(ctx, goal{slot, kind, seg.life}, seg.body, seg.chunks, blake3.Sum256(seg.plain))
	seg.body, seg.chunks, seg.plain = seg.body[:0], nil, seg.plain[:0]
	return err
}

// encoder returns what seals segments that were collected in a slot.
func (s *Saver) encoder(ctx context.Context, slot pack.Kind) (*pack.Encoder, error) {
	if slot != pack.KindData && slot != pieces {
		return s.meta, nil
	}
	if s.data == nil {
		key, err := s.w.contentKey(ctx)
		if err != nil {
			return nil, err
		}
		s.data, s.piece = pack.NewEncoder(key, s.w.opts.Shared.data), pack.NewEncoder(key, s.w.opts.Shared.pieces)
	}
	if slot == pieces {
		return s.piece, nil
	}
	return s.data, nil
}

// goal is what becomes of a segment.
type goal struct {
	slot pack.Kind // where its chunks were collected
	kind pack.Kind
	life Life
}

// seal makes a segment of what was collected, verifies it and hands it on. digest determines body.
func (s *Saver) seal(ctx context.Context, to goal, body []byte, chunks []pack.Chunk, digest [32]byte) error {
	encoder, err := s.encoder(ctx, to.slot)
	if err != nil {
		return err
	}
	s.lengths = s.lengths[:0]
	for _, c := range chunks {
		s.lengths = append(s.lengths, c.Length)
	}
	s.reserve(len(body))
	made := sealedSegment{kind: to.kind, chunks: chunks}
	if to.slot == pieces {
		made, err = s.sealPiece(to.life, body, chunks, digest)
	} else {
		made.box, err = encoder.Append(s.box[:0], to.kind, s.lengths, body, digest)
	}
	if err != nil {
		return err
	}
	if err := s.verify(ctx, made); err != nil {
		return err
	}
	s.w.count(to.kind, chunks, len(body), len(made.box))
	if err := context.Cause(ctx); err != nil {
		return err
	}
	return s.w.packers[to.kind.Class()][to.life].add(made)
}

// Room in a Saver's box, in bytes: for what a segment is longer than its chunks, and for all but the longest chunks, which are few.
const (
	boxMargin = 16 << 10
	maxBox    = SegmentSize + SegmentSize/4
)

// reserve makes room for a sealed segment of n bytes.
func (s *Saver) reserve(n int) {
	size := n + n/64 + boxMargin
	if cap(s.box) < size || (cap(s.box) > maxBox && size <= maxBox) {
		s.box = make([]byte, 0, max(size, min(2*cap(s.box), maxBox)))
	}
}

// verify opens a segment again and compares its chunks with their ids, before it counts
// as written.
func (s *Saver) verify(ctx context.Context, made sealedSegment) error {
	kind, box, chunks := made.kind, made.box, made.chunks
	if s.w.opts.Corrupt != nil {
		s.w.opts.Corrupt(box)
	}
	if s.w.opts.SkipVerify {
		return nil
	}
	key := s.w.keys.Metadata
	if kind == pack.KindData {
		key = s.w.content
	}
	var opened [][]byte
	var err error
	if made.with != nil {
		opened, err = s.verifier.OpenPrimed(key, box, cmp.Or(made.with.back, made.with.plain))
	} else {
		opened, err = s.verifier.Open(key, kind, box)
	}
	if err != nil {
		return fmt.Errorf("%w: %w", ErrVerify, err)
	}
	if len(opened) != len(chunks) {
		return fmt.Errorf("%w: %d chunks, want %d", ErrVerify, len(opened), len(chunks))
	}
	for i, chunk := range opened {
		if err := s.verifier.Check(kind, chunks[i].ID, chunk); err != nil {
			return fmt.Errorf("%w: %w", ErrVerify, err)
		}
	}
	if made.is != nil { // what a reader will have, whatever becomes of the bytes that are compressed with
		if made.is.back, err = pack.NewDictionary(opened); err != nil {
			return fmt.Errorf("%w: %w", ErrVerify, err)
		}
	}
	return nil
}

func (w *Writer) count(kind pack.Kind, chunks []pack.Chunk, raw, stored int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.stats.Bytes += int64(raw)
	w.stats.StoredBytes += int64(stored)
	if kind == pack.KindData {
		w.stats.DataChunks += int64(len(chunks))
		w.stats.DataBytes += int64(raw)
		w.stats.StoredData += int64(stored)
	} else {
		w.stats.TreeChunks += int64(len(chunks))
	}
}
