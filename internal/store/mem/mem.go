package mem

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/snapkeep/snap/internal/store"
)

// maxPreallocBytes bounds what a claimed size makes Create allocate before the
// data is there.
const maxPreallocBytes = 1 << 20

// Store is a store in memory. It implements store.Store and store.Spooler and
// is safe for concurrent use.
type Store struct {
	now func() time.Time

	mu    sync.RWMutex
	files map[string]file // guarded by mu
}

// file is a stored file. Its data is never changed.
type file struct {
	data    []byte
	modTime time.Time
}

var (
	_ store.Store   = (*Store)(nil)
	_ store.Spooler = (*Store)(nil)
)

// New returns an empty store. The function now stamps the files; nil stands
// for time.Now.
func New(now func() time.Time) *Store {
	if now == nil {
		now = time.Now
	}
	return &Store{now: now, files: make(map[string]file)}
}

// Clone returns a store with the same files and clock.
func (s *Store) Clone() *Store {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return &Store{now: s.now, files: maps.Clone(s.files)}
}

// Create implements store.Store.
func (s *Store) Create(ctx context.Context, name string, data io.Reader, size int64) error {
	if err := check(ctx, "create", name); err != nil {
		return err
	}
	if s.has(name) {
		return &fs.PathError{Op: "create", Path: name, Err: fs.ErrExist}
	}
	var buffer bytes.Buffer
	buffer.Grow(int(min(max(size, 0)+bytes.MinRead, maxPreallocBytes)))
	if _, err := buffer.ReadFrom(store.ExactReader(ctx, data, size)); err != nil {
		return &fs.PathError{Op: "create", Path: name, Err: err}
	}
	return s.put(name, buffer.Bytes())
}

func (s *Store) has(name string) bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	_, ok := s.files[name]
	return ok
}

func (s *Store) put(name string, data []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.files[name]; ok {
		return &fs.PathError{Op: "create", Path: name, Err: fs.ErrExist}
	}
	s.files[name] = file{data: data, modTime: s.now()}
	return nil
}

func (s *Store) get(ctx context.Context, op, name string) (file, error) {
	if err := check(ctx, op, name); err != nil {
		return file{}, err
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	f, ok := s.files[name]
	if !ok {
		return file{}, &fs.PathError{Op: op, Path: name, Err: fs.ErrNotExist}
	}
	return f, nil
}

// ReadAt implements store.Store.
func (s *Store) ReadAt(ctx context.Context, name string, p []byte, off int64) (int, error) {
	f, err := s.get(ctx, "read", name)
	if err != nil {
		return 0, err
	}
	if off < 0 {
		err := fmt.Errorf("negative offset %d: %w", off, fs.ErrInvalid)
		return 0, &fs.PathError{Op: "read", Path: name, Err: err}
	}
	if off >= int64(len(f.data)) && len(p) > 0 {
		return 0, io.EOF
	}
	n := copy(p, f.data[min(off, int64(len(f.data))):])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// List implements store.Store. It lists the files there are when it is called,
// sorted by name.
func (s *Store) List(ctx context.Context, prefix string, fn func(name string, size int64, modTime time.Time) error) error {
	s.mu.RLock()
	files := make(map[string]file)
	for name, f := range s.files {
		if strings.HasPrefix(name, prefix) {
			files[name] = f
		}
	}
	s.mu.RUnlock()
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if ctx.Err() != nil {
			break
		}
		f := files[name]
		if err := fn(name, int64(len(f.data)), f.modTime); err != nil {
			return err
		}
	}
	if ctx.Err() != nil {
		return &fs.PathError{Op: "list", Path: prefix, Err: context.Cause(ctx)}
	}
	return nil
}

// Remove implements store.Store.
func (s *Store) Remove(ctx context.Context, name string) error {
	if err := check(ctx, "remove", name); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.files[name]; !ok {
		return &fs.PathError{Op: "remove", Path: name, Err: fs.ErrNotExist}
	}
	delete(s.files, name)
	return nil
}

// Stat implements store.Store.
func (s *Store) Stat(ctx context.Context, name string) (size int64, modTime time.Time, err error) {
	f, err := s.get(ctx, "stat", name)
	if err != nil {
		return 0, time.Time{}, err
	}
	return int64(len(f.data)), f.modTime, nil
}

// Close implements store.Store. It does nothing: the files stay and the store
// stays usable.
func (s *Store) Close() error { return nil }

// check is the start of each method that takes a name.
func check(ctx context.Context, op, name string) error {
	err := context.Cause(ctx)
	if ctx.Err() == nil {
		err = store.CheckName(name)
	}
	if err != nil {
		return &fs.PathError{Op: op, Path: name, Err: err}
	}
	return nil
}
