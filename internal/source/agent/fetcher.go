package agent

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/snapkeep/snap/internal/protocol"
	"github.com/snapkeep/snap/internal/source"
	"github.com/snapkeep/snap/internal/tree"
	"github.com/snapkeep/snap/pack"
)

// Bounds of what is read ahead.
const (
	smallFile   = 1 << 20  // files up to so many bytes are read in one answer, with others
	sendAtOnce  = 4 << 10  // asking whether a file of so many bytes is known costs as much as it
	readBatch   = 256      // small files of a question
	batchBytes  = 2 << 20  // and their bytes
	readsAhead  = 24       // questions for small files under way
	bytesAhead  = 32 << 20 // of small files that were asked for and not used
	largeAhead  = 16 << 20 // of a large file that were asked for and not used
	largeRead   = 8 << 20  // bytes of a large file that a question asks for
	largeHashes = 48 << 20 // bytes of a large file whose hashes a question asks for
	smallHeld   = 64 << 20 // bytes of memory that small files take, whatever they were listed as
	fetchBytes  = 4 << 20  // of chunks that are fetched by one question

	questionPaths = 1 << 20 // bytes of the paths of a question

	// A file has at most fewPieces pieces, and one for each leastPiece bytes: a cutter has a least size, and holes are made of blocks.
	fewPieces  = 64
	leastPiece = 512
	partCost   = 192 // bytes of memory of a part, about
)

// fetcher brings the content of files.
type fetcher struct {
	s *Source

	resolving sync.Mutex // held while chunks are looked up

	mu      sync.Mutex // guards what follows
	files   map[string]*file
	waiting []*file // small ones that were not asked for
	unknown []*file // small ones whose hash is not known: to be sent
	flying  int     // questions for small files under way
	held    int64   // bytes of small files that were asked for and not used
	taken   int64   // bytes of memory of small files that came and were not used
}

func newFetcher(s *Source) *fetcher { return &fetcher{s: s, files: map[string]*file{}} }

// file is a regular file, as source.File.
type file struct {
	f     *fetcher
	path  string
	stat  tree.Stat     // as it was listed
	size  int64         // that was counted in held
	small bool          // changed by open only
	ready chan struct{} // a small file's: closed when it is complete

	// What follows is guarded by mu; of a small file that is ready it belongs to the reader.
	mu     sync.Mutex
	moved  sync.Cond // a large file's: something came
	begun  bool
	before tree.Entry
	flaw   *protocol.Error // what could not be described
	after  *tree.Stat
	parts  []*part
	told   int64 // how far items have come
	whole  bool  // told is the end
	asking bool  // a question for items is under way
	flying int64 // bytes of chunks that are being fetched
	held   int64 // bytes in parts
	pieces int64 // that came so far
	cost   int64 // a small file's: bytes of memory, counted in taken
	// dropped says that a small file took too much room while it was not needed: it is read again as a large one.
	dropped bool
	err     error
	done    bool // ready is closed

	// Of the reader.
	current *part
	data    []byte
	ended   bool
	torn    bool // a chunk is not the one whose hash was told
	closed  bool
}

// part is a piece of the content: a hole, a stored chunk, or data that came or will come.
type part struct {
	offset, length int64
	hole           bool
	known          pack.ChunkID
	hash           [32]byte
	asked          int64 // bytes that were asked for, if it was fetched
	state          partState
	data           []byte
}

type partState uint8

const (
	partReady   partState = iota // a hole, a stored chunk, or data that is there
	partHashed                   // only the hash is there
	partMissing                  // and is not known
	partFetched                  // and the chunk was asked for
)

func (f *fetcher) newFile(path string, st *tree.Stat) *file {
	x := &file{f: f, path: path, stat: *st, small: st.Size >= 0 && st.Size <= smallFile, ready: make(chan struct{})}
	x.moved.L = &x.mu
	return x
}

// prefetch has a small file read as soon as there is room.
func (f *fetcher) prefetch(path string, st *tree.Stat) {
	x := f.newFile(path, st)
	if !x.small {
		return
	}
	f.mu.Lock()
	if f.files[path] != nil {
		f.mu.Unlock()
		return
	}
	f.files[path] = x
	f.waiting = append(f.waiting, x)
	f.mu.Unlock()
	f.pump(false)
}

// pump asks for small files as far as there is room. A question waits until there is enough for it, or nothing else
// is under way, or flush.
func (f *fetcher) pump(flush bool) {
	for {
		f.mu.Lock()
		c := f.next(flush)
		f.mu.Unlock()
		if c == nil {
			return
		}
		f.s.link.send(c)
	}
}

// next makes the next question, nil if there is none to ask. f.mu is held.
func (f *fetcher) next(flush bool) *readCall {
	if f.flying >= readsAhead {
		return nil
	}
	if n := len(f.unknown); n >= readBatch/4 || (n > 0 && (flush || f.flying == 0)) {
		c := &readCall{f: f, send: true}
		bytes, paths := int64(0), 0
		for len(f.unknown) > 0 && len(c.files) < readBatch && bytes < batchBytes && paths < questionPaths {
			c.files = append(c.files, f.unknown[0])
			bytes += f.unknown[0].size
			paths += len(f.unknown[0].path)
			f.unknown = f.unknown[1:]
		}
		f.flying++
		return c
	}
	if n := len(f.waiting); n == 0 || (n < readBatch/4 && !flush && f.flying > 0) {
		return nil
	}
	c := &readCall{f: f, send: f.s.past == nil || f.s.past.Empty()}
	bytes, paths := int64(0), 0
	for len(f.waiting) > 0 && len(c.files) < readBatch && bytes < batchBytes && paths < questionPaths {
		x := f.waiting[0]
		if f.held > 0 && f.held+x.stat.Size > bytesAhead {
			break
		}
		x.size = x.stat.Size
		f.held += x.size
		bytes += x.size
		paths += len(x.path)
		c.files = append(c.files, x)
		f.waiting = f.waiting[1:]
	}
	if len(c.files) == 0 {
		return nil
	}
	f.flying++
	return c
}

// open returns the file at path, which was listed as st.
func (f *fetcher) open(ctx context.Context, path string, st *tree.Stat) (source.File, error) {
	f.mu.Lock()
	x := f.files[path]
	delete(f.files, path)
	if x != nil && (x.stat.Inode != st.Inode || x.stat.Size != st.Size) {
		x = nil
	}
	urgent := false
	if x == nil || f.unasked(x) {
		x, urgent = f.newFile(path, st), true
	}
	f.mu.Unlock()
	if urgent && x.small {
		f.s.link.send(&readCall{f: f, files: []*file{x}, send: f.s.past == nil || f.s.past.Empty(), urgent: true})
	} else {
		f.pump(true)
	}
	if !x.small {
		return f.openLarge(ctx, x)
	}
	if err := f.s.wait(ctx, x.ready); err != nil {
		return nil, err
	}
	x.mu.Lock()
	err, whole := x.err, x.whole
	if x.small = whole; !whole {
		x.dropped = false
	}
	x.mu.Unlock()
	if err != nil {
		x.Close()
		return nil, err
	}
	if !whole {
		return f.openLarge(ctx, x) // it has grown, or there was no room for it
	}
	return x, nil
}

// unasked takes a file out of those that wait to be asked for, and reports whether it was one. f.mu is held.
func (f *fetcher) unasked(x *file) bool {
	for i, w := range f.waiting {
		if w == x {
			f.waiting = append(f.waiting[:i], f.waiting[i+1:]...)
			return true
		}
	}
	return false
}

// release gives back the room of a small file.
func (f *fetcher) release(x *file) {
	f.mu.Lock()
	f.held -= x.size
	x.size = 0
	f.mu.Unlock()
	f.pump(false)
}

// takes notes that a small file takes more memory. What was listed as small may have grown, come in many pieces or with large attributes:
// if all of them take too much this one is dropped. x.mu is held.
func (f *fetcher) takes(x *file, more int64) {
	if !x.small || x.dropped {
		return
	}
	x.cost += more
	f.mu.Lock()
	f.taken += more
	full := f.taken > smallHeld
	f.mu.Unlock()
	if full {
		x.dropped = true
		x.restart()
	}
}

// restart forgets all that came of a file, so that it can be read again. x.mu is held.
func (x *file) restart() {
	x.parts, x.told, x.pieces, x.begun, x.before, x.flaw, x.after, x.held, x.whole = nil, 0, 0, false, tree.Entry{}, nil, nil, 0, false
	x.giveBack()
}

// giveBack gives back the memory of a small file. x.mu is held.
func (x *file) giveBack() {
	x.f.mu.Lock()
	x.f.taken -= x.cost
	x.f.mu.Unlock()
	x.cost = 0
}

// known looks a chunk up in what is stored of the source.
func (f *fetcher) known(hash [32]byte) (pack.ChunkID, bool, error) {
	if f.s.past == nil {
		return pack.ChunkID{}, false, nil
	}
	id, ok, err := f.s.past.Known(f.s.ctx, hash)
	if err != nil {
		return id, false, fmt.Errorf("look up a chunk: %w: %w", source.ErrBroken, err)
	}
	return id, ok, nil
}

// readCall asks for files: several small ones, or a part of a large one.
type readCall struct {
	f      *fetcher
	files  []*file
	send   bool
	most   int64 // of a large file
	urgent bool  // it is not counted in flying
	next   int   // the first file that is not answered for
	base   int   // the first file of the question that was asked last
	inside bool  // the answer for next has begun
	sum    int64 // of what was told of it
	fresh  []*file
}

func (c *readCall) question() (protocol.Type, []byte, error) {
	var m protocol.ReadRequest
	c.base, c.inside, c.sum = c.next, false, 0
	for _, x := range c.files[c.next:] {
		x.mu.Lock()
		q := protocol.FileQuestion{Path: x.path, Inode: x.stat.Inode, From: x.told, Most: c.limit(), Send: c.sends(x)}
		x.mu.Unlock()
		m.Files = append(m.Files, q)
	}
	return protocol.Read, m.Append(nil), nil
}

// limit returns how many bytes of a file the question asks for.
func (c *readCall) limit() int64 {
	if c.most > 0 {
		return c.most
	}
	return smallFile
}

func (c *readCall) sends(x *file) bool { return c.send || (x.small && x.stat.Size <= sendAtOnce) }

func (c *readCall) answer(f *protocol.Frame) error {
	if f.Type != protocol.Read|protocol.Answer {
		return errors.New("an answer of another type")
	}
	if err := protocol.ParseItems(f.Payload, c.take); err != nil {
		return err
	}
	if !f.More && c.next < len(c.files) {
		return errors.New("not all files are answered for")
	}
	if len(c.fresh) > 0 {
		c.f.resolve(c.fresh)
		c.fresh = nil
	}
	return nil
}

func (c *readCall) take(it *protocol.Item) error {
	if c.next == len(c.files) || it.File != c.next-c.base {
		return fmt.Errorf("an item of file %d, which is not in turn", it.File)
	}
	x := c.files[c.next]
	x.mu.Lock()
	defer x.mu.Unlock()
	switch it.Kind {
	case protocol.ItemBegin:
		return c.begin(x, it)
	case protocol.ItemHole, protocol.ItemChunk, protocol.ItemHash:
		return c.content(x, it)
	case protocol.ItemEnd:
		return c.ended(x, it)
	}
	c.next, c.inside = c.next+1, false
	x.fail(it.Err)
	return nil
}

func (c *readCall) begin(x *file, it *protocol.Item) error {
	if c.inside {
		return fmt.Errorf("file %q begins twice", x.path)
	}
	if it.Entry.Kind != tree.Regular || it.Entry.Size < 0 {
		return fmt.Errorf("file %q is of kind %d, %d bytes long", x.path, it.Entry.Kind, it.Entry.Size)
	}
	c.inside, c.sum = true, 0
	if x.begun || x.dropped {
		return nil
	}
	xattrs := xattrBytes(it.Entry.Xattrs)
	x.begun, x.before, x.flaw = true, it.Entry, it.Err
	x.moved.Broadcast()
	c.f.takes(x, xattrs)
	return c.f.s.count(0, 0, xattrs)
}

func xattrBytes(all []tree.Xattr) (n int64) {
	for _, a := range all {
		n += int64(len(a.Name) + len(a.Value))
	}
	return n
}

// content takes a piece of content. x.mu is held.
func (c *readCall) content(x *file, it *protocol.Item) error {
	if !c.inside || c.sum >= c.limit() {
		return fmt.Errorf("content of file %q that was not asked for", x.path)
	}
	if x.dropped { // it is read again when it is needed
		c.sum += it.Length
		return c.f.s.count(0, int64(len(it.Data)), 0)
	}
	if x.told+it.Length > x.before.Size || x.told+it.Length < 0 {
		return fmt.Errorf("file %q is longer than the %d bytes it began with", x.path, x.before.Size)
	}
	if x.pieces++; x.pieces > fewPieces+(x.told+it.Length)/leastPiece {
		return fmt.Errorf("%w: file %q comes in %d pieces at %d bytes", ErrLimit, x.path, x.pieces, x.told)
	}
	p := &part{offset: x.told, length: it.Length}
	switch it.Kind {
	case protocol.ItemHole:
		p.hole = true
	case protocol.ItemChunk:
		if !c.sends(x) {
			return fmt.Errorf("data of file %q, of which hashes were asked for", x.path)
		}
		p.data = append(make([]byte, 0, len(it.Data)), it.Data...)
		x.held += it.Length
		if err := c.f.s.count(0, it.Length, 0); err != nil {
			return err
		}
	case protocol.ItemHash:
		if c.sends(x) {
			return fmt.Errorf("a hash of file %q, of which data was asked for", x.path)
		}
		p.hash, p.state = it.Hash, partHashed
		if !x.small && (len(c.fresh) == 0 || c.fresh[len(c.fresh)-1] != x) {
			c.fresh = append(c.fresh, x)
		}
	}
	x.told += it.Length
	c.sum += it.Length
	x.parts = append(x.parts, p)
	x.moved.Broadcast()
	c.f.takes(x, partCost+int64(len(it.Data)))
	return nil
}

// ended takes the end of the answer for a file. x.mu is held.
func (c *readCall) ended(x *file, it *protocol.Item) error {
	if !c.inside || (!it.Whole && c.sum < c.limit()) {
		return fmt.Errorf("file %q ends too early", x.path)
	}
	c.next, c.inside = c.next+1, false
	if x.dropped {
		x.complete()
		return nil
	}
	after := it.Entry.Stat
	x.after, x.whole = &after, it.Whole
	x.moved.Broadcast()
	if !x.small {
		return nil
	}
	for _, p := range x.parts {
		if p.state == partHashed {
			c.fresh = append(c.fresh, x)
			return nil
		}
	}
	x.complete()
	return nil
}

func (c *readCall) end(err error) {
	for ; c.next < len(c.files); c.next++ {
		x := c.files[c.next]
		x.mu.Lock()
		x.fail(err)
		x.mu.Unlock()
	}
	if c.most > 0 {
		x := c.files[0]
		x.mu.Lock()
		x.asking = false
		x.moved.Broadcast()
		x.mu.Unlock()
		c.f.pumpLarge(x)
		return
	}
	if !c.urgent {
		c.f.mu.Lock()
		c.f.flying--
		c.f.mu.Unlock()
	}
	c.f.pump(false)
}

// fail ends a file with an error. x.mu is held.
func (x *file) fail(err error) {
	if err == nil {
		err = fmt.Errorf("%w: a file without an answer", ErrProtocol)
	}
	if x.err == nil {
		x.err = err
	}
	x.complete()
	x.moved.Broadcast()
}

// complete says that a small file has all that was asked for. x.mu is held.
func (x *file) complete() {
	if x.small && !x.done {
		x.done = true
		close(x.ready)
	}
}
