package repo

import (
	"cmp"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"slices"

	"github.com/snapkeep/snap/internal/source"
	"github.com/snapkeep/snap/internal/tree"
)

// yearFile is a file of blocks of the same length, but for the last. What is in a block follows from its seed.
type yearFile struct {
	name   string
	time   int64 // seconds; the day on which it changed
	block  int   // bytes
	alike  bool  // half of each block is what all have, so that pieces have dictionaries
	blocks []uint32
	size   int64
}

// yearSource is what stands in one source on one day: folders of files. Files are replaced, never changed, so that a copy of the lists
// keeps a day.
type yearSource struct {
	folders [][]*yearFile // by number; the files by name
}

// clone returns what stays as it is when the source changes.
func (s *yearSource) clone() *yearSource {
	c := &yearSource{}
	for _, f := range s.folders {
		c.folders = append(c.folders, slices.Clone(f))
	}
	return c
}

// Root implements Source.
func (s *yearSource) Root(context.Context) (Dir, error) { return yearDir{s, -1}, nil }

// yearDir is a folder, or with -1 the top.
type yearDir struct {
	source *yearSource
	folder int
}

func (d yearDir) List(context.Context) (out []tree.Stat, _ []source.Problem, _ error) {
	if d.folder < 0 {
		for i := range d.source.folders {
			out = append(out, tree.Stat{Name: fmt.Sprintf("d%04d", i), Kind: tree.Directory, Mode: 0o755, Links: 1, Inode: 8})
		}
		return out, nil, nil
	}
	for _, f := range d.source.folders[d.folder] {
		out = append(out, f.stat())
	}
	return out, nil, nil
}

func (f *yearFile) stat() tree.Stat {
	at := tree.Time{Sec: f.time}
	return tree.Stat{Name: f.name, Kind: tree.Regular, Mode: 0o644, Links: 1, Inode: 7, Size: f.size, ModTime: at, ChangeTime: at}
}

func (d yearDir) OpenDir(_ context.Context, st *tree.Stat) (Dir, error) {
	n := 0
	_, err := fmt.Sscanf(st.Name, "d%d", &n)
	return yearDir{d.source, n}, err
}

func (d yearDir) Open(_ context.Context, st *tree.Stat) (File, error) {
	all := d.source.folders[d.folder]
	i, ok := slices.BinarySearchFunc(all, st.Name, func(f *yearFile, name string) int { return cmp.Compare(f.name, name) })
	if !ok {
		return nil, fs.ErrNotExist
	}
	return &yearReader{file: all[i]}, nil
}

func (d yearDir) Describe(context.Context, *tree.Stat, *tree.Entry, File) error { return nil }
func (d yearDir) Close() error                                                  { return nil }

// yearReader reads a yearFile.
type yearReader struct {
	file  *yearFile
	at    int64
	began bool
	data  []byte // of the block that is read
	of    int    // its number and 1
}

func (r *yearReader) Next() (Region, error) {
	if r.began || r.file.size == 0 {
		return Region{}, io.EOF
	}
	r.began = true
	return Region{Length: r.file.size}, nil
}

func (r *yearReader) Read(p []byte) (n int, err error) {
	for n < len(p) && r.at < r.file.size {
		i := int(r.at / int64(r.file.block))
		if r.of != i+1 {
			r.fill(i)
		}
		k := copy(p[n:], r.data[r.at-int64(i)*int64(r.file.block):])
		n, r.at = n+k, r.at+int64(k)
	}
	if n == 0 && len(p) > 0 {
		return 0, io.EOF
	}
	return n, nil
}

// fill makes the content of a block: random bytes, half of them if blocks are alike.
func (r *yearReader) fill(i int) {
	length := min(int64(r.file.block), r.file.size-int64(i)*int64(r.file.block))
	if r.data == nil {
		r.data = make([]byte, r.file.block+8)
	}
	r.data = r.data[:cap(r.data)]
	state := uint64(r.file.blocks[i]) * 0x9e3779b97f4a7c15
	for at := 0; at < int(length); at += 8 { // splitmix64
		state += 0x9e3779b97f4a7c15
		z := (state ^ state>>30) * 0xbf58476d1ce4e5b9
		z = (z ^ z>>27) * 0x94d049bb133111eb
		binary.LittleEndian.PutUint64(r.data[at:], z^z>>31)
	}
	if r.file.alike {
		for at := 8; at < int(length); at += 16 {
			copy(r.data[at:], ", 'paid'")
		}
	}
	r.data, r.of = r.data[:length], i+1
}

func (r *yearReader) Stat() (tree.Stat, error) { return r.file.stat(), nil }
func (r *yearReader) Close() error             { return nil }

// Sizes of blocks, in bytes.
const (
	yearRow    = 200     // of a dump: a row
	yearSector = 4 << 10 // of a disk image
	yearLines  = 1000    // of a log: some lines
	yearSmall  = 40_000  // of a small file, on average
)

// file makes a file of n bytes.
func (w *yearWorld) file(name string, block int, n int64) *yearFile {
	f := &yearFile{name: name, time: w.clock.now().Unix(), block: block, size: n}
	for range (n + int64(block) - 1) / int64(block) {
		f.blocks = append(f.blocks, w.rng.Uint32())
	}
	return f
}

// tree is a folder of small files of n bytes in all.
func (w *yearWorld) tree(n int64) *yearSource {
	s := &yearSource{}
	for left := n; left > 0; {
		var folder []*yearFile
		for i := 0; i < 100 && left > 0; i++ {
			f := w.small(fmt.Sprintf("f%05d", i*10))
			folder, left = append(folder, f), left-f.size
		}
		s.folders = append(s.folders, folder)
	}
	return s
}

// small makes a small file. Most are smaller than the average.
func (w *yearWorld) small(name string) *yearFile {
	n := int64(min(100+w.rng.ExpFloat64()*yearSmall, 500_000))
	return w.file(name, int(n), n)
}

// somewhere returns a number below n. Half are in a twentieth of all.
func somewhere(rng *rand.Rand, n int) int {
	if rng.IntN(2) == 0 {
		return rng.IntN(n/20 + 1)
	}
	return rng.IntN(n)
}

// changeTree changes one file of a hundred: of ten, seven are written anew, two are new, and one or two go.
func (w *yearWorld) changeTree(s *yearSource) {
	files := 0
	for _, f := range s.folders {
		files += len(f)
	}
	for range max(1, files/100) {
		i := somewhere(w.rng, len(s.folders))
		folder := s.folders[i]
		switch k := w.rng.IntN(20); {
		case k < 14 && len(folder) > 0:
			at := somewhere(w.rng, len(folder))
			folder[at] = w.small(folder[at].name)
		case k < 17 || len(folder) < 2:
			name := fmt.Sprintf("f%05d-%d", w.rng.IntN(1000), w.clock.now().Unix()+w.rng.Int64N(86400))
			at, found := slices.BinarySearchFunc(folder, name, func(f *yearFile, name string) int { return cmp.Compare(f.name, name) })
			if !found {
				s.folders[i] = slices.Insert(folder, at, w.small(name))
			}
		default:
			at := w.rng.IntN(len(folder))
			s.folders[i] = slices.Delete(folder, at, at+1)
		}
	}
}

// changed returns a copy of the only file of a source, to be changed.
func (w *yearWorld) changed(s *yearSource) *yearFile {
	f := *s.folders[0][0]
	f.blocks, f.time = slices.Clone(f.blocks), w.clock.now().Unix()
	s.folders[0][0] = &f
	return &f
}

// hot returns a number below n. Four of five are in a tenth of all.
func hot(rng *rand.Rand, n int) int {
	if rng.IntN(5) > 0 {
		return n/3 + rng.IntN(n/10+1)
	}
	return rng.IntN(n)
}

// changeDump changes one row of 800 and adds one to a thousand. About every sixth chunk is new then.
func (w *yearWorld) changeDump(s *yearSource) {
	f := w.changed(s)
	for range max(1, len(f.blocks)/800) {
		f.blocks[hot(w.rng, len(f.blocks))] = w.rng.Uint32()
	}
	for range max(1, len(f.blocks)/1000) {
		f.blocks = append(f.blocks, w.rng.Uint32())
	}
	f.size = int64(len(f.blocks)) * int64(f.block)
}

// changeImage writes 3 % of a disk image, 1 to 16 sectors at a time. About one chunk of 13 is new then.
func (w *yearWorld) changeImage(s *yearSource) {
	f := w.changed(s)
	for left := len(f.blocks) * 3 / 100; left > 0; {
		at, n := hot(w.rng, len(f.blocks)), 1+w.rng.IntN(16)
		for i := at; i < min(at+n, len(f.blocks)); i++ {
			f.blocks[i] = w.rng.Uint32()
		}
		left -= n
	}
}

// changeLogs appends to a log. On Sundays it gets another name, as those before it did, of which eight are kept.
func (w *yearWorld) changeLogs(s *yearSource) {
	if w.clock.now().Weekday() == 0 {
		folder := s.folders[0]
		fresh := []*yearFile{w.file("app.log", yearLines, 0)}
		for i, f := range folder[:min(len(folder), 8)] {
			older := *f
			older.name = fmt.Sprintf("app.log.%d", i+1)
			fresh = append(fresh, &older)
		}
		s.folders[0] = fresh
	}
	f := w.changed(s)
	for range w.daily / yearLines {
		f.blocks = append(f.blocks, w.rng.Uint32())
	}
	f.size = int64(len(f.blocks)) * int64(f.block)
}
