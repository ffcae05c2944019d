package chunks

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"sync"
	"sync/atomic"
	"time"

	"github.com/snapkeep/snap/index"
	"github.com/snapkeep/snap/pack"
	"golang.org/x/sync/errgroup"
)

// packer appends segments to the open pack of one class and life. Those who made a segment append it themselves, one at a time: what waits in a queue
// would be in memory, as the first few of a pack do.
type packer struct {
	w       *Writer
	class   pack.Class
	least   int             // bytes of segments with which a pack is begun
	commits *errgroup.Group // of the packers of the class

	mu           sync.Mutex   // guards what follows
	open         *pack.Writer // nil if no pack is begun
	file         spool
	dictionaries map[*atomic.Bool]int // numbers of their segments in the open pack, by what tells of their end
	held         held                 // nothing if a pack is begun
}

// spool is a file of which the name is not yet known.
type spool struct {
	w      io.WriteCloser
	commit func(ctx context.Context, name string) error
}

// add appends a segment to the open pack, or holds it until there are enough for one. box is not kept. A failure ends the Writer's context.
func (p *packer) add(s sealedSegment) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := context.Cause(p.w.ctx); err != nil {
		return err
	}
	if p.open == nil && p.held.bytes+len(s.box) < p.least {
		p.held.add(s)
		return nil
	}
	err := p.appendAll(p.held.take())
	if err == nil {
		err = p.append(s)
	}
	if err != nil {
		p.w.fail(err)
	}
	return err
}

// addAll appends segments to the open pack, or begins one if there are some.
func (p *packer) addAll(h held) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	err := context.Cause(p.w.ctx)
	if err == nil {
		err = p.appendAll(h)
	}
	if err != nil {
		p.w.fail(err)
	}
	return err
}

func (p *packer) appendAll(h held) error {
	for _, s := range h.segments {
		if err := p.append(s); err != nil {
			return err
		}
	}
	return nil
}

func (p *packer) takeHeld() held {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.held.take()
}

func (p *packer) isOpen() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.open != nil
}

// append appends a segment, and before it its dictionary if the open pack does not have it.
func (p *packer) append(s sealedSegment) error {
	if p.open == nil {
		file, err := newSpool(p.w.outer, p.w.store, p.class)
		if err != nil {
			return err
		}
		p.file, p.open = file, pack.NewWriter(file.w, p.class, p.w.keys.Repository)
	}
	if err := p.write(s); err != nil {
		return err
	}
	if p.open.IsFull(int64(p.w.opts.PackSize)) {
		return p.finish()
	}
	return nil
}

func (p *packer) write(s sealedSegment) error {
	if s.with == nil {
		if s.is != nil {
			p.hold(s.is)
		}
		return p.open.Add(s.kind, s.box, s.chunks)
	}
	number, ok := p.dictionaries[s.with.ended]
	if !ok || !p.open.CanPrime(number) {
		number = p.hold(s.with)
		if err := p.open.Add(s.with.kind, s.with.box, s.with.chunks); err != nil {
			return err
		}
	}
	return p.open.AddPrimed(number, s.box, s.chunks)
}

// hold notes that the next segment of the open pack is a dictionary, and returns its number.
func (p *packer) hold(d *dictionary) int {
	if p.dictionaries == nil {
		p.dictionaries = map[*atomic.Bool]int{}
	}
	p.dictionaries[d.ended] = p.open.Segments()
	return p.open.Segments()
}

// finish ends the open pack, and makes it durable beside the next. It is called with mu held.
func (p *packer) finish() error {
	if p.open == nil {
		return nil
	}
	id, directory, size, err := p.open.Finish(p.w.keys.Metadata, nil)
	if err != nil {
		return err
	}
	file := p.file
	for ended := range p.dictionaries {
		ended.Store(true)
	}
	p.open, p.file, p.dictionaries = nil, spool{}, nil
	p.commits.Go(func() error {
		err := p.commit(file, index.Pack{ID: id, Class: p.class, Size: size, Directory: directory, Stored: index.DayOf(p.w.opts.Now())})
		if err != nil {
			p.w.fail(err)
		}
		return err
	})
	return nil
}

// commit makes a pack durable. It goes on when the run has failed elsewhere: what is stored serves the next run.
func (p *packer) commit(file spool, made index.Pack) error {
	defer file.w.Close()
	before := Age{Stored: p.w.storageTime(), Local: time.Now().Round(0)}
	err := file.commit(p.w.outer, pack.Name(p.class, made.ID))
	if errors.Is(err, fs.ErrExist) {
		err, before.Stored = nil, time.Time{} // it holds the same bytes, and may be there for long
	}
	if err != nil {
		return err
	}
	return p.w.packDone(p.w.outer, made, before)
}

// end ends the open pack, or drops it if the run has failed.
func (p *packer) end() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	err := context.Cause(p.w.ctx)
	if err == nil {
		err = p.finish()
	}
	if p.file.w != nil {
		p.file.w.Close()
		p.open, p.file = nil, spool{}
	}
	return err
}

func newSpool(ctx context.Context, store Store, class pack.Class) (spool, error) {
	if s, ok := store.(metaSpooler); ok && class == pack.ClassMeta {
		w, commit, err := s.SpoolMeta(ctx)
		return spool{w, commit}, err
	}
	if s, ok := store.(spooler); ok {
		w, commit, err := s.Spool(ctx)
		return spool{w, commit}, err
	}
	m := &memorySpool{}
	return spool{m, func(ctx context.Context, name string) error {
		return store.Create(ctx, name, bytes.NewReader(m.data), int64(len(m.data)))
	}}, nil
}

// memorySpool holds a pack for stores that need its name first.
type memorySpool struct{ data []byte }

func (m *memorySpool) Write(p []byte) (int, error) {
	m.data = append(m.data, p...)
	return len(p), nil
}

func (m *memorySpool) Close() error {
	m.data = nil
	return nil
}
