package index

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// spoolMemory is how many bytes a spool holds on the heap before it takes a file.
const spoolMemory = 8 << 20

// spool collects the bytes of a temporary file: on the heap while they are few, then in a file
// of the first folder that takes them, and on the heap again if none does. So neither a folder
// that cannot be written nor a full disk ends a run.
type spool struct {
	folders []string // still to try
	memory  []byte   // if there is no file
	limit   int      // of memory
	named   bool     // the file keeps its name, for publish
	file    *os.File
	name    string // of file, if it has one
	size    int64
}

// newSpool returns an empty spool that prefers files in dir. Without dir it takes the system's
// folder.
func newSpool(dir string) *spool {
	s := &spool{limit: spoolMemory}
	if dir != "" {
		s.folders = append(s.folders, dir)
	}
	s.folders = append(s.folders, os.TempDir())
	return s
}

// WriteAt writes b at an offset, which may lie behind the end.
func (s *spool) WriteAt(b []byte, offset int64) (int, error) {
	end := offset + int64(len(b))
	if s.file == nil && end > int64(s.limit) {
		if err := s.move(end); err != nil {
			return 0, err
		}
	}
	for s.file != nil {
		if _, err := s.file.WriteAt(b, offset); err == nil {
			s.size = max(s.size, end)
			return len(b), nil
		}
		if err := s.move(end); err != nil {
			return 0, err
		}
	}
	s.size = max(s.size, end)
	if n := int(s.size); n > len(s.memory) {
		if n > cap(s.memory) {
			grown := make([]byte, n, n+n/2)
			copy(grown, s.memory)
			s.memory = grown
		}
		s.memory = s.memory[:n]
	}
	return copy(s.memory[offset:], b), nil
}

// move takes what was written to the next place.
func (s *spool) move(end int64) error {
	for len(s.folders) > 0 {
		folder := s.folders[0]
		s.folders = s.folders[1:]
		f, err := os.CreateTemp(folder, tempPattern)
		if err != nil {
			continue
		}
		if s.copyTo(f) != nil {
			_ = f.Close()
			_ = os.Remove(f.Name())
			continue
		}
		s.drop()
		s.memory, s.file, s.name = nil, f, f.Name()
		if !s.named {
			s.hide()
		}
		return nil
	}
	s.limit = int(^uint(0) >> 1)
	if s.file == nil {
		return nil
	}
	memory := make([]byte, s.size, max(s.size, end))
	if _, err := s.file.ReadAt(memory, 0); err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("temporary file: %w", err)
	}
	s.drop()
	s.memory = memory
	return nil
}

func (s *spool) copyTo(f *os.File) error {
	if s.file == nil {
		_, err := f.WriteAt(s.memory, 0)
		return err
	}
	_, err := io.Copy(f, io.NewSectionReader(s.file, 0, s.size))
	return err
}

// hide takes the file's name away, so that it goes with its last user.
func (s *spool) hide() {
	if s.name != "" && unlinkOpen(s.name) {
		s.name = ""
	}
}

// drop ends the spool and what it holds; what was mapped stays.
func (s *spool) drop() {
	if s.file != nil {
		_ = s.file.Close()
		if s.name != "" {
			_ = os.Remove(s.name)
		}
	}
	s.file, s.name, s.memory = nil, "", nil
}

// bytes returns all bytes, mapped if they are in a file. They stay when the spool is dropped,
// until release is called.
func (s *spool) bytes() (data []byte, release func(), err error) {
	if s.file == nil || s.size == 0 {
		return s.memory, func() {}, nil
	}
	return mapFile(s.file, int(s.size))
}

// read reads from the beginning.
func (s *spool) read(b []byte) error {
	if s.file != nil {
		_, err := s.file.ReadAt(b, 0)
		return err
	}
	if copy(b, s.memory) < len(b) {
		return io.ErrUnexpectedEOF
	}
	return nil
}

// publish gives the bytes a name in dir. The spool stays usable.
func (s *spool) publish(dir, name string) error {
	if s.name == "" || filepath.Dir(s.name) != filepath.Clean(dir) {
		f, err := os.CreateTemp(dir, tempPattern)
		if err != nil {
			return err
		}
		if err := s.copyTo(f); err != nil {
			_ = f.Close()
			_ = os.Remove(f.Name())
			return err
		}
		s.drop()
		s.file, s.name = f, f.Name()
	}
	if err := os.Rename(s.name, filepath.Join(dir, name)); err != nil {
		return err
	}
	s.name = ""
	return nil
}

// tempPattern names files that are not finished.
const tempPattern = "snap-index-*"

// cursor writes one part of a spool from an offset on, in large writes.
type cursor struct {
	spool  *spool
	offset int64
	buffer []byte
	sum    func(b []byte) // sees all bytes, if it is set
	err    error
}

const cursorBuffer = 128 << 10

func (c *cursor) write(b []byte) {
	c.buffer = append(c.room(len(b)), b...)
}

// room returns the buffer with room for n bytes, at most cursorBuffer, which are to be appended to it.
func (c *cursor) room(n int) []byte {
	if len(c.buffer)+n > cursorBuffer {
		c.flush()
	}
	return c.buffer
}

func (c *cursor) flush() {
	if c.err == nil && len(c.buffer) > 0 {
		if c.sum != nil {
			c.sum(c.buffer)
		}
		_, c.err = c.spool.WriteAt(c.buffer, c.offset)
		c.offset += int64(len(c.buffer))
	}
	c.buffer = c.buffer[:0]
}
