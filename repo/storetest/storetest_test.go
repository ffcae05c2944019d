package storetest_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/snapkeep/snap/internal/store/mem"
	"github.com/snapkeep/snap/repo/storetest"
)

// flawVariable tells a child process which flaw its store shall have.
const flawVariable = "SNAP_STORETEST_FLAW"

// flaws breaks the contract in one way each, and names the part of the suite
// that must see it.
var flaws = map[string]struct {
	part string
	make func(s *mem.Store) storetest.Store
}{
	"overwrites":         {"Taken", func(s *mem.Store) storetest.Store { return overwriting{s} }},
	"exclusive by luck":  {"Exclusive", func(s *mem.Store) storetest.Store { return racing{s, &sync.Map{}} }},
	"keeps partial":      {"FailingReader", func(s *mem.Store) storetest.Store { return keepingPartial{s} }},
	"takes any size":     {"WrongSize", func(s *mem.Store) storetest.Store { return anySize{s} }},
	"shows early":        {"InvisibleWhileWritten", func(s *mem.Store) storetest.Store { return showingEarly{s} }},
	"ignores context":    {"CancelledWithin", func(s *mem.Store) storetest.Store { return ignoringContext{s} }},
	"no EOF":             {"ReadAt", func(s *mem.Store) storetest.Store { return withoutEOF{s} }},
	"wrapped EOF":        {"Contents", func(s *mem.Store) storetest.Store { return wrappedEOF{s} }},
	"lists by folder":    {"List", func(s *mem.Store) storetest.Store { return listingByFolder{s} }},
	"lists one page":     {"ListMany", func(s *mem.Store) storetest.Store { return onePage{s, 1_000} }},
	"page ends twice":    {"ListMany", func(s *mem.Store) storetest.Store { return twicePage{s, 1_000} }},
	"time of the look":   {"ModTime", func(s *mem.Store) storetest.Store { return statNow{s} }},
	"keeps the buffer":   {"ReadAtAll", func(s *mem.Store) storetest.Store { return &keepingBuffer{Store: s} }},
	"wraps stop":         {"ListStops", func(s *mem.Store) storetest.Store { return wrappingStop{s} }},
	"remove is silent":   {"Missing", func(s *mem.Store) storetest.Store { return silentRemove{s} }},
	"takes upper case":   {"Names", func(s *mem.Store) storetest.Store { return lowering{s} }},
	"no time":            {"ModTime", func(s *mem.Store) storetest.Store { return timeless{s} }},
	"loses large files":  {"Large", func(s *mem.Store) storetest.Store { return forgettingLarge{s} }},
	"spool visible":      {"Spool", func(s *mem.Store) storetest.Store { return visibleSpool{s} }},
	"spool overwrites":   {"SpoolTaken", func(s *mem.Store) storetest.Store { return overwritingSpool{s} }},
	"spool not dropped":  {"SpoolDropped", func(s *mem.Store) storetest.Store { return undroppedSpool{s} }},
	"commit any context": {"SpoolCancelled", func(s *mem.Store) storetest.Store { return carelessCommit{s} }},
}

// TestFlawed runs the suite on a store with a flaw, in a child process.
func TestFlawed(t *testing.T) {
	flaw, ok := flaws[os.Getenv(flawVariable)]
	if !ok {
		t.Skip("runs in child processes only")
	}
	storetest.Test(t, func(*testing.T) storetest.Store { return flaw.make(mem.New(nil)) })
}

// TestSuiteSeesFlaws checks that the suite fails for each flaw, in the part
// that is there for it.
func TestSuiteSeesFlaws(t *testing.T) {
	t.Parallel()
	for name, flaw := range flaws {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			child := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestFlawed$/^"+flaw.part+"$", "-test.v")
			child.Env = append(os.Environ(), flawVariable+"="+name)
			output, err := child.CombinedOutput()
			var exit *exec.ExitError
			if !errors.As(err, &exit) || !strings.Contains(string(output), "--- FAIL: TestFlawed/"+flaw.part+" ") {
				t.Errorf("the part %s passed: %v\n%s", flaw.part, err, output)
			}
		})
	}
}

type overwriting struct{ *mem.Store }

func (s overwriting) Create(ctx context.Context, name string, data io.Reader, size int64) error {
	_ = s.Store.Remove(ctx, name)
	return s.Store.Create(ctx, name, data, size)
}

// racing looks whether a name is taken before it takes it. Of a name of the part Exclusive the second who has looked lets the first go on, so that
// there is a race on every machine.
type racing struct {
	*mem.Store
	looks *sync.Map // of *look, by name
}

// look is what has come of one name.
type look struct {
	mu   sync.Mutex    // guards n, and is held while the name is taken: one after the other
	n    int           // who found it free
	both chan struct{} // closed when two have
}

func (s racing) Create(ctx context.Context, name string, data io.Reader, size int64) error {
	if _, _, err := s.Stat(ctx, name); err == nil {
		return fs.ErrExist
	}
	if strings.HasSuffix(name, "contended") {
		x, _ := s.looks.LoadOrStore(name, &look{both: make(chan struct{})})
		l := x.(*look)
		l.found()
		l.mu.Lock()
		defer l.mu.Unlock()
	}
	_ = s.Store.Remove(ctx, name)
	return s.Store.Create(ctx, name, data, size)
}

// found waits for another one.
func (l *look) found() {
	l.mu.Lock()
	if l.n++; l.n == 2 {
		close(l.both)
	}
	l.mu.Unlock()
	<-l.both
}

type keepingPartial struct{ *mem.Store }

func (s keepingPartial) Create(ctx context.Context, name string, data io.Reader, size int64) error {
	got, readErr := io.ReadAll(data)
	if err := s.Store.Create(ctx, name, bytes.NewReader(got), int64(len(got))); err != nil {
		return err
	}
	return readErr
}

type anySize struct{ *mem.Store }

func (s anySize) Create(ctx context.Context, name string, data io.Reader, _ int64) error {
	got, err := io.ReadAll(data)
	if err != nil {
		return err
	}
	return s.Store.Create(ctx, name, bytes.NewReader(got), int64(len(got)))
}

type showingEarly struct{ *mem.Store }

func (s showingEarly) Create(ctx context.Context, name string, data io.Reader, size int64) error {
	if err := s.Store.Create(ctx, name, strings.NewReader(""), 0); err != nil {
		return err
	}
	got, err := io.ReadAll(data)
	_ = s.Store.Remove(ctx, name)
	if err != nil {
		return err
	}
	return s.Store.Create(ctx, name, bytes.NewReader(got), size)
}

type ignoringContext struct{ *mem.Store }

func (s ignoringContext) Create(_ context.Context, name string, data io.Reader, size int64) error {
	return s.Store.Create(context.Background(), name, data, size)
}

type withoutEOF struct{ *mem.Store }

func (s withoutEOF) ReadAt(ctx context.Context, name string, p []byte, off int64) (int, error) {
	n, err := s.Store.ReadAt(ctx, name, p, off)
	if err == io.EOF {
		err = nil
	}
	return n, err
}

type wrappedEOF struct{ *mem.Store }

func (s wrappedEOF) ReadAt(ctx context.Context, name string, p []byte, off int64) (int, error) {
	n, err := s.Store.ReadAt(ctx, name, p, off)
	if err == io.EOF {
		err = &fs.PathError{Op: "read", Path: name, Err: err}
	}
	return n, err
}

type listingByFolder struct{ *mem.Store }

func (s listingByFolder) List(ctx context.Context, prefix string, fn func(string, int64, time.Time) error) error {
	if prefix != "" && !strings.HasSuffix(prefix, "/") {
		prefix += "/"
	}
	return s.Store.List(ctx, prefix, fn)
}

// onePage lists the files of one page.
type onePage struct {
	*mem.Store
	page int
}

func (s onePage) List(ctx context.Context, prefix string, fn func(string, int64, time.Time) error) error {
	n := 0
	return s.Store.List(ctx, prefix, func(name string, size int64, at time.Time) error {
		if n++; n > s.page {
			return nil
		}
		return fn(name, size, at)
	})
}

// twicePage lists the last file of a page as the first one of the next as well.
type twicePage struct {
	*mem.Store
	page int
}

func (s twicePage) List(ctx context.Context, prefix string, fn func(string, int64, time.Time) error) error {
	n := 0
	return s.Store.List(ctx, prefix, func(name string, size int64, at time.Time) error {
		if n++; n%s.page == 0 {
			if err := fn(name, size, at); err != nil {
				return err
			}
		}
		return fn(name, size, at)
	})
}

type statNow struct{ *mem.Store }

func (s statNow) Stat(ctx context.Context, name string) (int64, time.Time, error) {
	size, _, err := s.Store.Stat(ctx, name)
	return size, time.Now(), err
}

// keepingBuffer uses the buffer of the caller once more at the next read.
type keepingBuffer struct {
	*mem.Store
	last []byte
}

func (s *keepingBuffer) ReadAt(ctx context.Context, name string, p []byte, off int64) (int, error) {
	clear(s.last)
	n, err := s.Store.ReadAt(ctx, name, p, off)
	s.last = p[:n]
	return n, err
}

type wrappingStop struct{ *mem.Store }

func (s wrappingStop) List(ctx context.Context, prefix string, fn func(string, int64, time.Time) error) error {
	if err := s.Store.List(ctx, prefix, fn); err != nil {
		return &fs.PathError{Op: "list", Path: prefix, Err: err}
	}
	return nil
}

type silentRemove struct{ *mem.Store }

func (s silentRemove) Remove(ctx context.Context, name string) error {
	if err := s.Store.Remove(ctx, name); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

type lowering struct{ *mem.Store }

func (s lowering) Create(ctx context.Context, name string, data io.Reader, size int64) error {
	return s.Store.Create(ctx, strings.ToLower(name), data, size)
}

type timeless struct{ *mem.Store }

func (s timeless) Stat(ctx context.Context, name string) (int64, time.Time, error) {
	size, _, err := s.Store.Stat(ctx, name)
	return size, time.Time{}, err
}

type forgettingLarge struct{ *mem.Store }

func (s forgettingLarge) ReadAt(ctx context.Context, name string, p []byte, off int64) (int, error) {
	const part = 16 << 20
	n, err := s.Store.ReadAt(ctx, name, p, off)
	if off+int64(n) > part {
		clear(p[max(part-off, 0):n])
	}
	return n, err
}

type visibleSpool struct{ *mem.Store }

func (s visibleSpool) Spool(ctx context.Context) (io.WriteCloser, func(context.Context, string) error, error) {
	w, commit, err := s.Store.Spool(ctx)
	_ = s.Store.Create(ctx, "uncommitted", strings.NewReader(""), 0)
	return w, func(ctx context.Context, name string) error {
		_ = s.Store.Remove(ctx, "uncommitted")
		return commit(ctx, name)
	}, err
}

type overwritingSpool struct{ *mem.Store }

func (s overwritingSpool) Spool(ctx context.Context) (io.WriteCloser, func(context.Context, string) error, error) {
	w, commit, err := s.Store.Spool(ctx)
	return w, func(ctx context.Context, name string) error {
		_ = s.Store.Remove(ctx, name)
		return commit(ctx, name)
	}, err
}

type undroppedSpool struct{ *mem.Store }

func (s undroppedSpool) Spool(ctx context.Context) (io.WriteCloser, func(context.Context, string) error, error) {
	w := &undropped{}
	return w, func(ctx context.Context, name string) error {
		w.mu.Lock()
		defer w.mu.Unlock()
		return s.Store.Create(ctx, name, &w.data, int64(w.data.Len()))
	}, nil
}

type undropped struct {
	mu   sync.Mutex
	data bytes.Buffer
}

func (w *undropped) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.data.Write(p)
}

func (w *undropped) Close() error { return nil }

type carelessCommit struct{ *mem.Store }

func (s carelessCommit) Spool(ctx context.Context) (io.WriteCloser, func(context.Context, string) error, error) {
	w, commit, err := s.Store.Spool(ctx)
	return w, func(_ context.Context, name string) error { return commit(context.Background(), name) }, err
}
