package prune

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"

	"github.com/snapkeep/snap/index"
	"github.com/snapkeep/snap/internal/chunks"
	"github.com/snapkeep/snap/internal/seal"
	"github.com/snapkeep/snap/pack"
)

// ErrDamaged says that a pack's bytes do not match its name, so that nothing is copied from it.
var ErrDamaged = errors.New("pack is damaged")

// Copier copies sealed segments to new packs. It serves one goroutine.
type Copier struct {
	store    chunks.Store
	metadata *seal.Key
	repo     [16]byte
	packSize int64

	buffer []byte // a whole pack
	open   [pack.ClassMeta + 1][streams]openPack
	done   []index.Pack
	copied int64
}

// openPack is a pack that is being written.
type openPack struct {
	w      *pack.Writer
	file   io.WriteCloser
	commit func(ctx context.Context, name string) error
}

// NewCopier returns a Copier that makes packs of about packSize bytes in the store. metadata seals and opens
// directories.
func NewCopier(store chunks.Store, metadata *seal.Key, repo [16]byte, packSize int) *Copier {
	if packSize == 0 {
		packSize = chunks.DefaultPackSize
	}
	return &Copier{store: store, metadata: metadata, repo: repo, packSize: int64(packSize)}
}

// Copy copies the segments of a pack of size bytes to the streams that stream gives for their offsets, and returns how many bytes these are.
// It reads the whole pack and compares its hash with the name first: the error wraps ErrDamaged if they differ, and
// then nothing was copied.
func (c *Copier) Copy(ctx context.Context, class pack.Class, id pack.ID, size int64, stream func(offset uint32) Stream) (int64, error) {
	data, err := c.read(ctx, class, id, size)
	if err != nil {
		return 0, err
	}
	got, directory, err := pack.ReadDirectoryFrom(memory(data), size, c.metadata, c.repo)
	if err == nil && got != class {
		err = fmt.Errorf("%w: class %d", pack.ErrCorrupt, got)
	}
	if err != nil {
		return 0, fmt.Errorf("pack %s: %w: %w", id, ErrDamaged, err)
	}
	copied := int64(0)
	for _, s := range directory {
		to := stream(s.Offset)
		if to == Leave {
			continue
		}
		if err := c.add(ctx, to, s, data[s.Offset:s.Offset+s.Length]); err != nil {
			return copied, err
		}
		copied += int64(s.Length)
	}
	c.copied += copied
	return copied, nil
}

// read returns the bytes of a pack, which match its name, until the next call.
func (c *Copier) read(ctx context.Context, class pack.Class, id pack.ID, size int64) ([]byte, error) {
	if size < 0 || size > pack.MaxPackSize {
		return nil, fmt.Errorf("pack %s: %w: %d bytes", id, ErrDamaged, size)
	}
	if int64(cap(c.buffer)) < size {
		c.buffer = make([]byte, size)
	}
	data := c.buffer[:size]
	n, err := c.store.ReadAt(ctx, pack.Name(class, id), data, 0)
	switch {
	case n == len(data):
	case err == nil, errors.Is(err, io.EOF):
		return nil, fmt.Errorf("pack %s: %w: cut off", id, ErrDamaged)
	default:
		return nil, err
	}
	if pack.SumID(data) != id {
		return nil, fmt.Errorf("pack %s: %w: its bytes do not match its name", id, ErrDamaged)
	}
	return data, nil
}

// memory is bytes as an io.ReaderAt.
type memory []byte

func (m memory) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 || off > int64(len(m)) {
		return 0, io.EOF
	}
	n := copy(p, m[off:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// Add adds a sealed segment from elsewhere.
func (c *Copier) Add(ctx context.Context, s pack.Segment, box []byte) error {
	c.copied += int64(len(box))
	return c.add(ctx, Current, s, box)
}

func (c *Copier) add(ctx context.Context, to Stream, s pack.Segment, box []byte) error {
	class := s.Kind.Class()
	p := &c.open[class][to]
	if p.w == nil {
		w, commit, err := chunks.NewSpool(ctx, c.store, class)
		if err != nil {
			return err
		}
		*p = openPack{pack.NewWriter(w, class, c.repo), w, commit}
	}
	if err := p.w.Add(s.Kind, box, s.Chunks); err != nil {
		return err
	}
	if p.w.IsFull(c.packSize) {
		return c.finish(ctx, p)
	}
	return nil
}

// finish ends an open pack and makes it durable.
func (c *Copier) finish(ctx context.Context, open *openPack) error {
	p := *open
	if p.w == nil {
		return nil
	}
	*open = openPack{}
	defer p.file.Close()
	id, directory, size, err := p.w.Finish(c.metadata, nil)
	if err != nil {
		return err
	}
	class := directory[0].Kind.Class()
	// A pack of this name would hold the same bytes.
	if err := p.commit(ctx, pack.Name(class, id)); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	c.done = append(c.done, index.Pack{ID: id, Class: class, Size: size, Directory: directory})
	return nil
}

// Copied returns how many bytes of segments were copied.
func (c *Copier) Copied() int64 { return c.copied }

// Finish makes everything durable that was copied and returns the packs that were made since the last Finish, which no index names
// yet.
func (c *Copier) Finish(ctx context.Context) ([]index.Pack, error) {
	for class := range c.open {
		for to := range c.open[class] {
			if err := c.finish(ctx, &c.open[class][to]); err != nil {
				return nil, err
			}
		}
	}
	made := c.done
	c.done = nil
	return made, nil
}

// Abandon drops packs that are not durable. It may be called after Finish.
func (c *Copier) Abandon() {
	for class := range c.open {
		for to := range c.open[class] {
			if f := c.open[class][to].file; f != nil {
				f.Close()
				c.open[class][to] = openPack{}
			}
		}
	}
}
