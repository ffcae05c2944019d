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
	// placed are the numbers, in this pack, of segments that others may have for dictionary.
	placed map[source]int
}

// source is where a segment was before.
type source struct {
	pack   pack.ID
	number int
}

// Origin is a pack whose segments are copied.
type Origin struct {
	ID        pack.ID
	Directory pack.Directory
	// Box returns the sealed bytes of segment i, valid until the next call. It is also asked for those that others have for dictionary.
	Box func(i int) ([]byte, error)
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
	before := c.copied
	from := Origin{ID: id, Directory: directory, Box: func(i int) ([]byte, error) {
		s := &directory[i]
		return data[s.Offset : s.Offset+s.Length], nil
	}}
	for i := range directory {
		to := stream(directory[i].Offset)
		if to == Leave {
			continue
		}
		if err := c.add(ctx, to, from, i); err != nil {
			return c.copied - before, err
		}
	}
	return c.copied - before, nil
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

// Add copies segment i of a pack, with its dictionary if it has one.
func (c *Copier) Add(ctx context.Context, from Origin, i int) error {
	return c.add(ctx, Current, from, i)
}

func (c *Copier) add(ctx context.Context, to Stream, from Origin, i int) error {
	class := from.Directory[i].Kind.Class()
	p := &c.open[class][to]
	if p.w == nil {
		w, commit, err := chunks.NewSpool(ctx, c.store, class)
		if err != nil {
			return err
		}
		*p = openPack{w: pack.NewWriter(w, class, c.repo), file: w, commit: commit, placed: map[source]int{}}
	}
	size := p.w.Size()
	err := p.add(from, i)
	if c.copied += p.w.Size() - size; err != nil {
		return err
	}
	if p.w.IsFull(c.packSize) {
		return c.finish(ctx, p)
	}
	return nil
}

// add adds a segment to the pack, behind its dictionary.
func (p *openPack) add(from Origin, i int) error {
	s := &from.Directory[i]
	if s.Back == 0 {
		_, err := p.place(from, i)
		return err
	}
	number, err := p.place(from, i-int(s.Back))
	if err != nil {
		return err
	}
	box, err := from.Box(i)
	if err != nil {
		return err
	}
	return p.w.AddPrimed(number, box, s.Chunks)
}

// place adds a segment that has no dictionary and may be one, unless it is there and near enough for the next one, and returns its number.
func (p *openPack) place(from Origin, i int) (number int, err error) {
	key := source{from.ID, i}
	if number, ok := p.placed[key]; ok && p.w.CanPrime(number) {
		return number, nil
	}
	box, err := from.Box(i)
	if err != nil {
		return 0, err
	}
	number = p.w.Segments()
	s := &from.Directory[i]
	if err := p.w.Add(s.Kind, box, s.Chunks); err != nil {
		return 0, err
	}
	if s.Kind == pack.KindData {
		p.placed[key] = number
	}
	return number, nil
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
