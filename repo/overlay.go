package repo

import (
	"context"
	"io"
	"io/fs"
	"strings"
	"time"
)

// overlay is a store that keeps to itself what is written to it, for a dry run. Of packs of data it remembers how long they are. It is not
// safe for concurrent use while something is written.
type overlay struct {
	Store
	files map[string]overlayFile
}

// overlayFile is what stands in the place of a file of the store.
type overlayFile struct {
	gone bool
	size int64
	data []byte // nil if the bytes are those of the store, or of a pack of data
}

func newOverlay(store Store) *overlay { return &overlay{store, map[string]overlayFile{}} }

// Create implements Store.
func (s *overlay) Create(ctx context.Context, name string, data io.Reader, size int64) error {
	if _, _, err := s.Stat(ctx, name); err == nil {
		return fs.ErrExist
	}
	file := overlayFile{size: size}
	if kind, _ := classify(name); kind != fileData {
		file.data = make([]byte, size)
		if _, err := io.ReadFull(data, file.data); err != nil {
			return err
		}
	}
	s.files[name] = file
	return nil
}

// Remove implements Store.
func (s *overlay) Remove(ctx context.Context, name string) error {
	if _, _, err := s.Stat(ctx, name); err != nil {
		return err
	}
	s.files[name] = overlayFile{gone: true}
	return nil
}

// ReadAt implements Store.
func (s *overlay) ReadAt(ctx context.Context, name string, p []byte, off int64) (int, error) {
	file, ok := s.files[name]
	switch {
	case file.gone:
		return 0, fs.ErrNotExist
	case !ok || file.data == nil:
		return s.Store.ReadAt(ctx, name, p, off)
	case off >= file.size:
		return 0, io.EOF
	}
	n := copy(p, file.data[off:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// Stat implements Store.
func (s *overlay) Stat(ctx context.Context, name string) (int64, time.Time, error) {
	file, ok := s.files[name]
	switch {
	case file.gone:
		return 0, time.Time{}, fs.ErrNotExist
	case ok:
		return file.size, time.Now(), nil
	}
	return s.Store.Stat(ctx, name)
}

// List implements Store.
func (s *overlay) List(ctx context.Context, prefix string, fn func(name string, size int64, modTime time.Time) error) error {
	for name, file := range s.files {
		if file.gone || !strings.HasPrefix(name, prefix) {
			continue
		}
		if err := fn(name, file.size, time.Now()); err != nil {
			return err
		}
	}
	return s.Store.List(ctx, prefix, func(name string, size int64, modTime time.Time) error {
		if _, ok := s.files[name]; ok {
			return nil
		}
		return fn(name, size, modTime)
	})
}

// over returns a Repo like r that works on another store. Close it if there is no error.
func (r *Repo) over(store Store) (*Repo, error) {
	o := newRepo(store, r.opts)
	return o, o.start(r.config, r.secrets, r.slotName)
}
