package stream

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/snapkeep/snap/internal/source"
	"github.com/snapkeep/snap/internal/tree"
)

// Stream is one file.
type Stream struct {
	// Name is the name of the file: no path, not empty.
	Name string

	// Open begins the stream. Its reader's Read returns io.EOF only if the data is
	// good and complete. The context lasts until the reader is closed. Open is called once
	// for each time that the file is read.
	Open func(ctx context.Context) (io.ReadCloser, error)

	// AllowEmpty lets the stream give nothing.
	AllowEmpty bool

	// Mode is the permission of the file; 0 means 0600.
	Mode uint16

	// ModTime is its modification time; the zero time means when the source was opened.
	ModTime time.Time
}

// FromReader returns a stream of what r gives. It can be read once; r is not closed.
func FromReader(name string, r io.Reader) Stream {
	var once sync.Once
	return Stream{Name: name, Open: func(context.Context) (io.ReadCloser, error) {
		if r == nil {
			return nil, fmt.Errorf("%w: %q has no reader", source.ErrStream, name)
		}
		var first io.ReadCloser
		if once.Do(func() { first = io.NopCloser(r) }); first == nil {
			return nil, fmt.Errorf("%w: it was read before", source.ErrStream)
		}
		return first, nil
	}}
}

// New returns a source with the streams as files.
func New(streams ...Stream) (source.Source, error) {
	list := slices.Clone(streams)
	slices.SortFunc(list, func(a, b Stream) int { return strings.Compare(a.Name, b.Name) })
	for i, s := range list {
		if s.Name == "" || s.Name == "." || s.Name == ".." || strings.ContainsAny(s.Name, "/\x00") || len(s.Name) > 4096 {
			return nil, fmt.Errorf("%q cannot be the name of a stream", s.Name)
		}
		if i > 0 && list[i-1].Name == s.Name {
			return nil, fmt.Errorf("two streams are named %q", s.Name)
		}
		if s.Open == nil {
			return nil, fmt.Errorf("stream %q has no content", s.Name)
		}
	}
	return files(list), nil
}

// files is the source: its streams ordered by name.
type files []Stream

// Root returns the folder of the streams.
func (f files) Root(context.Context) (source.Dir, error) {
	return dir{f, tree.TimeOf(time.Now())}, nil
}

// dir is the only folder.
type dir struct {
	streams files
	opened  tree.Time
}

// List returns the streams.
func (d dir) List(context.Context) ([]tree.Stat, []source.Problem, error) {
	var stats []tree.Stat
	for i := range d.streams {
		stats = append(stats, d.stat(&d.streams[i]))
	}
	return stats, nil, nil
}

// stat returns what is known of a stream at any time. It changed when the source was
// opened, so that it is never taken for the one of an earlier backup.
func (d dir) stat(s *Stream) tree.Stat {
	st := tree.Stat{
		Name: s.Name, Kind: tree.Regular, Mode: s.Mode & 0o777, Links: 1, Size: -1,
		UID: uint32(os.Geteuid()), GID: uint32(os.Getegid()), ModTime: d.opened, ChangeTime: d.opened,
	}
	if s.Mode == 0 {
		st.Mode = 0o600
	}
	if !s.ModTime.IsZero() {
		st.ModTime = tree.TimeOf(s.ModTime)
	}
	return st
}

// OpenDir fails: there is no other folder.
func (d dir) OpenDir(_ context.Context, st *tree.Stat) (source.Dir, error) {
	return nil, fmt.Errorf("folder %q: %w", st.Name, fs.ErrNotExist)
}

// Open begins a stream.
func (d dir) Open(ctx context.Context, st *tree.Stat) (source.File, error) {
	i, found := slices.BinarySearchFunc(d.streams, st.Name, func(s Stream, name string) int {
		return strings.Compare(s.Name, name)
	})
	if !found {
		return nil, fmt.Errorf("stream %q: %w", st.Name, fs.ErrNotExist)
	}
	s := &d.streams[i]
	r, err := s.Open(ctx)
	if err != nil {
		return nil, failure(s.Name, err)
	}
	return &file{stream: s, stat: d.stat(s), r: r}, nil
}

// failure makes an error of a stream, which ends the backup.
func failure(name string, err error) error {
	if errors.Is(err, source.ErrStream) {
		return fmt.Errorf("%q: %w", name, err)
	}
	return fmt.Errorf("%q: %w: %w", name, source.ErrStream, err)
}

// Describe has nothing to add.
func (dir) Describe(context.Context, *tree.Stat, *tree.Entry, source.File) error { return nil }

// Close does nothing.
func (dir) Close() error { return nil }

// file is a stream that is being read: one region of data of unknown length.
type file struct {
	stream *Stream
	stat   tree.Stat
	r      io.ReadCloser
	begun  bool
	some   bool  // bytes came
	end    error // what Read returns from now on
}

// Next returns the only region. Going past it reads on to the end: only that tells
// whether the stream is good.
func (f *file) Next() (source.Region, error) {
	if !f.begun {
		f.begun = true
		return source.Region{Length: -1}, nil
	}
	if _, err := io.Copy(io.Discard, readOnly{f}); err != nil {
		return source.Region{}, err
	}
	return source.Region{}, io.EOF
}

// readOnly hides all methods but Read.
type readOnly struct{ io.Reader }

// Read reads on.
func (f *file) Read(p []byte) (int, error) {
	if f.end != nil {
		return 0, f.end
	}
	if !f.begun || len(p) == 0 {
		return 0, nil
	}
	n, err := f.r.Read(p)
	if n < 0 || n > len(p) {
		n, err = 0, errCount
	}
	f.some = f.some || n > 0
	switch {
	case err == nil:
	case err != io.EOF:
		f.end = failure(f.stream.Name, err)
	case !f.some && !f.stream.AllowEmpty:
		f.end = failure(f.stream.Name, errEmpty)
	default:
		f.end = io.EOF
	}
	return n, f.end
}

var (
	errEmpty = errors.New("it gave nothing")
	errCount = errors.New("its reader gave an impossible count of bytes")
)

// Stat tells what is known, and whether the stream turned out bad.
func (f *file) Stat() (tree.Stat, error) {
	if f.end != nil && f.end != io.EOF {
		return f.stat, f.end
	}
	return f.stat, nil
}

// Close ends the stream, whether or not it was read to its end.
func (f *file) Close() error { return f.r.Close() }
