package chunks

import (
	"container/list"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"sync"

	"github.com/snapkeep/snap/index"
	"github.com/snapkeep/snap/internal/compress"
	"github.com/snapkeep/snap/pack"
)

// Loader loads chunks. It is safe for concurrent use.
type Loader struct {
	store Store
	set   *index.Set
	keys  Keys

	decompressor compress.Decompressor
	decoders     sync.Pool // *opener

	mu     sync.Mutex // guards what follows
	cache  map[segmentKey]*list.Element
	order  list.List // of *cached, the one used last in front
	bytes  int
	limit  int
	primes []primer // the one used last in front
}

// primer is a dictionary that was needed.
type primer struct {
	key        segmentKey
	dictionary *pack.Dictionary
}

// keptPrimers is how many dictionaries a Loader keeps, of at most 256 KiB each.
const keptPrimers = 16

type segmentKey struct {
	pack   pack.ID
	offset uint32
}

type cached struct {
	key    segmentKey
	chunks [][]byte
	bytes  int
}

// opener is what one goroutine needs to open a segment.
type opener struct {
	decoder *pack.Decoder
	box     []byte
}

// NewLoader returns a Loader that keeps up to cacheBytes of opened segments.
func NewLoader(store Store, set *index.Set, keys Keys, cacheBytes int) *Loader {
	l := &Loader{store: store, set: set, keys: keys, cache: map[segmentKey]*list.Element{}, limit: cacheBytes}
	l.decoders.New = func() any { return &opener{decoder: pack.NewDecoder(&l.keys.ChunkIDs, &l.decompressor)} }
	return l
}

// Load returns the bytes of the chunk id of the kind, checked against the id. They may
// be kept and must not be changed. If one pack cannot be read another that holds the
// chunk serves.
func (l *Loader) Load(ctx context.Context, kind pack.Kind, id pack.ChunkID) ([]byte, error) {
	loc, ok := l.set.Lookup(id)
	if !ok {
		// What a condemned pack holds is still good, as long as the pack is there.
		all := l.set.Locations(id)
		if len(all) == 0 {
			return nil, fmt.Errorf("%s: %w", id, ErrMissing)
		}
		loc = all[0]
	}
	data, err := l.loadFrom(ctx, kind, id, loc)
	if err == nil || ctx.Err() != nil {
		return data, err
	}
	for _, other := range l.set.Locations(id) {
		if other.Pack == loc.Pack && other.Offset == loc.Offset {
			continue
		}
		if data, otherErr := l.loadFrom(ctx, kind, id, other); otherErr == nil {
			return data, nil
		}
	}
	return nil, err
}

func (l *Loader) loadFrom(ctx context.Context, kind pack.Kind, id pack.ChunkID, loc index.Location) ([]byte, error) {
	if kind.Class() != loc.Class {
		return nil, fmt.Errorf("%w: chunk %s is in a pack of class %d", pack.ErrCorrupt, id, loc.Class)
	}
	chunks, err := l.segment(ctx, kind, loc)
	if err != nil {
		return nil, err
	}
	if int(loc.Ordinal) >= len(chunks) {
		return nil, fmt.Errorf("%w: chunk %d of %d in a segment of pack %s", pack.ErrCorrupt, loc.Ordinal, len(chunks), loc.Pack)
	}
	chunk := chunks[loc.Ordinal]
	o := l.decoders.Get().(*opener)
	defer l.decoders.Put(o)
	if err := o.decoder.Check(kind, id, chunk); err != nil {
		return nil, fmt.Errorf("pack %s: %w", loc.Pack, err)
	}
	return chunk, nil
}

// segment returns the chunks of the segment at loc, from the cache if it can.
func (l *Loader) segment(ctx context.Context, kind pack.Kind, loc index.Location) ([][]byte, error) {
	key := segmentKey{loc.Pack, loc.Offset}
	l.mu.Lock()
	if e, ok := l.cache[key]; ok {
		l.order.MoveToFront(e)
		l.mu.Unlock()
		return e.Value.(*cached).chunks, nil
	}
	l.mu.Unlock()
	o := l.decoders.Get().(*opener)
	defer l.decoders.Put(o)
	if cap(o.box) < int(loc.Length) {
		o.box = make([]byte, loc.Length)
	}
	box := o.box[:loc.Length]
	if err := ReadSegment(ctx, l.store, loc, box); err != nil {
		return nil, err
	}
	opened, err := l.OpenAt(ctx, o.decoder, kind, loc, box, Near{})
	if err != nil {
		return nil, fmt.Errorf("pack %s at %d: %w", loc.Pack, loc.Offset, err)
	}
	c := &cached{key: key}
	for _, chunk := range opened {
		c.bytes += len(chunk)
	}
	all := make([]byte, 0, c.bytes)
	for _, chunk := range opened {
		start := len(all)
		all = append(all, chunk...)
		c.chunks = append(c.chunks, all[start:len(all):len(all)])
	}
	l.remember(c)
	return c.chunks, nil
}

// NewDecoder returns a decoder for one goroutine, to use with Open. It keeps its buffers, which take 32 MiB at most.
func (l *Loader) NewDecoder() *pack.Decoder {
	d := pack.NewDecoder(&l.keys.ChunkIDs, &l.decompressor)
	d.KeepLarge()
	return d
}

// Open opens the segment in box with the key that it names. The chunks are valid until
// the decoder's next call.
func (l *Loader) Open(ctx context.Context, d *pack.Decoder, kind pack.Kind, box []byte) ([][]byte, error) {
	key, err := l.keys.keyFor(ctx, kind, box)
	if err != nil {
		return nil, err
	}
	return d.Open(key, kind, box)
}

// Near is a stretch of a pack that is at hand.
type Near struct {
	Offset int64
	Data   []byte
}

// OpenAt is Open for the segment at loc, which may have a dictionary. That is taken from near, which may be empty, if it stands there, and else read.
func (l *Loader) OpenAt(ctx context.Context, d *pack.Decoder, kind pack.Kind, loc index.Location, box []byte, near Near) ([][]byte, error) {
	if loc.Dictionary.Length == 0 {
		return l.Open(ctx, d, kind, box)
	}
	with, err := l.dictionary(ctx, loc, near)
	if err != nil {
		return nil, fmt.Errorf("dictionary at %d: %w", loc.Dictionary.Offset, err)
	}
	return l.OpenWith(ctx, d, box, with)
}

// OpenWith is Open for a segment of file data that has a dictionary.
func (l *Loader) OpenWith(ctx context.Context, d *pack.Decoder, box []byte, with *pack.Dictionary) ([][]byte, error) {
	key, err := l.keys.keyFor(ctx, pack.KindData, box)
	if err != nil {
		return nil, err
	}
	return d.OpenPrimed(key, box, with)
}

// dictionary returns the dictionary of the segment at loc.
func (l *Loader) dictionary(ctx context.Context, loc index.Location, near Near) (*pack.Dictionary, error) {
	at := loc.Dictionary
	key := segmentKey{loc.Pack, at.Offset}
	if d := l.primer(key); d != nil {
		return d, nil
	}
	if at.Length > pack.MaxSegmentBoxSize {
		return nil, fmt.Errorf("%w: segment of %d bytes", pack.ErrCorrupt, at.Length)
	}
	var box []byte
	if from := int64(at.Offset) - near.Offset; from >= 0 && from+int64(at.Length) <= int64(len(near.Data)) {
		box = near.Data[from : from+int64(at.Length)]
	} else {
		box = make([]byte, at.Length)
		if err := ReadSegment(ctx, l.store, index.Location{Pack: loc.Pack, Class: loc.Class, Offset: at.Offset}, box); err != nil {
			return nil, err
		}
	}
	o := l.decoders.Get().(*opener)
	defer l.decoders.Put(o)
	chunks, err := l.Open(ctx, o.decoder, pack.KindData, box)
	if err != nil {
		return nil, err
	}
	d, err := pack.NewDictionary(chunks)
	if err != nil {
		return nil, err
	}
	return l.keep(key, d), nil
}

// keep keeps a dictionary, unless somebody else has done so, and returns the one that is kept.
func (l *Loader) keep(key segmentKey, d *pack.Dictionary) *pack.Dictionary {
	l.mu.Lock()
	defer l.mu.Unlock()
	if i := slices.IndexFunc(l.primes, func(p primer) bool { return p.key == key }); i >= 0 {
		return l.primes[i].dictionary
	}
	l.primes = slices.Insert(l.primes[:min(len(l.primes), keptPrimers-1)], 0, primer{key, d})
	return d
}

// primer returns a dictionary that is kept, or nil.
func (l *Loader) primer(key segmentKey) *pack.Dictionary {
	l.mu.Lock()
	defer l.mu.Unlock()
	i := slices.IndexFunc(l.primes, func(p primer) bool { return p.key == key })
	if i < 0 {
		return nil
	}
	found := l.primes[i]
	copy(l.primes[1:i+1], l.primes[:i])
	l.primes[0] = found
	return found.dictionary
}

func (l *Loader) remember(c *cached) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, ok := l.cache[c.key]; ok || c.bytes > l.limit {
		return
	}
	l.cache[c.key] = l.order.PushFront(c)
	l.bytes += c.bytes
	for l.bytes > l.limit {
		last := l.order.Back()
		old := last.Value.(*cached)
		l.order.Remove(last)
		delete(l.cache, old.key)
		l.bytes -= old.bytes
	}
}

// ReadSegment reads the segment at loc, or a longer range that begins there, into box.
func ReadSegment(ctx context.Context, store Store, loc index.Location, box []byte) error {
	n, err := store.ReadAt(ctx, pack.Name(loc.Class, loc.Pack), box, int64(loc.Offset))
	if n == len(box) {
		return nil
	}
	if err == nil || errors.Is(err, io.EOF) {
		err = fmt.Errorf("%w: cut off", pack.ErrCorrupt)
	} else if errors.Is(err, fs.ErrNotExist) {
		err = fmt.Errorf("%w: missing: %w", pack.ErrCorrupt, err)
	}
	return fmt.Errorf("pack %s: %w", loc.Pack, err)
}
