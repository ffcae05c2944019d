package cached

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/snapkeep/snap/pack"
	"github.com/zeebo/blake3"
)

const (
	tempPattern = "tmp-*"
	tempPrefix  = "tmp-"
	tempAge     = 24 * time.Hour // after that an unfinished file belongs to nobody
	tagName     = "CACHEDIR.TAG"
	// tagText makes other programs leave the folder out of backups.
	tagText = "Signature: 8a477f597d28d172789f06886806bc55\n# This folder is a cache of snap. It may be deleted.\n"
)

// folder is the folder of a Cache: below it a folder for each of the store, and in these the files, named by their hash alone. Files
// are written under another name first. Its modification time says when a file was last used.
type folder struct {
	dir      string
	maxBytes int64
	warn     func(error)
	off      atomic.Bool // nothing is kept any more

	mu      sync.Mutex // guards what follows
	counted bool
	bytes   int64 // in the folder, as far as this process knows
}

// path returns where a file of the store is kept.
func (d *folder) path(name string) string {
	first, _, _ := strings.Cut(name, "/")
	return filepath.Join(d.dir, first, name[strings.LastIndexByte(name, '/')+1:])
}

func (d *folder) open(name string) (*os.File, error) { return os.Open(d.path(name)) }

func (d *folder) remove(name string) { _ = os.Remove(d.path(name)) }

// used notes that a file is of use.
func (d *folder) used(name string) {
	now := time.Now()
	_ = os.Chtimes(d.path(name), now, now)
}

func (d *folder) isOff() bool { return d.off.Load() }

// fail ends keeping, for this process.
func (d *folder) fail(err error) {
	if !d.off.Swap(true) && d.warn != nil {
		d.warn(err)
	}
}

// writer is a file that is to be kept. After an error it does nothing.
type writer struct {
	d    *folder
	f    *os.File // nil if there was an error, or it has ended
	size int64
}

// begin starts a file.
func (d *folder) begin() *writer {
	w := &writer{d: d}
	if d.isOff() {
		return w
	}
	f, err := os.CreateTemp(d.dir, tempPattern)
	if errors.Is(err, fs.ErrNotExist) {
		if err = d.make(); err == nil {
			f, err = os.CreateTemp(d.dir, tempPattern)
		}
	}
	if err != nil {
		d.fail(err)
		return w
	}
	w.f = f
	return w
}

// make makes the folder, and lets backups leave it out.
func (d *folder) make() error {
	if err := os.MkdirAll(d.dir, 0o700); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(d.dir, tagName), []byte(tagText), 0o600)
}

func (w *writer) failed() bool { return w.f == nil }

func (w *writer) write(p []byte) {
	if w.f == nil {
		return
	}
	n, err := w.f.Write(p)
	if w.size += int64(n); err != nil {
		w.drop()
		w.d.fail(err)
	}
}

// drop removes the file unless it was kept.
func (w *writer) drop() {
	if w.f == nil {
		return
	}
	_ = w.f.Close()
	_ = os.Remove(w.f.Name())
	w.f = nil
}

// keep gives the file its place, and reports whether it could.
func (w *writer) keep(name string) bool {
	if w.f == nil {
		return false
	}
	to := w.d.path(name)
	err := w.f.Close()
	if err == nil {
		err = os.Rename(w.f.Name(), to)
	}
	if errors.Is(err, fs.ErrNotExist) {
		if err = os.MkdirAll(filepath.Dir(to), 0o700); err == nil {
			err = os.Rename(w.f.Name(), to)
		}
	}
	if err != nil {
		_ = os.Remove(w.f.Name())
		w.f = nil
		if !errors.Is(err, fs.ErrNotExist) { // that says that somebody deletes the folder
			w.d.fail(err)
		}
		return false
	}
	w.f = nil
	w.d.grow(w.size)
	return true
}

// put keeps a file.
func (d *folder) put(name string, data []byte) {
	if _, err := os.Lstat(d.path(name)); err == nil {
		return
	}
	w := d.begin()
	defer w.drop()
	w.write(data)
	w.keep(name)
}

// grow counts what was added, and makes room when it is too much.
func (d *folder) grow(n int64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.bytes += n; d.counted && d.bytes <= d.maxBytes {
		return
	}
	d.counted = true
	files := d.scan()
	d.bytes = 0
	for _, f := range files {
		d.bytes += f.size
	}
	if d.bytes <= d.maxBytes {
		return
	}
	slices.SortFunc(files, func(a, b keptFile) int { return a.used.Compare(b.used) })
	for _, f := range files {
		if d.bytes <= d.maxBytes-d.maxBytes/8 {
			return
		}
		if os.Remove(f.path) == nil {
			d.bytes -= f.size
		}
	}
}

// keptFile is a file in the folder.
type keptFile struct {
	path string
	size int64
	used time.Time
}

// scan returns the files that are kept, and removes what cut-off processes have left.
func (d *folder) scan() (files []keptFile) {
	_ = filepath.WalkDir(d.dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() || e.Name() == tagName {
			return nil // somebody may delete it meanwhile
		}
		info, err := e.Info()
		switch {
		case err != nil:
		case !strings.HasPrefix(e.Name(), tempPrefix):
			files = append(files, keptFile{path, info.Size(), info.ModTime()})
		case time.Since(info.ModTime()) > tempAge:
			_ = os.Remove(path)
		}
		return nil
	})
	return files
}

// drop removes the files of one of its folders but those for which is reports true.
func (d *folder) drop(name string, is func(pack.ID) bool) {
	dir := filepath.Join(d.dir, name)
	entries, _ := os.ReadDir(dir)
	for _, e := range entries {
		if id, err := pack.ParseID(e.Name()); err != nil || !is(id) {
			_ = os.Remove(filepath.Join(dir, e.Name()))
		}
	}
}

// sum hashes a file piece by piece.
type sum struct{ *blake3.Hasher }

func newSum() sum { return sum{blake3.New()} }

// is reports whether what was written has the hash.
func (s sum) is(id pack.ID) bool {
	var got pack.ID
	s.Hasher.Sum(got[:0])
	return got == id
}

// hashes returns the size of a file, and reports whether its bytes have the hash.
func hashes(f *os.File, id pack.ID) (int64, bool) {
	s := newSum()
	n, err := io.CopyBuffer(struct{ io.Writer }{s}, struct{ io.Reader }{f}, make([]byte, 128<<10))
	return n, err == nil && s.is(id)
}
