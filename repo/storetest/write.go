package storetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
)

func testTaken(t *testing.T, s Store) {
	for _, size := range []int{0, 10, 100_000} {
		name := fmt.Sprintf("d/taken-%d", size)
		first := randomBytes(1, size)
		create(t, s, name, first)
		for _, other := range []int{0, size, size + 1} {
			err := s.Create(t.Context(), name, bytes.NewReader(randomBytes(2, other)), int64(other))
			if !errors.Is(err, fs.ErrExist) {
				t.Errorf("Create %q a second time: error %v, want fs.ErrExist", name, err)
			}
		}
		expectFile(t, s, name, first)
	}
}

// testExclusive lets many create the same name; one of them must succeed, and
// its data must be what is stored.
func testExclusive(t *testing.T, s Store) {
	const writers, rounds = 8, 4
	for round := range rounds {
		name := fmt.Sprintf("d/%d/contended", round)
		errs := make([]error, writers)
		start := make(chan struct{})
		var wg sync.WaitGroup
		for i := range writers {
			wg.Go(func() {
				data := randomBytes(uint64(i), 5000+i)
				<-start
				errs[i] = s.Create(t.Context(), name, bytes.NewReader(data), int64(len(data)))
			})
		}
		close(start)
		wg.Wait()
		if winner, ok := onlyWinner(t, errs); ok {
			expectFile(t, s, name, randomBytes(uint64(winner), 5000+winner))
		}
	}
}

// onlyWinner returns the index of the only nil in errs and checks that all
// others are fs.ErrExist.
func onlyWinner(t *testing.T, errs []error) (winner int, ok bool) {
	t.Helper()
	winners := 0
	for i, err := range errs {
		switch {
		case err == nil:
			winner = i
			winners++
		case !errors.Is(err, fs.ErrExist):
			t.Errorf("writer %d: error %v, want fs.ErrExist", i, err)
		}
	}
	if winners != 1 {
		t.Errorf("%d of %d writers created the same name, want 1", winners, len(errs))
	}
	return winner, winners == 1
}

func testFailingReader(t *testing.T, s Store) {
	broken := errors.New("broken")
	const size = 100_000
	for _, good := range []int{0, 1, 50_000, size - 1} {
		data := io.MultiReader(bytes.NewReader(randomBytes(1, good)), iotest.ErrReader(broken))
		err := s.Create(t.Context(), "d/f", data, size)
		if !errors.Is(err, broken) {
			t.Errorf("Create from a reader that fails after %d bytes: error %v, want the reader's", good, err)
		}
		expectAbsent(t, s, "d/f")
	}
	create(t, s, "d/f", []byte("the name is still free"))
}

func testWrongSize(t *testing.T, s Store) {
	for _, test := range []struct{ length, size int }{
		{0, 1}, {99, 100}, {99_999, 100_000}, {1, 0}, {101, 100}, {100_001, 100_000}, {10, -1},
	} {
		for _, data := range []io.Reader{
			bytes.NewReader(randomBytes(1, test.length)),
			iotest.DataErrReader(bytes.NewReader(randomBytes(1, test.length))),
		} {
			if err := s.Create(t.Context(), "d/f", data, int64(test.size)); err == nil {
				t.Errorf("Create with %d bytes where %d were announced: no error", test.length, test.size)
			}
			expectAbsent(t, s, "d/f")
			// Lest the next case fail for the fault of this one.
			_ = s.Remove(t.Context(), "d/f")
		}
	}
	create(t, s, "d/f", []byte("the name is still free"))
}

func testCancelledBefore(t *testing.T, s Store) {
	create(t, s, "there", []byte("there"))
	ctx, cancel := within(t)
	cancel()
	if err := s.Create(ctx, "f", strings.NewReader("data"), 4); !errors.Is(err, context.Canceled) {
		t.Errorf("Create with a cancelled context: error %v", err)
	}
	if _, err := s.ReadAt(ctx, "there", make([]byte, 5), 0); !errors.Is(err, context.Canceled) {
		t.Errorf("ReadAt with a cancelled context: error %v", err)
	}
	if _, _, err := s.Stat(ctx, "there"); !errors.Is(err, context.Canceled) {
		t.Errorf("Stat with a cancelled context: error %v", err)
	}
	if err := s.Remove(ctx, "there"); !errors.Is(err, context.Canceled) {
		t.Errorf("Remove with a cancelled context: error %v", err)
	}
	expectAbsent(t, s, "f")
	expectFile(t, s, "there", []byte("there"))
}

// testCancelledWithin cancels the context while the data is read.
func testCancelledWithin(t *testing.T, s Store) {
	const size = 3 << 20
	ctx, cancel := within(t)
	defer cancel()
	data := io.MultiReader(
		bytes.NewReader(randomBytes(1, size/2)),
		readerFunc(func([]byte) (int, error) { cancel(); return 0, io.EOF }),
		bytes.NewReader(randomBytes(2, size/2)),
	)
	if err := s.Create(ctx, "d/f", data, size); !errors.Is(err, context.Canceled) {
		t.Errorf("Create cancelled in the middle: error %v, want context.Canceled", err)
	}
	expectAbsent(t, s, "d/f")
	create(t, s, "d/f", []byte("the name is still free"))
}

// testInvisibleWhileWritten looks at the store while a file is being written.
func testInvisibleWhileWritten(t *testing.T, s Store) {
	const size = 3 << 20
	want := randomBytes(1, size)
	looked := false
	look := readerFunc(func([]byte) (int, error) {
		looked = true
		expectAbsent(t, s, "d/f")
		if names := list(t, s, ""); len(names) > 0 {
			t.Errorf("List while a file is written: %v", names)
		}
		return 0, io.EOF
	})
	data := io.MultiReader(bytes.NewReader(want[:size/2]), look, bytes.NewReader(want[size/2:]))
	if err := s.Create(t.Context(), "d/f", data, size); err != nil {
		t.Fatalf("Create: %v", err)
	}
	if !looked {
		t.Error("Create did not read the data")
	}
	expect(t, s, map[string][]byte{"d/f": want})
}

// readerFunc is a Read method.
type readerFunc func(p []byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

func testConcurrent(t *testing.T, s Store) {
	const workers, files = 8, 6
	var mu sync.Mutex
	want := make(map[string][]byte)
	var wg sync.WaitGroup
	for worker := range workers {
		wg.Go(func() {
			for i := range files {
				name := fmt.Sprintf("data/%02x/%d", i, worker)
				data := randomBytes(uint64(worker*files+i), 1+(worker*files+i)*997)
				if err := s.Create(t.Context(), name, bytes.NewReader(data), int64(len(data))); err != nil {
					t.Errorf("Create %q: %v", name, err)
					continue
				}
				expectFile(t, s, name, data)
				if _, ok := list(t, s, name)[name]; !ok {
					t.Errorf("List %q does not give the file", name)
				}
				if i%3 == 2 {
					if err := s.Remove(t.Context(), name); err != nil {
						t.Errorf("Remove %q: %v", name, err)
					}
					continue
				}
				mu.Lock()
				want[name] = data
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if t.Failed() {
		return
	}
	expect(t, s, want)

	// Of many who remove a file, one does.
	create(t, s, "one", []byte("one"))
	errs := make([]error, workers)
	for i := range workers {
		wg.Go(func() { errs[i] = s.Remove(t.Context(), "one") })
	}
	wg.Wait()
	if !slices.Contains(errs, nil) {
		t.Errorf("Remove by many: errors %v", errs)
	}
	for _, err := range errs {
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("Remove by many: error %v, want fs.ErrNotExist", err)
		}
	}
	expectAbsent(t, s, "one")
}
