package chunks

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"

	"github.com/snapkeep/snap/index"
	"github.com/snapkeep/snap/pack"
	"golang.org/x/sync/errgroup"
)

// sealedSegment is a segment on its way to a pack.
type sealedSegment struct {
	kind   pack.Kind
	box    []byte // returned to the pool after it was written
	chunks []pack.Chunk
}

// packer appends segments to the open pack of one class, in one goroutine.
type packer struct {
	w       *Writer
	class   pack.Class
	in      chan sealedSegment
	open    *pack.Writer
	file    spool
	commits errgroup.Group
}

// spool is a file of which the name is not yet known.
type spool struct {
	w      io.WriteCloser
	commit func(ctx context.Context, name string) error
}

func (p *packer) run(ctx context.Context) (err error) {
	p.commits.SetLimit(maxUnfinishedCommits)
	defer func() {
		err = errors.Join(err, p.commits.Wait())
		if p.file.w != nil {
			p.file.w.Close()
		}
	}()
	for {
		select {
		case s, ok := <-p.in:
			if !ok {
				return p.finish(ctx)
			}
			if err := p.add(ctx, s); err != nil {
				return err
			}
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

func (p *packer) add(ctx context.Context, s sealedSegment) error {
	if p.open == nil {
		file, err := newSpool(ctx, p.w.store)
		if err != nil {
			return err
		}
		p.file, p.open = file, pack.NewWriter(file.w, p.class, p.w.keys.Repository)
	}
	if err := p.open.Add(s.kind, s.box, s.chunks); err != nil {
		return err
	}
	p.w.boxes.Put(&s.box)
	if p.open.Size() >= int64(p.w.opts.PackSize) {
		return p.finish(ctx)
	}
	return nil
}

// finish ends the open pack, and makes it durable beside the next.
func (p *packer) finish(ctx context.Context) error {
	if p.open == nil {
		return nil
	}
	id, directory, size, err := p.open.Finish(p.w.keys.Metadata, nil)
	if err != nil {
		return err
	}
	file := p.file
	p.open, p.file = nil, spool{}
	p.commits.Go(func() error {
		defer file.w.Close()
		// A pack of this name would hold the same bytes.
		if err := file.commit(ctx, pack.Name(p.class, id)); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
		return p.w.packDone(ctx, index.Pack{ID: id, Class: p.class, Size: size, Directory: directory})
	})
	return nil
}

func newSpool(ctx context.Context, store Store) (spool, error) {
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
