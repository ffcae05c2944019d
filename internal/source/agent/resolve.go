package agent

import (
	"errors"
	"fmt"

	"github.com/snapkeep/snap/internal/protocol"
)

// resolve looks up the chunks of which only hashes came. It does not wait: the first look may read much.
func (f *fetcher) resolve(files []*file) {
	f.s.group.Go(func() {
		f.resolving.Lock()
		defer f.resolving.Unlock()
		for _, x := range files {
			if err := f.resolveFile(x); err != nil {
				f.s.broken(err)
				return
			}
		}
		f.pump(false)
	})
}

// resolveFile looks up the chunks of a file. A small one whose chunks are not all known is read again, to be sent.
func (f *fetcher) resolveFile(x *file) error {
	x.mu.Lock()
	var hashed []*part
	for _, p := range x.parts {
		if p.state == partHashed {
			hashed = append(hashed, p)
		}
	}
	x.mu.Unlock()
	all := true
	for _, p := range hashed {
		id, known, err := f.known(p.hash)
		if err != nil {
			return err
		}
		x.mu.Lock()
		if p.state = partMissing; known {
			p.known, p.state = id, partReady
		}
		x.mu.Unlock()
		all = all && known
	}
	if !x.small {
		x.mu.Lock()
		x.moved.Broadcast()
		x.mu.Unlock()
		f.pumpLarge(x)
		return nil
	}
	if all {
		x.mu.Lock()
		x.complete()
		x.mu.Unlock()
		return nil
	}
	x.mu.Lock()
	x.restart()
	x.mu.Unlock()
	f.mu.Lock()
	f.unknown = append(f.unknown, x)
	f.mu.Unlock()
	return nil
}

// pumpLarge asks for more of a large file, as far as there is room.
func (f *fetcher) pumpLarge(x *file) {
	for {
		x.mu.Lock()
		c := x.nextCall(f)
		x.mu.Unlock()
		if c == nil {
			return
		}
		f.s.link.send(c)
	}
}

// nextCall makes the next question about a large file, nil if there is none to ask. x.mu is held.
func (x *file) nextCall(f *fetcher) call {
	if x.err != nil || x.closed || f.s.err() != nil {
		return nil
	}
	if c := x.nextFetch(f); c != nil {
		return c
	}
	if x.whole || x.asking {
		return nil
	}
	c := &readCall{f: f, files: []*file{x}, send: f.s.past == nil || f.s.past.Empty(), most: largeRead}
	room := int64(largeAhead)
	if !c.send {
		c.most, room = largeHashes, largeHashes
	}
	if len(x.parts) > 0 && (x.told-x.parts[0].offset >= room || x.held+x.flying >= largeAhead) {
		return nil
	}
	x.asking = true
	return c
}

// nextFetch makes a question for chunks that are not known. x.mu is held.
func (x *file) nextFetch(f *fetcher) call {
	c := &fetchCall{f: f, x: x}
	sum := int64(0)
	for _, p := range x.parts {
		if p.state == partHashed || (sum > 0 && sum+p.length > fetchBytes) || len(c.parts) == protocol.MaxFiles {
			break // what comes before it is looked up first
		}
		if p.state != partMissing {
			continue
		}
		if x.held+x.flying+sum > 0 && x.held+x.flying+sum+p.length > largeAhead {
			break
		}
		sum += p.length
		p.state, p.asked = partFetched, p.length
		c.parts = append(c.parts, p)
	}
	if len(c.parts) == 0 {
		return nil
	}
	x.flying += sum
	return c
}

// fetchCall asks for chunks of a large file.
type fetchCall struct {
	f     *fetcher
	x     *file
	parts []*part
	asked []*part // of the question that was asked last
}

func (c *fetchCall) question() (protocol.Type, []byte, error) {
	m := protocol.FetchRequest{Path: c.x.path, Inode: c.x.stat.Inode}
	c.asked = nil
	c.x.mu.Lock()
	defer c.x.mu.Unlock()
	for _, p := range c.parts {
		if p.state == partFetched {
			c.asked = append(c.asked, p)
			m.Pieces = append(m.Pieces, protocol.Piece{Offset: p.offset, Length: p.length})
		}
	}
	return protocol.Fetch, m.Append(nil), nil
}

func (c *fetchCall) answer(f *protocol.Frame) error {
	if f.Type != protocol.Fetch|protocol.Answer {
		return errors.New("an answer of another type")
	}
	return protocol.ParseItems(f.Payload, c.take)
}

func (c *fetchCall) take(it *protocol.Item) error {
	x := c.x
	if it.File >= len(c.asked) {
		return fmt.Errorf("chunk %d of %d", it.File, len(c.asked))
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	p := c.asked[it.File]
	switch {
	case p.state != partFetched:
		return fmt.Errorf("a chunk of %q comes twice", x.path)
	case it.Kind == protocol.ItemFailed && it.Err.Code == protocol.CodeReplaced:
		p.state, p.length = partReady, 0 // the file is shorter by now: it shows as changed
	case it.Kind == protocol.ItemFailed:
		x.fail(it.Err)
		p.state = partReady
	case it.Kind != protocol.ItemChunk || it.Length > p.length:
		return fmt.Errorf("a chunk of %q of %d bytes, want %d", x.path, it.Length, p.length)
	default:
		if err := c.f.s.count(0, it.Length, 0); err != nil {
			return err
		}
		p.data, p.state = append(make([]byte, 0, len(it.Data)), it.Data...), partReady
		x.held += it.Length
	}
	x.moved.Broadcast()
	return nil
}

func (c *fetchCall) end(err error) {
	x := c.x
	x.mu.Lock()
	for _, p := range c.parts {
		x.flying -= p.asked
		if p.state == partFetched && err == nil {
			err = fmt.Errorf("%w: not all chunks of %q came", ErrProtocol, x.path)
		}
	}
	if err != nil {
		x.fail(err)
	}
	x.moved.Broadcast()
	x.mu.Unlock()
	c.f.pumpLarge(x)
}
