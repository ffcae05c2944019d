package storetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"sync"
	"testing"
)

// spooled is a file that has no name.
type spooled struct {
	io.WriteCloser
	commit func(ctx context.Context, name string) error
}

// spool starts a file, or returns nil if the store cannot.
func spool(t *testing.T, s Store) *spooled {
	t.Helper()
	spooler, ok := s.(Spooler)
	if !ok {
		return nil
	}
	w, commit, err := spooler.Spool(t.Context())
	if err != nil {
		t.Fatalf("Spool: %v", err)
	}
	return &spooled{w, commit}
}

// needSpool starts a file or skips the test.
func needSpool(t *testing.T, s Store) *spooled {
	t.Helper()
	w := spool(t, s)
	if w == nil {
		t.Skip("the store is no Spooler")
	}
	return w
}

func write(t *testing.T, w io.Writer, data []byte) {
	t.Helper()
	if n, err := w.Write(data); n != len(data) || err != nil {
		t.Fatalf("Write to a spool: %d of %d bytes, error %v", n, len(data), err)
	}
}

func testSpool(t *testing.T, s Store) {
	want := make(map[string][]byte)
	for i, size := range []int{0, 1, 70_000, 9 << 20} {
		w := needSpool(t, s)
		data := randomBytes(uint64(i), size)
		for rest := data; len(rest) > 0; {
			n := min(len(rest), 1+len(rest)/3)
			write(t, w, rest[:n])
			rest = rest[n:]
		}
		expect(t, s, want) // nothing to be seen of it yet
		name := fmt.Sprintf("data/%d/%d", i, size)
		if err := w.commit(t.Context(), name); err != nil {
			t.Fatalf("commit: %v", err)
		}
		want[name] = data
		expect(t, s, want)
		if err := w.Close(); err != nil {
			t.Errorf("Close after commit: %v", err)
		}
		if err := w.commit(t.Context(), "data/second"); err == nil {
			t.Error("commit a second time: no error")
		}
		if _, err := w.Write([]byte("more")); err == nil {
			t.Error("Write after commit: no error")
		}
		expect(t, s, want)
	}
}

func testSpoolTaken(t *testing.T, s Store) {
	w := needSpool(t, s)
	create(t, s, "d/taken", []byte("first"))
	write(t, w, []byte("second"))
	if err := w.commit(t.Context(), "d/taken"); !errors.Is(err, fs.ErrExist) {
		t.Errorf("commit to a name that is taken: error %v, want fs.ErrExist", err)
	}
	if err := w.Close(); err != nil {
		t.Errorf("Close after a commit that failed: %v", err)
	}
	expect(t, s, map[string][]byte{"d/taken": []byte("first")})
}

func testSpoolExclusive(t *testing.T, s Store) {
	const writers = 6
	spools := make([]*spooled, writers)
	for i := range writers {
		spools[i] = needSpool(t, s)
		write(t, spools[i], randomBytes(uint64(i), 1000+i))
	}
	errs := make([]error, writers)
	var wg sync.WaitGroup
	for i, w := range spools {
		wg.Go(func() {
			if i == 0 { // one of them comes by the other way
				data := randomBytes(0, 1000)
				errs[i] = s.Create(t.Context(), "d/contended", bytes.NewReader(data), int64(len(data)))
				return
			}
			errs[i] = w.commit(t.Context(), "d/contended")
		})
	}
	wg.Wait()
	winner, ok := onlyWinner(t, errs)
	for _, w := range spools {
		if err := w.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	}
	if ok {
		expect(t, s, map[string][]byte{"d/contended": randomBytes(uint64(winner), 1000+winner)})
	}
}

func testSpoolDropped(t *testing.T, s Store) {
	w := needSpool(t, s)
	write(t, w, randomBytes(1, 100_000))
	if err := w.Close(); err != nil {
		t.Errorf("Close without commit: %v", err)
	}
	if err := w.commit(t.Context(), "d/f"); err == nil {
		t.Error("commit after Close: no error")
	}
	_ = w.Close() // a second one must do no harm
	expectAbsent(t, s, "d/f")
	expect(t, s, nil)
}

func testSpoolNames(t *testing.T, s Store) {
	for _, name := range badNames {
		w := needSpool(t, s)
		write(t, w, []byte("bad"))
		if err := w.commit(t.Context(), name); err == nil {
			t.Errorf("commit to %q: no error", name)
		}
		w.Close()
	}
	expect(t, s, nil)
}

func testSpoolCancelled(t *testing.T, s Store) {
	w := needSpool(t, s)
	write(t, w, []byte("data"))
	ctx, cancel := within(t)
	cancel()
	if err := w.commit(ctx, "d/f"); !errors.Is(err, context.Canceled) {
		t.Errorf("commit with a cancelled context: error %v", err)
	}
	w.Close()
	expectAbsent(t, s, "d/f")
	if _, _, err := s.(Spooler).Spool(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("Spool with a cancelled context: error %v", err)
	}
}
