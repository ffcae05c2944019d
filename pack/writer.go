package pack

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"

	"github.com/snapkeep/snap/internal/seal"
	"github.com/snapkeep/snap/internal/wire"
	"github.com/zeebo/blake3"
)

// maxChunks bounds what a Writer puts into one pack, so that the directory, of at most 20 bytes a chunk and 9
// a segment, keeps under a quarter of the largest pack together with the padding.
const maxChunks = 2_000_000

// Writer writes one pack to an io.Writer. A Writer that failed stays failed. It
// serves one goroutine.
type Writer struct {
	w         io.Writer
	hash      *blake3.Hasher
	class     Class
	repo      [16]byte
	directory Directory
	sizes     []int // of each segment: bytes of its chunks
	chunks    int
	listed    int64 // bytes that the rows of directory take
	size      int64
	err       error
}

// NewWriter returns a Writer of a pack of the class for the repository repo.
func NewWriter(w io.Writer, class Class, repo [16]byte) *Writer {
	return &Writer{w: w, hash: blake3.New(), class: class, repo: repo}
}

// Size returns how many bytes of segments have been written.
func (w *Writer) Size() int64 { return w.size }

// Filler returns how many bytes would be filler or padding if the pack were finished now.
func (w *Writer) Filler() int64 {
	rows := w.listed + int64(wire.UvarintLen(uint64(len(w.directory))))
	tail := PaddedSize(rows) + seal.Overhead + FooterSize
	return PaddedSize(rows) - rows + PaddedSize(w.size+tail) - w.size - tail
}

// IsFull tells whether to finish a pack that shall have about target bytes: from an eighth less on as soon as filler is a 512th of
// it, from there to an eighth more at up to four times that, and then whatever the filler is. Finished at target it would be half a step
// of the grid on average, a 64th, which is lost.
func (w *Writer) IsFull(target int64) bool {
	from, span := target-target/8, target/4
	over := w.size - from
	return over >= span || over >= 0 && w.Filler() <= target/512+target/512*3*over/span
}

// Segments returns how many segments have been written.
func (w *Writer) Segments() int { return len(w.directory) }

// Add writes a sealed segment as it is. The Writer keeps chunks.
func (w *Writer) Add(kind Kind, box []byte, chunks []Chunk) error {
	return w.add(Segment{Kind: kind, Chunks: chunks}, box)
}

// CanPrime reports whether segment number k of the pack is near enough to be the dictionary of the next one.
func (w *Writer) CanPrime(k int) bool { return len(w.directory)-k <= maxBack }

// AddPrimed writes a sealed segment of file data as it is, whose dictionary is segment number k of the pack, counted from 0. The Writer keeps chunks.
func (w *Writer) AddPrimed(k int, box []byte, chunks []Chunk) error {
	if k < 0 || k >= len(w.directory) || !w.CanPrime(k) {
		return fmt.Errorf("pack: segment %d is no dictionary for segment %d", k, len(w.directory))
	}
	return w.add(Segment{Kind: KindData, Back: uint16(len(w.directory) - k), Chunks: chunks}, box)
}

func (w *Writer) add(s Segment, box []byte) error {
	kind, chunks := s.Kind, s.Chunks
	switch {
	case w.err != nil:
		return w.err
	case kind.Class() != w.class:
		return fmt.Errorf("pack: segment of kind %d in a pack of class %d", kind, w.class)
	case len(box) > MaxSegmentBoxSize || len(chunks) == 0 || len(chunks) > MaxSegmentChunks:
		return fmt.Errorf("pack: segment of %d bytes with %d chunks", len(box), len(chunks))
	case w.size+int64(len(box)) > MaxPackSize*3/4 || len(w.directory) == MaxSegments || w.chunks+len(chunks) > maxChunks:
		return fmt.Errorf("pack: pack is full")
	}
	s.Offset, s.Length = uint32(w.size), uint32(len(box))
	w.directory = append(w.directory, s)
	if s.Back > 0 {
		if err := w.directory.checkBack(len(w.directory)-1, w.sizes); err != nil {
			w.directory = w.directory[:len(w.directory)-1]
			return err
		}
		w.listed += int64(wire.UvarintLen(uint64(s.Back)))
	}
	w.chunks += len(chunks)
	w.listed += int64(1 + wire.UvarintLen(uint64(len(box))) + wire.UvarintLen(uint64(len(chunks))))
	raw := 0
	for _, c := range chunks {
		raw += int(c.Length)
		w.listed += int64(len(c.ID) + wire.UvarintLen(uint64(c.Length)))
	}
	w.sizes = append(w.sizes, raw)
	w.write(box)
	return w.err
}

// Finish writes filler, directory and footer. It returns the pack's name, its
// directory and its size in bytes. directoryKey seals the directory; random makes the
// filler, nil means the system's source.
func (w *Writer) Finish(directoryKey *seal.Key, random io.Reader) (ID, Directory, int64, error) {
	if random == nil {
		random = rand.Reader
	}
	if w.err != nil {
		return ID{}, nil, 0, w.err
	}
	plain := AppendDirectory(nil, w.directory)
	plain = append(plain, make([]byte, PaddedSize(int64(len(plain)))-int64(len(plain)))...)
	tail, err := directoryKey.Seal(nil, seal.KindDirectory, plain)
	if err != nil {
		w.err = err
		return ID{}, nil, 0, err
	}
	version := uint16(plainVersion)
	if w.directory.HasDictionary() {
		version = formatVersion
	}
	tail = footer{version, w.class, uint32(len(tail)), w.repo}.append(tail)
	size := w.size + int64(len(tail))
	filler := make([]byte, PaddedSize(size)-size)
	if _, err := io.ReadFull(random, filler); err != nil {
		w.err = fmt.Errorf("random source: %w", err)
		return ID{}, nil, 0, w.err
	}
	w.write(filler)
	w.write(tail)
	if w.err != nil {
		return ID{}, nil, 0, w.err
	}
	size = w.size
	w.err = errors.New("pack: finished")
	var id ID
	w.hash.Sum(id[:0])
	return id, w.directory, size, nil
}

func (w *Writer) write(b []byte) {
	if w.err != nil {
		return
	}
	w.hash.Write(b)
	n, err := w.w.Write(b)
	w.size += int64(n)
	if w.err = err; err == nil && n != len(b) {
		w.err = io.ErrShortWrite
	}
}

// OpenDirectory opens a directory's box.
func OpenDirectory(key *seal.Key, box []byte) (Directory, error) {
	plain, err := key.Open(nil, seal.KindDirectory, box)
	if err != nil {
		return nil, fmt.Errorf("%w: directory: %w", ErrCorrupt, err)
	}
	r := wire.NewReader(plain)
	d := ReadDirectory(r)
	for _, b := range r.Next(r.Len()) {
		if b != 0 {
			r.Failf("padding is not zero")
		}
	}
	if err := r.Err(); err != nil {
		return nil, fmt.Errorf("%w: directory: %w", ErrCorrupt, err)
	}
	return d, nil
}

// ReadDirectoryFrom reads the class and the directory of a pack of size bytes.
func ReadDirectoryFrom(r io.ReaderAt, size int64, key *seal.Key, repo [16]byte) (Class, Directory, error) {
	if size < FooterSize || size > MaxPackSize {
		return 0, nil, fmt.Errorf("%w: %d bytes", ErrCorrupt, size)
	}
	var end [FooterSize]byte
	if err := readFull(r, end[:], size-FooterSize); err != nil {
		return 0, nil, err
	}
	f, err := decodeFooter(end[:])
	if err != nil {
		return 0, nil, err
	}
	if f.repo != repo {
		return 0, nil, fmt.Errorf("%w: %x", ErrOtherRepository, f.repo)
	}
	n := int64(f.directoryLength)
	if n > size-FooterSize || n > maxDirectorySize {
		return 0, nil, fmt.Errorf("%w: directory of %d bytes", ErrCorrupt, n)
	}
	box := make([]byte, n)
	if err := readFull(r, box, size-FooterSize-n); err != nil {
		return 0, nil, err
	}
	d, err := OpenDirectory(key, box)
	if err != nil {
		return 0, nil, err
	}
	if d.HasDictionary() != (f.version > plainVersion) {
		return 0, nil, fmt.Errorf("%w: directory does not fit version %d", ErrCorrupt, f.version)
	}
	for _, s := range d {
		if s.Kind.Class() != f.class || int64(s.Offset)+int64(s.Length) > size-FooterSize-n {
			return 0, nil, fmt.Errorf("%w: directory does not fit the pack", ErrCorrupt)
		}
	}
	return f.class, d, nil
}

func readFull(r io.ReaderAt, p []byte, off int64) error {
	n, err := r.ReadAt(p, off)
	if n == len(p) {
		return nil
	}
	if err == nil || errors.Is(err, io.EOF) {
		return fmt.Errorf("%w: cut off", ErrCorrupt)
	}
	return err
}
